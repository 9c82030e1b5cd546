"""Tokens whose logits are moved, named by id or by text."""

from __future__ import annotations

from longctx._native.model import Model
from longctx.errors import RequestError
from longctx.sampling import Bias


def biased_tokens(model: Model, bias: Bias) -> tuple[tuple[int, float], ...]:
    """The tokens of a bias by their ids.

    Raises:
        RequestError: one is not in the vocabulary.
    """
    by_text: dict[bytes, int] = {}
    return tuple((_token_id(model, token, by_text), added) for token, added in bias)


def _token_id(model: Model, token: int | str, by_text: dict[bytes, int]) -> int:
    if isinstance(token, int):
        if 0 <= token < model.n_vocab:
            return token
        raise RequestError(
            f"logit_bias names token {token}; this vocabulary has 0 to {model.n_vocab - 1}"
        )
    ids, text = model.encode(token, parse_special=True), token.encode()
    if len(ids) == 1 and _text(model, ids[0]) == text:
        return ids[0]
    # Some vocabularies put a space before a text: then the token is none of its own encoding.
    if not by_text:
        by_text.update((_text(model, each), each) for each in reversed(range(model.n_vocab)))
    if text in by_text:
        return by_text[text]
    raise RequestError(
        f"logit_bias names the text {token!r:.80}, which is {len(ids)} tokens of this model and "
        "no single one; name their ids (llm.tokenize), or a text that is one token"
    )


def _text(model: Model, token: int) -> bytes:
    return model.decode_bytes([token], special=True)
