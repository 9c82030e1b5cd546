"""What the server says about itself: models, tokens, health, metrics, the page."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from longctx.server.requests import TokenizeRequest
from longctx.server.service import Service

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page may ask this server and no other; its text is never taken for markup."""


def about_routes(service: Service) -> APIRouter:
    """The routes that run no model."""
    router = APIRouter()
    llm, page = service.llm, files("longctx.server").joinpath("page.html").read_text("utf-8")

    @router.get("/", response_class=HTMLResponse)
    def show_page() -> HTMLResponse:
        """A page to chat on."""
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Whether it answers, and how many answers are under way or waiting."""
        return {"status": "ok", "jobs": len(service.worker)}

    @router.get("/metrics")
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The one model."""
        return {"object": "list", "data": [_describe(service)]}

    @router.get("/v1/models/{model_id}")
    async def model(model_id: str) -> dict[str, Any]:
        """The one model, by its name."""
        service.check_model(model_id)
        return _describe(service)

    @router.post("/tokenize")
    async def tokenize(asked: TokenizeRequest) -> dict[str, Any]:
        """Token ids of plain text, or of a conversation as a chat would prefill it."""
        service.check_model(asked.model)
        if asked.messages is None:
            ids = await asyncio.to_thread(llm.tokenize, asked.content or "")
        else:
            messages = [message.to_message() for message in asked.messages]
            tools = [tool.to_schema() for tool in asked.tools or ()] or None
            ids = await asyncio.to_thread(llm.prompt_ids, messages, tools)
        return {"count": len(ids), "max_model_len": llm.target_ctx, "tokens": ids}

    return router


def _describe(service: Service) -> dict[str, Any]:
    """OpenAI's members, vLLM's ``max_model_len``, and the plan's under ``longctx``."""
    plan = service.llm.plan
    return {
        "id": service.model_id,
        "object": "model",
        "created": service.started,
        "owned_by": "longctx",
        "max_model_len": plan.n_ctx,
        "longctx": {
            "n_ctx_train": plan.n_ctx_train,
            "method": plan.method,
            "scale": plan.scale,
            "window": plan.window,
            "overflow": plan.overflow,
            "reserve_output": plan.reserve_output,
        },
    }
