# /// script
# dependencies = ["openai", "pydantic"]
# ///
"""The OpenAI SDK, responses."""

import json
from typing import Any

from openai import OpenAI
from tasks import (
    KEY,
    MAX_TOKENS,
    MODEL,
    QUESTION,
    URL,
    WEATHER,
    City,
    check,
    check_called,
    check_pieces,
    run,
    weather,
)

client = OpenAI(base_url=f"{URL}/v1", api_key=KEY)
settings: Any = {"model": MODEL, "max_output_tokens": MAX_TOKENS, "temperature": 0}
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def basic() -> None:
    answer = client.responses.create(input=QUESTION, **settings)
    check(answer.output_text)
    assert answer.usage.input_tokens > 0


def stream() -> None:
    pieces, ended = [], False
    for event in client.responses.create(input=QUESTION, stream=True, **settings):
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
        ended = event.type in ("response.completed", "response.incomplete")
    check_pieces(pieces)
    assert ended


def tools() -> None:
    told: list[Any] = [{"role": "user", "content": WEATHER}]
    choice: Any = "required"
    for _ in range(2):
        answer = client.responses.create(input=told, tools=[TOOL], tool_choice=choice, **settings)
        told += answer.output
        for item in answer.output:
            if item.type == "function_call":
                output = weather(**json.loads(item.arguments))
                told.append(
                    {"type": "function_call_output", "call_id": item.call_id, "output": output}
                )
        choice = "none"
    check_called()
    check(answer.output_text)


def structured() -> None:
    answer = client.responses.parse(input=QUESTION, text_format=City, **settings)
    assert answer.output_parsed is not None


run(basic=basic, stream=stream, tools=tools, structured=structured)
