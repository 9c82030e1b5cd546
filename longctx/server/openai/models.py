"""``GET /v1/models``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from longctx.server.openai.documents import ModelDocument, ModelList
from longctx.server.service import Service


def model_routes(service: Service) -> APIRouter:
    """The list, and each of it."""
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    async def models() -> ModelList:
        """The model that answers, and the embedder if there is one."""
        return {"object": "list", "data": _describe(service)}

    @router.get("/models/{model_id:path}")
    async def model(model_id: str) -> ModelDocument:
        """One of them, by its name."""
        known = {model["id"]: model for model in _describe(service)}
        service.check_model(model_id, list(known), is_strict=True)
        return known[model_id]

    return router


def _describe(service: Service) -> list[ModelDocument]:
    """OpenAI's members, vLLM's ``max_model_len``, and the plan's under ``longctx``, with how
    conversations are sampled, and what bounds an answer that names no bound."""
    plan, embedder = service.llm.plan, service.embedder
    members = ("n_ctx_train", "method", "scale", "window", "overflow", "reserve_output")
    details = {name: getattr(plan, name) for name in members}
    details["sampling"] = service.llm.sampling_defaults
    details["max_tokens"] = service.settings.max_tokens
    models: list[tuple[str, int | None, dict[str, Any]]] = []
    models.append((service.model_id, plan.n_ctx, details))
    if embedder is not None:
        models.append((embedder.id, embedder.max_tokens, {"dimensions": embedder.n_dimensions}))
    return [
        {
            "id": name,
            "object": "model",
            "created": service.started,
            "owned_by": "longctx",
            "max_model_len": window,
            "longctx": more,
        }
        for name, window, more in models
    ]
