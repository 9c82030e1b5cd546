"""One question on its way: its budget, its calls of the model, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from longctx.documents.layout import Block, window
from longctx.errors import ContextOverflowError
from longctx.options import SamplingOptions
from longctx.prompt import Prompt, prompt_of
from longctx.protocols import BatchChatModel, ChatModel, ComposingModel
from longctx.types import Messages, Progress, ProgressCallback, Usage


@dataclass
class Asking:
    """A question, what may be spent on it, and what was.

    ``budget_tokens`` bounds each window, prompt and answer together; ``reserved_tokens`` of it are
    kept for the answer, which goes to its end, or the budget's, unless ``max_tokens`` bounds it.
    ``sampling`` is how all of it is drawn, ``thinking`` whether the model thinks before each call,
    and ``reasoning`` what it thought last. ``expected_tokens`` are the prompts that are known to
    come, for progress. ``largest_prompt`` has the tokens of the fullest window, ``largest_blocks``
    what stood in it.
    """

    llm: ChatModel
    question: str
    budget_tokens: int
    reserved_tokens: int
    max_tokens: int | None = None
    on_progress: ProgressCallback | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    thinking: bool | str | None = None
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    largest_prompt: int = 0
    largest_blocks: Sequence[Block] = ()
    expected_tokens: int = 0
    _done_tokens: int = 0
    _composed_tokens: int = 0
    _started: float = field(default_factory=time.perf_counter)
    _frames: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Tokens of the window that the prompt may take."""
        return self.budget_tokens - self.reserved_tokens

    def frame(self, instruction: str = "") -> int:
        """Tokens of a window that holds the question alone."""
        if instruction not in self._frames:
            self._frames[instruction] = self.llm.count(window([], self.question, instruction))
        return self._frames[instruction]

    def prompt(self, messages: Messages) -> Prompt:
        """Count a conversation once, exactly; :meth:`chat` takes the result."""
        return prompt_of(self.llm, messages)

    def chat(
        self,
        messages: Messages,
        blocks: Sequence[Block] = (),
        *,
        max_tokens: int | None = None,
    ) -> str:
        """Call the model.

        Args:
            messages: the prompt, counted or not.
            blocks: what of the documents stands in it.
            max_tokens: of this answer; None is that of the question, or what the budget has left.
        """
        prompt = self.prompt(messages)
        tokens = prompt.n_tokens
        self.expected_tokens = max(self.expected_tokens, self._done_tokens + tokens)
        if max_tokens is None:
            max_tokens = self.budget_tokens - tokens if self.max_tokens is None else self.max_tokens
        thinking = self.thinking  # a model that has no such option is not asked for it
        chat = self.llm.chat if thinking is None else partial(self.llm.chat, thinking=thinking)
        completion = chat(
            prompt,
            max_tokens=max_tokens,
            on_progress=self._relay(tokens) if self.on_progress else None,
            **self.sampling,
        )
        self._account(completion.usage, tokens, blocks)
        self.reasoning = completion.reasoning
        return completion.text

    def chat_each(
        self,
        conversations: Sequence[Messages],
        blocks: Sequence[Sequence[Block]],
        *,
        max_tokens: int,
    ) -> list[str]:
        """Call the model with several conversations, side by side where it can.

        Args:
            conversations: the prompts.
            blocks: what of the documents stands in each.
            max_tokens: of each answer.
        """
        # A batch takes no switches of the chat template.
        one_by_one = len(conversations) == 1 or self.thinking is not None
        if one_by_one or not isinstance(self.llm, BatchChatModel):
            return [
                self.chat(messages, of, max_tokens=max_tokens)
                for messages, of in zip(conversations, blocks, strict=True)
            ]
        prompts = [self.prompt(messages) for messages in conversations]
        tokens = [prompt.n_tokens for prompt in prompts]
        self.expected_tokens = max(self.expected_tokens, self._done_tokens + sum(tokens))
        completions = self.llm.chat_batch(
            prompts,
            max_tokens=max_tokens,
            on_progress=self._relay(sum(tokens)) if self.on_progress else None,
            **self.sampling,
        )
        for completion, n, of in zip(completions, tokens, blocks, strict=True):
            self._account(completion.usage, n, of)
        return [completion.text for completion in completions]

    def _account(self, used: Usage, tokens: int, blocks: Sequence[Block]) -> None:
        """Add what a call cost: its prompt in tokens, and what of the documents stood in it."""
        self._done_tokens += tokens
        self.calls += 1
        if self._composed_tokens:  # prefilled a moment ago, and cached since
            cached = max(0, used.cached_tokens - self._composed_tokens)
            prefilled = used.prefilled_tokens + self._composed_tokens
            used = used.model_copy(update={"cached_tokens": cached, "prefilled_tokens": prefilled})
            self._composed_tokens = 0
        self.usage += used
        if tokens > self.largest_prompt:
            self.largest_prompt, self.largest_blocks = tokens, blocks

    def compose(self, messages: Messages, blocks: Sequence[Block], *, recompute: int) -> None:
        """Let the model place the blocks from its cache; what it had to prefill counts."""
        assert isinstance(self.llm, ComposingModel)
        done = self.llm.compose(
            messages,
            [block.text for block in blocks],
            recompute=recompute,
            on_progress=self.on_progress,
        )
        self._composed_tokens += done.prefilled_tokens

    def overflow(self, what: str, needed: int, remedy: str) -> ContextOverflowError:
        """The error for what cannot be cut further; ``needed`` is in tokens, answer included."""
        return ContextOverflowError(
            f"{what}: {needed} tokens with {self.reserved_tokens} reserved for the answer, and the "
            f"budget is {self.budget_tokens}. {remedy} Nothing was cut.",
            needed=needed,
            available=self.budget_tokens,
            n_ctx=self.llm.target_ctx,
        )

    def _relay(self, tokens: int) -> ProgressCallback:
        """Progress of one call as progress of all; what is cached counts as done."""
        callback, before = self.on_progress, self._done_tokens

        def relay(progress: Progress) -> None:
            assert callback is not None
            left = progress.total_tokens - progress.done_tokens
            callback(
                Progress(
                    done_tokens=before + tokens - left,
                    total_tokens=self.expected_tokens,
                    elapsed_s=time.perf_counter() - self._started,
                )
            )

        return relay
