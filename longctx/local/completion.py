"""The completion that a caller gets of what was written."""

from __future__ import annotations

from longctx.chat import Hearing
from longctx.engine import Outcome
from longctx.types import Completion, Message


def completion_of(outcome: Outcome, hearing: Hearing | None) -> Completion:
    """Build the completion that the caller gets.

    Args:
        outcome: what was written.
        hearing: what read it; None takes its text as it is.
    """
    if hearing is None:
        message, usage = Message(role="assistant", content=outcome.text), outcome.usage
    else:
        message = hearing.message
        usage = outcome.usage.model_copy(update={"reasoning_tokens": hearing.n_reasoning})
    calls = message.tool_calls
    return Completion(
        text=message.content,
        message=message,
        finish_reason="tool_calls" if calls else outcome.finish_reason,
        finish_detail=outcome.finish_detail,
        stop_sequence=outcome.stop_sequence,
        usage=usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )
