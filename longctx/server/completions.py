"""``POST /v1/chat/completions`` and ``POST /v1/completions``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from longctx.server.effort import with_effort
from longctx.server.formats import ChatFormat, TextFormat
from longctx.server.requests import ChatRequest, CompletionRequest
from longctx.server.responses import ChatCompletion, TextCompletion
from longctx.server.service import Service
from longctx.stream import Stream


def completion_routes(service: Service) -> APIRouter:
    """The routes that write text."""
    router = APIRouter(prefix="/v1")
    llm = service.llm

    @router.post("/chat/completions", responses=_answers(ChatCompletion))
    async def chat_completions(asked: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        service.check_model(asked.model)
        messages = asked.to_messages()
        options = with_effort(llm, asked.options(), asked.effort)

        def start() -> Stream:
            return llm.stream_chat(messages, **options)

        form = ChatFormat(service.model_id, logprobs="top_logprobs" in options)
        return await service.answer(request, asked, start, form)

    @router.post("/completions", responses=_answers(TextCompletion))
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        """Continue plain text, without a chat template."""
        service.check_model(asked.model)
        options = asked.options()

        def start() -> Stream:
            return llm.stream(asked.text, **options)

        form = TextFormat(service.model_id, logprobs="top_logprobs" in options)
        return await service.answer(request, asked, start, form)

    return router


def _answers(whole: type) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "model": whole,
            "description": "The answer; with `stream` its chunks, as server-sent events.",
            "content": {"text/event-stream": {}},
        }
    }
