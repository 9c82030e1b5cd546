"""A request on its way: sent at once, its answer heard in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from longctx.channel import Cancelled, Channel
from longctx.remote.choice import check_choice
from longctx.remote.connection import Connection, ServerEvents
from longctx.remote.dialects import Dialect
from longctx.remote.listening import Listening, hear
from longctx.remote.wire import StreamedAnswer
from longctx.stream import Event, Stream
from longctx.types import Chunk, ProgressCallback, Usage


class Asking:
    """Sends requests, and gives the answers as streams.

    Args:
        connection: to the server.
        dialect: that it speaks.
        target_ctx: the window that answers are said to stand in.
    """

    def __init__(self, connection: Connection, dialect: Dialect, target_ctx: int) -> None:
        self._connection = connection
        self._dialect = dialect
        self._target_ctx = target_ctx

    def ask(
        self,
        path: str,
        body: dict[str, Any],
        count: Callable[[], int],
        on_progress: ProgressCallback | None,
    ) -> Stream:
        """Send a request.

        Args:
            path: where to.
            body: of the request.
            count: counts the prompt, for a server that does not tell.
            on_progress: told of the prefill.

        Raises:
            ContextOverflowError: the server refuses it, for it does not fit.
            RemoteError: the server is away, busy, or refuses.
        """
        events = self._connection.events(path, body)
        channel = Listening(events.abort)
        # A thread of its own, so that giving up never waits for a server that says nothing.
        threading.Thread(
            target=self._listen,
            args=(events, path, body, count, channel),
            name="longctx-remote",
            daemon=True,
        ).start()
        return Stream(channel, on_progress)

    def _listen(
        self,
        events: ServerEvents,
        path: str,
        body: dict[str, Any],
        count: Callable[[], int],
        channel: Channel[Event],
    ) -> None:
        """Tell a reader what the server tells, to the end or until it gives up."""
        try:
            answer = hear(self._connection, events, path, body, channel)
            usage = answer.usage or self._counted(count(), answer)
            result = answer.completion(usage, self._target_ctx)
            check_choice(result, body, self._connection.root)
            channel.finish(Chunk(result=result))
        except Cancelled:
            pass
        except BaseException as error:  # it is the reader's, whatever it is
            channel.fail(error)

    def _counted(self, n_prompt: int, answer: StreamedAnswer) -> Usage:
        """Usage of a server that does not tell it."""
        thought = answer.reasoning
        n_thought = self._dialect.count_text(thought) if thought else 0
        return Usage(
            prompt_tokens=n_prompt,
            prefilled_tokens=n_prompt,
            completion_tokens=n_thought + self._dialect.count_text(answer.text),
            reasoning_tokens=n_thought,
            is_estimate=not self._dialect.exact,
        )
