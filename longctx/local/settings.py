"""The settings that a call's options come to."""

from __future__ import annotations

from dataclasses import replace

from longctx import arguments
from longctx._native import Model, biased_tokens
from longctx.chat import EncodedPrompt, Expected
from longctx.engine import GenerationSettings
from longctx.options import AnswerOptions
from longctx.planner import ContextPlan
from longctx.sampling import Sampling


def settings_of(
    options: AnswerOptions,
    plan: ContextPlan,
    prompt: EncodedPrompt,
    seed: int | None,
    expected: Expected,
    model: Model,
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the window that bounds the answer.
        prompt: that is answered.
        seed: of the model, where the call has none.
        expected: what the answer is held to.
        model: whose tokens the bias is of.

    Raises:
        RequestError: a setting is out of its range, or the bias is of a token that there is not.
        ContextOverflowError: prompt and answer do not fit the window.
    """
    max_tokens, sampling = arguments.max_tokens(options.get("max_tokens")), Sampling.of(options)
    if sampling.seed is None:
        sampling = replace(sampling, seed=seed)
    settings = GenerationSettings(
        max_tokens=plan.room_behind(prompt.n_tokens) if max_tokens is None else max_tokens,
        sampling=replace(sampling, logit_bias=biased_tokens(model, sampling.logit_bias)),
        stop=arguments.stop_strings(options.get("stop")),
        stop_on_repetition=arguments.stop_on_repetition(options.get("stop_on_repetition")),
        guide=expected.guide,
        top_logprobs=arguments.top_logprobs(options.get("top_logprobs")),
        prompt_lookup=arguments.prompt_lookup(options.get("prompt_lookup")),
        n_expected=plan.reserve_output if max_tokens is None else None,
    )
    if not plan.is_endless:
        plan.check_answer(prompt.n_tokens, max_tokens, n_added=prompt.n_added)
    return settings
