"""An answer while it is being written: read it, wait for its end, or give it up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Protocol, TypeAlias

from longctx.channel import Cancelled, Channel
from longctx.closing import Closing
from longctx.errors import BackendError
from longctx.types import Chunk, Completion, Progress, ProgressCallback

Event: TypeAlias = Chunk | Progress


class Source(Protocol):
    """Where a stream's events come from; a :class:`~longctx.channel.Channel` is one."""

    def receive(self) -> Event:
        """Wait for the next event."""

    async def areceive(self) -> Event:
        """Wait for the next event in an event loop."""

    def cancel(self) -> None:
        """Let the answer end unfinished; never waits."""

    def wake(self) -> None:
        """Let a reader that waits in another thread get :class:`~longctx.channel.Cancelled`."""


class Stream(Closing, Iterator[Chunk]):
    """An answer piece by piece; the last chunk carries its ``result``.

    The model writes on whether or not it is read; leaving the loop early, ``close()``, the end
    of a ``with`` block and any exception in between give the answer up, and the model is free
    after its next token or prefilled batch.

    Args:
        source: its events; the one with the result is the last.
        on_progress: called after each prefilled batch, in the thread that reads.

    Examples:
        >>> from longctx.testing import ScriptedChatModel
        >>> llm = ScriptedChatModel(["Hello there."])
        >>> with llm.stream_chat([{"role": "user", "content": "Hi!"}]) as stream:
        ...     print("".join(chunk.text for chunk in stream))
        Hello there.
        >>> stream.result.finish_reason
        'stop'
    """

    def __init__(self, source: Source, on_progress: ProgressCallback | None = None) -> None:
        self._source = source
        self._on_progress = on_progress
        self._result: Completion | None = None
        self._closed = False

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> Stream:
        """A stream of chunks that are there already, the last with the result."""
        channel: Channel[Event] = Channel()
        for chunk in chunks:
            channel.send(chunk)
        return cls(channel)

    # Reading

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        try:
            while not self._ended:
                if chunk := self._taken(self._source.receive()):
                    return chunk
        except Cancelled:
            if not self._closed:
                raise
        except BaseException:
            self.close()
            raise
        raise StopIteration

    @property
    def result(self) -> Completion:
        """The whole answer; what was not read yet is waited for.

        Raises:
            BackendError: the stream was closed before its end.
        """
        for _ in self:
            pass
        if self._result is None:
            raise BackendError(
                "this stream was closed before its end, so it has no result; read it to its end"
            )
        return self._result

    def close(self) -> None:
        """Give up what has not been written yet; who reads in another thread is at its end.

        Idempotent, never waits.
        """
        if not self._ended:
            self._closed = True
            self._source.cancel()
            self._source.wake()

    def __del__(self) -> None:
        # A loop that was left: nobody can read on.
        with suppress(AttributeError):  # the constructor was interrupted
            self._source.cancel()

    async def receive(self) -> Event | None:
        """Wait for the next event in an event loop; None is the end. Progress is told as it is."""
        if self._ended:
            return None
        try:
            event = await self._source.areceive()
        except Cancelled:
            if not self._closed:
                raise
            return None
        except BaseException:
            # The caller's own exception (a timeout, a cancelled scope) stays what it is.
            self.close()
            raise
        self._note(event)
        return event

    @property
    def _ended(self) -> bool:
        return self._closed or self._result is not None

    def _taken(self, event: Event) -> Chunk | None:
        self._note(event)
        if isinstance(event, Progress):
            if self._on_progress is not None:
                self._on_progress(event)
            return None
        return event

    def _note(self, event: Event) -> None:
        if isinstance(event, Chunk) and event.result is not None:
            self._result = event.result


class AsyncStream(AsyncIterator[Chunk]):
    """A :class:`Stream` read in an event loop.

    The request is checked and its text tokenised in a thread, when the first piece is waited
    for. Cancelling the task that reads, a timeout, ``break``, ``return`` and any exception
    inside ``async for`` give the answer up.

    Args:
        start: checks the request and returns its stream.
        on_progress: called after each prefilled batch, in the event loop.
    """

    def __init__(
        self, start: Callable[[], Stream], on_progress: ProgressCallback | None = None
    ) -> None:
        self._start = start
        self._on_progress = on_progress
        self._stream: Stream | None = None
        self._closed = False

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Chunk:
        while (event := await self.receive()) is not None:
            if isinstance(event, Chunk):
                return event
        raise StopAsyncIteration

    async def receive(self) -> Event | None:
        """Wait for the next event, progress included; None is the end."""
        if self._closed:
            return None
        try:
            if self._stream is None:
                from asyncio import to_thread  # readers without a loop do not load it

                # Cancelled here, the thread's stream is dropped when it comes, and so given up.
                self._stream = await to_thread(self._start)
            event = await self._stream.receive()
            if isinstance(event, Progress) and self._on_progress is not None:
                self._on_progress(event)
            return event
        except BaseException:
            self.close()
            raise

    async def result(self) -> Completion:
        """The whole answer; what was not read yet is waited for.

        Raises:
            BackendError: the stream was closed before its end.
        """
        while await self.receive() is not None:
            pass
        if self._stream is None:
            raise BackendError("this stream was closed before it began; ask again")
        return self._stream.result

    def close(self) -> None:
        """Give up what has not been written yet. Idempotent, never waits."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    async def aclose(self) -> None:
        """:meth:`close`, as async generators have it."""
        self.close()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
