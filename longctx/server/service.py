"""What every route needs: the models, the answers under way, the counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from longctx.server.answer_format import AnswerFormat, ChoicesFormat, OneAnswer
from longctx.server.answers import Answers
from longctx.server.asked import Asked
from longctx.server.connection import while_connected
from longctx.server.effort import with_effort
from longctx.server.embedder import TextEmbedder
from longctx.server.errors import ApiError, queue_full
from longctx.server.event_stream import EventStream
from longctx.server.metrics import Metrics
from longctx.server.model_pool import ModelPool
from longctx.server.rerank.model import TextReranker
from longctx.server.served import ServedModel, ServedPrompt
from longctx.server.settings import ServerSettings
from longctx.server.time_limit import in_time
from longctx.server.warnings import ignored, warning_headers
from longctx.server.worker import Begun, ModelWorker

T = TypeVar("T")
OPENED_WITHIN_S = 5.0
"""Proxies and clients that wait for a first byte do so longer than this."""
_IN_PROMPT = ("tools", "thinking", "template_options")


@dataclass(frozen=True)
class Service:
    """Models, served."""

    models: ModelPool
    settings: ServerSettings
    worker: ModelWorker
    metrics: Metrics
    embedder: TextEmbedder | None = None
    reranker: TextReranker | None = None
    started: int = field(default_factory=lambda: int(time.time()))

    def model_id(self, name: str | None) -> str:
        """The name of the model that answers who asks for this one; raises as
        :meth:`check_model`."""
        return self._choose(name)[0]

    def check_model(
        self, name: str | None, known: Sequence[str], *, is_strict: bool | None = None
    ) -> tuple[str, ...]:
        """Warn of a request for another model, which this one answers: clients hard-code names.

        Args:
            name: what the client asks for; None means the one there is.
            known: the names that will do; the first answers others.
            is_strict: whether to refuse it instead; by default as the settings have it.

        Raises:
            ApiError: 404.
        """
        if name is None or name in known:
            return ()
        is_strict = self.settings.strict_model if is_strict is None else is_strict
        # One that is here and does something else does not stand in for it.
        beside = [each.id for each in (self.embedder, self.reranker) if each is not None]
        is_here = name in (*self.models.names, *beside)
        if not (is_strict or is_here):
            return (f"there is no model {name!r:.100} here, and {known[0]!r} answered",)
        names = " and ".join(map(repr, known[:20]))
        raise ApiError(
            404,
            f"there is no model {name!r:.100} here, but {names} (GET /v1/models); --model-id gives "
            "the one that answers another name",
            code="model_not_found",
            param="model",
        )

    async def answer(
        self,
        request: Request,
        asked: Asked,
        form: AnswerFormat,
        watch: Callable[[Answers], None] | None = None,
    ) -> Response:
        """Queue an answer and send it, whole or as a stream; as :meth:`answer_all`."""
        return await self.answer_all(request, [asked], OneAnswer(form), watch)

    async def answer_all(
        self,
        request: Request,
        asked: Sequence[Asked],
        form: ChoicesFormat,
        watch: Callable[[Answers], None] | None = None,
    ) -> Response:
        """Queue answers and send them as one, whole or as a stream.

        Args:
            request: its client is listened to: one that leaves ends them.
            asked: what is to be answered, by one model.
            form: how it is written.
            watch: gets what is under way.

        Raises:
            ApiError: there is no such model, or it cannot be opened; the queue is full, or the
                time is up.
            LongCtxError: the request was refused, or the model failed.
        """
        name, warnings = self._choose(asked[0].model)
        headers = warning_headers(warnings + ignored(asked[0].ignored))
        done = partial(self.metrics.answered, name)
        lease = self.models.lease(name)
        starts = [partial(lease.run, partial(self._start, each), Begun.close) for each in asked]
        answers = Answers(asyncio.ensure_future(self.worker.submit_all(starts)), lease)
        if watch is not None:
            watch(answers)
        if asked[0].stream:
            # A refusal has its status; where opening the model takes long, the stream begins
            # before, and says so.
            await answers.jobs(None if answers.is_model_open else OPENED_WITHIN_S)
            return EventStream(answers, form, done, headers)
        results = await while_connected(request, answers.results())
        for result in results:
            done(result)
        return JSONResponse(form.whole(results), headers=headers)

    async def prompted(
        self, request: Request, asked: Asked, read: Callable[[ServedPrompt], T]
    ) -> T:
        """Render and count a conversation as its answer would prefill it, and read that.

        Raises:
            ApiError: as :meth:`using`.
            LongCtxError: the request was refused.
        """
        return await self.using(request, asked.model, lambda llm: read(prompt_of(llm, asked)))

    async def using(
        self, request: Request, name: str | None, look: Callable[[ServedModel], T]
    ) -> T:
        """Ask a model for what is no answer.

        Args:
            request: its client is listened to: for one that leaves no model is opened.
            name: that the client gives.
            look: called with the model, in a thread.

        Raises:
            ApiError: there is no such model, or it cannot be opened; too many wait for one, the
                time is up, or the client is gone.
        """
        name, _ = self._choose(name)
        n_waiting, most = self.models.n_waiting, self.settings.max_waiting
        if n_waiting > most and not self.models.entry(name).is_lendable:
            raise queue_full(n_waiting - 1, most, retry_s=1)
        lease = self.models.lease(name)
        try:
            remedy = "ask again when the model is open"
            work = in_time(lease.run(look), self.settings.timeout_s, remedy)
            return await while_connected(request, work)
        finally:
            lease.release()

    def _choose(self, name: str | None) -> tuple[str, tuple[str, ...]]:
        """The name of the model that answers, and what its client is warned of."""
        known = self.models.names
        warnings = self.check_model(name, known)
        return (name if name is not None and name in known else known[0]), warnings

    def _start(self, asked: Asked, llm: ServedModel) -> Begun:
        options = self._sampled(llm, with_effort(llm, asked.options, asked.effort))
        if self.settings.max_tokens is not None and options.get("max_tokens") in (None, -1):
            options["max_tokens"] = self.settings.max_tokens
        if not isinstance(asked.text, tuple):
            return Begun(llm.stream(asked.text, **options))
        prompt = _prompt(llm, asked, options)
        if asked.fills_window and llm.overflow == "error":
            left = max(1, llm.target_ctx - prompt.n_tokens)
            options["max_tokens"] = min(options.get("max_tokens", left), left)
        return Begun(llm.stream_chat(prompt, **options), prompt.n_tokens)

    def _sampled(self, llm: ServedModel, options: dict[str, Any]) -> dict[str, Any]:
        """With how answers are drawn where the request does not say it: as the operator chose, as
        the model's file has it, at a temperature of 1, as servers have it elsewhere."""
        own = self.settings.sampling
        if 0 in (options.get("temperature"), own.get("temperature", 1)):  # greedy: no more to say
            return {**own, **options} if "temperature" not in options else options
        return {"temperature": 1.0, **llm.info.sampling, **own, **options}


def prompt_of(llm: ServedModel, asked: Asked) -> ServedPrompt:
    """A conversation as its answer would prefill it, counted."""
    return _prompt(llm, asked, with_effort(llm, asked.options, asked.effort))


def _prompt(llm: ServedModel, asked: Asked, options: Mapping[str, Any]) -> ServedPrompt:
    shown = {name: options[name] for name in _IN_PROMPT if name in options}
    return llm.prompt(asked.messages, **shown)


def n_tokens_of(prompt: ServedPrompt) -> int:
    """How long it is."""
    return prompt.n_tokens


def answers(whole: Any) -> dict[int | str, dict[str, Any]]:
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
