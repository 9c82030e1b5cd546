"""What the server says about itself: health, metrics, the page."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from longctx.server.llama.documents import Health
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
    page = files("longctx.server").joinpath("page.html").read_text("utf-8")

    @router.get("/", response_class=HTMLResponse)
    def show_page() -> HTMLResponse:
        """A page to chat on."""
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @router.get("/health")
    async def health() -> Health:
        """Whether it answers, and how many answers are under way or waiting."""
        return {"status": "ok", "jobs": len(service.worker)}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
