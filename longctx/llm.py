"""``LongContextLLM``: the façade that wires the rooms together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native import check_grammar
from longctx.answers import answer_grammar, completion_of, outcome_of, result_of, tool_names
from longctx.backends import LlamaCppBackend
from longctx.cache import (
    Cells,
    Composer,
    KeyTurner,
    Session,
    SessionPool,
    SideBySide,
    SnapshotStore,
    snapshot_key,
)
from longctx.call_queue import CallQueue, in_thread
from longctx.errors import BackendError
from longctx.generation import (
    GenerationSettings,
    Outcome,
    Writing,
    check_fit,
    generate,
    generate_each,
)
from longctx.model_info import ModelInfo
from longctx.packaged_model import demo_model, fast_copy
from longctx.planner import ContextPlan, Profile, estimate_memory, plan_context
from longctx.protocols import ToolChoice
from longctx.remote import RemoteLLM
from longctx.tokens import (
    ChatTemplate,
    ModelTokenizer,
    RenderedPrompt,
    parse_tool_calls,
)
from longctx.types import (
    Chunk,
    Completion,
    Composed,
    Message,
    Messages,
    ProgressCallback,
    ToolSchema,
    as_messages,
)

logger = logging.getLogger("longctx")

HAND_OUTPUTS = 16, 128
"""Rows of logits of a session by hand, at least (what forks need anyway) and at most: below 64
tokens a batch llama.cpp is half as fast."""
HAND_LOGITS_BYTES = 16 * 2**20
"""For those rows; llama.cpp holds them twice while it scores."""


class LongContextLLM:
    """A local model with the window you ask for.

    Args:
        model: path of a GGUF file; None is the packaged demo model (extra ``demo``).
        target_ctx: the window wanted, in tokens.
        window: ``"elastic"`` starts at the trained window, unscaled, and grows with the text
            up to ``target_ctx``; ``"fixed"`` has the target's scale from the first token.
        overflow: ``"error"`` raises when a text does not fit; ``"slide"`` lets the oldest tokens
            behind the attention sinks go, endlessly, and says how many
            (``Completion.window.dropped_tokens``).
        n_keep: attention sinks, in tokens, when the window slides; :meth:`chat` keeps system
            messages and tools with them.
        method: ``auto``, ``none``, ``linear``, ``ntk``, ``dynamic``, ``ntk-by-parts``, ``yarn``,
            ``self-extend``.
        kv_type: ``auto``, ``f16``, ``bf16``, ``q8_0``, ``q4_0``.
        memory_limit: bytes or ``"6GiB"``; None is what is free now, less a margin.
        reserve_output: tokens kept free for an answer when a call gives no ``max_tokens``.
        n_threads: None measures what the machine bears.
        n_gpu_layers: layers to place on the GPU, -1 for all.
        seed: of sampling at a temperature above 0; None draws a new one each call.
        cache_dir: folder where long conversations are kept between runs, as token ids, keys and
            values (up to 4 GiB, the least recently used go first), so that yesterday's document
            is not prefilled again. None keeps none, and the demo model's fast copy in the
            user's cache folder.
        profile: a calibration to use with ``method="auto"`` instead of the stored one.
        backend: ``"llama.cpp"`` runs the model here. ``"openai"`` returns a
            :class:`longctx.remote.RemoteLLM` instead: a model on a server, which documents and
            agents take as well. It takes ``base_url``, ``model`` (its name there), ``api_key``,
            ``target_ctx`` (by default the server's), and the other arguments of that class.
        verbose: log what llama.cpp says (logger ``longctx.llama_cpp``) to stderr.

    Raises:
        ModelFileError: the file is missing or damaged.
        UnsupportedModelError: the model cannot be scaled and the target needs it.
        PlanError: no window satisfies the request.
        MissingExtraError: ``model=None`` and the demo model is not installed.

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
        """Open a model here, or on a server; what that has no use for is refused."""
        if backend == "openai":
            return RemoteLLM.from_options(model, target_ctx, options)
        return super().__new__(cls)

    def __init__(
        self,
        model: str | Path | None = None,
        target_ctx: int = 32_768,
        *,
        window: Literal["elastic", "fixed"] = "elastic",
        overflow: Literal["error", "slide"] = "error",
        n_keep: int | None = None,
        method: str = "auto",
        kv_type: str = "auto",
        memory_limit: int | str | None = None,
        reserve_output: int = 1024,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        seed: int | None = None,
        cache_dir: str | Path | None = None,
        profile: Profile | None = None,
        verbose: bool = False,
        backend: Literal["llama.cpp", "openai"] = "llama.cpp",
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        if backend != "llama.cpp":
            raise BackendError(f"backend {backend!r} is unknown; use 'llama.cpp' or 'openai'")
        if base_url is not None or api_key is not None:
            raise BackendError("base_url and api_key are a server's: pass backend='openai' too")
        if verbose:
            _log_to_stderr()
        path = Path(model) if model is not None else _demo_copy(cache_dir)
        self.info = ModelInfo.from_gguf(path)
        self.plan: ContextPlan = plan_context(
            self.info,
            target_ctx,
            method=method,
            kv_type=kv_type,
            memory_limit=memory_limit,
            reserve_output=reserve_output,
            n_keep=n_keep,
            overflow=overflow,
            window=window,
            profile=profile,
        )
        self._seed = seed
        self._queue = CallQueue()
        self._backend = LlamaCppBackend(
            self.info, self.plan, n_threads=n_threads, n_gpu_layers=n_gpu_layers
        )
        self._turner = KeyTurner(self._backend)
        native = self._backend.model
        self._tokenizer = ModelTokenizer(native)
        self._template = ChatTemplate(native.chat_template(), self._tokenizer)
        spare_bytes = self.plan.memory.limit_bytes - self.plan.memory.weights_bytes
        far = self.plan.self_extend
        self._composer = Composer(
            self._open_beside,
            max_tokens=far.start if far else self.plan.first_window,
            limit_bytes=spare_bytes // 4,
        )
        self._pool = SessionPool(
            self._new_session,
            cost_bytes=self._session_bytes,
            limit_bytes=spare_bytes,
            besides_bytes=lambda: self._composer.n_bytes,
            store=(
                SnapshotStore(Path(cache_dir) / "sessions", snapshot_key(self._backend))
                if cache_dir is not None
                else None
            ),
        )
        self._side_by_side = SideBySide(
            self._backend,
            self._turner,
            lambda cells: self._new_session(cells=cells),
            self._pool,
        )
        self._closed = False

    # Life

    def close(self) -> None:
        """Free the model and every cache, long ones saved first (``cache_dir``). Idempotent."""
        with self._queue.turn():
            self._closed = True
            self._pool.close()
            self._backend.close()

    def __enter__(self) -> LongContextLLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else self.plan.window
        return (
            f"LongContextLLM({self.info.name!r}, target_ctx={self.plan.n_ctx}, "
            f"method={self.plan.method!r}, {state})"
        )

    @property
    def target_ctx(self) -> int:
        """Largest window in tokens."""
        return self.plan.n_ctx

    @property
    def reserve_output(self) -> int:
        """Tokens kept free for an answer when ``max_tokens`` is not given."""
        return self.plan.reserve_output

    @property
    def overflow(self) -> str:
        """What a full window does: ``"error"`` or ``"slide"``."""
        return self.plan.overflow

    # Tokens

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Count tokens exactly.

        Args:
            text: plain text, or a conversation, counted as :meth:`chat` would prefill it:
                template, tools and generation prompt included.
            tools: OpenAI-style schemas, with a conversation.

        Raises:
            TemplateError: the messages are no conversation.
        """
        if isinstance(text, str):
            return len(self._tokenizer.encode(text))
        return len(self._render(text, tools).ids)

    def prompt_ids(
        self, messages: Messages, tools: Sequence[ToolSchema] | None = None
    ) -> list[int]:
        """The token ids that :meth:`chat` would have in its cache before it answers."""
        return self._render(messages, tools).ids

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text; text such as ``<|im_end|>`` stays text."""
        return self._tokenizer.encode(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        return self._tokenizer.decode_bytes(ids).decode("utf-8", "replace")

    # Generating

    def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolSchema] | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_schema: Any = None,
        top_logprobs: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Completion:
        """Answer a conversation.

        Args:
            messages: OpenAI-style dicts or :class:`longctx.Message`, oldest first.
            tools: OpenAI-style schemas; calls are held to them by a grammar.
            tool_choice: ``"auto"``, ``"none"``, ``"required"``, or one function by name.
            max_tokens: room for the answer; None is the plan's ``reserve_output``.
            temperature: 0 is greedy.
            top_p: nucleus sampling, above temperature 0.
            stop: strings that end the answer; they are not part of it.
            seed: of sampling.
            response_schema: a JSON schema or pydantic model that the answer must satisfy.
            top_logprobs: also say how likely each token of the answer was, and so many others in
                its place (``Completion.logprobs``): the model's own distribution, before
                grammar, temperature and top_p.
            on_progress: called after each prefilled batch.

        Raises:
            TemplateError: the messages are no conversation.
            ContextOverflowError: prompt and answer do not fit; nothing is ever cut.
            ToolError: a tool schema or ``tool_choice`` is wrong.
            BackendError: a setting is out of its range, or the schema makes no grammar.
        """
        return result_of(
            self.stream_chat(
                messages,
                tools=tools,
                tool_choice=tool_choice,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                stop=stop,
                seed=seed,
                response_schema=response_schema,
                top_logprobs=top_logprobs,
                on_progress=on_progress,
            )
        )

    def stream_chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolSchema] | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_schema: Any = None,
        top_logprobs: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Iterator[Chunk]:
        """Answer a conversation piece by piece; arguments and errors as :meth:`chat`.

        The prompt is checked at once, not at the first chunk. The last chunk carries
        ``result``. Other calls wait until the stream is read to its end or closed.
        """
        # With "none" too the tools stay in the prompt: the cached prefix has them.
        prompt = self._render(messages, tools)
        grammar = answer_grammar(tools, tool_choice, response_schema, self._template.call_format)
        settings = self._settings(max_tokens, temperature, top_p, stop, seed, grammar, top_logprobs)
        self._check_fit(len(prompt.ids), settings.max_tokens)
        names = tool_names(tools) if tools and tool_choice != "none" else ()
        pinned = self._pinned(messages, tools, prompt) if self._slides else 0
        return self._answer(prompt, settings, names, on_progress, pinned)

    def chat_batch(
        self,
        conversations: Sequence[Messages],
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_schema: Any = None,
        on_progress: ProgressCallback | None = None,
    ) -> list[Completion]:
        """Answer several conversations at once, eight at most; return the answers in their order.

        What all begin with is prefilled once, and a batch writes a token of each answer, as far
        as memory bears their windows beside each other. A batch rounds otherwise than a token
        alone, so where two tokens are nearly as likely an answer may differ from
        :meth:`chat`'s. Arguments and errors as there, but for a window that slides: nothing
        slides out here, each prompt must fit. All are checked before the first is prefilled.
        """
        prompts = [self._render(messages, None) for messages in conversations]
        grammar = answer_grammar(None, "none", response_schema)
        settings = self._settings(max_tokens, temperature, top_p, stop, seed, grammar, None)
        for prompt in prompts:
            check_fit(len(prompt.ids), settings.max_tokens, self.plan.n_ctx)
        if not prompts:
            return []
        results: dict[int, Completion] = {}
        with self._queue.turn():
            self._check_open()
            ids = [prompt.ids for prompt in prompts]
            answers = generate_each(
                self._side_by_side, self._backend.model, ids, settings, on_progress
            )
            for i, session, outcome in answers:
                self._keep(prompts[i], outcome, session)
                results[i] = completion_of(outcome, outcome.text, ())
        return [results[i] for i in range(len(prompts))]

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_schema: Any = None,
        top_logprobs: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Completion:
        """Continue plain text, without a chat template; arguments and errors as :meth:`chat`."""
        return result_of(
            self.stream(
                prompt,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                stop=stop,
                seed=seed,
                response_schema=response_schema,
                top_logprobs=top_logprobs,
                on_progress=on_progress,
            )
        )

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_schema: Any = None,
        top_logprobs: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Iterator[Chunk]:
        """Continue plain text piece by piece; the last chunk carries ``result``."""
        self._check_open()
        ids = self._encode(prompt, True)
        grammar = answer_grammar(None, "none", response_schema)
        settings = self._settings(max_tokens, temperature, top_p, stop, seed, grammar, top_logprobs)
        self._check_fit(len(ids), settings.max_tokens)
        return self._answer(RenderedPrompt(text=prompt, ids=ids), settings, (), on_progress)

    async def achat(self, messages: Messages, **options: Any) -> Completion:
        """:meth:`chat` in a thread; calls queue."""
        return await in_thread(self.chat, messages, **options)

    async def astream_chat(self, messages: Messages, **options: Any) -> AsyncIterator[Chunk]:
        """:meth:`stream_chat` in threads; calls queue."""
        chunks = self.stream_chat(messages, **options)
        end = object()
        try:
            while (chunk := await in_thread(next, chunks, end)) is not end:
                yield chunk
        finally:
            await in_thread(_close, chunks)

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
            BackendError: fewer than 2 tokens.
        """
        self._check_open()
        ids = self._encode(text_or_ids, True) if isinstance(text_or_ids, str) else list(text_or_ids)
        if len(ids) < 2:
            raise BackendError(f"score needs at least 2 tokens, not {len(ids)}")
        self._check_fit(len(ids), 0)
        with self._queue.turn():
            session = self._new_session(n_outputs=min(batch, 512))
            self._pool.add(session)
            return session.nll(ids, on_progress=on_progress)

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
            BackendError: ``recompute`` is negative.
        """
        if recompute < 0:
            raise BackendError(f"recompute is {recompute}; use 0 or more tokens")
        with self._queue.turn():
            ids = self._render(messages, None).ids
            check_fit(len(ids), 0, self.plan.n_ctx)
            return self._composer.compose(
                ids,
                [self.tokenize(text) for text in passages],
                lambda: self._pool.pick(ids),
                recompute=recompute,
                on_progress=on_progress,
            )

    # The KV cache, by hand

    def session(self) -> Session:
        """Open a KV cache of your own. Close it with ``.close()``, or with the model."""
        self._check_open()
        with self._queue.turn():
            session = self._new_session(n_outputs=self._hand_outputs)
            session.queue = self._queue
            self._pool.make_room(session.n_ctx)
            self._pool.lend(session)
            return session

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
        self, path: str | Path, messages: Messages, tools: Sequence[ToolSchema] | None = None
    ) -> int:
        """Write the cached session that has most of a conversation.

        Args:
            path: the file, written whole or not at all.
            messages: the conversation so far, the model's last answer included.
            tools: as in :meth:`chat`.

        Returns:
            How many of the conversation's tokens it holds; at 0 no file is written.

        Raises:
            BackendError: the file cannot be written.
        """
        with self._queue.turn():
            ids = self._render(messages, tools).ids
            session = self._pool.holding(ids)
            if session is None:
                return 0
            session.save(path)
            return session.shared(ids)

    def load_chat(self, path: str | Path) -> int:
        """Take a session that :meth:`save_chat` wrote; chats that begin with its text reuse it.

        Returns:
            Its tokens.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, or
                is damaged.
            ContextOverflowError: it does not fit ``target_ctx``.
        """
        with self._queue.turn():
            self._check_open()
            session = self._new_session()
            try:
                session.load(path)
            except BaseException:
                session.close()
                raise
            self._pool.add(session)
            text = session.text_ids
            self._template.recall(text)
            return len(text)

    # Inside

    def _new_session(self, n_outputs: int = 1, cells: Cells | None = None) -> Session:
        return Session(
            self._backend,
            self._turner,
            self._encode,
            owner=self._pool,
            n_outputs=n_outputs,
            cells=cells,
        )

    @property
    def _hand_outputs(self) -> int:
        fewest, most = HAND_OUTPUTS
        return max(fewest, min(most, HAND_LOGITS_BYTES // (4 * self._backend.model.n_vocab)))

    def _open_beside(self) -> Session:
        session = self._new_session()
        self._pool.make_room(session.n_ctx)
        return session

    def _session_bytes(self, n_ctx: int) -> int:
        memory = estimate_memory(self.info, n_ctx, kv_type=self.plan.kv_type_k)
        return memory.kv_bytes + memory.compute_bytes

    @property
    def _slides(self) -> bool:
        return self.plan.overflow == "slide"

    def _check_fit(self, n_prompt: int, max_tokens: int) -> None:
        if not self._slides:
            check_fit(n_prompt, max_tokens, self.plan.n_ctx)

    def _pinned(
        self, messages: Messages, tools: Sequence[ToolSchema] | None, prompt: RenderedPrompt
    ) -> int:
        """Tokens of system messages and tools, up to where the first user's text begins."""
        system = list(takewhile(lambda m: m.role == "system", as_messages(messages)))
        first = self._template.render([*system, Message(role="user", content="")], tools)
        pairs = zip(first.ids, prompt.ids, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def _encode(self, text: str, at_start: bool) -> list[int]:
        return self._tokenizer.encode(text, add_special=at_start)

    def _render(self, messages: Messages, tools: Sequence[ToolSchema] | None) -> RenderedPrompt:
        self._check_open()
        return self._template.render(as_messages(messages), tools)

    def _settings(
        self,
        max_tokens: int | None,
        temperature: float,
        top_p: float,
        stop: str | Sequence[str] | None,
        seed: int | None,
        grammar: str | None,
        top_logprobs: int | None,
    ) -> GenerationSettings:
        if grammar is not None:
            check_grammar(self._backend.model, grammar)
        return GenerationSettings(
            max_tokens=self.plan.reserve_output if max_tokens is None else max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=self._seed if seed is None else seed,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            grammar=grammar,
            top_logprobs=top_logprobs,
        )

    def _answer(
        self,
        prompt: RenderedPrompt,
        settings: GenerationSettings,
        tool_names: Sequence[str],
        on_progress: ProgressCallback | None,
        pinned: int = 0,
    ) -> Generator[Chunk, None, None]:
        with self._queue.turn():
            self._check_open()
            session = self._pool.pick(prompt.ids)
            writing = Writing(
                session,
                self._backend.model,
                prompt.ids,
                settings,
                pinned=pinned,
                on_progress=on_progress,
            )
            pieces = generate(writing)
            # A tool call is no prose: with tools the text is shown when it is known which it is.
            outcome = outcome_of(pieces) if tool_names else (yield from pieces)
            self._keep(prompt, outcome, session)
        calls = (parse_tool_calls(outcome.text, tool_names) or ()) if tool_names else ()
        text = "" if calls else outcome.text
        result = completion_of(outcome, text, tuple(calls))
        if tool_names:
            yield Chunk(text=text, logprobs=result.logprobs, result=result)
        else:
            yield Chunk(result=result)

    def _keep(self, prompt: RenderedPrompt, outcome: Outcome, session: Session) -> None:
        """Remember an answer for the prompts that continue it."""
        # A stop string cuts text that the ids still hold: such ids do not stand for it.
        if self.detokenize(outcome.ids) == outcome.text:
            self._template.remember(prompt, outcome.text, outcome.ids)
        self._pool.keep(session)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("this LongContextLLM is closed; construct a new one")


def _close(chunks: Iterator[Chunk]) -> None:
    if isinstance(chunks, Generator):
        chunks.close()


def _demo_copy(cache_dir: str | Path | None) -> Path:
    return fast_copy(demo_model(), cache_dir=cache_dir, announce=logger.warning)


def _log_to_stderr() -> None:
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
