"""What stands between a request and its completion: the grammar before, the result after."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from longctx import arguments
from longctx.chat import CallFormat, check_tools, tool_grammar
from longctx.engine import GenerationSettings, Outcome
from longctx.errors import RequestError, ToolError
from longctx.grammar import Grammar, json_grammar
from longctx.options import AnswerOptions, ToolChoice
from longctx.planner import ContextPlan
from longctx.types import Completion, Message, ToolCall, ToolSchema

logger = logging.getLogger("longctx")


def answer_grammar(
    tools: Sequence[ToolSchema] | None,
    tool_choice: ToolChoice,
    response_schema: Any,
    call_format: CallFormat = "json",
) -> Grammar | None:
    """The grammar that holds an answer to its tools or its schema; None leaves it free.

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
    grammar = json_grammar(arguments.json_schema(response_schema))
    for warning in grammar.warnings:
        logger.warning("response_schema: %s", warning)
    return grammar


def tool_names(tools: Sequence[ToolSchema]) -> tuple[str, ...]:
    """The names that a call may have."""
    return tuple(tool["function"]["name"] for tool in check_tools(tools))


def settings_of(
    options: AnswerOptions, plan: ContextPlan, seed: int | None, grammar: Grammar | None
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the room for an answer where the call says nothing.
        seed: of the model, where the call has none.
        grammar: that the answer is held to.

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
        guide=grammar.start if grammar else None,
        top_logprobs=arguments.top_logprobs(options.get("top_logprobs")),
        prompt_lookup=arguments.prompt_lookup(options.get("prompt_lookup")),
    )


def completion_of(outcome: Outcome, text: str, calls: tuple[ToolCall, ...]) -> Completion:
    """Build the completion that the caller gets."""
    return Completion(
        text=text,
        message=Message(role="assistant", content=text, tool_calls=calls),
        finish_reason="tool_calls" if calls else outcome.finish_reason,
        usage=outcome.usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )
