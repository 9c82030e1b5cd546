"""``POST /v1/rerank``, where the server has a reranker."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from longctx.server.connection import while_connected
from longctx.server.errors import ApiError
from longctx.server.ids import new_id
from longctx.server.rerank.documents import Ranked, Ranking, ScoredText
from longctx.server.rerank.model import RerankWorker
from longctx.server.rerank.requests import RerankRequest
from longctx.server.service import Service
from longctx.server.warnings import ignored, warning_headers


def rerank_routes(service: Service, worker: RerankWorker | None) -> APIRouter:
    """The route, which says so where there is no reranker."""
    router = APIRouter(prefix="/v1")

    @router.post("/rerank", responses={200: {"model": Ranking | list[ScoredText]}})
    async def rerank(asked: RerankRequest, request: Request) -> Response:
        """Put texts in the order in which they answer a query."""
        if worker is None:
            raise ApiError(
                404,
                "this server has no reranker; start it with --reranker and the folder or name of a "
                "CrossEncoder of sentence-transformers",
                code="no_reranker",
            )
        name = worker.reranker.id
        warnings = service.check_model(asked.model, [name]) + ignored(asked.ignored)
        texts = asked.all_texts
        scores, n_tokens = await while_connected(request, worker.rank(asked.query, texts))
        service.metrics.reranked(name, n_tokens)
        best = sorted(range(len(texts)), key=lambda i: -scores[i])[: asked.top_n]
        repeated = texts if asked.returns_texts else None
        headers = warning_headers(warnings)
        if asked.texts is not None:
            return JSONResponse([_scored(i, scores[i], repeated) for i in best], headers=headers)
        document: Ranking = {
            "id": new_id("rerank", service.settings.instance),
            "object": "list",
            "model": name,
            "results": [_ranked(i, scores[i], repeated) for i in best],
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }
        return JSONResponse(document, headers=headers)

    return router


def _ranked(index: int, score: float, texts: Sequence[str] | None) -> Ranked:
    ranked: Ranked = {"index": index, "relevance_score": score}
    if texts is not None:
        ranked["document"] = {"text": texts[index]}
    return ranked


def _scored(index: int, score: float, texts: Sequence[str] | None) -> ScoredText:
    scored: ScoredText = {"index": index, "score": score}
    if texts is not None:
        scored["text"] = texts[index]
    return scored
