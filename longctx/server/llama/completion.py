"""``POST /completion``: a text continued, as llama-server's own clients ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import model_validator
from typing_extensions import TypedDict

from longctx.server.answer_format import frame
from longctx.server.errors import ApiError
from longctx.server.openai.errors import error_document
from longctx.server.openai.requests import CompletionRequest
from longctx.server.report import Report, report
from longctx.server.service import Service, answers
from longctx.types import Chunk, Completion


class NativeRequest(CompletionRequest):
    """The fields of ``/v1/completions``, for one prompt and one answer."""

    @model_validator(mode="after")
    def _is_one(self) -> NativeRequest:
        if len(self.asked()) != 1 or self.echo or self.logprobs is not None:
            raise ValueError(
                "one prompt, and its answer without echo or logprobs; /v1/completions has more"
            )
        return self


class NativeTimings(TypedDict):
    """Tokens and milliseconds of prefill and decode."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float


class Continued(TypedDict):
    """An answer, or the end of its stream."""

    index: Literal[0]
    content: str
    stop: Literal[True]
    model: str
    tokens_evaluated: int
    tokens_predicted: int
    tokens_cached: int
    truncated: bool
    stop_type: Literal["eos", "limit", "word"]
    stopping_word: str
    timings: NativeTimings
    longctx: Report


class NativeFormat:
    """One answer in llama-server's words.

    Args:
        model: its name.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def whole(self, result: Completion) -> Continued:
        """All of it."""
        return self._document(result, result.text)

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """Nothing."""
        return iter(())

    def piece(self, chunk: Chunk) -> Iterator[str]:
        """What was written next."""
        yield frame({"index": 0, "content": chunk.text, "stop": False})

    def ending(self, result: Completion) -> Iterator[str]:
        """What it was; the text was told."""
        yield frame(self._document(result, ""))

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error))

    def _document(self, result: Completion, content: str) -> Continued:
        usage, timings = result.usage, result.timings
        is_cut = result.finish_reason == "length"
        word = result.stop_sequence
        return {
            "index": 0,
            "content": content,
            "stop": True,
            "model": self._model,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_predicted": usage.completion_tokens,
            "tokens_cached": usage.prompt_tokens + usage.completion_tokens,
            "truncated": result.window.dropped_tokens > 0,
            "stop_type": "limit" if is_cut else "eos" if word is None else "word",
            "stopping_word": word or "",
            "timings": {
                "cache_n": usage.cached_tokens,
                "prompt_n": usage.prefilled_tokens,
                "prompt_ms": timings.prefill_s * 1000,
                "predicted_n": usage.completion_tokens,
                "predicted_ms": timings.decode_s * 1000,
            },
            "longctx": report(result),
        }


def native_routes(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/completion", responses=answers(Continued))
    async def completion(body: NativeRequest, request: Request) -> Response:
        """Continue plain text or token ids."""
        (asked,) = body.asked()
        return await service.answer(request, asked, NativeFormat(service.model_id(body.model)))

    return router
