"""Figures and names of an answer that stand in nothing that it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable

from longctx.documents.figures import Figure, figures_of, scales_of
from longctx.documents.languages import language_of
from longctx.search.words import words_of

_MARK = re.compile(r"\[[^\[\]]*\bD\d[^\[\]]*\]|\bD\d+(?:\.\d+)?\b")
# A capital inside a sentence; what begins one has a capital anyway.
_NAME = re.compile(r"(?<=[a-z\u00df-\u00ff,;] )[A-Z\u00c0-\u00de][a-z\u00df-\u00ff]{2,}")
# Where nouns, weekdays or all words are written so, a capital names nothing.
_NAMED_BY_CAPITALS = ("English", "French", "Spanish", "Italian", "Portuguese", "Dutch")
_LEAST_DIGITS = 2  # fewer number a list


def unfounded(answer: str, question: str, texts: Iterable[str]) -> tuple[str, ...]:
    """The figures and names in an answer that are neither in the texts nor in the question.

    A figure that was worked out, such as a sum, is one of them. Figures are compared by their
    value, however it is written: ``480,000`` and ``480.000,00``, ``7.5 million`` and
    ``7,500,000``. Dates are compared as they are written: ``05.05.2024`` is not ``5 May 2024``.
    Names are looked for in languages that write names alone with capitals.

    Args:
        answer: the model's words.
        question: the user's.
        texts: what it was made from.
    """
    answer = _MARK.sub(" ", answer)
    figures = [
        figure
        for figure in figures_of(answer)
        if figure.n_digits >= _LEAST_DIGITS or (figure.powers and figure.is_sure)
    ]
    texts = tuple(texts)
    names = _NAME.findall(answer)
    # An answer may be too short to tell its language by.
    if names and not (
        any(language_of(text) in _NAMED_BY_CAPITALS for text in texts[:1])
        and language_of(answer) in (None, *_NAMED_BY_CAPITALS)
    ):
        names = []
    if not figures and not names:
        return ()
    known = _Known()
    known_words: set[str] = set()
    for text in (question, *texts):
        known.read(text)
        known_words.update(words_of(text))
    new = [figure.text for figure in figures if not known.has(figure)]
    new += [name for name in names if not known_words.issuperset(words_of(name))]
    return tuple(dict.fromkeys(new))


class _Known:
    """The figures of some texts."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._bare: set[str] = set()
        self._scales: set[int] = set()

    def read(self, text: str) -> None:
        """Take those of one more text in."""
        self._scales |= scales_of(text)
        for figure in figures_of(text):
            parts = figure.parts
            self._values |= figure.values.union(*(each.bare for each in parts[:-1]))
            self._bare |= figure.bare.union(*(each.bare for each in parts))
            if not figure.powers and not figure.fraction:
                self._values |= parts[-1].bare

    def has(self, figure: Figure) -> bool:
        """Whether one of its values stands there, or what its parts come to, or, as in a table "in
        millions", what a word that is there makes one."""
        if not self._values.isdisjoint(figure.values):
            return True
        if any(not self._bare.isdisjoint(figure.in_units_of(power)) for power in self._scales):
            return True
        if figure.powers and figure.is_sure:
            return False
        if figure.fraction:
            return False
        return all(not self._bare.isdisjoint(part.bare) for part in figure.parts)
