"""``RemoteLLM``: a chat model on a server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from inspect import signature
from typing import Any

from typing_extensions import Unpack

from longctx import arguments
from longctx.channel import Cancelled, Channel
from longctx.closing import Closing
from longctx.errors import (
    BackendError,
    ContextOverflowError,
    PlanError,
    RemoteError,
    RequestError,
)
from longctx.options import CHAT_OPTIONS, ChatOptions, check_names
from longctx.progress import Meter
from longctx.remote.connection import Connection, ServerEvents
from longctx.remote.dialects import Counting, Dialect, dialect_of
from longctx.remote.discovery import choose_window, find_model, is_count
from longctx.remote.failures import refusal
from longctx.remote.wire import (
    StreamedAnswer,
    progress_in,
    wire_messages,
    wire_schema,
    wire_tools,
)
from longctx.stream import AsyncStream, Event, Stream
from longctx.types import (
    Chunk,
    Completion,
    Messages,
    ProgressCallback,
    ToolSchema,
    Usage,
)

logger = logging.getLogger("longctx.remote")

_CHAT = "/v1/chat/completions"
_AT_ONCE = 8
_REMEMBERED = 8192  # texts whose counts are kept: documents ask for the same ones again


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
        reserve_output: tokens kept free for an answer when a call gives no ``max_tokens``.
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
        # Ours may slide, and says so; agents then leave it to the window.
        own = entry.get("longctx")
        self.overflow = str(own.get("overflow", "error")) if isinstance(own, dict) else "error"
        self._count_text = lru_cache(_REMEMBERED)(self._dialect.count_text)
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
        self._check_open()
        if isinstance(text, str):
            return self._count_text(text)
        return self._dialect.count_chat(wire_messages(text), wire_tools(tools))

    # Generating

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation; options and errors as :meth:`longctx.LongContextLLM.chat`.

        The server holds calls to their tools and answers to their schema as far as it can.

        A last message of the assistant's is the server's to read: ``longctx serve`` and
        llama-server continue it, others open a new turn.

        Raises:
            ContextOverflowError: prompt and answer do not fit the window.
            ToolError: the model called a tool with what is no JSON.
            RequestError: an option is unknown or out of its range.
            RemoteError: the server is away, busy, or refuses.
        """
        with self.stream_chat(messages, **options) as stream:
            return stream.result

    def chat_batch(
        self,
        conversations: Sequence[Messages],
        *,
        on_progress: ProgressCallback | None = None,
        **options: Any,
    ) -> list[Completion]:
        """Answer several conversations, eight requests at a time; the answers in their order.

        Servers such as vLLM or llama-server with ``--parallel`` write them side by side. Options
        and errors as :meth:`chat`; the first error ends it.

        Args:
            conversations: as in :meth:`chat`.
            on_progress: called after each answer, with the tokens of all prompts.
            options: other arguments of :meth:`chat`, the same for all.
        """
        total = sum(map(self.count, conversations)) if on_progress else 0
        meter = Meter(on_progress, total)
        results: list[Completion] = []
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            asked = [threads.submit(self.chat, each, **options) for each in conversations]
            try:
                for answer in asked:
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
        body = self._body(messages, options)
        self._check_fit(body)
        events = self._connection.events(_CHAT, body)
        channel = _Listening(events.abort)
        # A thread of its own, so that giving up never waits for a server that says nothing.
        threading.Thread(
            target=self._listen, args=(events, body, channel), name="longctx-remote", daemon=True
        ).start()
        return Stream(channel, options.get("on_progress"))

    async def achat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """:meth:`chat`, in an event loop; cancelling it hangs up."""
        return await self.astream_chat(messages, **options).result()

    def astream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> AsyncStream:
        """:meth:`stream_chat`, in an event loop."""
        unread = ChatOptions({**options, "on_progress": None})
        return AsyncStream(lambda: self.stream_chat(messages, **unread), options.get("on_progress"))

    # Inside

    def _body(self, messages: Messages, options: ChatOptions) -> dict[str, Any]:
        """The request that options come to."""
        max_tokens, temperature = options.get("max_tokens"), options.get("temperature")
        wanted = self.reserve_output if max_tokens is None else max_tokens
        top_p, stop, seed = options.get("top_p"), options.get("stop"), options.get("seed")
        schemas = wire_tools(options.get("tools"))
        names = [schema["function"]["name"] for schema in schemas or ()]
        choice = options.get("tool_choice") or "auto"
        arguments.tool_choice(choice, names)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": wire_messages(messages),
            "max_tokens": arguments.max_tokens(wanted),
            "temperature": arguments.temperature(temperature),
            "top_p": arguments.top_p(top_p),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._dialect.extra_fields,
        }
        if stops := arguments.stop_strings(stop):
            body["stop"] = list(stops)
        if (chosen := self._seed if seed is None else arguments.seed(seed)) is not None:
            body["seed"] = chosen
        if schemas:
            body |= {"tools": schemas, "tool_choice": choice}
        if (schema := options.get("response_schema")) is not None:
            body["response_format"] = wire_schema(schema)
        if options.get("top_logprobs") is not None:
            raise RequestError("top_logprobs is not asked of servers yet; leave it out")
        return body

    def _listen(self, events: ServerEvents, body: dict[str, Any], channel: Channel[Event]) -> None:
        """Tell a reader what the server tells, to the end or until it gives up."""
        try:
            channel.finish(self._heard(events, body, channel))
        except Cancelled:
            pass
        except BaseException as error:  # it is the reader's, whatever it is
            channel.fail(error)

    def _heard(self, events: ServerEvents, body: dict[str, Any], channel: Channel[Event]) -> Chunk:
        answer, started = StreamedAnswer(), time.monotonic()
        for event in events:
            progress = progress_in(event, time.monotonic() - started)
            if progress is not None:
                channel.send(progress)
            if isinstance(event, str):
                continue
            if isinstance(event.get("error"), dict):
                raise self._failed(event["error"], body["max_tokens"])
            if text := self._taken(answer, event):
                channel.send(Chunk(text=text))
        channel.check()
        if not answer.is_whole:
            if not answer.has_begun:
                self._ask_why(body)
            raise RemoteError(f"{self._connection.root} ended its answer in the middle; ask again")
        usage = answer.usage or self._counted(body, answer.text)
        return Chunk(result=answer.completion(usage, self.target_ctx))

    def _check_fit(self, body: dict[str, Any]) -> None:
        """Refuse what the server would cut."""
        if self._dialect.refuses_all:
            return
        n_prompt = self._dialect.count_chat(body["messages"], body.get("tools"))
        needed = n_prompt + body["max_tokens"]
        if needed > self.target_ctx:
            raise ContextOverflowError(
                f"the prompt is {n_prompt} tokens and its answer may take {body['max_tokens']}, "
                f"{needed} in all, but the window is {self.target_ctx}. Shorten the prompt, lower "
                "max_tokens, or serve a larger window. Nothing was cut.",
                needed=needed,
                available=self.target_ctx,
                n_ctx=self.target_ctx,
            )

    def _taken(self, answer: StreamedAnswer, chunk: dict[str, Any]) -> str:
        try:
            return answer.take(chunk)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise RemoteError(
                f"{self._connection.root} sent a chunk that is none of OpenAI's "
                f"({str(chunk)[:120]}); is it an OpenAI-compatible server?"
            ) from error

    def _ask_why(self, body: dict[str, Any]) -> None:
        """Some servers refuse a stream by an empty one, and say why only where none is asked."""
        plain = {name: value for name, value in body.items() if name != "stream_options"}
        self._connection.post(_CHAT, {**plain, "stream": False})

    def _counted(self, body: dict[str, Any], text: str) -> Usage:
        """Usage of a server that does not tell it."""
        n_prompt = self._dialect.count_chat(body["messages"], body.get("tools"))
        return Usage(
            prompt_tokens=n_prompt,
            prefilled_tokens=n_prompt,
            completion_tokens=self._dialect.count_text(text),
        )

    def _failed(self, error: Mapping[str, Any], max_tokens: int) -> Exception:
        message = error.get("message", error)
        return refusal(error, max_tokens) or RemoteError(
            f"{self._connection.root} failed in the middle of an answer: {message}. Its log says "
            "why; ask again"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("this RemoteLLM is closed; connect again")


class _Listening(Channel[Event]):
    """Events of a server's answer; giving up hangs up."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        super().__init__()
        self._hang_up = hang_up

    def cancel(self) -> None:
        """Give up; whoever listens is woken."""
        super().cancel()
        self._hang_up()


def connect(base_url: str, model: str | None = None, **options: Any) -> RemoteLLM:
    """Open a model on a server: :class:`RemoteLLM` with these arguments.

    Examples:
        >>> llm = connect("http://localhost:8000/v1")     # doctest: +SKIP
        >>> llm.chat([{"role": "user", "content": "Hello!"}]).text      # doctest: +SKIP
    """
    return RemoteLLM(base_url, model, **options)
