# /// script
# dependencies = ["instructor", "openai"]
# ///
"""Instructor, by tools and by JSON schema."""

from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel
from tasks import (
    KEY,
    MAX_TOKENS,
    MODEL,
    QUESTION,
    URL,
    City,
    check,
    check_pieces,
    run,
)

settings: Any = {"model": MODEL, "max_tokens": MAX_TOKENS, "temperature": 0, "max_retries": 1}


class Answer(BaseModel):
    """Words."""

    text: str


def client(mode: Any) -> Any:
    return instructor.from_openai(OpenAI(base_url=f"{URL}/v1", api_key=KEY), mode=mode)


def ask(mode: Any, what: Any, **more: Any) -> Any:
    messages = [{"role": "user", "content": QUESTION}]
    return client(mode).create(messages=messages, response_model=what, **settings, **more)


def basic() -> None:
    check(ask(instructor.Mode.JSON_SCHEMA, Answer).text)


def stream() -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    parts = client(instructor.Mode.JSON_SCHEMA).create_partial(
        messages=messages, response_model=City, **settings
    )
    check_pieces([str(part) for part in parts])


def tools() -> None:
    assert isinstance(ask(instructor.Mode.TOOLS, City), City)


def structured() -> None:
    assert isinstance(ask(instructor.Mode.JSON_SCHEMA, City), City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
