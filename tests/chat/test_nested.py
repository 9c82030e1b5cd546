"""Values in marks inside marks, as MiniMax M3 writes objects and lists."""

from __future__ import annotations

from typing import Any

import pytest

from longctx.chat.calls import CallFormat
from longctx.chat.calls.answer_reader import AnswerFormat
from longctx.chat.calls.format import KEY, ParametersBody
from tests.chat.families import called, read

BODY = ParametersBody('">', "<", ">", ">", f"</{KEY}>")
STYLE = AnswerFormat(CallFormat(BODY, opening='<invoke name="', closing="</invoke>"))
TOOLS = {
    "plan": {
        "type": "object",
        "properties": {
            "place": {"type": "object", "properties": {"floor": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "label": {"type": "string"},
            "any": {},
        },
    }
}


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        (
            "<place><floor>3</floor><name>hall</name></place>",
            {"place": {"floor": 3, "name": "hall"}},
        ),
        ("<tags><item>7</item>\n<item>b</item></tags>", {"tags": ["7", "b"]}),
        ("<any><item><x>1</x></item><item>[2]</item></any>", {"any": [{"x": 1}, [2]]}),
        ("<label><b>bold</b></label>", {"label": "<b>bold</b>"}),
        ("<any><b>bold</b> and more</any>", {"any": "<b>bold</b> and more"}),
    ],
)
def test_marks_in_marks(written: str, arguments: dict[str, Any]) -> None:
    """Objects, lists and what only looks so."""
    text = f'<invoke name="plan">{written}</invoke>'
    assert called(read(text, STYLE, TOOLS)) == [("plan", arguments)]
