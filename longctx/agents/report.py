"""An agent's runs as one page: what each prefilled, called, recalled and compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2

from longctx.agents.context import AgentContext
from longctx.agents.events import (
    CacheLost,
    Compacted,
    Recalled,
    ServerChanged,
    StepEvent,
    ToolResult,
    ToolsChanged,
)
from longctx.errors import RequestError
from longctx.files import write_whole
from longctx.types import Completion, ToolCall, Usage

_WORDS = 300  # of a text on the page


@dataclass(frozen=True)
class TurnRecord:
    """One run, as far as the page shows it.

    Attributes:
        turn: its number, from 1.
        said: the user's words.
        answer: the model's, or why there is none.
        usage: of all its steps.
        n_ctx: the window after it; 0 where no step was made.
        seconds: from the user's words to the end of the answer.
        notes: what was called, recalled, compacted and lost, in order.
        prepared: what :meth:`~longctx.agents.Agent.prepare` did before it.
    """

    turn: int
    said: str
    answer: str
    usage: Usage
    n_ctx: int
    seconds: float
    notes: tuple[str, ...]
    prepared: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        turn: int,
        said: str,
        answer: str,
        *,
        steps: Sequence[Completion],
        events: Sequence[StepEvent],
        seconds: float,
        prepared: Sequence[Compacted] = (),
    ) -> TurnRecord:
        """What is to be shown of a run."""
        return cls(
            turn=turn,
            said=_short(said),
            answer=_short(answer),
            usage=sum((step.usage for step in steps), Usage()),
            n_ctx=steps[-1].window.n_ctx if steps else 0,
            seconds=seconds,
            notes=tuple(note for event in events if (note := _note(event))),
            prepared=tuple(_note(entry) for entry in prepared),
        )


def page(records: Sequence[TurnRecord], context: AgentContext) -> str:
    """One page of HTML, which loads nothing from elsewhere and runs no script."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        files("longctx.agents").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        records=records,
        context=context,
        total=sum((record.usage for record in records), Usage()),
        seconds=sum(record.seconds for record in records),
        most=max((record.usage.prompt_tokens for record in records), default=1) or 1,
    )


def write(path: Path, text: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        RequestError: it is no .html, or cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"a report is a page, but {path.name!r} is no .html; name it so")
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise RequestError(f"the report cannot be written to {path}: {error}") from error


def _note(event: object) -> str:
    match event:
        case ToolCall():
            return f"called {event.name}({_short(str(event.arguments))})"
        case ToolResult(is_error=True):
            return f"{event.name} failed: {_short(event.text)}"
        case ToolResult():
            return f"{event.name} returned {len(event.text):,} characters: {_short(event.text)}"
        case Recalled():
            turns = ", ".join(map(str, event.turns))
            return f"recalled of turn {turns}, {event.tokens} tokens: {_short(event.text)}"
        case Compacted():
            before, after = event.tokens_before, event.tokens_after
            return f"{event.policy}: {before:,} → {after:,} tokens ({event.detail})"
        case ToolsChanged() | ServerChanged():
            return str(event)
        case CacheLost():
            return f"cache lost, {event.cached_tokens:,} of {event.expected_tokens:,} tokens found"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= _WORDS else f"{text[: _WORDS - 1]}…"
