"""What our own documents say beside an answer, whatever the protocol."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from longctx.types import Completion, FinishDetail


class Report(TypedDict):
    """What happened to the window, the seconds each phase took, whether the answer was cut because
    it repeated itself, and which string of ``stop`` ended it."""

    window: dict[str, Any]
    timings: dict[str, float]
    finish_detail: FinishDetail | None
    stop_sequence: str | None


def report(result: Completion) -> Report:
    """That of an answer."""
    return {
        "window": result.window.model_dump(),
        "timings": result.timings.model_dump(),
        "finish_detail": result.finish_detail,
        "stop_sequence": result.stop_sequence,
    }
