"""A run of an agent in the terminal: its words, its calls, and what must be allowed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from longctx.cli.output import Thoughts, out, show_cost

if TYPE_CHECKING:
    from longctx.agents import ConfirmCall, Event

# Tools' words, which a terminal would obey.
_ESCAPES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show_run(events: Iterable[Event]) -> None:
    """Print a run as it comes, and what it cost; ask for the calls that somebody must allow."""
    from longctx.agents import (
        CacheLost,
        Compacted,
        ConfirmCall,
        Done,
        ReasoningDelta,
        Recalled,
        TextDelta,
        ToolCall,
        ToolProgress,
        ToolResult,
    )

    said, thoughts = False, Thoughts()
    for event in events:
        if not isinstance(event, ReasoningDelta):
            thoughts.end()
        if isinstance(event, TextDelta):
            out.print(event.text, end="", markup=False, soft_wrap=True)
            out.file.flush()
            said = True
            continue
        if said:
            out.print()
            said = False
        if isinstance(event, ReasoningDelta):
            thoughts.show(event.text)
        elif isinstance(event, ToolCall):
            _note(f"→ {event.name} {event.arguments}")
        elif isinstance(event, ConfirmCall):
            _confirm(event)
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
        elif isinstance(event, CacheLost):
            _note(f"prefilled again: {event.reason}")
        elif isinstance(event, Done):
            for step in event.result.steps[-1:]:
                show_cost(step)
            if event.result.detail:
                _note(event.result.detail)


def _confirm(asked: ConfirmCall) -> None:
    """Let the user say whether a call is made; who pipes lines in, and cannot be asked, says no."""
    if not sys.stdin.isatty():
        asked.deny("nobody is there to allow it")
        return
    try:
        said = input(f"call {asked.call.name}? [y/N, or why not] ").strip()
    except EOFError:
        said = ""
    if said.lower() in ("y", "yes"):
        asked.allow()
    elif said.lower() not in ("", "n", "no"):
        asked.deny(said)
    else:
        asked.deny()


def _note(text: str) -> None:
    text = _ESCAPES.sub("\ufffd", text)
    out.print(text, markup=False, style="dim", soft_wrap=True)
