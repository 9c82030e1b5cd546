"""Likelihoods in OpenAI's shapes; their values are tested against the logits in tests/llm."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from longctx import LongContextLLM
from longctx.types import SampledToken
from tests.server.test_chat import QUESTION, WEATHER

CHAT: Any = {"model": "tiny", "messages": QUESTION, "max_tokens": 12}
TEXT: Any = {"model": "tiny", "prompt": "Once upon a time there was", "max_tokens": 12}


def _bytes_of(token: Any) -> bytes:
    return bytes(token.bytes)


def _same(told: Any, own: tuple[SampledToken, ...]) -> bool:
    assert [_bytes_of(token) for token in told] == [token.data for token in own]
    assert [t.logprob for t in told] == pytest.approx([t.logprob for t in own], abs=5e-3)
    for token, mine in zip(told, own, strict=True):
        assert [_bytes_of(t) for t in token.top_logprobs] == [t.data for t in mine.top]
    return True


def test_a_chat_tells_each_token(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """And as many others as were asked for, best first."""
    answer = client.chat.completions.create(**CHAT, logprobs=True, top_logprobs=3)
    own = tiny_llm.chat(QUESTION, max_tokens=12, top_logprobs=3)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content
    assert _same(told.content, own.logprobs)
    assert b"".join(map(_bytes_of, told.content)).decode("utf-8", "replace") == own.text
    for token in told.content:
        likely = [other.logprob for other in token.top_logprobs]
        assert likely == sorted(likely, reverse=True)
        assert len(likely) == 3


def test_a_part_of_a_character_is_named_by_its_bytes(client: OpenAI) -> None:
    """Every byte below 0x20 or above 0x7f that noise writes; no U+FFFD."""
    answer = client.chat.completions.create(**CHAT, logprobs=True, top_logprobs=20)
    told = answer.choices[0].logprobs
    assert told is not None
    tokens = [t for token in told.content or () for t in (token, *token.top_logprobs)]
    parts = [t for t in tokens if t.token.startswith("bytes:")]
    assert parts
    assert all(
        t.token == "".join(["bytes:", *(f"\\x{b:02x}" for b in t.bytes or ())]) for t in parts
    )
    assert not any("\ufffd" in t.token for t in tokens)


def test_a_chat_streams_them_with_their_text(client: OpenAI) -> None:
    """Joined they are those of the whole answer."""
    whole = client.chat.completions.create(**CHAT, logprobs=True).choices[0].logprobs
    chunks = list(client.chat.completions.create(**CHAT, logprobs=True, stream=True))
    assert whole is not None
    told = [
        token
        for chunk in chunks
        if chunk.choices[0].logprobs is not None
        for token in chunk.choices[0].logprobs.content or ()
    ]
    assert [t.bytes for t in told] == [t.bytes for t in whole.content or ()]
    assert all(t.top_logprobs == [] for t in told)
    assert len(told) > 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_has_none(client: OpenAI, stream: bool) -> None:
    """They belong to the content, and a call has no content."""
    asked = {**CHAT, "max_tokens": 200, "tools": [WEATHER], "tool_choice": "required"}
    if stream:
        chunks = list(client.chat.completions.create(**asked, logprobs=True, stream=True))
        assert any(chunk.choices[0].delta.tool_calls for chunk in chunks)
        assert not any(chunk.choices[0].logprobs.content for chunk in chunks[1:-1])
    else:
        (choice,) = client.chat.completions.create(**asked, logprobs=True).choices
        assert choice.message.tool_calls
        assert choice.logprobs.content == []


def test_text_completions_have_columns(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """Offsets point into the text; the token that was taken is among the top ones."""
    answer = client.completions.create(**TEXT, temperature=1.5, seed=1, logprobs=2)
    own = tiny_llm.generate(TEXT["prompt"], max_tokens=12, temperature=1.5, seed=1, top_logprobs=2)
    (choice,) = answer.choices
    told = choice.logprobs
    assert told is not None
    assert told.tokens is not None
    assert told.top_logprobs is not None
    assert told.text_offset == [token.offset for token in own.logprobs]
    assert told.token_logprobs == pytest.approx([t.logprob for t in own.logprobs], abs=5e-3)
    for token, logprob, top in zip(
        told.tokens, told.token_logprobs or (), told.top_logprobs, strict=True
    ):
        assert top[token] == logprob
        assert 2 <= len(top) <= 3
    for offset, token in zip(told.text_offset or (), told.tokens, strict=True):
        assert token.startswith("bytes:") or choice.text[offset:].startswith(token)
    assert choice.text == own.text


def test_text_completions_stream_them(client: OpenAI) -> None:
    """Offsets go on from chunk to chunk."""
    whole = client.completions.create(**TEXT, logprobs=0).choices[0].logprobs
    assert whole is not None
    chunks = list(client.completions.create(**TEXT, logprobs=0, stream=True))
    columns = [c.choices[0].logprobs for c in chunks if c.choices[0].logprobs is not None]
    assert [n for column in columns for n in column.text_offset or ()] == whole.text_offset
    assert [t for column in columns for t in column.tokens or ()] == whole.tokens


def test_nobody_asked(client: OpenAI) -> None:
    """Then the member is null."""
    assert client.chat.completions.create(**CHAT).choices[0].logprobs is None
    assert client.completions.create(**TEXT).choices[0].logprobs is None
