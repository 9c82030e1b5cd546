"""Answers as server-sent events (WHATWG HTML, section 9.2).

How far the prefill has come is told in comments, which clients pass over, or as the format has it;
that the model is still being opened is told in comments, every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from longctx.server.answer_format import ChoicesFormat
from longctx.server.answers import Answers
from longctx.server.errors import as_api_error
from longctx.server.pieces import untold_calls
from longctx.server.worker import Job
from longctx.stream import Event
from longctx.types import Chunk, Completion, Progress

ALIVE_S = 5.0


class EventStream(StreamingResponse):
    """Streams answers side by side, and gives them up when the client is gone.

    Args:
        answers: what is answered, perhaps by a model that is still being opened.
        form: how it is written.
        done: called with each result.
        headers: to send along.
    """

    def __init__(
        self,
        answers: Answers,
        form: ChoicesFormat,
        done: Callable[[Completion], None],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(
            _frames(answers, form, done),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers},
        )
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette cancels this when the client disconnects."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.close()


async def _frames(
    answers: Answers, form: ChoicesFormat, done: Callable[[Completion], None]
) -> AsyncIterator[str]:
    try:
        while (jobs := await answers.jobs(ALIVE_S)) is None:
            yield ": the model is being opened\n\n"
    except Exception as error:
        for frame in (*form.opening(None), *form.failure(as_api_error(error))):
            yield frame
        return
    told: list[list[str]] = [[] for _ in jobs]
    results: dict[int, Completion] = {}
    for frame in form.opening(jobs[0].n_prompt):
        yield frame
    try:
        async for index, event in _side_by_side(jobs):
            if isinstance(event, Progress):
                if not index:  # that of the others is of the same prompt, or a later one
                    for frame in form.progress(event):
                        yield frame
                continue
            for frame in _frames_of(event, index, told[index], form):
                yield frame
            if event.result is not None:
                results[index] = event.result
                done(event.result)
                ending = list(form.ending(index, event.result))
                if len(results) == len(jobs):
                    # Before the last is told: who has it may ask for what is kept, or close the
                    # model.
                    answers.close()
                for frame in ending:
                    yield frame
        for frame in form.closing([results[i] for i in range(len(jobs))]):
            yield frame
    except Exception as error:  # the status is sent: what went wrong is an event of its own
        answers.close()
        for frame in form.failure(as_api_error(error)):
            yield frame


def _frames_of(chunk: Chunk, index: int, told: list[str], form: ChoicesFormat) -> list[str]:
    """What a chunk comes to, and with the last one the calls that no piece told of."""
    told += [call.id for call in chunk.tool_calls if call.id]
    frames: list[str] = []
    if chunk.text or chunk.reasoning or chunk.tool_calls or chunk.logprobs:
        frames += form.piece(index, chunk)
    if chunk.result is not None:
        for piece in untold_calls(chunk.result, told):
            frames += form.piece(index, piece)
    return frames


async def _side_by_side(jobs: Sequence[Job]) -> AsyncIterator[tuple[int, Event]]:
    """The events of all jobs as they come, each with its place."""
    if len(jobs) == 1:
        async for event in jobs[0].events():
            yield 0, event
        return
    events: asyncio.Queue[tuple[int, Event | Exception | None]] = asyncio.Queue()

    async def listen(index: int, job: Job) -> None:
        try:
            async for event in job.events():
                await events.put((index, event))
            await events.put((index, None))
        except Exception as error:
            await events.put((index, error))

    readers = [asyncio.ensure_future(listen(i, job)) for i, job in enumerate(jobs)]
    try:
        n_left = len(jobs)
        while n_left:
            index, heard = await events.get()
            if isinstance(heard, Exception):
                raise heard
            if heard is None:
                n_left -= 1
            else:
                yield index, heard
    finally:
        for reader in readers:
            reader.cancel()
