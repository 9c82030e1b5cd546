"""What every route needs: the model, its thread, the counters."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from longctx.chat import EncodedPrompt
from longctx.llm import LongContextLLM
from longctx.server.answer_format import AnswerFormat
from longctx.server.asked import Asked
from longctx.server.connection import while_connected
from longctx.server.effort import with_effort
from longctx.server.embedder import TextEmbedder
from longctx.server.errors import ApiError
from longctx.server.event_stream import EventStream
from longctx.server.metrics import Metrics
from longctx.server.settings import ServerSettings
from longctx.server.worker import Begun, ModelWorker
from longctx.types import Completion

_IN_PROMPT = ("tools", "thinking", "template_options")


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

    async def answer(self, request: Request, asked: Asked, form: AnswerFormat) -> Response:
        """Queue an answer and send it, whole or as a stream.

        Raises:
            ApiError: another model is asked, the queue is full, or the time is up.
            LongCtxError: the request was refused, or the model failed.
        """
        self.check_model(asked.model)
        job = await self.worker.submit(partial(self._start, asked))

        def done(result: Completion) -> None:
            self.metrics.answered(result, result.timings.waited_s)

        if asked.stream:
            return EventStream(job, form, done)
        try:
            result = await while_connected(request, job.result())
        finally:
            job.cancel()
        if result is None:
            return Response(status_code=499)  # nobody reads it; the log does
        done(result)
        return JSONResponse(form.whole(result))

    async def prompt(self, asked: Asked) -> EncodedPrompt:
        """Render and count a conversation as its answer would prefill it.

        Raises:
            ApiError: another model is asked.
            LongCtxError: the request was refused.
        """
        self.check_model(asked.model)
        return await asyncio.to_thread(self._prompt, asked, self._options(asked))

    def _start(self, asked: Asked) -> Begun:
        if isinstance(asked.text, str):
            return Begun(self.llm.stream(asked.text, **asked.options))
        options = self._options(asked)
        prompt = self._prompt(asked, options)
        if asked.fills_window and self.llm.overflow != "slide":
            left = max(1, self.llm.target_ctx - prompt.n_tokens)
            options["max_tokens"] = min(options.get("max_tokens", left), left)
        return Begun(self.llm.stream_chat(prompt, **options), prompt.n_tokens)

    def _options(self, asked: Asked) -> dict[str, Any]:
        return with_effort(self.llm, asked.options, asked.effort)

    def _prompt(self, asked: Asked, options: Mapping[str, Any]) -> EncodedPrompt:
        shown = {name: options[name] for name in _IN_PROMPT if name in options}
        return self.llm.prompt(asked.messages, **shown)


def answers(whole: type) -> dict[int | str, dict[str, Any]]:
    """How the description of the API tells what a route answers.

    Args:
        whole: the document of an answer that is not streamed.
    """
    return {
        200: {
            "model": whole,
            "description": "The answer; with `stream` its pieces, as server-sent events.",
            "content": {"text/event-stream": {}},
        }
    }
