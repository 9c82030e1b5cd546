"""A whole answer as the pieces that a stream of it has."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from longctx.types import Chunk, Completion, ToolCallDelta


def untold_calls(result: Completion, told: Collection[str]) -> Iterator[Chunk]:
    """The calls that no piece told of: a model need not stream them, and none comes twice.

    Args:
        result: the answer.
        told: ids of the calls that were streamed.
    """
    calls = [call for call in result.tool_calls if call.id not in told]
    for index, call in enumerate(calls, len(told)):
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        delta = ToolCallDelta(index=index, id=call.id, name=call.name, arguments=arguments)
        yield Chunk(tool_calls=(delta,))


def pieces_of(result: Completion) -> Iterator[Chunk]:
    """A whole answer, as if it had been streamed: thoughts, text, calls."""
    yield Chunk(reasoning=result.reasoning)
    yield Chunk(text=result.text, logprobs=result.logprobs)
    yield from untold_calls(result, ())
