"""One question on its way: its budget, its calls of the model, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from longctx.documents.answered import Answered
from longctx.documents.layout import Block, window
from longctx.errors import BackendError, ContextOverflowError, UnsupportedModelError
from longctx.options import ChatOptions, SamplingOptions
from longctx.prompt import Prompt, prompt_of
from longctx.protocols import BatchChatModel, ChatModel, ComposingModel
from longctx.stream import Stream
from longctx.types import Chunk, Completion, Messages, Progress, ProgressCallback, Usage


class AnswerPutOffError(Exception):
    """The last prompt of a question, for whoever wants its answer piece by piece."""

    def __init__(self, prompt: Prompt, blocks: Sequence[Block]) -> None:
        super().__init__("the answer is left to whoever reads it")
        self.prompt = prompt
        self.blocks = blocks


@dataclass
class Asking:
    """A question, what may be spent on it, and what was.

    ``question`` is what the window says, ``query`` what is searched for. ``budget_tokens`` bounds
    each window, prompt and answer together; ``reserved_tokens`` of it are kept for the answer
    (``reserves_by_default``: because the model does so, and will more of a larger window), which
    goes to its end, or the budget's, unless ``max_tokens`` bounds it.
    ``sampling`` is how all of it is drawn, ``response_schema`` what the answer is held to,
    ``thinking`` whether the model thinks before each call, ``thinking_budget`` how long at most,
    and ``reasoning`` what it thought last.
    ``puts_off_answer`` lets :meth:`chat` raise :class:`AnswerPutOffError` in place of an answer
    (notes are taken). ``answered`` keeps what was answered before, ``read`` has what stood in any
    window, ``largest_blocks`` what stood in the fullest one, and ``largest_prompt`` its tokens.
    ``expected_tokens`` are the prompts that are known to come, for progress;
    ``compressed_tokens`` were in the last window what did not stand whole.
    """

    llm: ChatModel
    question: str
    query: str
    budget_tokens: int
    reserved_tokens: int
    answered: Answered
    reserves_by_default: bool = False
    max_tokens: int | None = None
    on_progress: ProgressCallback | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    response_schema: Any = None
    thinking: bool | str | None = None
    thinking_budget: int | None = None
    puts_off_answer: bool = False
    is_closed: bool = False
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    largest_prompt: int = 0
    largest_blocks: Sequence[Block] = ()
    read: list[Block] = field(default_factory=list)
    expected_tokens: int = 0
    _done_tokens: int = 0
    compressed_tokens: int = 0
    _composed_tokens: int = 0
    _started: float = 0.0  # when the model was first called, behind the search
    _frames: dict[str, int] = field(default_factory=dict)
    _open: Stream | None = None

    @property
    def room(self) -> int:
        """Tokens of the window that the prompt may take."""
        return self.budget_tokens - self.reserved_tokens

    def frame(self, instruction: str = "") -> int:
        """Tokens of a window that holds the question alone."""
        if instruction not in self._frames:
            alone = self.prompt(window([], self.question, instruction))
            self._frames[instruction] = alone.n_tokens
        return self._frames[instruction]

    def prompt(self, messages: Messages, blocks: Sequence[Block] = ()) -> Prompt:
        """Count a conversation once, exactly; :meth:`chat` takes the result.

        Those of the ``blocks`` that are compiled documents may stand compressed.
        """
        if not isinstance(self.llm, ComposingModel):
            return prompt_of(self.llm, messages)
        compress = [(b.text, b.document.compile) for b in blocks if b.document.compile is not None]
        # A template may say at its front how much to think: what is placed stands behind that.
        switches: dict[str, Any] = {} if self.thinking is None else {"thinking": self.thinking}
        if compress:
            with suppress(UnsupportedModelError):  # a library is asked by other models, too
                return self.llm.prompt(messages, compress=compress, **switches)
        return self.llm.prompt(messages, **switches)

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
            max_tokens: None is of an answer: that of the question, or what the budget has left; a
                number is room for a note.

        Raises:
            BackendError: the question was given up.
            AnswerPutOffError: answers are put off.
        """
        prompt, options = self._call(messages, max_tokens)
        if self.puts_off_answer and max_tokens is None:
            raise AnswerPutOffError(prompt, blocks)
        if (known := self.answered.get(prompt, options)) is None:
            known = self.llm.chat(prompt, **options)
            self.answered.put(prompt, options, known)
        return self._taken(known, prompt.n_tokens, blocks)

    def stream(self, messages: Messages, blocks: Sequence[Block] = ()) -> Generator[Chunk]:
        """Call the model for an answer that comes piece by piece.

        Returns:
            The pieces of its text and its thoughts. Closing it gives the answer up.
        """
        prompt, options = self._call(messages, None)
        if (known := self.answered.get(prompt, options)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
        else:
            with self.llm.stream_chat(prompt, **options) as stream:
                self._open = stream
                yield from (c for c in stream if c.text or c.reasoning)
                known = stream.result
            self.answered.put(prompt, options, known)
        self._taken(known, prompt.n_tokens, blocks)

    def knows(self, prompt: Prompt) -> bool:
        """Whether its answer is known from before."""
        return self.answered.get(*self._call(prompt, None)) is not None

    def close(self) -> None:
        """Give the question up: at the next token of an answer that is streamed, or before the
        next call of the model. From any thread."""
        self.is_closed = True
        if self._open is not None:
            self._open.close()

    def _call(self, messages: Messages, max_tokens: int | None) -> tuple[Prompt, ChatOptions]:
        """What the model is called with."""
        if self.is_closed:
            raise BackendError("this question was given up before its answer; ask again")
        self._started = self._started or time.perf_counter()
        prompt = self.prompt(messages)
        self.expected_tokens = max(self.expected_tokens, self._done_tokens + prompt.n_tokens)
        options = cast(ChatOptions, {**self.sampling})
        if self.on_progress:
            options["on_progress"] = self._relay(prompt.n_tokens)
        left = self.budget_tokens - prompt.n_tokens if self.max_tokens is None else self.max_tokens
        options["max_tokens"] = left if max_tokens is None else max_tokens
        if self.thinking is not None:  # a model that has no such option is not asked for it
            options["thinking"] = self.thinking
        if self.thinking_budget is not None:
            options["thinking_budget"] = self.thinking_budget
        if self.response_schema is not None and max_tokens is None:
            options["response_schema"] = self.response_schema
        return prompt, options

    def _taken(self, completion: Completion, tokens: int, blocks: Sequence[Block]) -> str:
        self._account(completion.usage, tokens, blocks)
        self.reasoning = completion.reasoning
        self.compressed_tokens = completion.window.compressed_tokens if completion.window else 0
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
        thinks = self.thinking is not None or self.thinking_budget is not None
        one_by_one = len(conversations) == 1 or thinks
        if one_by_one or not isinstance(self.llm, BatchChatModel):
            return [
                self.chat(messages, of, max_tokens=max_tokens)
                for messages, of in zip(conversations, blocks, strict=True)
            ]
        calls = [self._call(messages, max_tokens) for messages in conversations]
        found = [self.answered.get(prompt, options) for prompt, options in calls]
        new = [prompt for (prompt, _), known in zip(calls, found, strict=True) if known is None]
        total = sum(prompt.n_tokens for prompt, _ in calls)
        self.expected_tokens = max(self.expected_tokens, self._done_tokens + total)
        if new:
            written = iter(
                self.llm.chat_batch(
                    new,
                    max_tokens=max_tokens,
                    on_progress=self._relay(total) if self.on_progress else None,
                    **self.sampling,
                )
            )
            for i, (prompt, options) in enumerate(calls):
                if found[i] is None:
                    found[i] = note = next(written)
                    self.answered.put(prompt, options, note)
        return [
            self._taken(completion, prompt.n_tokens, of)
            for completion, (prompt, _), of in zip(found, calls, blocks, strict=True)
            if completion is not None
        ]

    def _account(self, used: Usage, tokens: int, blocks: Sequence[Block]) -> None:
        """Add what a call cost: its prompt in tokens, and what of the documents stood in it."""
        self._done_tokens += tokens
        self.calls += 1
        self.read += blocks
        if self._composed_tokens:  # prefilled a moment ago, and cached since
            cached = max(0, used.cached_tokens - self._composed_tokens)
            prefilled = used.prefilled_tokens + self._composed_tokens
            used = used.model_copy(update={"cached_tokens": cached, "prefilled_tokens": prefilled})
            self._composed_tokens = 0
        self.usage += used
        if tokens > self.largest_prompt:
            self.largest_prompt, self.largest_blocks = tokens, blocks

    def compose(
        self, messages: Messages, blocks: Sequence[Block], *, recompute: int | None = None
    ) -> None:
        """Let the model place the blocks from its cache, and what of the prompt may be compressed;
        what it had to prefill counts. ``recompute`` is None where the model knows best."""
        assert isinstance(self.llm, ComposingModel)
        in_place = {} if recompute is None else {"recompute": recompute}
        done = self.llm.compose(
            messages,
            [block.text for block in blocks],
            on_progress=self.on_progress,
            **in_place,
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
