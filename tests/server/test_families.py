"""The same two turns through the official client over a socket, whole and streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from longctx import LongContextLLM
from tests.server.live_server import serving
from tests.support.played import (
    ANSWERS,
    FAMILIES,
    LOOK,
    QUESTIONS,
    ROOMS,
    SOME,
    WORDS,
    playing,
    result_of,
)
from tests.support.thorough import quick

TOOLS: Any = [{"type": "function", "function": LOOK}]


def asked(client: OpenAI, messages: list[Any], *, stream: bool) -> dict[str, Any]:
    """The assistant's message, from one document or put together from chunks."""
    options: Any = {"model": "played", "tools": TOOLS, "max_tokens": 400}
    if not stream:
        message = client.chat.completions.create(messages=messages, **options).choices[0].message
        return message.model_dump(exclude_none=True)
    said: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": ""}
    calls: dict[int, Any] = {}
    for chunk in client.chat.completions.create(messages=messages, stream=True, **options):
        for choice in chunk.choices:
            delta = choice.delta.model_dump(exclude_none=True)
            said["content"] += delta.get("content", "")
            said["reasoning_content"] += delta.get("reasoning_content", "")
            for piece in delta.get("tool_calls", ()):
                whole = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
                whole |= {key: piece[key] for key in ("id", "type") if key in piece}
                whole["function"]["arguments"] += piece["function"].get("arguments", "")
                if "name" in piece["function"]:
                    whole["function"]["name"] = piece["function"]["name"]
    return {**said, **({"tool_calls": list(calls.values())} if calls else {})}


@pytest.mark.parametrize("name", quick(FAMILIES, *SOME))
def test_two_turns(name: str, llama_cpp_models: Path, tmp_path: Path) -> None:
    """The first whole and the second streamed: calls come as calls, thoughts as
    ``reasoning_content``, and words as they are."""
    family, talk = FAMILIES[name], list[Any]()
    model = family.write(tmp_path / "family.gguf")
    with (
        LongContextLLM(model, 8192, n_threads=1) as llm,
        serving(llm, model_id="played") as live,
        playing(family.replies()) as script,
    ):
        client = live.openai()
        for room, question in zip(ROOMS, QUESTIONS, strict=True):
            stream = room == ROOMS[1]
            talk.append({"role": "user", "content": question})
            called = asked(client, talk, stream=stream)
            (call,) = called["tool_calls"]
            assert call["function"]["name"] == "look"
            assert (called.get("content") or "").strip() == (WORDS if family.words else "")
            result = result_of(call["function"]["arguments"])
            talk += [called, {"role": "tool", "tool_call_id": call["id"], "content": result}]
            answer = asked(client, talk, stream=stream)
            assert "tool_calls" not in answer
            assert answer["content"].strip() == ANSWERS[room]
            thoughts = [each.get("reasoning_content", "").strip() for each in (called, answer)]
            assert tuple(thoughts) == family.reasoning
            talk.append(answer)
        assert script.left == []
        assert script.n_held > 20  # nothing was forced, and both calls were held
