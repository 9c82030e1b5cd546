"""Thoughts, calls and switches of servers that cannot run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from longctx import RequestError
from longctx.remote import RemoteLLM
from tests.remote.pretended import HI, LLAMA_SERVER, delta, models, stream


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_and_calls_come_in_pieces(served: Callable[..., RemoteLLM], name: str) -> None:
    """By either name; a call's id and name are told once, though the server repeats them."""
    call = {"index": 0, "id": "a", "type": "function"}
    pieces = [
        delta(role="assistant", content=None),
        delta(**{name: "It may "}),
        delta(**{name: "rain.", "content": None}),
        delta(content="I look."),
        delta(tool_calls=[{**call, "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{**call, "function": {"name": "f", "arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta("tool_calls"),
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
        },
    ]
    routes = {"/v1/models": models("somebody"), "/v1/chat/completions": stream(*pieces)}
    *chunks, last = served(routes, target_ctx=4096).stream_chat(HI)
    assert [chunk.reasoning for chunk in chunks if chunk.reasoning] == ["It may ", "rain."]
    assert [chunk.text for chunk in chunks if chunk.text] == ["I look."]
    calls = [call for chunk in chunks for call in chunk.tool_calls]
    assert [(c.id, c.name) for c in calls] == [("a", "f"), ("", ""), ("", "")]
    assert "".join(c.arguments for c in calls) == '{"x": 1}'
    assert last.result is not None
    assert last.result.reasoning == "It may rain."
    assert last.result.usage.reasoning_tokens == 4
    # A server that does not count: thoughts are tokens, too.
    routes["/v1/chat/completions"] = stream(*pieces[:-1])
    usage = served(routes, target_ctx=4096).chat(HI).usage
    assert 0 < usage.reasoning_tokens < usage.completion_tokens


OWN = {"chat_template_kwargs": {"enable_thinking": False}}
BOTH = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}


@pytest.mark.parametrize(
    ("owner", "off", "low"),
    [
        ("longctx", OWN, {"chat_template_kwargs": {"enable_thinking": "low"}}),
        ("vllm", BOTH, {"reasoning_effort": "low"}),
        ("llamacpp", BOTH, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        ("somebody", BOTH, {"reasoning_effort": "low"}),
    ],
)
def test_thinking_has_the_servers_names(
    served: Callable[..., RemoteLLM], owner: str, off: dict[str, Any], low: dict[str, Any]
) -> None:
    """Whether, how much, variables by name, how many calls; thoughts go back."""
    bodies: list[dict[str, Any]] = []

    def chat(body: dict[str, Any]) -> httpx.Response:
        bodies.append(body)
        return stream(delta(content="Yes."), delta("stop"))

    routes = {
        **LLAMA_SERVER, "/tokenize": {"tokens": [1], "count": 1},
        "/v1/models": models(owner, max_model_len=64), "/v1/chat/completions": chat,
    }  # fmt: skip
    llm = served(routes, reserve_output=8)
    budget = {"vllm": "thinking_token_budget", "llamacpp": "thinking_budget_tokens"}
    names = {"chat_template_kwargs", "reasoning_effort", "parallel_tool_calls", *budget.values()}
    names.add("thinking_budget")
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    options: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"thinking": None, "parallel_tool_calls": False}, {}),
        ({"thinking": False}, off),
        ({"thinking": "low"}, low),
        ({"thinking_budget": 64}, {budget.get(owner, "thinking_budget"): 64}),
        ({"template_options": {"x": 1}}, {"chat_template_kwargs": {"x": 1}}),
        ({"tools": tools, "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ]
    for given, fields in options:
        llm.chat(HI, **given)
        assert {name: bodies[-1][name] for name in names & bodies[-1].keys()} == fields
    thought: Any = {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}
    llm.chat([*HI, thought, *HI])
    message = bodies[-1]["messages"][1]
    assert message["reasoning_content"] == "Hm."
    assert message.get("reasoning") == ("Hm." if owner == "vllm" else None)
    for wrong in ({"thinking": ""}, {"thinking": 1}, {"template_options": [1]}):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            llm.chat(HI, **wrong)  # type: ignore[arg-type]  # what is under test
