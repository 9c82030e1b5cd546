"""Streaming never splits a character."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from longctx._native import Model
from longctx.tokens import TextStream


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.characters(min_codepoint=32, max_codepoint=0x1FFFF, exclude_categories=["Cs"]))
)
def test_pieces_make_the_text(demo: Model, text: str) -> None:
    """One id at a time gives the text back, whole characters only."""
    ids = demo.encode(text)
    whole = demo.decode_bytes(ids).decode("utf-8", "replace")
    stream = TextStream(demo)
    pieces = [stream.feed([token]) for token in ids]
    assert "".join(pieces) + stream.flush() == whole


def test_an_emoji_waits_for_its_last_byte(demo: Model) -> None:
    """Nothing is shown while bytes are missing, and a stream cut short shows U+FFFD."""
    ids = demo.encode("\U0001f999")
    assert len(ids) > 1
    stream = TextStream(demo)
    assert [stream.feed([token]) for token in ids] == [""] * (len(ids) - 1) + ["\U0001f999"]
    assert stream.flush() == ""
    cut = TextStream(demo)
    assert cut.feed(ids[:-1]) == ""
    assert cut.flush() == "\ufffd"


def test_control_tokens_are_shown_on_request(demo: Model) -> None:
    """Control tokens are silent unless asked for."""
    ids = demo.encode("a<|im_end|>", parse_special=True)
    assert TextStream(demo).feed(ids) == "a"
    assert TextStream(demo, special=True).feed(ids) == "a<|im_end|>"
