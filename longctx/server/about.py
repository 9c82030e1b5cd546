"""What the server says about itself: health and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from longctx.server.llama.documents import Health
from longctx.server.service import Service


def about_routes(service: Service) -> APIRouter:
    """The routes that run no model."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Health:
        """Whether it answers, and how many answers are under way or waiting."""
        return {"status": "ok", "jobs": len(service.worker)}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        headers = {
            "Content-Type": CONTENT_TYPE_LATEST,
            "Process-Start-Time-Unix": str(service.started),
        }
        return Response(service.metrics.text(), headers=headers)

    return router
