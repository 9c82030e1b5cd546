"""Assembles the application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from longctx import __version__
from longctx.server.about import about_routes
from longctx.server.aliases import Aliases
from longctx.server.anthropic.routes import message_routes
from longctx.server.embedder import TextEmbedder
from longctx.server.embeddings import EmbeddingWorker
from longctx.server.error_replies import install
from longctx.server.guard import Guard
from longctx.server.llama.completion import native_routes
from longctx.server.llama.routes import llama_routes
from longctx.server.metrics import CountRequests, Metrics
from longctx.server.model_pool import ModelPool
from longctx.server.openai.completions import completion_routes
from longctx.server.openai.documents import ERRORS
from longctx.server.openai.embeddings import embedding_routes
from longctx.server.openai.models import model_routes
from longctx.server.origins import origins_pattern
from longctx.server.page.routes import file_readers, page_routes
from longctx.server.rerank.model import RerankWorker, TextReranker
from longctx.server.rerank.routes import rerank_routes
from longctx.server.responses.routes import response_routes
from longctx.server.responses.store import ResponseStore
from longctx.server.served import ServedModel
from longctx.server.service import Service
from longctx.server.settings import ServerSettings
from longctx.server.warnings import HEADER
from longctx.server.worker import ModelWorker


def create_app(
    llm: ServedModel | ModelPool,
    settings: ServerSettings | None = None,
    embedder: TextEmbedder | None = None,
    reranker: TextReranker | None = None,
) -> FastAPI:
    """The ASGI application over a model, or several; they stay their caller's to close.

    ``app.state`` has its ``worker``, a :class:`~longctx.server.worker.ModelWorker`, its
    ``metrics``, :class:`~longctx.server.metrics.Metrics`, and ``end_all``, a function that tells
    all who have no answer yet that they get none (503).

    Args:
        llm: the model, which other threads may use too; or several
            (:class:`~longctx.server.ModelPool`).
        settings: who may ask, how much, for how long.
        embedder: of ``/v1/embeddings``, used by this application alone; None has none.
        reranker: of ``/v1/rerank``, likewise.
    """
    settings = settings or ServerSettings()
    n, timeout_s = settings.max_waiting, settings.timeout_s
    worker = ModelWorker(max_waiting=n, timeout_s=timeout_s)
    embeddings = EmbeddingWorker(embedder, max_waiting=n, timeout_s=timeout_s) if embedder else None
    ranker = RerankWorker(reranker, max_waiting=n, timeout_s=timeout_s) if reranker else None
    readers = file_readers(max_waiting=n, timeout_s=timeout_s)
    beside = [each for each in (embeddings, ranker, readers) if each is not None]
    metrics = Metrics(lambda: len(worker))
    models = llm if isinstance(llm, ModelPool) else ModelPool.holding(llm, _name(llm, settings))
    service = Service(models, settings, worker, metrics, embedder, reranker)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()
        await models.stop()
        for each in beside:
            await each.close()

    def end_all() -> None:
        worker.end_all()
        models.end_waiting()
        for each in beside:
            each.end_all()

    app = FastAPI(
        title="longctx",
        version=__version__,
        # The interactive documentation would load its scripts from another host.
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        responses=ERRORS,
    )
    app.state.worker, app.state.metrics, app.state.end_all = worker, metrics, end_all
    kept = ResponseStore(settings.max_responses, settings.max_responses_bytes)
    app.include_router(completion_routes(service))
    app.include_router(embedding_routes(service, embeddings))
    app.include_router(rerank_routes(service, ranker))
    app.include_router(response_routes(service, kept))
    app.include_router(message_routes(service))
    app.include_router(model_routes(service))
    app.include_router(llama_routes(service))
    app.include_router(native_routes(service))
    app.include_router(about_routes(service))
    app.include_router(page_routes(service, readers))
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(Aliases)
    if settings.cors:  # around all else, so that what is refused can be read as well
        app.add_middleware(
            CORSMiddleware,
            allow_origin_regex=origins_pattern(settings.cors),
            allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
            allow_headers=["*"],
            expose_headers=[HEADER, "Retry-After"],
        )
    install(app)
    return app


def _name(llm: ServedModel, settings: ServerSettings) -> str:
    """What clients call a model that is served alone."""
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", llm.info.name).strip("-")
    return settings.model_id or own or "model"
