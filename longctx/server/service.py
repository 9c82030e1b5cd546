"""What every route needs: the model, its thread, the counters."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from longctx.answers import answer_grammar
from longctx.errors import BackendError
from longctx.llm import LongContextLLM
from longctx.server.errors import ApiError
from longctx.server.event_stream import EventStream
from longctx.server.formats import AnswerFormat
from longctx.server.metrics import Metrics
from longctx.server.requests import AnswerRequest
from longctx.server.settings import ServerSettings
from longctx.server.worker import ModelWorker, Start
from longctx.types import Completion


@dataclass(frozen=True)
class Service:
    """One model, served."""

    llm: LongContextLLM
    settings: ServerSettings
    worker: ModelWorker
    metrics: Metrics
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def model_id(self) -> str:
        """The name that clients give."""
        own = re.sub(r"[^A-Za-z0-9._-]+", "-", self.llm.info.name).strip("-")
        return self.settings.model_id or own or "model"

    def check_model(self, name: str | None) -> None:
        """Refuse a request for another model; one that names none means this.

        Raises:
            ApiError: 404.
        """
        if name not in (None, self.model_id):
            raise ApiError(
                404,
                f"this server has no model {name!r:.100}, it has {self.model_id!r} "
                "(GET /v1/models); --model-id gives it another name",
                code="model_not_found",
                param="model",
            )

    async def answer(
        self, request: Request, asked: AnswerRequest, start: Start, form: AnswerFormat
    ) -> Response:
        """Queue an answer and send it, whole or as a stream.

        Raises:
            ApiError: the queue is full, or the time is up.
            LongCtxError: ``start`` refused the request, or the model failed.
        """
        job = await self.worker.submit(start)

        def done(result: Completion) -> None:
            self.metrics.answered(result, job.waited_s)

        if asked.stream:
            return EventStream(job, form, include_usage=asked.include_usage, done=done)
        answer = asyncio.ensure_future(job.result())
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                return Response(status_code=499)  # nobody reads it; the log does
            result = answer.result()
        finally:
            job.cancel()
            answer.cancel()
            gone.cancel()
        done(result)
        return JSONResponse(form.whole(result))


def check_schema(schema: dict[str, Any] | None) -> None:
    """Refuse a schema that cannot hold an answer: the request's fault, not the server's.

    Raises:
        ApiError: 400.
    """
    if schema is None:
        return
    try:
        answer_grammar(None, "none", schema)
    except BackendError as error:
        raise ApiError(400, str(error), code="invalid_schema", param="response_format") from error


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
