"""What an agent is set up with, besides its model, tools, system prompt and policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from typing_extensions import TypedDict

from longctx.search.embedders import EmbedderLike
from longctx.types import ToolCall

Background: TypeAlias = Callable[[str], str]
Confirm: TypeAlias = Callable[[ToolCall], bool | str]


class AgentSettings(TypedDict, total=False):
    """The arguments of :class:`~longctx.agents.Agent` by these names."""

    max_steps: int
    tool_timeout_s: float | None
    background: Background | None
    read_back: bool
    embedder: EmbedderLike
    prepares: bool
    temperature: float | None
    agent_name: str
    confirm: Confirm | None
    call_log: str | Path | None
    tracer: Any
