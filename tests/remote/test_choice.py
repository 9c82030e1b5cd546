"""A server that does not hold an answer to ``tool_choice`` is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from longctx import ToolError
from longctx.remote import RemoteLLM
from tests.remote.pretended import HI, LLAMA_SERVER, delta, stream
from tests.remote.test_our_server import WEATHER

CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
NAMED: Any = {"type": "function", "function": {"name": "clock"}}
WORDS = delta(content="It is noon.")
THOUGHT = delta(reasoning_content="What time is it?")


def _call(name: str, index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return delta(tool_calls=[{"index": index, "id": f"c{index}", "function": function}])


@pytest.mark.parametrize(
    ("choice", "chunks", "finish", "said"),
    [
        ("auto", [WORDS], "stop", None),
        ("none", [WORDS], "stop", None),
        ("required", [WORDS], "stop", "a call of a tool and its model said 'It is noon.'"),
        ("required", [WORDS], "length", "more max_tokens"),
        ("required", [], "stop", "said ''"),
        ("required", [delta(content=' {"na')], "length", None),
        ("required", [THOUGHT], "length", None),  # it may have been about to call
        ("required", [THOUGHT], "stop", "said ''"),
        ("required", [_call("clock"), _call("weather", 1)], "tool_calls", None),
        ("required", [WORDS, _call("clock")], "tool_calls", None),
        (NAMED, [WORDS], "stop", "a call of 'clock' and its model said"),
        (NAMED, [_call("clock"), _call("clock", 1)], "tool_calls", None),
        (NAMED, [_call("weather")], "tool_calls", "called 'weather'"),
        (NAMED, [_call("clock"), _call("weather", 1)], "tool_calls", "'clock', 'weather'"),
    ],
)
def test_words_where_a_call_had_to_be(
    served: Callable[..., RemoteLLM], choice: Any, chunks: list[Any], finish: str, said: str | None
) -> None:
    """An error that says what came instead; what is as it was asked for is none."""
    routes = {
        **LLAMA_SERVER,
        "/tokenize": {"tokens": [1, 2]},
        "/v1/chat/completions": lambda _: stream(*chunks, delta(finish)),
    }
    asked: Any = {"tools": [WEATHER, CLOCK], "tool_choice": choice, "max_tokens": 8}
    with served(routes, reserve_output=8) as llm:
        if said is None:
            llm.chat(HI, **asked)
        else:
            with pytest.raises(ToolError, match=said):
                llm.chat(HI, **asked)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": WEATHER}])
@pytest.mark.parametrize("max_tokens", [1, 3, 200])
def test_our_server_holds_to_it(remote: RemoteLLM, choice: Any, max_tokens: int) -> None:
    """A call that is cut is no error either."""
    if choice != "required":
        choice = {"type": "function", "function": {"name": WEATHER["function"]["name"]}}
    result = remote.chat(HI, tools=[WEATHER], tool_choice=choice, max_tokens=max_tokens)
    assert result.finish_reason in ("tool_calls", "length")
