# /// script
# dependencies = ["litellm"]
# ///
"""LiteLLM."""

import json
from typing import Any

import litellm
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


def ask(messages: list[Any], **more: Any) -> Any:
    return litellm.completion(
        f"openai/{MODEL}", messages, api_base=f"{URL}/v1", api_key=KEY, temperature=0,
        max_tokens=MAX_TOKENS, **more,
    )  # fmt: skip


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def basic() -> None:
    answer = ask([user(QUESTION)])
    check(answer.choices[0].message.content)
    assert answer.usage.prompt_tokens > 0


def stream() -> None:
    chunks = ask([user(QUESTION)], stream=True)
    check_pieces([c.choices[0].delta.content for c in chunks if c.choices[0].delta.content])


def tools() -> None:
    messages = [user(WEATHER)]
    for choice in ("required", "none"):
        message = ask(messages, tools=[CHAT_TOOL], tool_choice=choice).choices[0].message
        messages.append(message.model_dump())
        for call in message.tool_calls or ():
            told = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
    check_called()
    check(message.content)


def structured() -> None:
    answer = ask([user(QUESTION)], response_format=City)
    City.model_validate_json(answer.choices[0].message.content)


run(basic=basic, stream=stream, tools=tools, structured=structured)
