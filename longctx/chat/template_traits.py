"""What a chat template can do, found out by rendering small conversations with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.errors import TemplateError

PlainMessage = dict[str, Any]
RenderText = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None], str]

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
_VALUE, _RESULT = "probe value", "probe result"
_ARGUMENTS_OBJECT = {"probe_argument": _VALUE}
_ARGUMENTS = json.dumps(_ARGUMENTS_OBJECT)


def _message(role: str, word: str) -> PlainMessage:
    return {"role": role, "content": f"probe {word}"}


_USER, _USER_2, _USER_3 = (_message("user", word) for word in ("apple", "pear", "plum"))
_SAID, _SAID_2 = _message("assistant", "oak"), _message("assistant", "elm")
_SYSTEM, _SYSTEM_2 = _message("system", "iron"), _message("system", "zinc")
_TALK = [_USER, _SAID, _USER_2, _SAID_2, _USER_3]


@dataclass(frozen=True)
class TemplateTraits:
    """The abilities of a template.

    ``supports_tools``: it shows the model the tools it is given, calls and results.
    ``system_role``: it shows a system message at the head of every conversation, ``late_system``:
    also a second one, and one further on. ``developer_role``: it knows that role.
    ``text_arguments``: it wants a call's arguments as JSON text, not as an object.
    ``nine_letter_ids``: it refuses calls whose id has not nine letters or digits (Mistral).
    ``keeps_questions``: it drops no message of the user's, ``keeps_answers``: nor of the
    assistant's.
    """

    supports_tools: bool
    system_role: bool
    late_system: bool
    developer_role: bool
    text_arguments: bool
    nine_letter_ids: bool
    keeps_questions: bool
    keeps_answers: bool


def probe_template(render: RenderText, source: str) -> TemplateTraits:
    """Find the traits of a template.

    Args:
        render: (messages, tools) to text; it raises TemplateError as the template does.
        source: its Jinja text.
    """
    as_object = _try(render, _worked(_ARGUMENTS_OBJECT), [_TOOL])
    as_text = _try(render, _worked(_ARGUMENTS), [_TOOL])
    spaced = re.compile(r'"probe_argument"\s*:\s*"probe value"')
    # As an object unless it is not shown, or as Python prints a dict.
    shown = _VALUE in as_object and repr(_ARGUMENTS_OBJECT) not in as_object
    text_arguments = not shown and bool(spaced.search(as_text))
    arguments: Any = _ARGUMENTS if text_arguments else _ARGUMENTS_OBJECT
    worked = as_text if text_arguments else as_object
    supports_tools = (
        "probe_tool" in _try(render, [_USER], [_TOOL]) and _VALUE in worked and _RESULT in worked
    )
    with_tools = [[_USER], _worked(arguments)] if supports_tools else []

    def keeps(head: list[PlainMessage], *talks: list[PlainMessage]) -> bool:
        """Whether the head is shown before every talk that goes without its system messages."""
        others = [message for message in head if message["role"] in ("user", "assistant")]
        cases = [(talk, None) for talk in talks] + [(talk, [_TOOL]) for talk in with_tools]
        return all(
            _stand_in(_try(render, [*head, *talk], tools), head)
            for talk, tools in cases
            if _try(render, [*others, *talk], tools)
        )

    return TemplateTraits(
        supports_tools=supports_tools,
        system_role=keeps([_SYSTEM], [_USER], [_USER, _SAID], _TALK),
        late_system=keeps([_SYSTEM, _SYSTEM_2], [_USER])
        and keeps([_SYSTEM, _USER, _SAID, _SYSTEM_2], [_USER_2]),
        developer_role=bool(re.search(r"""(["'])developer\1""", source))
        and keeps([_message("developer", "lead")], [_USER]),
        text_arguments=text_arguments,
        nine_letter_ids=bool(worked) and not _try(render, _worked(arguments, "call_1"), [_TOOL]),
        keeps_questions=not _drops(render, [_USER], [_USER])
        and not _drops(render, _TALK, [_USER, _USER_2, _USER_3])
        and all(_stand_in(_try(render, talk, [_TOOL]), [_USER]) for talk in with_tools),
        keeps_answers=not _drops(render, _TALK, [_SAID, _SAID_2]),
    )


def _worked(arguments: Any, call_id: str = "call00001") -> list[PlainMessage]:
    """A question, a call, and its result."""
    function = {"name": "probe_tool", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    result = {"role": "tool", "content": _RESULT, "name": "probe_tool", "tool_call_id": call_id}
    return [_USER, {"role": "assistant", "content": "", "tool_calls": [call]}, result]


def _drops(
    render: RenderText, messages: Sequence[PlainMessage], wanted: Sequence[PlainMessage]
) -> bool:
    """Whether words go missing; a refusal loses none."""
    try:
        return not _stand_in(render(messages, None), wanted)
    except TemplateError:
        return False


def _stand_in(text: str, wanted: Sequence[PlainMessage]) -> bool:
    text = text.casefold()
    return all(message["content"] in text for message in wanted)


def _try(
    render: RenderText,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
) -> str:
    try:
        return render(messages, tools)
    except TemplateError:
        return ""
