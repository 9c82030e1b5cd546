"""What a chat template can do, found out by rendering small conversations with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.errors import TemplateError
from longctx.tokens.tool_calls import HERMES_OPEN, CallFormat

RenderText = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None], str]

_USER = {"role": "user", "content": "probe question"}
_SYSTEM = {"role": "system", "content": "probe instruction"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "A probe.",
        "parameters": {
            "type": "object",
            "properties": {"probe_argument": {"type": "string", "description": "A probe."}},
            "required": ["probe_argument"],
        },
    },
}
_ARGUMENTS_OBJECT = {"probe_argument": "probe value"}
_ARGUMENTS = json.dumps(_ARGUMENTS_OBJECT)


@dataclass(frozen=True)
class TemplateTraits:
    """The abilities of a template.

    ``supports_tools``: it shows the model the tools it is given. ``system_role``: it takes a
    system message. ``text_arguments``: it wants a call's arguments as JSON text, not as an
    object. ``nine_letter_ids``: it refuses calls whose id has not nine letters or digits
    (Mistral). ``call_format``: how it writes calls, of the two that we can read.
    """

    supports_tools: bool
    system_role: bool
    text_arguments: bool
    nine_letter_ids: bool
    call_format: CallFormat


def probe_template(render: RenderText) -> TemplateTraits:
    """Find the traits of a template.

    Args:
        render: (messages, tools) to text; it raises TemplateError as the template does.
    """
    plain = _try(render, [_USER], None)
    with_tool = _try(render, [_USER], [_TOOL])
    supports_tools = with_tool != plain and "probe_tool" in with_tool
    as_object = _try_call(render, _ARGUMENTS_OBJECT)
    as_text = _try_call(render, _ARGUMENTS)
    spaced = re.compile(r'"probe_argument"\s*:\s*"probe value"')
    text_arguments = not spaced.search(as_object) and bool(spaced.search(as_text))
    rendered = as_text if text_arguments else as_object
    arguments: Any = _ARGUMENTS if text_arguments else _ARGUMENTS_OBJECT
    hermes = re.search(rf"{HERMES_OPEN}\s*\{{\s*\"name\"\s*:\s*\"probe_tool\"", rendered)
    return TemplateTraits(
        supports_tools=supports_tools,
        system_role=_SYSTEM["content"] in _try(render, [_SYSTEM, _USER], None),
        text_arguments=text_arguments,
        nine_letter_ids=bool(rendered) and not _try_call(render, arguments, "call_1"),
        call_format="hermes" if supports_tools and hermes else "json",
    )


def _try_call(render: RenderText, arguments: Any, call_id: str = "call00001") -> str:
    function = {"name": "probe_tool", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    assistant = {"role": "assistant", "content": "", "tool_calls": [call]}
    return _try(render, [_USER, assistant], [_TOOL])


def _try(
    render: RenderText,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
) -> str:
    try:
        return render(messages, tools)
    except TemplateError:
        return ""
