"""Where an agent's window stands."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.agents.events import Compacted
from longctx.agents.policies import Transcript
from longctx.protocols import ChatModel
from longctx.types import Frozen, Message, ToolSchema, WindowReport


class AgentContext(Frozen):
    """Tokens by section, and the window that holds them.

    ``sections`` has ``"system"`` (the prompt's text), ``"tools"`` and ``"conversation"`` (the
    rest, with the template's turn markers); they add up to ``total_tokens``, which is exactly
    what the next step would prefill with an empty cache. ``n_ctx``, ``scale`` and ``method``
    are the window's as of the last completion (before the first: None, 1.0, ``"none"``).
    """

    sections: dict[str, int]
    total_tokens: int
    free_tokens: int
    target_ctx: int
    n_ctx: int | None
    scale: float
    method: str
    compacted: tuple[Compacted, ...] = ()

    def __str__(self) -> str:
        rows = [*self.sections.items(), ("total", self.total_tokens), ("free", self.free_tokens)]
        lines = [f"{name:<13}{tokens:>9,}" for name, tokens in rows]
        window = "not opened yet" if self.n_ctx is None else f"{self.n_ctx:,} tokens"
        lines.append(f"window {window} of {self.target_ctx:,}, {self.method}, s = {self.scale:g}")
        return "\n".join(lines)


def measure(
    llm: ChatModel,
    shown: Transcript,
    tools: Sequence[ToolSchema],
    window: WindowReport | None,
) -> AgentContext:
    """Count what the model is shown, exactly."""
    system = shown[0].content if shown and shown[0].role == "system" else ""
    # Many templates refuse a conversation without a turn; an empty one stands in.
    has_turn = len(shown) > bool(system)
    messages = shown if has_turn else (*shown, Message(role="user"))
    total = llm.count(messages, tools or None)
    sections = {
        "system": llm.count(system) if system else 0,
        "tools": total - llm.count(messages) if tools else 0,
    }
    sections["conversation"] = total - sum(sections.values())
    return AgentContext(
        sections=sections,
        total_tokens=total,
        free_tokens=llm.target_ctx - total,
        target_ctx=llm.target_ctx,
        n_ctx=window.n_ctx if window else None,
        scale=window.scale if window else 1.0,
        method=window.method if window else "none",
    )
