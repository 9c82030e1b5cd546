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

from longctx.server.answer_format import AnswerFormat, ChoicesFormat, OneAnswer
from longctx.server.asked import Asked
from longctx.server.connection import while_connected
from longctx.server.effort import with_effort
from longctx.server.embedder import TextEmbedder
from longctx.server.errors import ApiError
from longctx.server.event_stream import EventStream
from longctx.server.metrics import Metrics
from longctx.server.served import ServedModel, ServedPrompt
from longctx.server.settings import ServerSettings
from longctx.server.warnings import ignored, warning_headers
from longctx.server.worker import Begun, Job, ModelWorker
from longctx.types import Completion

_IN_PROMPT = ("tools", "thinking", "template_options")


@dataclass(frozen=True)
class Service:
    """One model, served."""

    llm: ServedModel
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

    def check_model(
        self, name: str | None, known: Sequence[str] = (), *, is_strict: bool | None = None
    ) -> tuple[str, ...]:
        """Warn of a request for another model, which this one answers: clients hard-code names.

        Args:
            name: what the client asks for; None means the one there is.
            known: the names that will do; by default that of the model that answers.
            is_strict: whether to refuse it instead; by default as the settings have it.

        Raises:
            ApiError: 404.
        """
        known = known or [self.model_id]
        if name is None or name in known:
            return ()
        names = " and ".join(map(repr, known))
        is_strict = self.settings.strict_model if is_strict is None else is_strict
        # One that is here and does something else does not stand in for it.
        is_here = name == self.model_id or (self.embedder is not None and name == self.embedder.id)
        if not (is_strict or is_here):
            return (f"there is no model {name!r:.100} here, and {names} answered",)
        raise ApiError(
            404,
            f"there is no model {name!r:.100} here, but {names} (GET /v1/models); --model-id gives "
            "the one that answers another name",
            code="model_not_found",
            param="model",
        )

    async def answer(self, request: Request, asked: Asked, form: AnswerFormat) -> Response:
        """Queue an answer and send it, whole or as a stream; raises as :meth:`answer_all`."""
        return await self.answer_all(request, [asked], OneAnswer(form))

    async def answer_all(
        self, request: Request, asked: Sequence[Asked], form: ChoicesFormat
    ) -> Response:
        """Queue answers and send them as one, whole or as a stream.

        Raises:
            ApiError: another model is asked, the queue is full, or the time is up.
            LongCtxError: the request was refused, or the model failed.
        """
        warnings = self.check_model(asked[0].model) + ignored(asked[0].ignored)
        headers = warning_headers(warnings)
        jobs = await self.worker.submit_all([partial(self._start, each) for each in asked])

        def done(result: Completion) -> None:
            self.metrics.answered(result, result.timings.waited_s)

        if asked[0].stream:
            return EventStream(jobs, form, done, headers)
        try:
            results = await while_connected(request, _all_of(jobs))
        finally:
            for job in jobs:
                job.cancel()
        if results is None:
            return Response(status_code=499)  # nobody reads it; the log does
        for result in results:
            done(result)
        return JSONResponse(form.whole(results), headers=headers)

    async def prompt(self, asked: Asked) -> ServedPrompt:
        """Render and count a conversation as its answer would prefill it.

        Raises:
            ApiError: another model is asked.
            LongCtxError: the request was refused.
        """
        self.check_model(asked.model)
        return await asyncio.to_thread(self._prompt, asked, self._options(asked))

    def _start(self, asked: Asked) -> Begun:
        options = self._sampled(self._options(asked))
        if self.settings.max_tokens is not None and options.get("max_tokens") in (None, -1):
            options["max_tokens"] = self.settings.max_tokens
        if not isinstance(asked.text, tuple):
            return Begun(self.llm.stream(asked.text, **options))
        prompt = self._prompt(asked, options)
        if asked.fills_window and self.llm.overflow == "error":
            left = max(1, self.llm.target_ctx - prompt.n_tokens)
            options["max_tokens"] = min(options.get("max_tokens", left), left)
        return Begun(self.llm.stream_chat(prompt, **options), prompt.n_tokens)

    def _options(self, asked: Asked) -> dict[str, Any]:
        return with_effort(self.llm, asked.options, asked.effort)

    def _sampled(self, options: dict[str, Any]) -> dict[str, Any]:
        """With how answers are drawn where the request does not say it: as the operator chose, as
        the model's file has it, at a temperature of 1, as servers have it elsewhere."""
        own = self.settings.sampling
        if 0 in (options.get("temperature"), own.get("temperature", 1)):  # greedy: no more to say
            return {**own, **options} if "temperature" not in options else options
        return {"temperature": 1.0, **self.llm.info.sampling, **own, **options}

    def _prompt(self, asked: Asked, options: Mapping[str, Any]) -> ServedPrompt:
        shown = {name: options[name] for name in _IN_PROMPT if name in options}
        return self.llm.prompt(asked.messages, **shown)


async def _all_of(jobs: Sequence[Job]) -> list[Completion]:
    return list(await asyncio.gather(*(job.result() for job in jobs)))


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
