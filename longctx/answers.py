"""What stands between a request and its completion: the grammar before, the result after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from longctx._native import Model, check_grammar, json_schema_to_grammar
from longctx.engine import GenerationSettings, Outcome
from longctx.errors import BackendError, ToolError
from longctx.options import AnswerOptions, ToolChoice
from longctx.planner import ContextPlan
from longctx.tokens import CallFormat, tool_grammar
from longctx.types import Completion, Message, ToolCall, ToolSchema


def answer_grammar(
    tools: Sequence[ToolSchema] | None,
    tool_choice: ToolChoice,
    response_schema: Any,
    call_format: CallFormat = "json",
) -> str | None:
    """The GBNF grammar that holds an answer to its tools or its schema; None leaves it free.

    Raises:
        ToolError: a tool is malformed, or tools and a schema are both asked of one answer.
        BackendError: the schema is no JSON schema.
    """
    if response_schema is None:
        return tool_grammar(tools, tool_choice, call_format=call_format) if tools else None
    if tools and tool_choice != "none":
        raise ToolError(
            "one answer cannot be both a tool call and held to response_schema; pass "
            "tool_choice='none' with the schema, or leave one of them out"
        )
    if isinstance(response_schema, type) and issubclass(response_schema, BaseModel):
        response_schema = response_schema.model_json_schema()
    if not isinstance(response_schema, dict):
        raise BackendError(
            f"response_schema is a {type(response_schema).__name__}; "
            "pass a JSON schema as a dict, or a pydantic model class"
        )
    return json_schema_to_grammar(response_schema)


def tool_names(tools: Sequence[ToolSchema]) -> tuple[str, ...]:
    """The names that a call may have."""
    return tuple(tool["function"]["name"] for tool in tools)


def settings_of(
    options: AnswerOptions, plan: ContextPlan, seed: int | None, grammar: str | None, model: Model
) -> GenerationSettings:
    """The settings that a call's options come to; None in any of them is the default.

    Args:
        options: of the call.
        plan: has the room for an answer where the call says nothing.
        seed: of the model, where the call has none.
        grammar: that the answer is held to.
        model: whose tokens the grammar is of.

    Raises:
        BackendError: a setting is out of its range, or llama.cpp refuses the grammar.
    """
    if grammar is not None:
        check_grammar(model, grammar)
    max_tokens, temperature = options.get("max_tokens"), options.get("temperature")
    top_p, stop, own_seed = options.get("top_p"), options.get("stop"), options.get("seed")
    return GenerationSettings(
        max_tokens=plan.reserve_output if max_tokens is None else max_tokens,
        temperature=0.0 if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        seed=seed if own_seed is None else own_seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        grammar=grammar,
        top_logprobs=options.get("top_logprobs"),
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
