"""One wrong value, one class, whoever takes it: every option of an answer at every entry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM, RequestError, ToolError
from longctx.agents import Agent, tool
from longctx.documents import DocumentQA
from longctx.remote import RemoteLLM
from longctx.sampling import SAMPLING
from longctx.testing import ScriptedChatModel
from tests.server.live_server import LiveServer

ASKED: Any = [{"role": "user", "content": "What is the code of room 7?"}]
NAN, INFINITY = float("nan"), float("inf")

WRONG: dict[str, tuple[Any, ...]] = {
    "max_tokens": (-2, True, False, np.True_, 2.5, 3.0, "9", b"9", NAN, [1], np.array([5])),
    "temperature": (-1, -0.01, 101, 10**400, NAN, INFINITY, "hot", True, 1j, [0.5]),
    "top_k": (-1, 2.5, 2**31, True, "40", NAN),
    "top_p": (0, -0.5, 1.01, NAN, INFINITY, "all", True),
    "min_p": (-0.1, 1.01, NAN, INFINITY, True, "0.1"),
    "typical_p": (0, 1.5, NAN, True),
    "repeat_penalty": (0, -1, 101, NAN, INFINITY, True),
    "repeat_last_n": (-2, 1.5, 2**31, True),
    "presence_penalty": (-2.1, 2.1, NAN, -INFINITY, True, "1"),
    "frequency_penalty": (-2.1, 2.1, NAN, -INFINITY, True),
    "dry_multiplier": (-0.1, 101, NAN, True),
    "dry_base": (0.9, 101, INFINITY, True),
    "dry_allowed_length": (-1, 1.5, True),
    "dry_penalty_last_n": (-2, 2.5, True),
    "xtc_probability": (-0.1, 1.1, NAN, True),
    "xtc_threshold": (-0.1, 1.1, NAN, True),
    "dry_sequence_breakers": ("\n", 5, {"a": 1}, [1], [""], ["a\0b"], ["a" * 41], ["a"] * 33),
    "mirostat": (-1, 3, 2.5, True),
    "mirostat_tau": (0, -1, 101, NAN, True),
    "mirostat_eta": (0, 1.1, NAN, True),
    "logit_bias": (
        5,
        "x",
        [1],
        True,
        {1.5: 1},
        {"": 1},
        {True: 1},
        {1: "x"},
        {1: NAN},
        {1: INFINITY},
        {1: 101},
        {1: True},
        {1: None},
    ),
    "seed": (1.5, "x", True, NAN, [1]),
    "stop_on_repetition": (0, 1, "no", 0.5, []),
    "stop": ("", [""], [1], 5, True, b"x", [b"x"], {"a": "b"}, iter(["a"])),
    "response_schema": (7, "object", [1], int, dict),
    "top_logprobs": (-1, True, 1.5, "3"),
    "prompt_lookup": (0, 1, "always", 0.5, []),
}
EMPTY_STOPS: list[Any] = ["", [""]]
PAIRS = [(option, value) for option, values in WRONG.items() for value in values]

RIGHT: tuple[dict[str, Any], ...] = (
    {"temperature": None, "top_p": None, "stop": None, "seed": None},
    {"max_tokens": np.int64(3), "temperature": np.float32(0.5), "top_p": np.float16(0.5)},
    {"max_tokens": np.uint8(3), "temperature": 1, "top_p": 1, "seed": np.int32(-1)},
    {"stop": ("a", "b"), "temperature": np.float64(0), "seed": 2**70},
    {"stop": {"a"}, "max_tokens": 1},
    dict.fromkeys(SAMPLING),
    {"temperature": 1, "top_k": np.int8(5), "min_p": np.float32(0.1), "typical_p": 0.9},
    {"repeat_penalty": 1.1, "repeat_last_n": -1, "presence_penalty": -2, "frequency_penalty": 1},
    {"dry_multiplier": 1, "dry_allowed_length": 0, "dry_penalty_last_n": 2**31 - 1},
    {"temperature": 1, "xtc_probability": 1, "xtc_threshold": 0, "logit_bias": {5: 3, "6": -100}},
    {"temperature": 1, "mirostat": np.int64(2), "mirostat_tau": 3, "mirostat_eta": 0.2},
    {"temperature": 1, "mirostat": 1, "dry_multiplier": 1, "dry_sequence_breakers": [".", "é\n"]},
    {"dry_multiplier": 1, "dry_sequence_breakers": ()},
    {"logit_bias": {}, "stop_on_repetition": False},
)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def _read(chunks: Any) -> None:
    async for _ in chunks:
        pass


def _entries(
    llm: LongContextLLM, remote: RemoteLLM
) -> dict[str, tuple[Callable[..., Any], set[str]]]:
    """Each call that takes options, and which of them it takes."""
    every, remotes = set(WRONG), set(WRONG) - {"top_logprobs"}
    scripted = ScriptedChatModel([])
    agent = Agent(scripted)
    qa = DocumentQA(scripted)
    qa.add("The seller bears the risk.", doc_id="contract")

    def run(start: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: asyncio.run(start(*args, **options))

    return {
        "chat": (lambda **o: llm.chat(ASKED, **o), every),
        "stream_chat": (lambda **o: llm.stream_chat(ASKED, **o), every),
        "achat": (run(lambda **o: llm.achat(ASKED, **o)), every),
        "astream_chat": (run(lambda **o: _read(llm.astream_chat(ASKED, **o))), every),
        "generate": (lambda **o: llm.generate("One, two,", **o), every),
        "stream": (lambda **o: llm.stream("One, two,", **o), every),
        "chat_batch": (lambda **o: llm.chat_batch([ASKED, ASKED], **o), every),
        "remote.chat": (lambda **o: remote.chat(ASKED, **o), remotes),
        "remote.stream_chat": (lambda **o: remote.stream_chat(ASKED, **o), remotes),
        "remote.achat": (run(lambda **o: remote.achat(ASKED, **o)), remotes),
        "remote.astream_chat": (run(lambda **o: _read(remote.astream_chat(ASKED, **o))), remotes),
        "remote.chat_batch": (lambda **o: remote.chat_batch([ASKED, ASKED], **o), remotes),
        "scripted.chat": (lambda **o: scripted.chat(ASKED, **o), remotes),
        "scripted.stream_chat": (lambda **o: list(scripted.stream_chat(ASKED, **o)), remotes),
        "ask": (lambda **o: qa.ask("Who?", **o), {"max_tokens", *SAMPLING}),
        "agent.run": (lambda **o: agent.run("Go", **o), {"max_tokens", "response_schema"}),
        "agent.stream": (lambda **o: agent.stream("Go", **o), {"max_tokens", "response_schema"}),
        "agent.resume": (lambda **o: agent.resume(**o), {"max_tokens", "response_schema"}),
        "Agent": (lambda **o: Agent(scripted, **o), {"temperature"}),
    }


@pytest.mark.parametrize(("option", "value"), PAIRS)
def test_a_wrong_value_is_the_same_error_everywhere(
    llm: LongContextLLM, remote: RemoteLLM, option: str, value: Any
) -> None:
    """A RequestError and no other, by the call itself, which names the option."""
    for name, (call, takes) in _entries(llm, remote).items():
        if option not in takes:
            continue
        with pytest.raises(RequestError, match=option) as caught:
            call(**{option: value})
        assert type(caught.value) is RequestError, name
        assert len(str(caught.value)) < 300, name


@pytest.mark.parametrize("options", RIGHT)
def test_right_values_are_taken_everywhere(
    llm: LongContextLLM, remote: RemoteLLM, options: Mapping[str, Any]
) -> None:
    """None is the default, and numpy's scalars are numbers: the same answer here and there."""
    options = {"max_tokens": 3, "seed": 7, **options}
    here = llm.chat(ASKED, **options)
    assert here.text == remote.chat(ASKED, **options).text
    assert here.usage.completion_tokens <= 16
    assert llm.generate("One, two,", **options).text is not None


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "add"}}, "sometimes", 5, ""]
)
def test_a_choice_without_its_tool_is_refused(
    llm: LongContextLLM, remote: RemoteLLM, choice: Any
) -> None:
    """No tools, a schema in their place, or other tools: a ToolError, never ignored."""
    other = {"type": "function", "function": {"name": "other", "description": "Other."}}
    scripted = ScriptedChatModel([])
    for model in (llm, remote, scripted):
        with pytest.raises(ToolError, match="tool_choice"):
            model.chat(ASKED, tool_choice=choice)
        with pytest.raises(ToolError, match="tool_choice"):
            model.chat(ASKED, tool_choice=choice, tools=[], response_schema={"type": "object"})
        if choice != "required":
            with pytest.raises(ToolError, match="tool_choice"):
                model.chat(ASKED, tool_choice=choice, tools=[other])
    with pytest.raises(ToolError, match="tool_choice"):
        Agent(scripted).stream("Go", tool_choice=choice)


def test_a_tool_may_be_its_inner_object(llm: LongContextLLM, remote: RemoteLLM) -> None:
    """As count() takes it; the call is the same."""
    outer = add.schema
    for model in (llm, remote):
        calls = [
            model.chat(ASKED, tools=[form], tool_choice="required", max_tokens=60).tool_calls
            for form in (outer, outer["function"])
        ]
        assert calls[0] == calls[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (o, v)
        for o, v in PAIRS
        if o in ("max_tokens", "stop", "stop_on_repetition", *SAMPLING) and v not in EMPTY_STOPS
    ],
)
def test_the_server_says_400(server: LiveServer, option: str, value: Any) -> None:
    """With the code that the client makes a RequestError of."""
    with server.http() as client:
        try:
            for path, body in (
                ("chat/completions", {"messages": ASKED}),
                ("completions", {"prompt": "One"}),
            ):
                said = client.post(f"/v1/{path}", json={**body, option: value})
                assert said.status_code == 400
                assert said.json()["error"]["code"] == "invalid_value"
        except (TypeError, ValueError):
            pytest.skip("no JSON says it")


@pytest.mark.parametrize("value", EMPTY_STOPS)
def test_the_server_takes_an_empty_stop_for_none(server: LiveServer, value: Any) -> None:
    """Clients have fields of a form that nobody filled in; in Python it is a mistake."""
    with server.http() as client:
        body = {"messages": ASKED, "stop": value, "max_tokens": 2}
        said = client.post("/v1/chat/completions", json=body).json()
        assert said["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("value", [1, "yes"])
def test_parallel_calls_are_refused_and_not_ignored(server: LiveServer, value: Any) -> None:
    """True asks for as many calls as the model likes, false for one; nonsense is said."""
    with server.http() as client:
        body = {"messages": ASKED, "max_tokens": 1, "parallel_tool_calls": value}
        refused = client.post("/v1/chat/completions", json=body).json()["error"]
        assert refused["param"] == "parallel_tool_calls"
        for fine in (True, False, None):
            body["parallel_tool_calls"] = fine
            assert client.post("/v1/chat/completions", json=body).status_code == 200
