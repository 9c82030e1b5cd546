"""What every route needs: the model, its thread, the counters."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from longctx.llm import LongContextLLM
from longctx.server.connection import while_connected
from longctx.server.embedder import TextEmbedder
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
    embedder: TextEmbedder | None = None
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def model_id(self) -> str:
        """The name that clients give."""
        own = re.sub(r"[^A-Za-z0-9._-]+", "-", self.llm.info.name).strip("-")
        return self.settings.model_id or own or "model"

    def check_model(self, name: str | None, known: Sequence[str] = ()) -> None:
        """Refuse a request for another model; one that names none means this.

        Args:
            name: what the client asks for.
            known: the names that will do; by default that of the model that answers.

        Raises:
            ApiError: 404.
        """
        known = known or [self.model_id]
        if name is not None and name not in known:
            raise ApiError(
                404,
                f"there is no model {name!r:.100} here, but {' and '.join(map(repr, known))} "
                "(GET /v1/models); --model-id gives the one that answers another name",
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
            self.metrics.answered(result, result.timings.waited_s)

        if asked.stream:
            return EventStream(job, form, include_usage=asked.include_usage, done=done)
        try:
            result = await while_connected(request, job.result())
        finally:
            job.cancel()
        if result is None:
            return Response(status_code=499)  # nobody reads it; the log does
        done(result)
        return JSONResponse(form.whole(result))
