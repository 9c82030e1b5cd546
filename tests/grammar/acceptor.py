"""Asks whether a grammar lets a text through, without a model that writes it."""

from __future__ import annotations

from longctx._native import Model
from longctx.errors import RequestError
from longctx.grammar import Grammar, TokenTable

_tables: dict[int, tuple[Model, TokenTable]] = {}


def accepts(model: Model, grammar: Grammar, text: str) -> bool:
    """Whether ``text``, and then the end of the answer, satisfies ``grammar``.

    Raises:
        RequestError: the grammar is malformed.
    """
    _, tokens = _tables.setdefault(id(model), (model, TokenTable(model)))
    matcher = grammar.start(tokens)
    try:
        matcher.accept_bytes(text.encode())
    except RequestError:
        return False
    return matcher.is_accepting
