"""An answer is the same blocks whole and however it is cut into pieces."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longctx.server.blocks import Block, Blocks
from longctx.testing import ScriptedChatModel
from longctx.types import Chunk, Message, ToolCall, ToolCallDelta

_WORDS = st.text(max_size=12)
_CALLS = st.lists(st.dictionaries(_WORDS, _WORDS, max_size=2), max_size=3)


def _cut(data: st.DataObject, text: str) -> list[str]:
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def _told(blocks: list[Block]) -> list[tuple[Any, ...]]:
    return [(b.kind, b.index, b.call_id, b.name, b.text, b.state) for b in blocks]


@given(st.data(), _WORDS, _WORDS, _CALLS)
def test_pieces_are_the_whole(data: st.DataObject, thought: str, said: str, calls: Any) -> None:
    """Empty pieces open nothing; each block opens once and closes once, one at a time."""
    message = Message(
        role="assistant",
        content=said,
        reasoning=thought,
        tool_calls=tuple(
            ToolCall(id=f"call_{i}", name="t", arguments=given) for i, given in enumerate(calls)
        ),
    )
    result = ScriptedChatModel([message]).chat([{"role": "user", "content": "Hello"}])
    pieces = [Chunk(reasoning=text) for text in _cut(data, thought)]
    pieces += [Chunk(text=text) for text in _cut(data, said)]
    for i, call in enumerate(message.tool_calls):
        first, *more = _cut(data, json.dumps(call.arguments, ensure_ascii=False))
        delta = ToolCallDelta(index=i, id=call.id, name=call.name, arguments=first)
        rest = [ToolCallDelta(index=i, arguments=text) for text in more]
        pieces += [Chunk(tool_calls=(each,)) for each in (delta, *rest)]
    blocks = Blocks()
    steps = [step for piece in pieces for step in blocks.take(piece)]
    steps += blocks.end()
    assert _told(blocks.all) == _told(Blocks.of(result).all)
    edges = [(step.what, step.block.index) for step in steps if step.what != "grows"]
    assert edges == [(what, i) for i in range(len(blocks.all)) for what in ("opens", "closes")]
    for block in blocks.all:
        grown = [step.text for step in steps if step.block is block and step.what == "grows"]
        assert "".join(grown) == block.text
