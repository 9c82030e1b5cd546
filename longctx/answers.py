"""What stands between a request and its completion: the grammar before, the result after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longctx import arguments
from longctx._native import Model, biased_tokens, check_grammar, json_schema_to_grammar
from longctx.chat import CallFormat, check_tools, tool_grammar
from longctx.engine import GenerationSettings, Outcome
from longctx.errors import RequestError, ToolError
from longctx.options import AnswerOptions, ToolChoice
from longctx.planner import ContextPlan
from longctx.sampling import Sampling
from longctx.types import Completion, Message, ToolCall, ToolSchema


def answer_grammar(
    tools: Sequence[ToolSchema] | None,
    tool_choice: ToolChoice,
    response_schema: Any,
    call_format: CallFormat = "json",
) -> str | None:
    """The GBNF grammar that holds an answer to its tools or its schema; None leaves it free.

    Raises:
        ToolError: a tool is malformed, ``tool_choice`` asks for one that is not there, or tools
            and a schema are both asked of one answer.
        RequestError: the schema is no JSON schema, or makes no grammar.
    """
    if response_schema is None:
        return tool_grammar(tools or (), tool_choice, call_format=call_format)
    arguments.tool_choice(tool_choice, tool_names(tools or ()))
    if tools and tool_choice != "none":
        raise ToolError(
            "one answer cannot be both a tool call and held to response_schema; pass "
            "tool_choice='none' with the schema, or leave one of them out"
        )
    return json_schema_to_grammar(arguments.json_schema(response_schema))


def tool_names(tools: Sequence[ToolSchema]) -> tuple[str, ...]:
    """The names that a call may have."""
    return tuple(tool["function"]["name"] for tool in check_tools(tools))


def settings_of(
    options: AnswerOptions, plan: ContextPlan, seed: int | None, grammar: str | None, model: Model
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the room for an answer where the call says nothing.
        seed: of the model, where the call has none.
        grammar: that the answer is held to.
        model: whose tokens the grammar and the bias are of.

    Raises:
        RequestError: a setting is out of its range, llama.cpp refuses the grammar, or the
            bias is of a token that there is not.
    """
    max_tokens, sampling = options.get("max_tokens"), Sampling.of(options)
    if sampling.seed is None:
        sampling = replace(sampling, seed=seed)
    if max_tokens is None and not plan.reserve_output:
        raise RequestError("reserve_output is 0, so each call must say its max_tokens")
    settings = GenerationSettings(
        max_tokens=arguments.max_tokens(plan.reserve_output if max_tokens is None else max_tokens),
        sampling=replace(sampling, logit_bias=biased_tokens(model, sampling.logit_bias)),
        stop=arguments.stop_strings(options.get("stop")),
        stop_on_repetition=arguments.stop_on_repetition(options.get("stop_on_repetition")),
        grammar=grammar,
        top_logprobs=arguments.top_logprobs(options.get("top_logprobs")),
        prompt_lookup=arguments.prompt_lookup(options.get("prompt_lookup")),
    )
    if grammar is not None:
        check_grammar(model, grammar)
    return settings


def completion_of(outcome: Outcome, text: str, calls: tuple[ToolCall, ...]) -> Completion:
    """Build the completion that the caller gets."""
    return Completion(
        text=text,
        message=Message(role="assistant", content=text, tool_calls=calls),
        finish_reason="tool_calls" if calls else outcome.finish_reason,
        finish_detail=outcome.finish_detail,
        usage=outcome.usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )
