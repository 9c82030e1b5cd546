"""What stands between a request and its completion: the settings before, the result after."""

from __future__ import annotations

from dataclasses import replace

from longctx import arguments
from longctx._native import Model, biased_tokens
from longctx.chat import Expected, Hearing
from longctx.engine import GenerationSettings, Outcome
from longctx.errors import RequestError
from longctx.options import AnswerOptions
from longctx.planner import ContextPlan
from longctx.sampling import Sampling
from longctx.types import Completion, Message


def settings_of(
    options: AnswerOptions, plan: ContextPlan, seed: int | None, expected: Expected, model: Model
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the room for an answer where the call says nothing.
        seed: of the model, where the call has none.
        expected: what the answer is held to.
        model: whose tokens the bias is of.

    Raises:
        RequestError: a setting is out of its range, or the bias is of a token that there is not.
    """
    max_tokens, sampling = options.get("max_tokens"), Sampling.of(options)
    if sampling.seed is None:
        sampling = replace(sampling, seed=seed)
    if max_tokens is None and not plan.reserve_output:
        raise RequestError("reserve_output is 0, so each call must say its max_tokens")
    return GenerationSettings(
        max_tokens=arguments.max_tokens(plan.reserve_output if max_tokens is None else max_tokens),
        sampling=replace(sampling, logit_bias=biased_tokens(model, sampling.logit_bias)),
        stop=arguments.stop_strings(options.get("stop")),
        stop_on_repetition=arguments.stop_on_repetition(options.get("stop_on_repetition")),
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
        finish_detail=outcome.finish_detail,
        stop_sequence=outcome.stop_sequence,
        usage=usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )
