"""Tokens, templates and properties in the shapes of llama-server."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request

from longctx import __version__
from longctx.server.asked import Asked
from longctx.server.errors import ApiError
from longctx.server.llama.documents import Content, Done, Piece, Prompt, Props, Slot, Tokens
from longctx.server.llama.requests import (
    DetokenizeRequest,
    ModelRequest,
    TemplateRequest,
    TokenizeRequest,
)
from longctx.server.served import ServedModel, ServedPrompt
from longctx.server.service import Service, prompt_of


def llama_routes(service: Service) -> APIRouter:
    """Routes that write nothing."""
    router = APIRouter()

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest, request: Request) -> Tokens:
        """Token ids of plain text, or of a conversation as a chat would prefill it."""
        asked = body.asked() if body.messages is not None else None
        return await service.using(request, body.model, partial(_tokens, body, asked))

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest, request: Request) -> Content:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""

        def look(llm: ServedModel) -> str:
            return llm.detokenize(body.tokens)

        return {"content": await service.using(request, body.model, look)}

    @router.post("/apply-template")
    async def apply_template(body: TemplateRequest, request: Request) -> Prompt:
        """The text that a conversation comes to, tools and the beginning of the answer included."""
        return {"prompt": await service.prompted(request, body.asked(), _text_of)}

    @router.get("/props")
    async def props(request: Request, model: str | None = None) -> Props:
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

        return await service.using(request, model, look)

    @router.post("/v1/models/load")
    async def load_model(body: ModelRequest, request: Request) -> Done:
        """Open one of several models, or find it open."""
        service.check_model(body.model, service.models.names, is_strict=True)
        await service.using(request, body.model, lambda _: None)
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
    async def slots(request: Request, model: str | None = None) -> list[Slot]:
        """Which answers are under way."""
        n_ctx = await service.using(request, model, lambda llm: llm.target_ctx)
        n_busy = len(service.worker)
        return [
            {"id": i, "n_ctx": n_ctx, "is_processing": i < n_busy} for i in range(_n_slots(service))
        ]

    return router


def _tokens(body: TokenizeRequest, asked: Asked | None, llm: ServedModel) -> Tokens:
    if asked is not None:
        ids = list(prompt_of(llm, asked).ids)
    else:
        text = body.content or ""
        ids = llm.prompt_ids(text) if body.add_special else llm.tokenize(text)
    tokens: list[int] | list[Piece] = _pieces(ids, llm) if body.with_pieces else ids
    return {"count": len(ids), "max_model_len": llm.target_ctx, "tokens": tokens}


def _pieces(ids: list[int], llm: ServedModel) -> list[Piece]:
    texts = {token: llm.detokenize([token]) for token in set(ids)}
    return [{"id": token, "piece": texts[token]} for token in ids]


def _text_of(prompt: ServedPrompt) -> str:
    return prompt.text  # another server may be asked for it


def _n_slots(service: Service) -> int:
    return service.settings.max_waiting + 1
