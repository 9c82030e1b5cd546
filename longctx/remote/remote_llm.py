"""``RemoteLLM``: a chat model on a server."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from typing import Any

from typing_extensions import Unpack

from longctx import arguments
from longctx.closing import Closing
from longctx.errors import BackendError, PlanError, RequestError
from longctx.options import (
    ANSWER_OPTIONS,
    CHAT_OPTIONS,
    AnswerOptions,
    ChatOptions,
    check_names,
)
from longctx.progress import Meter
from longctx.prompt import Prompt, tools_of
from longctx.recent import Recent
from longctx.remote.asking import Asking
from longctx.remote.connection import Connection
from longctx.remote.dialects import Counting, Dialect, dialect_of
from longctx.remote.discovery import choose_window, find_model, is_count
from longctx.remote.prompt import RemotePrompt
from longctx.remote.request import CHAT, TEXT, chat_request, text_request
from longctx.remote.room import Room
from longctx.remote.wire import wire_messages, wire_tools
from longctx.stream import AsyncStream, Stream
from longctx.types import (
    Completion,
    Messages,
    ToolSchema,
    as_messages,
)

logger = logging.getLogger("longctx.remote")

_AT_ONCE = 8
_REMEMBERED = 64_000_000  # characters of texts whose counts are kept: documents ask again


class RemoteLLM(Closing):
    """A model on a server that speaks OpenAI's API, as documents and agents need it.

    Calls of several threads run side by side; the server queues them.

    Args:
        base_url: of ``longctx serve``, llama-server, vLLM or another, such as
            ``http://host:8000/v1``.
        model: its name there; None is the only one.
        api_key: what the server asks for; None sends none, whatever the environment holds.
        target_ctx: tokens of the window to use; None is the server's. Needed where it does not
            tell.
        reserve_output: tokens that must be free when an answer begins that names no
            ``max_tokens``, where this side counts; it then goes to its end, or the window's.
        seed: of sampling at a temperature above 0; None leaves it to the server.
        counting: whose tokenizer routes the server has: ``longctx``, ``vllm``, ``llama-server``
            (all exact), or ``estimate``, which counts high. None goes by what the server says it
            is; behind a proxy that hides it, name it.
        timeout_s: how long the server may be silent, in seconds; while it reads a long prompt,
            most are.
        retries: how often a call is sent again while the server is busy (429, 503), after the
            time it asks for.

    Raises:
        RemoteError: the server cannot be reached, or has no such model.
        PlanError: ``target_ctx`` is more than the server has.
        RequestError: an argument is wrong.
        MissingExtraError: the extra ``remote`` is not installed.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        target_ctx: int | None = None,
        reserve_output: int = 1024,
        seed: int | None = None,
        counting: Counting | None = None,
        timeout_s: float = 600.0,
        retries: int = 2,
    ) -> None:
        self._connection = Connection(
            base_url, api_key=api_key, timeout_s=timeout_s, retries=retries
        )
        self._closed = False
        self._seed = arguments.seed(seed)
        try:
            entry = find_model(self._connection, model)
            self.model = str(entry["id"])
            self._dialect: Dialect = dialect_of(self._connection, entry, counting)
            told = self._dialect.window(entry)
            self.target_ctx = choose_window(told, target_ctx, self._connection.root)
        except BaseException:
            self.close()
            raise
        if not is_count(reserve_output) or reserve_output >= self.target_ctx:
            self.close()
            raise PlanError(
                f"reserve_output is {reserve_output!r}; use a whole number of tokens below the "
                f"window of {self.target_ctx:,}"
            )
        self.reserve_output = reserve_output
        # What is less than the server's window is this side's to hold to, where it can count.
        is_part = told is not None and self.target_ctx < told and self._dialect.exact
        self._room = Room(self.target_ctx, reserve_output, is_part)
        self._asking = Asking(self._connection, self._dialect, self.target_ctx)
        self._counts_first = is_part or not self._dialect.refuses_all
        # Ours may slide, and says so; agents then leave it to the window.
        own = entry.get("longctx")
        self.overflow = str(own.get("overflow", "error")) if isinstance(own, dict) else "error"
        self._counts: Recent[str, int] = Recent(_REMEMBERED, lambda text, _: len(text) + 1)
        if not self._dialect.exact:
            logger.warning(
                "%s has no tokenizer route that is known: counts are estimates, and high ones",
                self._connection.root,
            )

    @classmethod
    def from_options(
        cls, model: object, target_ctx: int | None, options: Mapping[str, Any]
    ) -> RemoteLLM:
        """Open it by the arguments of :class:`longctx.LongContextLLM`.

        Raises:
            RequestError: one is missing, or is for the server to decide.
        """
        known = set(signature(cls).parameters)
        theirs = sorted(set(options) - known)
        if theirs:
            raise RequestError(
                f"{', '.join(theirs)}: with backend='openai' that is decided where the model is "
                f"served; the arguments are {', '.join(sorted(known))}"
            )
        if "base_url" not in options:
            raise RequestError(
                "backend='openai' needs base_url=, such as 'http://localhost:8000/v1'"
            )
        name = None if model is None else str(model)
        return cls(model=name, target_ctx=target_ctx, **options)

    @property
    def counts_exactly(self) -> bool:
        """Whether :meth:`count` asks the server's own tokenizer; otherwise it estimates, high."""
        return self._dialect.exact

    @property
    def passes_over_switches(self) -> bool:
        """Whether the server lets a switch pass that its chat template lacks; ours refuses it."""
        return self._dialect.names.thinking != "own"

    # Life

    def close(self) -> None:
        """End the connections. Idempotent."""
        self._closed = True
        self._connection.close()

    def __repr__(self) -> str:
        counts = "exact" if self.counts_exactly else "estimated"
        state = "closed" if self._closed else f"counts {counts}"
        return (
            f"RemoteLLM({self.model!r} at {self._connection.root}, "
            f"target_ctx={self.target_ctx}, {state})"
        )

    # Tokens

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Count tokens: exactly, by the server, or an upper estimate (:attr:`counts_exactly`).

        Args:
            text: plain text, or a conversation as :meth:`chat` would have it prefilled.
            tools: OpenAI-style schemas, with a conversation.

        Raises:
            TemplateError: the messages are no conversation.
            RemoteError: the server cannot be reached.
        """
        if not isinstance(text, str):
            return self.prompt(text, tools).n_tokens
        self._check_open()
        count = self._counts.get(text)
        if count is None:
            count = self._dialect.count_text(text)
            self._counts.put(text, count)
        return count

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text, by the server.

        Raises:
            RequestError: it has no tokenizer route that is known.
            RemoteError: it cannot be reached.
        """
        self._check_open()
        return self._dialect.text_ids(arguments.plain_text("the text", text))

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, by the server; errors as :meth:`tokenize`."""
        self._check_open()
        return self._dialect.text_of(ids)

    def prompt(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> RemotePrompt:
        """Count a conversation once: whatever takes messages takes the result, and asks the
        server for no count again.

        Args:
            messages: the conversation. A prompt of this model is returned as it is.
            tools: OpenAI-style schemas; None leaves a prompt its own.
            thinking: as in :meth:`chat`.
            template_options: as in :meth:`chat`.

        Returns:
            ``.n_tokens``, ``.messages`` and ``.tools``; the server is asked for ``.ids`` and
            ``.text`` when they are.

        Raises:
            TemplateError: the messages are no conversation.
            RequestError: a prompt that was counted with other tools.
            RemoteError: the server cannot be reached.
        """
        self._check_open()
        schemas = tools_of(messages, tools)
        switches = self._dialect.names.template_fields(thinking, template_options)
        if (
            isinstance(messages, RemotePrompt)
            and messages.dialect is self._dialect
            and switches.items() <= messages.body.items()
        ):
            return messages
        conversation = tuple(as_messages(messages))
        body = {"messages": wire_messages(conversation, self._dialect.names.reasoning), **switches}
        if (on_wire := wire_tools(schemas)) is not None:
            body["tools"] = on_wire
        n_tokens = self._dialect.count_chat(body)
        return RemotePrompt(
            conversation, schemas, n_tokens, self._dialect, body=body, dialect=self._dialect
        )

    # Generating

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation; options and errors as :meth:`longctx.LongContextLLM.chat`.

        The server holds calls to their tools and answers to their schema as far as it can. A call
        that had to be made (``tool_choice``) and was not is an error, after its words were
        streamed.

        A last message of the assistant's is the server's to read: ``longctx serve`` and
        llama-server continue it, others open a new message.

        Raises:
            ContextOverflowError: prompt and answer do not fit the window.
            ToolError: the model called a tool with what is no JSON, or none where it had to.
            RequestError: an option is unknown or out of its range.
            RemoteError: the server is away, busy, or refuses.
        """
        with self.stream_chat(messages, **options) as stream:
            return stream.result

    def chat_batch(
        self, conversations: Sequence[Messages], **options: Unpack[ChatOptions]
    ) -> list[Completion]:
        """Answer several conversations, eight requests at a time; the answers in their order.

        Servers such as vLLM or llama-server with ``--parallel`` write them side by side. Options
        and errors as :meth:`chat`; the first error ends it. Progress is told after each answer,
        in tokens of all prompts.
        """
        check_names(options, CHAT_OPTIONS, "of chat_batch()")
        on_progress = options.get("on_progress")
        tools = options.get("tools")
        asked = (
            [self.prompt(each, tools) for each in conversations] if on_progress else conversations
        )
        total = sum(each.n_tokens for each in asked if isinstance(each, Prompt))
        meter = Meter(on_progress, total)
        unread = ChatOptions({**options, "on_progress": None})
        results: list[Completion] = []
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            answers = [threads.submit(self.chat, each, **unread) for each in asked]
            try:
                for answer in answers:
                    results.append(answer.result())
                    meter.prompt(results[-1].usage.prompt_tokens)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        meter.finish()
        return results

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Answer a conversation piece by piece; arguments and errors as :meth:`chat`.

        The request is sent at once, and refused at once. The last chunk carries ``result``.
        Closing the stream, or dropping it, hangs up.
        """
        self._check_open()
        check_names(options, CHAT_OPTIONS, "of chat()")
        body = chat_request(self.model, messages, options, self._defaults, self._dialect.names)

        def count() -> RemotePrompt:
            return self.prompt(
                messages,
                options.get("tools"),
                thinking=options.get("thinking"),
                template_options=options.get("template_options"),
            )

        on_progress = options.get("on_progress")
        if self._counts_first:
            asked = count()
            self._room.bound(body, asked.n_tokens)
            return self._asking.ask(CHAT, body, lambda: asked.n_tokens, on_progress)
        self._room.bound(body, None)
        return self._asking.ask(CHAT, body, lambda: count().n_tokens, on_progress)

    def generate(self, prompt: str | Sequence[int], **options: Unpack[AnswerOptions]) -> Completion:
        """Continue plain text, or token ids of the server's model, without a chat template;
        options and errors as :meth:`chat`."""
        with self.stream(prompt, **options) as stream:
            return stream.result

    def stream(self, prompt: str | Sequence[int], **options: Unpack[AnswerOptions]) -> Stream:
        """:meth:`generate`, piece by piece; the last chunk carries ``result``."""
        self._check_open()
        check_names(options, ANSWER_OPTIONS, "of generate()")
        if not arguments.are_numbers(prompt):
            prompt = arguments.plain_text("prompt", prompt)
        body = text_request(self.model, prompt, options, self._defaults, self._dialect.names)

        def count() -> int:
            return self.count(prompt) if isinstance(prompt, str) else len(prompt)

        self._room.bound(body, count() if self._counts_first else None)
        return self._asking.ask(TEXT, body, count, options.get("on_progress"))

    async def achat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """:meth:`chat`, in an event loop; cancelling it hangs up."""
        return await self.astream_chat(messages, **options).result()

    def astream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> AsyncStream:
        """:meth:`stream_chat`, in an event loop."""
        unread = ChatOptions({**options, "on_progress": None})
        return AsyncStream(lambda: self.stream_chat(messages, **unread), options.get("on_progress"))

    # Inside

    @property
    def _defaults(self) -> dict[str, Any]:
        """Fields of a request where a call says nothing."""
        return {
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": self._seed,
            **self._dialect.extra_fields,
        }

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("this RemoteLLM is closed; connect again")


def connect(base_url: str, model: str | None = None, **options: Any) -> RemoteLLM:
    """Open a model on a server: :class:`RemoteLLM` with these arguments.

    Examples:
        >>> llm = connect("http://localhost:8000/v1")     # doctest: +SKIP
        >>> llm.chat([{"role": "user", "content": "Hello!"}]).text      # doctest: +SKIP
    """
    return RemoteLLM(base_url, model, **options)
