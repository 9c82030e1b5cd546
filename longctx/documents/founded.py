"""Figures and names of an answer that stand in nothing that it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable

from longctx.documents.languages import language_of
from longctx.search.words import words_of

_MARK = re.compile(r"\[[^\[\]]*\bD\d[^\[\]]*\]|\bD\d+(?:\.\d+)?\b")
_FIGURE = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+| \d{3}(?!\d))*")
_NOT_DIGITS = re.compile(r"\D")
# A capital inside a sentence; what begins one has a capital anyway.
_NAME = re.compile(r"(?<=[a-z\u00df-\u00ff,;] )[A-Z\u00c0-\u00de][a-z\u00df-\u00ff]{2,}")
# Where nouns, weekdays or all words are written so, a capital names nothing.
_NAMED_BY_CAPITALS = ("English", "French", "Spanish", "Italian", "Portuguese", "Dutch")
_LEAST_DIGITS = 2  # fewer number a list


def unfounded(answer: str, question: str, texts: Iterable[str]) -> tuple[str, ...]:
    """The figures and names in an answer that are neither in the texts nor in the question.

    A figure that was worked out, such as a sum, is one of them. Names are looked for in languages
    that write names alone with capitals.

    Args:
        answer: the model's words.
        question: the user's.
        texts: what it was made from.
    """
    answer = _MARK.sub(" ", answer)
    figures = [f for f in _FIGURE.findall(answer) if len(_digits(f)) >= _LEAST_DIGITS]
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
    known_figures: set[str] = set()
    known_words: set[str] = set()
    for text in (question, *texts):
        for figure in _FIGURE.findall(text):
            # A space may group digits, or part two figures.
            known_figures.update(map(_digits, (figure, *figure.split(" "))))
        known_words.update(words_of(text))
    new = [
        figure
        for figure in figures
        if _digits(figure) not in known_figures and not known_figures.issuperset(figure.split(" "))
    ]
    new += [name for name in names if name.casefold() not in known_words]
    return tuple(dict.fromkeys(new))


def _digits(figure: str) -> str:
    return _NOT_DIGITS.sub("", figure)
