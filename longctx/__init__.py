"""longctx: give local GGUF models the context window you ask for.

>>> from longctx import LongContextLLM
>>> llm = LongContextLLM("model.gguf", target_ctx=32_768)      # doctest: +SKIP
>>> print(llm.chat([{"role": "user", "content": "Hello!"}]).text)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longctx.devices import DeviceOptions
    from longctx.errors import (
        BackendError,
        ContextOverflowError,
        DocumentError,
        LongCtxError,
        MissingExtraError,
        ModelFileError,
        PlanError,
        RemoteError,
        RequestError,
        SnapshotMismatchError,
        TemplateError,
        ToolError,
        UnsupportedModelError,
    )
    from longctx.export import Export, export_plan
    from longctx.llm import LongContextLLM
    from longctx.model_info import ModelInfo
    from longctx.models import find_model
    from longctx.packaged_model import demo_model
    from longctx.planner import ContextPlan, plan_context
    from longctx.remote import RemoteLLM, connect
    from longctx.rope import RopeConfig
    from longctx.types import Chunk, Completion, Message, Progress, ToolCall, Usage

__version__ = "0.2.0"

# Names load when first used: `longctx --help` does not wait for llama.cpp.
_HOMES = {
    "DeviceOptions": "longctx.devices",
    "demo_model": "longctx.packaged_model",
    "Export": "longctx.export",
    "export_plan": "longctx.export",
    "LongContextLLM": "longctx.llm",
    "ModelInfo": "longctx.model_info",
    "find_model": "longctx.models",
    "ContextPlan": "longctx.planner",
    "plan_context": "longctx.planner",
    "RemoteLLM": "longctx.remote",
    "connect": "longctx.remote",
    "RopeConfig": "longctx.rope",
    **dict.fromkeys(
        ("Chunk", "Completion", "Message", "Progress", "ToolCall", "Usage"), "longctx.types"
    ),
    **dict.fromkeys(
        (
            "BackendError",
            "ContextOverflowError",
            "DocumentError",
            "LongCtxError",
            "MissingExtraError",
            "ModelFileError",
            "PlanError",
            "RemoteError",
            "RequestError",
            "SnapshotMismatchError",
            "TemplateError",
            "ToolError",
            "UnsupportedModelError",
        ),
        "longctx.errors",
    ),
}

__all__ = [
    "BackendError",
    "Chunk",
    "Completion",
    "ContextOverflowError",
    "ContextPlan",
    "DeviceOptions",
    "DocumentError",
    "Export",
    "LongContextLLM",
    "LongCtxError",
    "Message",
    "MissingExtraError",
    "ModelFileError",
    "ModelInfo",
    "PlanError",
    "Progress",
    "RemoteError",
    "RemoteLLM",
    "RequestError",
    "RopeConfig",
    "SnapshotMismatchError",
    "TemplateError",
    "ToolCall",
    "ToolError",
    "UnsupportedModelError",
    "Usage",
    "connect",
    "demo_model",
    "export_plan",
    "find_model",
    "plan_context",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longctx' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
