"""``LongContextLLM``: messages in, text out, over the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

import longctx
from longctx import arguments
from longctx.chat import EncodedPrompt
from longctx.closing import Closing
from longctx.engine import Session
from longctx.errors import RequestError
from longctx.local import AnswerGenerator, Opened, Sessions, load_model, log_to_stderr
from longctx.options import AnswerOptions, ChatOptions
from longctx.planner import ContextPlan, PlanOptions
from longctx.stream import AsyncStream, Stream
from longctx.types import Completion, Composed, Messages, ProgressCallback, ToolSchema


class LongContextLLM(Opened, Closing):
    """A local model with the window you ask for.

    It may be called from many threads and tasks: answers are written side by side, each a token
    of every batch. Whatever becomes of a caller (a timeout, a cancelled task, Ctrl-C, a loop that
    is left), its answer ends at the next batch and the others go on.

    Args:
        model: path of a GGUF file; ``hf:owner/repo`` of Hugging Face (extra ``hub``), perhaps with
            a quantisation or a file behind a colon; ``ollama:name`` of Ollama's models on this
            machine (:func:`longctx.find_model`). None is the packaged demo model (extra ``demo``).
        target_ctx: the window wanted, in tokens.
        plan: how to open it, as :func:`longctx.plan_context` returned it, in place of
            ``target_ctx`` and the planning arguments, which are shorthand for it.
        n_threads: None measures what the machine bears.
        seed: of sampling at a temperature above 0; None draws a new one each call.
        cache_dir: folder where long conversations are kept between runs, as token ids, keys and
            values (up to 4 GiB, the least recently used go first), so that yesterday's document
            is not prefilled again. None keeps none, and the demo model's fast copy in the
            user's cache folder.
        chat_template: Jinja text, the path of a file that holds it, or a name (``chatml``,
            ``gemma``, ``llama2``, ``llama3``, ``mistral``, ``phi3``, ``vicuna``, ``zephyr``),
            instead of the model file's own. What a template loses is in ``plan.warnings``.
        backend: ``"llama.cpp"`` runs the model here. ``"openai"`` is the older spelling of
            :func:`longctx.connect`: it returns a :class:`longctx.remote.RemoteLLM`, with
            ``base_url``, ``api_key`` and the other arguments of that class.
        verbose: log what llama.cpp says (logger ``longctx.llama_cpp``) to stderr.
        planning: how the window is planned, and what goes to the GPU (``devices``, or
            ``n_gpu_layers`` for short), see :class:`longctx.planner.PlanOptions`.

    Raises:
        ModelFileError: the file is missing or damaged, or nothing has that name.
        UnsupportedModelError: the model cannot be scaled and the target needs it, or an adapter is
            of another model.
        PlanError: no window satisfies the request.
        RequestError: another argument is wrong, unknown, or contradicts another.
        MissingExtraError: ``model=None`` and the demo model is not installed, or the extra ``hub``.
        RemoteError: Hugging Face's hub cannot be reached, or refuses.
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
            log_to_stderr()
        seed = arguments.seed(seed)
        opened = load_model(
            model, target_ctx, plan, planning, chat_template=chat_template,
            n_threads=n_threads, cache_dir=cache_dir,
        )  # fmt: skip
        super().__init__(opened)
        self._answers = AnswerGenerator(opened, seed)
        self._sessions = Sessions(opened)

    # Life

    def warm_up(self) -> None:
        """Open the cache that answers begin in and read all weights once, before an answer does.

        Returns at once; an answer that is asked for meanwhile begins when it is done. What goes
        wrong is logged, and raised by the first answer.

        Raises:
            BackendError: the model was closed.
        """
        self._model.thread.post(self._model.engine.warm_up)

    def close(self) -> None:
        """Free the model and every cache, long ones saved first (``cache_dir``). Idempotent.

        Answers under way end with a :class:`~longctx.BackendError`.
        """
        self._model.thread.close(self._model.engine.close)

    # Tokens

    def prompt(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        template_options: Mapping[str, Any] | None = None,
        compress: Sequence[tuple[str, float]] = (),
    ) -> EncodedPrompt:
        """Render and count a conversation once; whatever takes messages takes the result.

        Args:
            messages: OpenAI-style dicts or :class:`longctx.Message`, oldest first. A prompt of
                this model is returned as it is, one of another model is counted again.
            tools: OpenAI-style schemas that the model may call; None leaves a prompt its own.
            thinking: as in :meth:`chat`.
            template_options: as in :meth:`chat`.
            compress: texts inside the messages, in their order, each with the share of its cells
                to keep: :meth:`compose` lets them stand compressed, and :meth:`chat` of this
                prompt, and no other, is answered from that. ``.compressed`` has those that can;
                left out is what is short, longer than the trained window, or not found.

        Returns:
            ``.ids``, exactly what :meth:`chat` would have in its cache before it answers,
            ``.n_tokens``, ``.messages`` and ``.tools``.

        Raises:
            TemplateError: the messages are no conversation.
            ToolError: a tool's definition is wrong.
            RequestError: a prompt that was counted with other tools, or a share that is none.
            UnsupportedModelError: something shall be compressed, and this model's text cannot.
        """
        prompt = self._prompts.conversation(
            messages, tools, thinking=thinking, template_options=template_options
        )
        return self._sessions.compressible(prompt, compress) if compress else prompt

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Count tokens exactly.

        Args:
            text: plain text by itself, without the token that begins a text (BOS), which
                :meth:`prompt_ids` has. Or a conversation, as :meth:`chat` would prefill it, with
                template, tools and generation prompt.
            tools: OpenAI-style schemas, with a conversation.

        Raises:
            TemplateError: the messages are no conversation.
        """
        return self._prompts.count(text, tools)

    def prompt_ids(
        self, prompt: str | Messages, tools: Sequence[ToolSchema] | None = None
    ) -> list[int]:
        """The token ids that stand in the cache before an answer: what is prefilled.

        Arguments and errors as :meth:`count`; a plain text begins with BOS, as :meth:`generate`
        prefills it, where the model has one.
        """
        return self._prompts.ids(prompt, tools)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text; text such as ``<|im_end|>`` stays text."""
        return self._prompts.tokenize(text)

    def detokenize(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            RequestError: they are no token ids of this model.
        """
        return self._prompts.detokenize(ids)

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
        return self._answers.chat(messages, options)

    def chat_batch(
        self, conversations: Sequence[Messages], **options: Unpack[ChatOptions]
    ) -> list[Completion]:
        """Answer several conversations side by side; return the answers in their order.

        What they begin with is prefilled once. A batch rounds otherwise than a token alone, so
        where two tokens are nearly as likely an answer may differ from :meth:`chat`'s. Arguments
        and errors as there; all are checked before the first is prefilled.
        """
        return self._answers.batch(conversations, options)

    def generate(
        self, prompt: str | Sequence[int] | NDArray[np.int32], **options: Unpack[AnswerOptions]
    ) -> Completion:
        """Continue plain text, or token ids as they are, without a chat template; arguments and
        errors as :meth:`chat`."""
        with self.stream(prompt, **options) as stream:
            return stream.result

    def stream(
        self, prompt: str | Sequence[int] | NDArray[np.int32], **options: Unpack[AnswerOptions]
    ) -> Stream:
        """:meth:`generate`, piece by piece; the last chunk carries ``result``."""
        return self._answers.text(prompt, options)

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
        return self._sessions.score(text_or_ids, batch=batch, on_progress=on_progress)

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
            messages: as in :meth:`chat`. The passages that a :meth:`prompt` was told to compress
                are placed as well; with ``cache_dir`` these are kept there.
            passages: texts inside them, in their order; one that is short, longer than the
                trained window, or not found token by token is left to be prefilled.
            recompute: tokens at the front of each passage to prefill in place.
            on_progress: called after each prefilled batch.

        Raises:
            ContextOverflowError: the prompt does not fit ``target_ctx``.
            RequestError: ``recompute`` is no whole number from 0, or a passage no text.
        """
        return self._sessions.compose(
            messages, passages, recompute=recompute, on_progress=on_progress
        )

    # The KV cache, by hand

    def session(self, *, n_outputs: int | None = None) -> Session:
        """Open a KV cache of your own. Close it with ``.close()``, ``with``, or with the model.

        Args:
            n_outputs: tokens of a batch whose logits can be read at once
                (``n_outputs * n_vocab`` floats); None is 16 to 128, for 16 MiB of them.
        """
        return self._sessions.open(n_outputs)

    def load_session(self, path: str | Path) -> Session:
        """Open a session that ``session.save(path)`` wrote, at whatever scale it was saved.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, or
                is damaged.
            ContextOverflowError: it does not fit ``target_ctx``.
        """
        return self._sessions.load(path)

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
            RequestError: there is a folder, a pipe, a device or a read-only file.
            BackendError: the file cannot be written.
        """
        return self._sessions.save_chat(path, messages, tools)

    def load_chat(self, path: str | Path) -> int:
        """Take a session that :meth:`save_chat` wrote; chats that begin with its text reuse it.

        Returns:
            Its tokens.

        Raises:
            SnapshotMismatchError, ContextOverflowError: as :meth:`load_session`.
        """
        return self._sessions.load_chat(path)
