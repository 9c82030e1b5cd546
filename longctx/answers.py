"""What stands between a request and its completion: the settings before, the result after."""

from __future__ import annotations

from longctx import arguments
from longctx.chat import Expected, Hearing
from longctx.engine import GenerationSettings, Outcome
from longctx.errors import RequestError
from longctx.options import AnswerOptions
from longctx.planner import ContextPlan
from longctx.types import Completion, Message


def settings_of(
    options: AnswerOptions, plan: ContextPlan, seed: int | None, expected: Expected
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the room for an answer where the call says nothing.
        seed: of the model, where the call has none.
        expected: what the answer is held to.

    Raises:
        RequestError: a setting is out of its range.
    """
    max_tokens, own_seed = options.get("max_tokens"), options.get("seed")
    if max_tokens is None and not plan.reserve_output:
        raise RequestError("reserve_output is 0, so each call must say its max_tokens")
    return GenerationSettings(
        max_tokens=arguments.max_tokens(plan.reserve_output if max_tokens is None else max_tokens),
        temperature=arguments.temperature(options.get("temperature")),
        top_p=arguments.top_p(options.get("top_p")),
        seed=seed if own_seed is None else arguments.seed(own_seed),
        stop=arguments.stop_strings(options.get("stop")),
        guide=expected.guide,
        top_logprobs=arguments.top_logprobs(options.get("top_logprobs")),
        prompt_lookup=arguments.prompt_lookup(options.get("prompt_lookup")),
    )


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
        usage=usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )
