"""``POST /v1/embeddings``, where the server has an embedder."""

from __future__ import annotations

import base64

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from numpy.typing import NDArray

from longctx.server.connection import while_connected
from longctx.server.embeddings import EmbeddingWorker
from longctx.server.errors import ApiError
from longctx.server.openai.documents import Embeddings
from longctx.server.openai.requests import EmbeddingRequest
from longctx.server.service import Service
from longctx.server.warnings import ignored, warning_headers


def embedding_routes(service: Service, worker: EmbeddingWorker | None) -> APIRouter:
    """The route, which says so where there is no embedder."""
    router = APIRouter(prefix="/v1")

    @router.post("/embeddings", responses={200: {"model": Embeddings}})
    async def embeddings(asked: EmbeddingRequest, request: Request) -> Response:
        """Turn texts into vectors."""
        if worker is None:
            raise ApiError(
                404,
                "this server has no embedder; start it with --embedder packaged, or with the "
                "folder or name of a sentence-transformers model",
                code="no_embedder",
            )
        embedder = worker.embedder
        warnings = service.check_model(asked.model, [embedder.id]) + ignored(asked.ignored)
        if asked.dimensions not in (None, embedder.n_dimensions):
            raise ApiError(
                400,
                f"vectors of {embedder.id} have {embedder.n_dimensions} dimensions, not "
                f"{asked.dimensions}; leave dimensions out",
                code="invalid_value",
                param="dimensions",
            )
        vectors, n_tokens = await while_connected(request, worker.embed(asked.texts))
        service.metrics.embedded(embedder.id, n_tokens)
        document = _document(embedder.id, vectors, n_tokens, asked.encoding_format)
        return JSONResponse(document, headers=warning_headers(warnings))

    return router


def _document(
    model: str, vectors: NDArray[np.float32], n_tokens: int, encoding: str | None
) -> Embeddings:
    def written(row: NDArray[np.float32]) -> list[float] | str:
        if encoding == "base64":
            return base64.b64encode(row.astype("<f4").tobytes()).decode()
        return [float(value) for value in row]

    return {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": i, "embedding": written(row)}
            for i, row in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }
