"""``/v1/messages``: answers, and their tokens before they are asked for."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from longctx.server.anthropic.documents import ERRORS, MessageDocument, TokenCount
from longctx.server.anthropic.format import MessageFormat
from longctx.server.anthropic.requests import CountRequest, MessagesRequest
from longctx.server.service import Service, answers, n_tokens_of


def message_routes(service: Service) -> APIRouter:
    """The routes of Anthropic's clients; their versions and betas are headers that we let pass."""
    router = APIRouter(prefix="/v1", responses=ERRORS)

    @router.post("/messages", responses=answers(MessageDocument))
    async def messages(body: MessagesRequest, request: Request) -> Response:
        """Answer a conversation."""
        asked = body.asked()
        return await service.answer(
            request, asked, MessageFormat(service.model_id(body.model), asked)
        )

    @router.post("/messages/count_tokens")
    async def count_tokens(body: CountRequest, request: Request) -> TokenCount:
        """Count what an answer would read, template and tools included."""
        return {"input_tokens": await service.prompted(request, body.asked(), n_tokens_of)}

    return router
