"""Answers of servers that cannot run here, as their sources and documentation show them."""

from __future__ import annotations

import json
from typing import Any

import httpx

HI: Any = [{"role": "user", "content": "Hi"}]
Routes = dict[str, Any]


def models(owned_by: str, **fields: Any) -> dict[str, Any]:
    """The list of a server with one model."""
    entry = {"id": "org/model", "object": "model", "owned_by": owned_by, **fields}
    return {"object": "list", "data": [entry]}


def stream(*chunks: dict[str, Any] | str) -> httpx.Response:
    """Server-sent events; text as it is."""
    lines = [c if isinstance(c, str) else f"data: {json.dumps(c)}" for c in chunks]
    return httpx.Response(200, text="\n\n".join([*lines, "data: [DONE]", ""]))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


LLAMA_SERVER: Routes = {
    "/v1/models": models("llamacpp", meta={"n_ctx_train": 8192}),
    "/props": {"default_generation_settings": {"n_ctx": 64}, "total_slots": 1},
    "/apply-template": lambda body: {"prompt": "<|im_start|>" + body["messages"][0]["content"]},
}
