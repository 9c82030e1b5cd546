"""Four things that every client does; a script for each client says how.

A script calls :func:`run` with a function for each task. What a client raises is its failure, or
the server's; where the protocol held and the model alone failed, it raises :class:`ModelFailed`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

URL = os.environ.get("CLIENT_URL", "http://127.0.0.1:8000")
"""Of the server, without ``/v1``."""
MODEL = "m"
KEY = "none"
QUESTION = "Name the capital of France."
WEATHER = "What is the weather in Paris? Use the tool."
MAX_TOKENS = 64


CHAT_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
"""The tool, as chat completions have it."""


class City(BaseModel):
    """What an answer is to be."""

    name: str
    country: str


class ModelFailed(Exception):
    """The model said what cannot be used, in the form that it was to have."""


def weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return "Rain, 12 degrees."


called: list[str] = []
"""What the tool was called with."""


def check(text: str | None) -> None:
    """An answer has words."""
    if not (text or "").strip():
        raise ModelFailed("no words")


def check_pieces(pieces: list[str]) -> None:
    """A stream comes in pieces."""
    assert len(pieces) > 1, f"{len(pieces)} pieces"
    check("".join(pieces))


def check_called() -> None:
    """The tool ran."""
    if not called:
        raise ModelFailed("the tool was not called")


def run(**tasks: Callable[[], None]) -> None:
    """Do them, and print a line of JSON for each."""
    for name, task in tasks.items():
        called.clear()
        started = time.perf_counter()
        try:
            task()
            outcome, why = "ok", ""
        except ModelFailed as failed:
            outcome, why = "model", str(failed)
        except Exception as error:
            outcome, why = "failed", f"{type(error).__name__}: {error}"
            traceback.print_exc(file=sys.stderr)
        seconds = round(time.perf_counter() - started, 2)
        print(json.dumps({"task": name, "outcome": outcome, "why": why, "s": seconds}), flush=True)
