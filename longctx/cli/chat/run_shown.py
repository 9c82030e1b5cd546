"""A run of an agent in the terminal: its words, its calls, and what must be allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from longctx.cli.chat.server_question import answer_server
from longctx.cli.chat.words import Words
from longctx.cli.output import Thoughts, out, show_cost
from longctx.cli.streams import inert

if TYPE_CHECKING:
    from longctx.agents import ConfirmCall, Event


def show_run(events: Iterable[Event], words: Words, ask: Callable[[str], str | None]) -> None:
    """Print a run as it comes, and what it cost; ask for the calls that somebody must allow, and
    what servers want to know.

    Args:
        events: of the run.
        words: shows the model's text.
        ask: asks the user; None is what nobody said.
    """
    thoughts = Thoughts()
    try:
        for event in events:
            _show(event, words, thoughts, ask)
    finally:
        thoughts.end()
        words.end()


def _show(event: Event, words: Words, thoughts: Thoughts, ask: Callable[[str], str | None]) -> None:
    from longctx.agents import (
        CacheLost,
        Compacted,
        ConfirmCall,
        Done,
        ReasoningDelta,
        Recalled,
        ServerAsks,
        ServerChanged,
        TextDelta,
        ToolCall,
        ToolProgress,
        ToolResult,
        ToolsChanged,
        WindowGrown,
        WindowShrunk,
    )

    if isinstance(event, WindowGrown | WindowShrunk):
        return  # the line of the cost says so
    if not isinstance(event, ReasoningDelta):
        thoughts.end()
    if isinstance(event, TextDelta):
        words.add(event.text)
        return
    words.end()
    if isinstance(event, ReasoningDelta):
        thoughts.show(event.text)
    elif isinstance(event, ToolCall):
        _note(f"→ {event.name} {event.arguments}")
    elif isinstance(event, ConfirmCall):
        _confirm(event, ask)
    elif isinstance(event, ServerAsks):
        answer_server(event, ask)
    elif isinstance(event, ToolProgress):
        of = f" of {event.total:g}" if event.total else ""
        _note(f"… {event.name}: {event.done:g}{of} {event.message}")
    elif isinstance(event, ToolResult):
        _note(f"← {event.text[:200]}")
    elif isinstance(event, Compacted):
        tokens = f"{event.tokens_before:,} → {event.tokens_after:,} tokens"
        _note(f"{event.policy}: {tokens} ({event.detail})")
    elif isinstance(event, Recalled):
        _note(event.text)
    elif isinstance(event, ToolsChanged | ServerChanged):
        _note(str(event))
    elif isinstance(event, CacheLost):
        _note(f"prefilled again: {event.reason}")
    elif isinstance(event, Done):
        for step in event.result.steps[-1:]:
            show_cost(step)
        if event.result.detail:
            _note(event.result.detail)


def _confirm(asked: ConfirmCall, ask: Callable[[str], str | None]) -> None:
    """Let the user say whether a call is made; where nobody can be asked, it is not."""
    try:
        answer = ask(f"call {asked.call.name}? [y/N, or why not] ")
    except EOFError:
        answer = ""
    if answer is None:
        asked.deny("nobody is there to allow it")
        return
    said = answer.strip()
    if said.lower() in ("y", "yes"):
        asked.allow()
    elif said.lower() not in ("", "n", "no"):
        asked.deny(said)
    else:
        asked.deny()


def _note(text: str) -> None:
    out.print(inert(text), markup=False, style="dim", soft_wrap=True)
