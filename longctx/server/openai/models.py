"""``GET /v1/models``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from longctx.server.lease import Facts, ModelEntry
from longctx.server.openai.documents import ModelDocument, ModelList, ModelStatus
from longctx.server.service import Service


def model_routes(service: Service) -> APIRouter:
    """The list, and each of it."""
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    async def models() -> ModelList:
        """The models that answer, open or not, and what is beside them."""
        return {"object": "list", "data": _describe(service)}

    @router.get("/models/{model_id:path}")
    async def model(model_id: str) -> ModelDocument:
        """One of them, by its name."""
        known = {model["id"]: model for model in _describe(service)}
        service.check_model(model_id, list(known), is_strict=True)
        return known[model_id]

    return router


def _describe(service: Service) -> list[ModelDocument]:
    """OpenAI's members, vLLM's ``max_model_len``, llama-server's ``status``, and the plan's under
    ``longctx``, with how conversations are sampled, and what bounds an answer that names no bound.
    """

    def document(
        name: str, window: int | None, status: ModelStatus, more: dict[str, Any]
    ) -> ModelDocument:
        return {
            "id": name,
            "object": "model",
            "created": service.started,
            "owned_by": "longctx",
            "max_model_len": window,
            "status": status,
            "longctx": more,
        }

    models = [
        document(
            entry.source.name,
            entry.facts.plan.n_ctx if entry.facts else entry.source.target_ctx,
            _status(entry),
            {**_details(entry.facts), "max_tokens": service.settings.max_tokens},
        )
        for entry in service.models.entries
    ]
    if (embedder := service.embedder) is not None:
        more = {"dimensions": embedder.n_dimensions}
        models.append(document(embedder.id, embedder.max_tokens, {"value": "loaded"}, more))
    if (reranker := service.reranker) is not None:
        models.append(document(reranker.id, reranker.max_tokens, {"value": "loaded"}, {}))
    return models


def _status(entry: ModelEntry) -> ModelStatus:
    status: ModelStatus = {"value": entry.state}
    if entry.error is not None:
        status["error"] = entry.error
    return status


def _details(facts: Facts | None) -> dict[str, Any]:
    """What is known of a model; of one that was never open, nothing is."""
    if facts is None:
        return {"sampling": {}}
    members = ("n_ctx_train", "method", "scale", "window", "overflow", "reserve_output")
    details = {name: getattr(facts.plan, name) for name in members}
    return {**details, "sampling": facts.sampling}
