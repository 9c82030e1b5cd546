# /// script
# dependencies = ["anthropic", "pydantic"]
# ///
"""The Anthropic SDK."""

from typing import Any

from anthropic import Anthropic
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

client = Anthropic(base_url=URL, api_key=KEY)
settings: Any = {"model": MODEL, "max_tokens": MAX_TOKENS}
TOOL: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def basic() -> None:
    answer = client.messages.create(messages=[user(QUESTION)], **settings)
    check(text_of(answer))
    assert answer.usage.input_tokens > 0


def stream() -> None:
    with client.messages.stream(messages=[user(QUESTION)], **settings) as found:
        check_pieces(list(found.text_stream))
        assert found.get_final_message().usage.output_tokens > 1


def tools() -> None:
    messages = [user(WEATHER)]
    choice: Any = {"type": "any"}
    for _ in range(2):
        answer = client.messages.create(
            messages=messages, tools=[TOOL], tool_choice=choice, **settings
        )
        messages.append({"role": "assistant", "content": answer.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
            for block in answer.content
            if block.type == "tool_use"
        ]
        if results:
            messages.append({"role": "user", "content": results})
        choice = {"type": "none"}
    check_called()
    check(text_of(answer))


def structured() -> None:
    answer = client.messages.parse(messages=[user(QUESTION)], output_format=City, **settings)
    assert answer.parsed_output is not None


def text_of(answer: Any) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


def user(text: str) -> Any:
    return {"role": "user", "content": text}


run(basic=basic, stream=stream, tools=tools, structured=structured)
