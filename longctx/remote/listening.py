"""An answer as its server tells it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from longctx.channel import Channel
from longctx.errors import RemoteError
from longctx.remote.connection import Connection, ServerEvents
from longctx.remote.failures import refusal
from longctx.remote.wire import StreamedAnswer, progress_in
from longctx.stream import Event
from longctx.types import Chunk


class Listening(Channel[Event]):
    """Events of a server's answer; giving up hangs up."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        super().__init__()
        self._hang_up = hang_up

    def cancel(self) -> None:
        """Give up; whoever listens is woken."""
        super().cancel()
        self._hang_up()


def hear(
    connection: Connection,
    events: ServerEvents,
    path: str,
    body: dict[str, Any],
    channel: Channel[Event],
) -> StreamedAnswer:
    """Tell a reader what the server tells, and return the whole.

    Args:
        connection: to the server.
        events: of the answer.
        path: that was asked.
        body: of the request.
        channel: the reader's.

    Raises:
        RemoteError: the server failed, or ended in the middle.
        ContextOverflowError: it says that the prompt does not fit.
        Cancelled: the reader gave up.
    """
    answer, started = StreamedAnswer(), time.monotonic()
    for event in events:
        progress = progress_in(event, time.monotonic() - started)
        if progress is not None:
            channel.send(progress)
        if isinstance(event, str):
            continue
        if isinstance(event.get("error"), dict):
            raise _failed(connection, event["error"], body.get("max_tokens") or 0)
        if chunk := _taken(connection, answer, event):
            channel.send(chunk)
    channel.check()
    if not answer.is_whole:
        if not answer.has_begun:
            _ask_why(connection, path, body)
        raise RemoteError(f"{connection.root} ended its answer in the middle; ask again")
    return answer


def _taken(connection: Connection, answer: StreamedAnswer, chunk: dict[str, Any]) -> Chunk | None:
    try:
        return answer.take(chunk)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RemoteError(
            f"{connection.root} sent a chunk that is none of OpenAI's "
            f"({str(chunk)[:120]}); is it an OpenAI-compatible server?"
        ) from error


def _ask_why(connection: Connection, path: str, body: dict[str, Any]) -> None:
    """Some servers refuse a stream by an empty one, and say why only where none is asked."""
    plain = {name: value for name, value in body.items() if name != "stream_options"}
    connection.post(path, {**plain, "stream": False})


def _failed(connection: Connection, error: Mapping[str, Any], max_tokens: int) -> Exception:
    message = error.get("message", error)
    return refusal(error, max_tokens) or RemoteError(
        f"{connection.root} failed in the middle of an answer: {message}. Its log says "
        "why; ask again"
    )
