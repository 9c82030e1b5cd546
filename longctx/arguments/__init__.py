"""What callers pass, checked where it comes in: one function a kind of value, one error for all.

Every public entry that takes such a value calls the function here, so a wrong one is a
:class:`~longctx.errors.RequestError` whoever takes it. Numpy's scalars are numbers; a bool is not.
"""

from longctx.arguments.answers import (
    GREEDY_BELOW,
    MAX_TEMPERATURE,
    json_schema,
    max_tokens,
    parallel_tool_calls,
    prompt_lookup,
    seed,
    stop_on_repetition,
    stop_strings,
    temperature,
    top_logprobs,
)
from longctx.arguments.tokens import are_numbers, token_ids
from longctx.arguments.tools import tool_choice, tools
from longctx.arguments.values import (
    flag,
    listener,
    one_of,
    path,
    plain_text,
    real,
    seconds,
    texts,
    whole,
    words,
)

__all__ = [
    "GREEDY_BELOW",
    "MAX_TEMPERATURE",
    "are_numbers",
    "flag",
    "json_schema",
    "listener",
    "max_tokens",
    "one_of",
    "parallel_tool_calls",
    "path",
    "plain_text",
    "prompt_lookup",
    "real",
    "seconds",
    "seed",
    "stop_on_repetition",
    "stop_strings",
    "temperature",
    "texts",
    "token_ids",
    "tool_choice",
    "tools",
    "top_logprobs",
    "whole",
    "words",
]
