"""``LongContextLLM``: messages in, text out, over the engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

import longctx
from longctx import arguments
from longctx.answers import completion_of, settings_of
from longctx.channel import Channel, Merged
from longctx.chat import (
    ChatTemplate,
    EncodedPrompt,
    Expected,
    PromptTemplate,
    RenderedPrompt,
    expect_answer,
    expect_text,
    find_template,
)
from longctx.closing import Closing
from longctx.engine import N_BATCH, Engine, Outcome, Session, Writing
from longctx.errors import RequestError
from longctx.model_info import ModelInfo
from longctx.model_thread import ModelThread
from longctx.options import (
    ANSWER_OPTIONS,
    CHAT_OPTIONS,
    AnswerOptions,
    ChatOptions,
    SamplingOptions,
    ToolChoice,
    check_names,
    tool_choice_of,
)
from longctx.packaged_model import demo_model, fast_copy
from longctx.planner import ContextPlan, PlanOptions, plan_context
from longctx.progress import SideBySideMeter
from longctx.prompt import tools_of
from longctx.sampling import conversation_sampling
from longctx.stream import AsyncStream, Event, Stream
from longctx.tokens import ModelTokenizer
from longctx.types import (
    Chunk,
    Completion,
    Composed,
    Message,
    Messages,
    Progress,
    ProgressCallback,
    ToolSchema,
    as_messages,
)

logger = logging.getLogger("longctx")

DEFAULT_CTX = 32_768


class LongContextLLM(Closing):
    """A local model with the window you ask for.

    It may be called from many threads and tasks: answers are written side by side, each a token
    of every batch. Whatever becomes of a caller (a timeout, a cancelled task, Ctrl-C, a loop that
    is left), its answer ends at the next batch and the others go on.

    Args:
        model: path of a GGUF file; None is the packaged demo model (extra ``demo``).
        target_ctx: the window wanted, in tokens.
        plan: how to open it, as :func:`longctx.plan_context` returned it, in place of
            ``target_ctx`` and the planning arguments, which are shorthand for it.
        n_threads: None measures what the machine bears.
        n_gpu_layers: layers to place on the GPU, -1 for all. Where llama.cpp finds none to place
            them on, the plan's warnings say so.
        seed: of sampling at a temperature above 0; None draws a new one each call.
        cache_dir: folder where long conversations are kept between runs, as token ids, keys and
            values (up to 4 GiB, the least recently used go first), so that yesterday's document
            is not prefilled again. None keeps none, and the demo model's fast copy in the
            user's cache folder.
        chat_template: Jinja text, the path of a file that holds it, or a name (``chatml``,
            ``gemma``, ``llama2``, ``llama3``, ``mistral``, ``phi3``, ``vicuna``, ``zephyr``),
            instead of the model file's own. What a template loses is in ``plan.warnings``.
        backend: ``"llama.cpp"`` runs the model here. ``"openai"`` returns a
            :class:`longctx.remote.RemoteLLM` instead: a model on a server, which documents and
            agents take as well. It takes ``base_url``, ``model`` (its name there), ``api_key``,
            ``target_ctx`` (by default the server's), and the other arguments of that class.
        verbose: log what llama.cpp says (logger ``longctx.llama_cpp``) to stderr.
        planning: how the window is planned: ``method``, ``window``, ``overflow``, ``kv_type``,
            ``memory_limit``, ``reserve_output``, ``n_keep``, ``profile``, ``parameters``
            (:class:`longctx.planner.PlanOptions`).

    Raises:
        ModelFileError: the file is missing or damaged.
        UnsupportedModelError: the model cannot be scaled and the target needs it.
        PlanError: no window satisfies the request.
        RequestError: another argument is wrong, unknown, or contradicts another.
        MissingExtraError: ``model=None`` and the demo model is not installed.
        TemplateError: ``chat_template`` is no template. A bad one in the file is no error until
            :meth:`chat` needs it.

    Examples:
        >>> with LongContextLLM(target_ctx=16_384) as llm:      # doctest: +SKIP
        ...     print(llm.chat([{"role": "user", "content": "Hello!"}]).text)
    """

    def __new__(
        cls,
        model: str | Path | None = None,
        target_ctx: int | None = None,
        *,
        backend: str = "llama.cpp",
        **options: Any,
    ) -> Any:
        """Open a model here; the older spelling of ``longctx.connect`` opens one on a server."""
        if backend == "openai":
            return longctx.RemoteLLM.from_options(model, target_ctx, options)
        return super().__new__(cls)

    def __init__(
        self,
        model: str | Path | None = None,
        target_ctx: int | None = None,
        *,
        plan: ContextPlan | None = None,
        chat_template: str | PathLike[str] | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        seed: int | None = None,
        cache_dir: str | Path | None = None,
        verbose: bool = False,
        backend: Literal["llama.cpp", "openai"] = "llama.cpp",
        base_url: str | None = None,
        api_key: str | None = None,
        **planning: Unpack[PlanOptions],
    ) -> None:
        if backend != "llama.cpp":
            raise RequestError(f"backend {backend!r} is unknown; use 'llama.cpp' or 'openai'")
        if base_url is not None or api_key is not None:
            raise RequestError("base_url and api_key are a server's: use longctx.connect(base_url)")
        if verbose:
            _log_to_stderr()
        seed = arguments.seed(seed)
        cache_dir = None if cache_dir is None else arguments.path("cache_dir", cache_dir)
        template = None if chat_template is None else find_template(chat_template)
        path = _demo_copy(cache_dir) if model is None else arguments.path("model", model)
        self.info = ModelInfo.from_gguf(path)
        template = self.info.chat_template if template is None else template
        self.plan: ContextPlan = _planned(self.info, target_ctx, plan, planning).warned(
            *PromptTemplate(template).announce(str(path))
        )
        self._seed = seed
        self._thread = ModelThread()
        try:
            self._engine = self._thread.serve(
                partial(
                    Engine,
                    self.info,
                    self.plan,
                    n_threads=n_threads,
                    n_gpu_layers=n_gpu_layers,
                    cache_dir=cache_dir,
                    checkpoint=self._thread.checkpoint,
                )
            )
            self.plan = self._engine.plan  # with what the backend warns of
            self._tokenizer = ModelTokenizer(self._engine.model)
            for_tools = self.info.tool_template if chat_template is None else None
            self._template = ChatTemplate(template, self._tokenizer, for_tools=for_tools)
        except BaseException:
            self._thread.close()
            raise

    # Life

    def close(self) -> None:
        """Free the model and every cache, long ones saved first (``cache_dir``). Idempotent.

        Answers under way end with a :class:`~longctx.BackendError`.
        """
        self._thread.close(self._engine.close)

    def __repr__(self) -> str:
        state = self.plan.window if self._thread.is_open else "closed"
        return (
            f"LongContextLLM({self.info.name!r}, target_ctx={self.plan.n_ctx}, "
            f"method={self.plan.method!r}, {state})"
        )

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._thread.is_open

    @property
    def engine(self) -> Engine:
        """What it runs on, for those who look inside; its methods belong to the model's thread."""
        return self._engine

    @property
    def target_ctx(self) -> int:
        """Largest window in tokens."""
        return self.plan.n_ctx

    @property
    def reserve_output(self) -> int:
        """Tokens kept free for an answer when ``max_tokens`` is not given."""
        return self.plan.reserve_output

    @property
    def sampling_defaults(self) -> SamplingOptions:
        """How conversations are sampled: as the model's file suggests, else as
        :data:`longctx.sampling.CONVERSATION`. Calls are greedy unless they ask for it:
        ``llm.chat(messages, **llm.sampling_defaults)``.
        """
        return cast("SamplingOptions", conversation_sampling(self.info.sampling))

    @property
    def chat_template(self) -> str:
        """The Jinja text that conversations are rendered with."""
        return self._template.source

    @property
    def can_think(self) -> bool:
        """Whether answers may begin with thoughts, by the chat template."""
        answers = self._template.answers
        return answers.channels or answers.thinking is not None

    def has_thinking_switch(self, thinking: bool | str = True) -> bool:
        """Whether the chat template has a switch for it, so that ``thinking=`` may be passed.

        Args:
            thinking: True or False, or how much (``"low"``), which is another switch.
        """
        try:
            self._template.options(thinking, None)
        except RequestError:
            return False
        return True

    @property
    def overflow(self) -> str:
        """What a full window does: ``"error"`` or ``"slide"``."""
        return self.plan.overflow

    # Tokens

    def prompt(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> EncodedPrompt:
        """Render and count a conversation once; whatever takes messages takes the result.

        Args:
            messages: OpenAI-style dicts or :class:`longctx.Message`, oldest first. A prompt of
                this model is returned as it is, one of another model is counted again.
            tools: OpenAI-style schemas that the model may call; None leaves a prompt its own.
            thinking: as in :meth:`chat`.
            template_options: as in :meth:`chat`.

        Returns:
            ``.ids``, exactly what :meth:`chat` would have in its cache before it answers,
            ``.n_tokens``, ``.messages`` and ``.tools``.

        Raises:
            TemplateError: the messages are no conversation.
            ToolError: a tool's definition is wrong.
            RequestError: a prompt that was counted with other tools.
        """
        self._thread.check_open()
        schemas = tools_of(messages, tools)
        turns = tuple(as_messages(messages))
        template = self._template.variant(turns, schemas)
        options = template.options(thinking, template_options)
        if (
            isinstance(messages, EncodedPrompt)
            and messages.counted_by is self._template
            and (options is None or options == messages.options)
        ):
            return messages
        rendered = template.render(turns, schemas, options=options)
        return EncodedPrompt(
            turns,
            schemas,
            len(rendered.ids),
            self._template,
            rendered=rendered,
            template=template,
            pinned=self._pinned(template, turns, schemas, rendered) if self._slides else 0,
            options=options,
        )

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Count tokens exactly.

        Args:
            text: plain text by itself, without the token that begins a text (BOS), which
                :meth:`generate` adds where the model has one: ``len(llm.prompt_ids(text))`` is
                what that prefills. Or a conversation, counted as :meth:`chat` would prefill it:
                template, tools and generation prompt included.
            tools: OpenAI-style schemas, with a conversation.

        Raises:
            TemplateError: the messages are no conversation.
        """
        if isinstance(text, str):
            self._thread.check_open()
            return self._tokenizer.count(text)
        return self.prompt(text, tools).n_tokens

    def prompt_ids(
        self, prompt: str | Messages, tools: Sequence[ToolSchema] | None = None
    ) -> list[int]:
        """The token ids that stand in the cache before an answer: what is prefilled.

        Args:
            prompt: plain text, as :meth:`generate` prefills it (with BOS, where the model has
                one), or a conversation, as :meth:`chat` does.
            tools: OpenAI-style schemas, with a conversation.

        Raises:
            TemplateError: the messages are no conversation.
        """
        if isinstance(prompt, str):
            self._thread.check_open()
            return self._encode(prompt, True)
        return list(self.prompt(prompt, tools).ids)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text; text such as ``<|im_end|>`` stays text."""
        self._thread.check_open()
        return list(self._tokenizer.encode_once(text))

    def detokenize(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            RequestError: they are no token ids of this model.
        """
        self._thread.check_open()
        return self._text_of(arguments.token_ids(ids, self._tokenizer.n_vocab).tolist())

    # Generating

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation.

        Args:
            messages: OpenAI-style dicts or :class:`longctx.Message`, oldest first, or what
                :meth:`prompt` made of them. Where the last is the assistant's (and calls no
                tool), the answer continues its text: what comes back is the continuation alone,
                and ``stop``, schema and tools hold for that.
            options: see :class:`longctx.options.ChatOptions`.

        Raises:
            TemplateError: the messages are no conversation, or the chat template refuses them or
                would drop words of the user's.
            ContextOverflowError: prompt and answer do not fit; nothing is ever cut.
            ToolError: a tool schema is wrong, or ``tool_choice`` asks for a tool that is not there.
            RequestError: an option is unknown or out of its range, or the schema makes no grammar.
            BackendError: the model was closed.
        """
        with self.stream_chat(messages, **options) as stream:
            return stream.result

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Answer a conversation piece by piece; arguments and errors as :meth:`chat`.

        The prompt is checked at once, not at the first chunk. The last chunk carries
        ``result``. Closing the stream, or dropping it, gives the answer up.
        """
        check_names(options, CHAT_OPTIONS, "of chat()")
        choice = tool_choice_of(options)
        # With "none" too the tools stay in the prompt: the cached prefix has them.
        prompt = self.prompt(
            messages,
            options.get("tools"),
            thinking=options.get("thinking"),
            template_options=options.get("template_options"),
        )
        expected = self._expected(
            prompt,
            choice,
            options.get("response_schema"),
            many=arguments.parallel_tool_calls(options.get("parallel_tool_calls")),
            thinking_budget=options.get("thinking_budget"),
        )
        return self._answer(prompt, options, expected)

    def chat_batch(
        self, conversations: Sequence[Messages], **options: Unpack[AnswerOptions]
    ) -> list[Completion]:
        """Answer several conversations side by side; return the answers in their order.

        What they begin with is prefilled once. A batch rounds otherwise than a token alone, so
        where two tokens are nearly as likely an answer may differ from :meth:`chat`'s. Arguments
        and errors as there; all are checked before the first is prefilled.
        """
        check_names(options, ANSWER_OPTIONS, "of chat_batch()")
        prompts = [self.prompt(messages) for messages in conversations]
        merged: Merged[Event] = Merged(len(prompts))
        writings = [
            self._writing(
                prompt,
                options,
                self._expected(prompt, "none", options.get("response_schema")),
                channel,
            )
            for prompt, channel in zip(prompts, merged.channels, strict=True)
        ]
        meter = SideBySideMeter(options.get("on_progress"), [p.n_tokens for p in prompts])
        results: dict[int, Completion] = {}
        try:
            for writing in writings:
                self._thread.post(partial(self._engine.add, writing))
            while len(results) < len(prompts):
                i, event = merged.receive()
                if isinstance(event, Progress):
                    meter.tell(i, event)
                elif event.result is not None:
                    results[i] = event.result
        finally:
            merged.cancel()
        return [results[i] for i in range(len(prompts))]

    def generate(self, prompt: str, **options: Unpack[AnswerOptions]) -> Completion:
        """Continue plain text, without a chat template; arguments and errors as :meth:`chat`."""
        with self.stream(prompt, **options) as stream:
            return stream.result

    def stream(self, prompt: str, **options: Unpack[AnswerOptions]) -> Stream:
        """Continue plain text piece by piece; the last chunk carries ``result``."""
        check_names(options, ANSWER_OPTIONS, "of generate()")
        self._thread.check_open()
        ids = self._encode(arguments.plain_text("prompt", prompt), True)
        expected = expect_text(options.get("response_schema"))
        rendered = RenderedPrompt(text=prompt, ids=ids)
        added = int(self._tokenizer.adds_bos)
        plain = EncodedPrompt(
            (), (), len(ids), rendered=rendered, template=self._template, n_added=added
        )
        return self._answer(plain, options, expected)

    async def achat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """:meth:`chat`, in an event loop; cancelling it gives the answer up."""
        return await self.astream_chat(messages, **options).result()

    def astream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> AsyncStream:
        """:meth:`stream_chat`, in an event loop: ``async for``, ``await ….result()``."""
        unread = ChatOptions({**options, "on_progress": None})
        return AsyncStream(lambda: self.stream_chat(messages, **unread), options.get("on_progress"))

    def score(
        self,
        text_or_ids: str | Sequence[int] | NDArray[np.int32],
        *,
        batch: int = 512,
        on_progress: ProgressCallback | None = None,
    ) -> NDArray[np.float32]:
        """Score every token of a text given all before it.

        The text stays in the cache: a following call whose prompt begins with the same
        tokens does not prefill them again.

        Args:
            text_or_ids: n tokens, at least 2.
            batch: logits of so many tokens are held at once (``batch * n_vocab`` floats).
            on_progress: called after each batch.

        Returns:
            float32[n-1], negative log-likelihood in nats.

        Raises:
            ContextOverflowError: the text does not fit the window.
            RequestError: fewer than 2 tokens, or none of this model's.
        """
        self._thread.check_open()
        batch = arguments.whole("batch", batch, least=1)
        ids = (
            self._encode(text_or_ids, True)
            if isinstance(text_or_ids, str)
            else arguments.token_ids(text_or_ids, self._tokenizer.n_vocab)
        )
        if len(ids) < 2:
            raise RequestError(f"score needs at least 2 tokens, not {len(ids)}")
        self._check_fit(len(ids), 0)
        return self._thread.call(self._engine.score, ids, batch=batch, on_progress=on_progress)

    def compose(
        self,
        messages: Messages,
        passages: Sequence[str],
        *,
        recompute: int = 16,
        on_progress: ProgressCallback | None = None,
    ) -> Composed:
        """Put a prompt together from passages that are prefilled once, alone, and kept.

        The next :meth:`chat` of these messages prefills only what is not a passage. Passages did
        not see each other, so its answer is an approximation (docs/rag.md has what it costs);
        chats that begin with the same text reuse it until it makes way, and ``cache_dir`` never
        keeps it.

        Args:
            messages: as in :meth:`chat`.
            passages: texts inside them, in their order; one that is short, longer than the
                trained window, or not found token by token is left to be prefilled.
            recompute: tokens at the front of each passage to prefill in place.
            on_progress: called after each prefilled batch.

        Raises:
            ContextOverflowError: the prompt does not fit ``target_ctx``.
            RequestError: ``recompute`` is no whole number from 0, or a passage no text.
        """
        recompute = arguments.whole("recompute", recompute, least=0)
        texts = arguments.texts("passages", passages)
        ids = self.prompt(messages).ids
        self.plan.check_fit(len(ids))
        return self._thread.call(
            self._engine.compose,
            ids,
            [self.tokenize(text) for text in texts],
            recompute=recompute,
            on_progress=on_progress,
        )

    # The KV cache, by hand

    def session(self, *, n_outputs: int | None = None) -> Session:
        """Open a KV cache of your own. Close it with ``.close()``, ``with``, or with the model.

        Args:
            n_outputs: tokens of a batch whose logits can be read at once
                (``n_outputs * n_vocab`` floats); None is 16 to 128, for 16 MiB of them.
        """
        if n_outputs is not None:
            n_outputs = arguments.whole("n_outputs", n_outputs, least=1, most=N_BATCH)
        return self._thread.call(self._engine.open_session, self._encode, self._thread, n_outputs)

    def load_session(self, path: str | Path) -> Session:
        """Open a session that ``session.save(path)`` wrote, at whatever scale it was saved.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, or
                is damaged.
            ContextOverflowError: it does not fit ``target_ctx``.
        """
        session = self.session()
        try:
            session.load(path)
        except BaseException:
            session.close()
            raise
        return session

    def save_chat(
        self,
        path: str | Path,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
    ) -> int:
        """Write the cached session that has most of a conversation.

        Args:
            path: the file, written whole or not at all.
            messages: the conversation so far, the model's last answer included.
            tools: as in :meth:`chat`.

        Returns:
            How many of the conversation's tokens it holds; at 0 no file is written.

        Raises:
            RequestError: there is a folder, a pipe, a device or a read-only file.
            BackendError: the file cannot be written.
        """
        self._thread.check_open()
        # As it stands, without the beginning of another answer.
        schemas = tools_of(messages, tools)
        turns = as_messages(messages)
        template = self._template.variant(turns, schemas)
        ids = template.render(turns, schemas, add_generation_prompt=False).ids
        return self._thread.call(self._engine.save_text, ids, Path(path))

    def load_chat(self, path: str | Path) -> int:
        """Take a session that :meth:`save_chat` wrote; chats that begin with its text reuse it.

        Returns:
            Its tokens.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, or
                is damaged.
            ContextOverflowError: it does not fit ``target_ctx``.
        """
        text = self._thread.call(self._engine.load_text, Path(path))
        self._template.recall(text)
        return len(text)

    # Inside

    @property
    def _slides(self) -> bool:
        return self.plan.overflow == "slide"

    def _check_fit(self, n_prompt: int, max_tokens: int, n_added: int = 0) -> None:
        if not self._slides:
            self.plan.check_fit(n_prompt, max_tokens, n_added=n_added)

    def _pinned(
        self,
        template: ChatTemplate,
        turns: Sequence[Message],
        tools: Sequence[ToolSchema] | None,
        prompt: RenderedPrompt,
    ) -> int:
        """Tokens of system messages and tools, up to where the first user's text begins."""
        system = list(takewhile(lambda m: m.is_system, turns))
        first = template.render([*system, Message(role="user", content="")], tools)
        pairs = zip(first.ids, prompt.ids, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def _encode(self, text: str, at_start: bool) -> list[int]:
        return self._tokenizer.encode(text, add_special=at_start)

    def _text_of(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode_bytes(ids).decode("utf-8", "replace")

    def _expected(
        self,
        prompt: EncodedPrompt,
        choice: ToolChoice,
        response_schema: Any,
        *,
        many: bool = True,
        thinking_budget: int | None = None,
    ) -> Expected:
        text, turns = prompt.rendered.text, prompt.messages
        return expect_answer(
            prompt.template,
            text,
            turns,
            prompt.tools,
            choice,
            response_schema,
            many=many,
            thinking_budget=thinking_budget,
        )

    def _answer(self, prompt: EncodedPrompt, options: AnswerOptions, expected: Expected) -> Stream:
        channel: Channel[Event] = Channel()
        writing = self._writing(prompt, options, expected, channel)
        stream = Stream(channel, options.get("on_progress"))
        self._thread.post(partial(self._engine.add, writing))
        return stream

    def _writing(
        self,
        prompt: EncodedPrompt,
        options: AnswerOptions,
        expected: Expected,
        channel: Channel[Event],
    ) -> Writing:
        """Check what is asked for, before any work."""
        settings = settings_of(options, self.plan, self._seed, expected, self._engine.model)
        self._check_fit(prompt.n_tokens, settings.max_tokens, prompt.n_added)
        hearing = None if expected.hear is None else expected.hear()

        def finish(outcome: Outcome) -> Chunk:
            prompt.template.remember(prompt.rendered, outcome.text, outcome.ids)
            return Chunk(result=completion_of(outcome, hearing))

        return Writing(prompt.ids, settings, channel, finish, pinned=prompt.pinned, hearing=hearing)


def _planned(
    info: ModelInfo, target_ctx: int | None, plan: ContextPlan | None, options: PlanOptions
) -> ContextPlan:
    if plan is None:
        return plan_context(info, DEFAULT_CTX if target_ctx is None else target_ctx, **options)
    if target_ctx is not None or options:
        given = ", ".join([*(["target_ctx"] if target_ctx is not None else []), *options])
        raise RequestError(f"the plan says it all already: pass plan= alone, without {given}")
    # Hashing a large file takes seconds; it is asked where the files may differ.
    if plan.info != info and plan.info.sha256 != info.sha256:
        raise RequestError(
            f"the plan is of {plan.info.name} ({plan.info.path}), not of {info.path}; make one "
            "with plan_context(model, target_ctx)"
        )
    return plan


def _demo_copy(cache_dir: str | Path | None) -> Path:
    return fast_copy(demo_model(), cache_dir=cache_dir, announce=logger.warning)


def _log_to_stderr() -> None:
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
