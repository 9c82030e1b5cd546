"""What was said to a question by each of the server's protocols, as text, for `soak_server.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from anthropic import Anthropic
from openai import OpenAI

Body = dict[str, Any]


def call_text(name: str, arguments: str | dict[str, Any]) -> str:
    """A call of a tool, however it was written down."""
    found = json.loads(arguments) if isinstance(arguments, str) else arguments
    return f"{name}({json.dumps(found)})"


def by_responses(url: str, body: Body, *, stream: bool) -> str:
    """OpenAI's responses."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300)
    options: Body = {
        "model": "m", "temperature": 0, "input": body["messages"], "store": False,
        "max_output_tokens": body["max_tokens"],
    }  # fmt: skip
    if "tools" in body:
        options["tools"] = [{"type": "function", **tool["function"]} for tool in body["tools"]]
        options["tool_choice"] = body["tool_choice"]
    if "response_format" in body:
        options["text"] = {
            "format": {"type": "json_schema", **body["response_format"]["json_schema"]}
        }
    if not stream:
        return _of_items(client.responses.create(**options).output)
    said, last = "", None
    for event in client.responses.create(**options, stream=True):
        if event.type == "response.output_text.delta":
            said += event.delta
        last = event
    assert last is not None, "no event"
    assert last.type in ("response.completed", "response.incomplete"), last.type
    whole = _of_items(last.response.output)
    assert whole.startswith(said) or "(" in whole, "the deltas are not the answer"
    return whole


def _of_items(items: Iterable[Any]) -> str:
    parts = []
    for item in items:
        if item.type == "function_call":
            parts.append(call_text(item.name, item.arguments))
        elif item.type == "message":
            parts += [content.text for content in item.content]
    return "".join(parts)


def by_messages(url: str, body: Body, *, stream: bool) -> str:
    """Anthropic's messages."""
    client = Anthropic(base_url=url, api_key="none", max_retries=0, timeout=300)
    options: Body = {
        "model": "m", "messages": body["messages"], "max_tokens": body["max_tokens"],
        "extra_body": {"temperature": 0},
    }  # fmt: skip
    if "tools" in body:
        functions = [tool["function"] for tool in body["tools"]]
        options["tools"] = [
            {
                "name": each["name"],
                "description": each["description"],
                "input_schema": each["parameters"],
            }
            for each in functions
        ]
        options["tool_choice"] = {"type": "any"}
    if not stream:
        return _of_blocks(client.messages.create(**options).content)
    with client.messages.stream(**options) as found:
        for _ in found:
            pass
        return _of_blocks(found.get_final_message().content)


def _of_blocks(blocks: Iterable[Any]) -> str:
    return "".join(
        call_text(block.name, block.input) if block.type == "tool_use" else block.text
        for block in blocks
    )


def by_text(url: str, body: Body, *, stream: bool) -> str:
    """Text completions."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300)
    options: Body = {
        "model": "m", "temperature": 0, "prompt": body["prompt"], "max_tokens": body["max_tokens"],
    }  # fmt: skip
    if not stream:
        return str(client.completions.create(**options).choices[0].text)
    chunks = client.completions.create(**options, stream=True)
    return "".join(choice.text for chunk in chunks for choice in chunk.choices)


Asking = Callable[..., str]


def protocols_of(body: Body) -> dict[str, Asking]:
    """Those that can ask for it, besides chat completions."""
    if "prompt" in body:
        return {"text completions": by_text}
    if "response_format" in body:
        return {"responses": by_responses}
    return {"responses": by_responses, "messages": by_messages}
