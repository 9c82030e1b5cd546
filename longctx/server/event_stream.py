"""An answer as server-sent events (WHATWG HTML, section 9.2).

How far the prefill has come is told in comments, which clients pass over: ``: prefill 512/2048``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from longctx.server.answer_format import AnswerFormat
from longctx.server.errors import as_api_error
from longctx.server.pieces import untold_calls
from longctx.server.worker import Job
from longctx.types import Completion, Progress


class EventStream(StreamingResponse):
    """Streams a job, and gives it up when the client is gone.

    Args:
        job: what is answered.
        form: how it is written.
        done: called with the result.
    """

    def __init__(self, job: Job, form: AnswerFormat, done: Callable[[Completion], None]) -> None:
        super().__init__(
            _frames(job, form, done),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette cancels this when the client disconnects."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _frames(
    job: Job, form: AnswerFormat, done: Callable[[Completion], None]
) -> AsyncIterator[str]:
    told: list[str] = []
    for frame in form.opening(job.n_prompt):
        yield frame
    try:
        async for event in job.events():
            if isinstance(event, Progress):
                yield f": prefill {event.done_tokens}/{event.total_tokens}\n\n"
                continue
            told += [call.id for call in event.tool_calls if call.id]
            if event.text or event.reasoning or event.tool_calls or event.logprobs:
                for frame in form.piece(event):
                    yield frame
            if event.result is not None:
                for piece in untold_calls(event.result, told):
                    for frame in form.piece(piece):
                        yield frame
                done(event.result)
                for frame in form.ending(event.result):
                    yield frame
    except Exception as error:  # the status is sent: what went wrong is an event of its own
        for frame in form.failure(as_api_error(error)):
            yield frame
