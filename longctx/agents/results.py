"""What came of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from longctx.agents.cancelling import RunStopped
from longctx.agents.events import AgentResult, Done, Event, StepEvent
from longctx.agents.loop import Run
from longctx.errors import BackendError
from longctx.types import Usage


def last_result(events: Iterator[Event]) -> AgentResult:
    """Read a run to its end."""
    return next(event.result for event in events if isinstance(event, Done))


def result_of(run: Run, events: Sequence[StepEvent]) -> AgentResult:
    """Sum up a run that came to its end.

    Raises:
        BackendError: the answer is no JSON, though a schema was asked for.
    """
    last = run.conversation.transcript[-1]
    text = last.content if last.role == "assistant" and not last.tool_calls else ""
    by_schema = run.options.get("response_schema") is not None and run.stop_reason == "answer"
    return AgentResult(
        text=text,
        reasoning=last.reasoning if last.role == "assistant" else "",
        stop_reason=run.stop_reason,
        detail=run.detail,
        steps=tuple(run.steps),
        usage=run.usage,
        events=tuple(events),
        value=_parsed(text) if by_schema and run.steps else None,
    )


def stopped_result(run: Run, events: Sequence[StepEvent], stopped: RunStopped) -> AgentResult:
    """Sum up a run that was ended in the middle."""
    again = "" if run.limits.dry_run else "; resume() goes on with it"
    return AgentResult(
        text="",
        stop_reason=stopped.reason,
        detail=f"{stopped.detail}{again}",
        steps=tuple(run.steps),
        usage=run.usage,
        events=tuple(events),
    )


def unbegun_result(stopped: RunStopped) -> AgentResult:
    """Of a run that was ended while it waited for another one of the same agent."""
    return AgentResult(
        text="",
        stop_reason=stopped.reason,
        detail=f"{stopped.detail} while it waited for another, and did nothing; ask again",
        steps=(),
        usage=Usage(),
        events=(),
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BackendError(
            f"the model did not hold its answer to response_schema ({error}): {text[:80]!r}"
        ) from error
