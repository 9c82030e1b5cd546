"""Where an agent's window stands."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.agents.conversation import Conversation
from longctx.agents.events import Compacted
from longctx.agents.view import as_shown
from longctx.protocols import ChatModel
from longctx.types import Frozen, Message, ToolSchema, WindowReport


class AgentContext(Frozen):
    """Tokens by section, the window that holds them, and what no longer stands in it.

    ``sections`` has ``"system"`` (the prompt's text), ``"tools"``, ``"summary"`` (its text),
    ``"results"`` (what tools returned, as far as shown) and ``"conversation"`` (the rest, with what
    the template puts around messages); they add up to ``total_tokens``, which is exactly what the
    next step would prefill with an empty cache. ``n_ctx``, ``scale`` and ``method`` are those of
    the window as of the last completion (before the first: None, 1.0, ``"none"``). ``messages``
    counts the transcript, ``shown_messages`` what of it the model sees; ``states`` counts the
    results that are ``clamped``, ``superseded`` or ``cleared``, and the user's words that passages
    were put beside (``recalled``); ``compacted`` is what policies did,
    in order.
    """

    sections: dict[str, int]
    total_tokens: int
    free_tokens: int
    target_ctx: int
    n_ctx: int | None
    scale: float
    method: str
    messages: int
    shown_messages: int
    states: dict[str, int]
    compacted: tuple[Compacted, ...] = ()

    def __str__(self) -> str:
        rows = [*self.sections.items(), ("total", self.total_tokens), ("free", self.free_tokens)]
        lines = [f"{name:<13}{tokens:>9,}" for name, tokens in rows]
        window = "not opened yet" if self.n_ctx is None else f"{self.n_ctx:,} tokens"
        lines.append(f"window {window} of {self.target_ctx:,}, {self.method}, s = {self.scale:g}")
        changed = "".join(f", {n} results {state}" for state, n in self.states.items())
        lines.append(f"{self.shown_messages} of {self.messages} messages shown{changed}")
        lines += [
            f"{c.policy}: {c.tokens_before:,} → {c.tokens_after:,} tokens ({c.detail})"
            for c in self.compacted[-3:]
        ]
        return "\n".join(lines)


def measure(
    llm: ChatModel,
    conversation: Conversation,
    tools: Sequence[ToolSchema],
    window: WindowReport | None,
) -> AgentContext:
    """Count what the model is shown, exactly."""
    messages = as_shown(conversation.transcript, conversation.shown)
    system = messages[0].content if messages and messages[0].role == "system" else ""
    summaries = [s for s in conversation.shown if s.state == "summary" and s.role == "user"]
    # Many templates refuse a conversation without a message of the user's; an empty one stands in.
    has_turn = len(messages) > bool(system)
    counted = messages if has_turn else (*messages, Message(role="user"))
    total = llm.count(counted, tools or None)
    silent = [m.model_copy(update={"content": ""}) if m.role == "tool" else m for m in counted]
    sections = {
        "system": llm.count(system) if system else 0,
        "tools": total - llm.count(counted) if tools else 0,
        "summary": sum(llm.count(summary.content or "") for summary in summaries),
        "results": total - llm.count(silent, tools or None),
    }
    sections["conversation"] = total - sum(sections.values())
    states = [s.state for s in conversation.shown]
    return AgentContext(
        sections=sections,
        total_tokens=total,
        free_tokens=llm.target_ctx - total,
        target_ctx=llm.target_ctx,
        n_ctx=window.n_ctx if window else None,
        scale=window.scale if window else 1.0,
        method=window.method if window else "none",
        messages=len(conversation.transcript),
        shown_messages=sum(s.index is not None for s in conversation.shown),
        states={
            state: states.count(state)
            for state in ("clamped", "superseded", "cleared", "recalled")
            if state in states
        },
        compacted=conversation.compacted,
    )
