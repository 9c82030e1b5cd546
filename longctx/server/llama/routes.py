"""Tokens, templates and properties in the shapes of llama-server."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from longctx import __version__
from longctx.server.errors import ApiError
from longctx.server.llama.documents import Content, Done, Piece, Prompt, Props, Slot, Tokens
from longctx.server.llama.requests import (
    DetokenizeRequest,
    ModelRequest,
    TemplateRequest,
    TokenizeRequest,
)
from longctx.server.served import ServedModel, ServedPrompt
from longctx.server.service import Service


def llama_routes(service: Service) -> APIRouter:
    """Routes that write nothing."""
    router = APIRouter()

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> Tokens:
        """Token ids of plain text, or of a conversation as a chat would prefill it."""
        if body.messages is not None:
            ids = await service.prompted(body.asked(), _ids_of)
        else:
            ids = await service.using(body.model, partial(_ids_of_text, body))
        n_ctx = await service.using(body.model, _window_of)
        tokens: list[int] | list[Piece] = ids
        if body.with_pieces:
            tokens = await service.using(body.model, partial(_pieces, ids))
        return {"count": len(ids), "max_model_len": n_ctx, "tokens": tokens}

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Content:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        return {"content": await service.using(body.model, lambda llm: llm.detokenize(body.tokens))}

    @router.post("/apply-template")
    async def apply_template(body: TemplateRequest) -> Prompt:
        """The text that a conversation comes to, tools and the beginning of the answer included."""
        return {"prompt": await service.prompted(body.asked(), _text_of)}

    @router.get("/props")
    async def props(model: str | None = None) -> Props:
        """A model, its window and its template."""
        name = service.model_id(model)

        def look(llm: ServedModel) -> Props:
            return {
                "model_alias": name,
                "model_path": name,
                "default_generation_settings": {
                    "n_ctx": llm.target_ctx,
                    "params": dict(llm.sampling_defaults),
                },
                "total_slots": _n_slots(service),
                "chat_template": llm.chat_template,
                "modalities": {"vision": False, "audio": False},
                "build_info": f"longctx {__version__}",
            }

        return await service.using(model, look)

    @router.post("/v1/models/load")
    async def load_model(body: ModelRequest) -> Done:
        """Open one of several models, or find it open."""
        service.check_model(body.model, service.models.names, is_strict=True)
        await service.using(body.model, lambda _: None)
        return {"success": True}

    @router.post("/v1/models/unload")
    async def unload_model(body: ModelRequest) -> Done:
        """Close one of several models, if it is open and nobody uses it."""
        service.check_model(body.model, service.models.names, is_strict=True)
        if not await service.models.unload(body.model):
            raise ApiError(
                400,
                f"the model {body.model!r:.100} cannot be closed: it is not open, or it answers, "
                "or it is the only one and open as long as the server runs",
                code="invalid_value",
                param="model",
            )
        return {"success": True}

    @router.get("/slots")
    async def slots(model: str | None = None) -> list[Slot]:
        """Which answers are under way."""
        n_busy, n_ctx = len(service.worker), await service.using(model, _window_of)
        return [
            {"id": i, "n_ctx": n_ctx, "is_processing": i < n_busy} for i in range(_n_slots(service))
        ]

    return router


def _ids_of_text(body: TokenizeRequest, llm: ServedModel) -> list[int]:
    text = body.content or ""
    return llm.prompt_ids(text) if body.add_special else llm.tokenize(text)


def _pieces(ids: list[int], llm: ServedModel) -> list[Piece]:
    texts = {token: llm.detokenize([token]) for token in set(ids)}
    return [{"id": token, "piece": texts[token]} for token in ids]


def _window_of(llm: ServedModel) -> int:
    return llm.target_ctx


def _text_of(prompt: ServedPrompt) -> str:
    return prompt.text  # another server may be asked for it


def _ids_of(prompt: ServedPrompt) -> list[int]:
    return list(prompt.ids)


def _n_slots(service: Service) -> int:
    return service.settings.max_waiting + 1
