"""Whether a server held an answer to the tools that it had to call.

llama-server reads the name of a tool as ``auto``, lets words stand before a call that is
``required``, and with some chat templates instead of it; others leave ``tool_choice`` out
altogether. None of them says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longctx import arguments
from longctx.errors import ToolError
from longctx.types import Completion


def check_choice(result: Completion, body: Mapping[str, Any], root: str) -> None:
    """Refuse an answer that calls another tool than it had to, or none.

    Args:
        result: the answer. One that was cut may have been about to call, unless it said words.
        body: of the request.
        root: the server's address, for messages.

    Raises:
        ToolError: so it is.
    """
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    wanted = arguments.tool_choice(body.get("tool_choice", "auto"), names)
    called = [call.name for call in result.tool_calls]
    said = result.text.strip()
    # What a call begins with, where it is written as JSON or behind a mark such as <tool_call>.
    is_cut = result.finish_reason == "length" and (not said or said[0] in "{[<")
    if not wanted or is_cut or (called and set(called) <= set(wanted)):
        return
    asked = f"of {wanted[0]!r}" if body["tool_choice"] != "required" else "of a tool"
    given = f"called {', '.join(map(repr, called))}" if called else f"said {result.text[:80]!r}"
    room = (
        "The answer was cut, and words may stand before a call there: give it more max_tokens. "
        if result.finish_reason == "length"
        else ""
    )
    raise ToolError(
        f"{root} was asked for a call {asked} and its model {given}: it does not hold answers to "
        "tool_choice (llama-server does not for names, nor with every chat template for "
        f"'required'). {room}Leave tool_choice out and look at what is called, or serve the model "
        "with `longctx serve` or vLLM, which do"
    )
