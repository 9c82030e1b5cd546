"""A loop of tools through the official client, for every shape in which families write calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from longctx import LongContextLLM
from tests.chat.call_shapes import CALL_SHAPES, SOME, THINKS
from tests.models import TINY
from tests.server.live_server import serving
from tests.support.thorough import quick

LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look into a room.",
        "parameters": {
            "type": "object",
            "properties": {"room": {"enum": ["seven", "eight"]}, "twice": {"type": "boolean"}},
            "required": ["room", "twice"],
        },
    },
}
CHOICE: Any = {"type": "function", "function": {"name": "look"}}
ASK: list[Any] = [{"role": "user", "content": "What is the code of room seven?"}]


@pytest.mark.parametrize("shape", quick([*CALL_SHAPES, "thoughts first"], *SOME, "thoughts first"))
def test_a_call_its_result_and_the_answer(shape: str) -> None:
    """Whole and streamed the call is the same, and valid; with its result the talk goes on."""
    source = CALL_SHAPES.get(shape, THINKS)
    options: Any = {"model": "tiny", "tools": [LOOK], "tool_choice": CHOICE, "max_tokens": 200}
    if shape not in CALL_SHAPES:
        options["extra_body"] = {"chat_template_kwargs": {"enable_thinking": False}}
    with (
        LongContextLLM(TINY, 1024, n_threads=1, chat_template=source) as llm,
        serving(llm, model_id="tiny") as live,
    ):
        client = live.openai()
        choice = client.chat.completions.create(messages=ASK, **options).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls or ()
        arguments = json.loads(call.function.arguments)
        assert arguments["room"] in ("seven", "eight")
        assert isinstance(arguments["twice"], bool)
        pieces, names = [], []
        for chunk in client.chat.completions.create(messages=ASK, stream=True, **options):
            for delta in (chunk.choices[0].delta.tool_calls or ()) if chunk.choices else ():
                names += [delta.function.name] if delta.function.name else []
                pieces.append(delta.function.arguments or "")
        assert names == ["look"]
        assert json.loads("".join(pieces)) == arguments
        result = {"role": "tool", "tool_call_id": call.id, "content": "The code is 4821."}
        options |= {"tool_choice": "auto", "max_tokens": 8}
        talk = [*ASK, choice.message.model_dump(exclude_none=True), result]
        after = client.chat.completions.create(messages=talk, **options)
        assert after.usage is not None
        assert after.usage.completion_tokens
