# /// script
# dependencies = ["openai", "pydantic"]
# ///
"""The OpenAI SDK, chat completions."""

import json
from typing import Any

from openai import OpenAI
from tasks import (
    CHAT_TOOL,
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
settings: Any = {"model": MODEL, "max_tokens": MAX_TOKENS, "temperature": 0}


def basic() -> None:
    answer = client.chat.completions.create(messages=[user(QUESTION)], **settings)
    check(answer.choices[0].message.content)
    assert answer.usage.prompt_tokens > 0


def stream() -> None:
    chunks = client.chat.completions.create(
        messages=[user(QUESTION)], stream=True, stream_options={"include_usage": True}, **settings
    )
    pieces, usage = [], None
    for chunk in chunks:
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        usage = chunk.usage or usage
    check_pieces(pieces)
    assert usage.completion_tokens > 1


def tools() -> None:
    messages = [user(WEATHER)]
    choice: Any = "required"
    for _ in range(2):
        message = (
            client.chat.completions.create(
                messages=messages, tools=[CHAT_TOOL], tool_choice=choice, **settings
            )
            .choices[0]
            .message
        )
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            told = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
        choice = "none"
    check_called()
    check(message.content)


def structured() -> None:
    answer = client.chat.completions.parse(
        messages=[user(QUESTION)], response_format=City, **settings
    )
    assert answer.choices[0].message.parsed is not None


def user(text: str) -> Any:
    return {"role": "user", "content": text}


run(basic=basic, stream=stream, tools=tools, structured=structured)
