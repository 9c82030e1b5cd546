"""Figures and names of an answer that stand in nothing that it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable

from longctx.documents.languages import language_of
from longctx.search.words import words_of

_MARK = re.compile(r"\[[^\[\]]*\bD\d[^\[\]]*\]|\bD\d+(?:\.\d+)?\b")
_FIGURE = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+| \d{3}(?!\d))*")
_NOT_DIGITS = re.compile(r"\D")
_DECIMAL_POINTS = ".,"
# A capital inside a sentence; what begins one has a capital anyway.
_NAME = re.compile(r"(?<=[a-z\u00df-\u00ff,;] )[A-Z\u00c0-\u00de][a-z\u00df-\u00ff]{2,}")
# Where nouns, weekdays or all words are written so, a capital names nothing.
_NAMED_BY_CAPITALS = ("English", "French", "Spanish", "Italian", "Portuguese", "Dutch")
_LEAST_DIGITS = 2  # fewer number a list


def unfounded(answer: str, question: str, texts: Iterable[str]) -> tuple[str, ...]:
    """The figures and names in an answer that are neither in the texts nor in the question.

    A figure that was worked out, such as a sum, is one of them. Figures are compared by their
    value, however it is written: ``480,000`` and ``480.000,00``, ``7.5`` and ``7,50``. Dates are
    compared as they are written: ``05.05.2024`` is not ``5 May 2024``. Names are looked for in
    languages that write names alone with capitals.

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
            known_figures.update(*map(_readings, (figure, *figure.split(" "))))
        known_words.update(words_of(text))
    new = [
        figure
        for figure in figures
        if known_figures.isdisjoint(_readings(figure))
        and any(known_figures.isdisjoint(_readings(part)) for part in figure.split(" "))
    ]
    new += [name for name in names if name.casefold() not in known_words]
    return tuple(dict.fromkeys(new))


def _readings(figure: str) -> set[str]:
    """The values that a figure may have, each written in one way: ``1,250`` is a thousand or one
    and a quarter."""
    groups, marks = _NOT_DIGITS.split(figure), _NOT_DIGITS.findall(figure)
    readings = set()
    if _is_grouped(groups, marks):
        readings.add("".join(groups))
    *whole, fraction = groups
    is_decimal = marks and marks[-1] in _DECIMAL_POINTS and marks[-1] not in marks[:-1]
    if is_decimal and _is_grouped(whole, marks[:-1]):
        decimals = fraction.rstrip("0")
        if decimals or not readings:  # 480,000 is no 480
            readings.add("".join(whole) + ("." + decimals if decimals else ""))
    return readings or {_digits(figure)}


def _is_grouped(groups: list[str], marks: list[str]) -> bool:
    """Whether they are the thousands of one number."""
    if not marks:
        return True
    first, *others, last = groups
    return (
        len(set(marks)) == 1
        and len(first) <= 3
        and first[0] != "0"
        and all(len(group) in (2, 3) for group in others)  # in India hundreds, above thousands
        and len(last) == 3
    )


def _digits(figure: str) -> str:
    return _NOT_DIGITS.sub("", figure)
