"""An answer as server-sent events (WHATWG HTML, section 9.2), ended by ``[DONE]`` as OpenAI does.

How far the prefill has come is told in comments, which clients pass over: ``: prefill 512/2048``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from longctx.server.errors import as_api_error
from longctx.server.formats import AnswerFormat
from longctx.server.worker import Job
from longctx.types import Completion, Progress


class EventStream(StreamingResponse):
    """Streams a job, and gives it up when the client is gone.

    Args:
        job: what is answered.
        form: how it is written.
        include_usage: whether the tokens are counted in a last chunk.
        done: called with the result.
    """

    def __init__(
        self,
        job: Job,
        form: AnswerFormat,
        *,
        include_usage: bool,
        done: Callable[[Completion], None],
    ) -> None:
        super().__init__(
            _events(job, form, include_usage, done),
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


async def _events(
    job: Job, form: AnswerFormat, include_usage: bool, done: Callable[[Completion], None]
) -> AsyncIterator[str]:
    yield _event(form.opening())
    try:
        async for event in job.events():
            if isinstance(event, Progress):
                yield f": prefill {event.done_tokens}/{event.total_tokens}\n\n"
                continue
            if event.text or event.reasoning or event.tool_calls or event.logprobs:
                yield _event(form.piece(event))
            if event.result is not None:
                done(event.result)
                yield _event(form.ending(event.result))
                if include_usage:
                    yield _event(form.counts(event.result))
    except Exception as error:  # the status is sent: what went wrong is an event of its own
        yield _event(as_api_error(error).body)
        return
    yield "data: [DONE]\n\n"


def _event(document: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
