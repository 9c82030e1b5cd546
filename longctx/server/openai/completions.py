"""``POST /v1/chat/completions`` and ``POST /v1/completions``."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from longctx.server.asked import Asked
from longctx.server.openai.documents import ChatCompletion, InputTokens, TextCompletion
from longctx.server.openai.formats import ChatFormat, TextFormat
from longctx.server.openai.requests import ChatRequest, CompletionRequest
from longctx.server.service import Service, answers, n_tokens_of


def completion_routes(service: Service) -> APIRouter:
    """The routes that write text."""
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions", responses=answers(ChatCompletion))
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        asked = body.each_choice(body.asked())
        form = ChatFormat(service.model_id(body.model), asked, body.extras)
        return await service.answer_all(request, asked, form)

    @router.post("/chat/completions/input_tokens")
    async def count_input_tokens(body: ChatRequest, request: Request) -> InputTokens:
        """Count what an answer would read, template and tools included."""
        n_tokens = await service.prompted(request, body.asked(), n_tokens_of)
        return {"object": "response.input_tokens", "input_tokens": n_tokens}

    @router.post("/completions", responses=answers(TextCompletion))
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Continue plain text, without a chat template."""
        asked = body.asked()
        form = TextFormat(
            service.model_id(body.model),
            asked,
            body.n_choices,
            body.extras,
            echoes=[await _said(service, request, each) for each in asked] if body.echo else (),
        )
        return await service.answer_all(request, asked, form)

    return router


async def _said(service: Service, request: Request, asked: Asked) -> str:
    """A prompt as text."""
    ids = asked.text
    if isinstance(ids, str):
        return ids
    assert isinstance(ids, list)  # conversations have another route
    return await service.using(request, asked.model, lambda llm: llm.detokenize(ids))
