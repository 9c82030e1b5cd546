"""Tokens, templates and properties in the shapes of llama-server."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from longctx import __version__
from longctx.server.llama.documents import Content, Prompt, Props, Slot, Tokens
from longctx.server.llama.requests import DetokenizeRequest, TemplateRequest, TokenizeRequest
from longctx.server.served import ServedPrompt
from longctx.server.service import Service


def llama_routes(service: Service) -> APIRouter:
    """Routes that run no model."""
    router = APIRouter()
    llm = service.llm

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> Tokens:
        """Token ids of plain text, or of a conversation as a chat would prefill it."""
        if body.messages is None:
            service.check_model(body.model)
            ids = await asyncio.to_thread(llm.tokenize, body.content or "")
        else:
            ids = await asyncio.to_thread(_ids_of, await service.prompt(body.asked()))
        return {"count": len(ids), "max_model_len": llm.target_ctx, "tokens": ids}

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Content:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        service.check_model(body.model)
        return {"content": await asyncio.to_thread(llm.detokenize, body.tokens)}

    @router.post("/apply-template")
    async def apply_template(body: TemplateRequest) -> Prompt:
        """The text that a conversation comes to, tools and the beginning of the answer included."""
        return {"prompt": await asyncio.to_thread(_text_of, await service.prompt(body.asked()))}

    @router.get("/props")
    async def props() -> Props:
        """The model, its window and its template."""
        return {
            "model_alias": service.model_id,
            "model_path": service.model_id,
            "default_generation_settings": {
                "n_ctx": llm.target_ctx,
                "params": dict(llm.sampling_defaults),
            },
            "total_slots": _n_slots(service),
            "chat_template": llm.chat_template,
            "modalities": {"vision": False, "audio": False},
            "build_info": f"longctx {__version__}",
        }

    @router.get("/slots")
    async def slots() -> list[Slot]:
        """Which answers are under way."""
        n_busy = len(service.worker)
        return [
            {"id": i, "n_ctx": llm.target_ctx, "is_processing": i < n_busy}
            for i in range(_n_slots(service))
        ]

    return router


def _text_of(prompt: ServedPrompt) -> str:
    return prompt.text  # another server may be asked for it


def _ids_of(prompt: ServedPrompt) -> list[int]:
    return list(prompt.ids)


def _n_slots(service: Service) -> int:
    return service.settings.max_waiting + 1
