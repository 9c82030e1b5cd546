"""How likely the tokens of an answer were, as servers tell it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longctx.types import SampledToken, TokenLogprob

UNKNOWN_ID = -1
"""OpenAI's API names tokens by their text."""
_BYTES = re.compile(r"bytes:((?:\\x[0-9a-f]{2})+)")


def sampled_tokens(logprobs: Any, offset: int) -> tuple[SampledToken, ...]:
    """Those of a chunk: of a chat, or in the columns of a text completion.

    Args:
        logprobs: of its choice.
        offset: characters of the answer before it.
    """
    if not isinstance(logprobs, Mapping):
        return ()
    found: list[SampledToken] = []
    for told, data, top in _tokens(logprobs):
        likely = tuple(_token(each, each_data) for each, each_data in top)
        token = _token(told, data)
        found.append(
            SampledToken(
                id=token.id, data=token.data, logprob=token.logprob, offset=offset, top=likely
            )
        )
        offset += len(token.data.decode("utf-8", "ignore"))
    return tuple(found)


def _tokens(logprobs: Mapping[str, Any]) -> list[tuple[float, bytes, list[tuple[float, bytes]]]]:
    if logprobs.get("content") is not None:
        return [
            (
                told["logprob"],
                _data(told),
                [(each["logprob"], _data(each)) for each in told.get("top_logprobs") or ()],
            )
            for told in logprobs["content"]
        ]
    tokens = logprobs.get("tokens") or ()
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    return [
        (value, _named(token), [(each, _named(name)) for name, each in (top or {}).items()])
        for token, value, top in zip(tokens, logprobs["token_logprobs"], tops, strict=True)
    ]


def _token(logprob: float, data: bytes) -> TokenLogprob:
    return TokenLogprob(id=UNKNOWN_ID, data=data, logprob=logprob)


def _data(told: Mapping[str, Any]) -> bytes:
    data = told.get("bytes")
    return _named(str(told["token"])) if data is None else bytes(data)


def _named(token: str) -> bytes:
    """Of a token by its name, which may be one of bytes (``bytes:\\xe2\\x82``)."""
    match = _BYTES.fullmatch(token)
    return bytes.fromhex(match[1].replace("\\x", "")) if match else token.encode("utf-8", "replace")
