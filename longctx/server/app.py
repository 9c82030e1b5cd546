"""Assembles the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from longctx import __version__
from longctx.llm import LongContextLLM
from longctx.server import errors
from longctx.server.about import about_routes
from longctx.server.completions import completion_routes
from longctx.server.guard import Guard
from longctx.server.metrics import CountRequests, Metrics
from longctx.server.service import Service
from longctx.server.settings import ServerSettings
from longctx.server.worker import ModelWorker


def create_app(llm: LongContextLLM, settings: ServerSettings | None = None) -> FastAPI:
    """The ASGI application over a model, which stays its caller's to close.

    Args:
        llm: the model; other threads may use it too, calls queue.
        settings: who may ask, how much, for how long.
    """
    settings = settings or ServerSettings()
    worker = ModelWorker(max_waiting=settings.max_waiting, timeout_s=settings.timeout_s)
    metrics = Metrics(lambda: len(worker))
    service = Service(llm, settings, worker, metrics)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await worker.close()

    # The interactive documentation would load its scripts from another host.
    app = FastAPI(
        title="longctx", version=__version__, docs_url=None, redoc_url=None, lifespan=life
    )
    app.include_router(completion_routes(service))
    app.include_router(about_routes(service))
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(CountRequests, metrics=metrics)
    errors.install(app)
    return app
