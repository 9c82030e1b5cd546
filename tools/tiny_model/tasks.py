"""What the model learns to find again: facts in prose, asked for later, and repeated text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from numpy.random import Generator

_WORD = re.compile(r"(?<!\S)[a-z]{3,9}(?!\S)")


@dataclass(frozen=True)
class Fact:
    """One thing to remember.

    ``statement`` is its line in the text, ``question`` may be empty, ``lead`` is the beginning
    of the answer that ``value`` completes.
    """

    statement: str
    question: str
    lead: str
    value: str

    @property
    def prompt(self) -> str:
        """The line that asks, up to the value."""
        return f"{self.question} {self.lead}".strip()


def passkey(rng: Generator) -> Fact:
    """The pass key of Landmark Attention (Mohtashami and Jaggi 2023)."""
    value = _digits(rng, 5)
    return Fact(
        f"The pass key is {value}. Remember it. {value} is the pass key.",
        "What is the pass key?",
        "The pass key is",
        value,
    )


def magic_number(rng: Generator, key: str) -> Fact:
    """A needle of RULER (Hsieh et al. 2024)."""
    value = _digits(rng, int(rng.integers(4, 8)))
    about = f"special magic number for {key} mentioned in the provided text"
    return Fact(
        f"One of the special magic numbers for {key} is: {value}.",
        f"What is the {about}?",
        f"The {about} is",
        value,
    )


def room_code(rng: Generator, room: int) -> Fact:
    """One of many numbered facts."""
    value = _digits(rng, 4)
    lead = f"The code of room {room} is"
    return Fact(f"{lead} {value}.", f"What is the code of room {room}?", lead, value)


def key_value(rng: Generator, key: str, words: Sequence[str]) -> Fact:
    """A line of a table, its value a word or a number."""
    value = str(rng.choice(words)) if rng.random() < 0.5 else _digits(rng, 3)
    return Fact(f"{key}: {value}.", "", f"{key}:", value)


def facts(rng: Generator, kind: str, n: int, words: Sequence[str]) -> list[Fact]:
    """Draw ``n`` facts of one kind whose keys differ; of pass keys there is only one.

    Args:
        rng: where chance comes from.
        kind: ``passkey``, ``magic``, ``room`` or ``pair``.
        n: how many.
        words: what keys and values are drawn from.
    """
    if kind == "passkey":
        return [passkey(rng)]
    if kind == "room":
        return [room_code(rng, int(room)) for room in rng.choice(99, n, replace=False) + 1]
    keys = [str(key) for key in rng.choice(words, n, replace=False)]
    if kind == "magic":
        return [magic_number(rng, key) for key in keys]
    return [key_value(rng, key, words) for key in keys]


def keys_of(lines: Iterable[str], *, least: int = 20) -> list[str]:
    """The words of a text that serve as keys and values: 3 to 9 small letters, ``least`` times."""
    counts = Counter(word for line in lines for word in _WORD.findall(line))
    return sorted(word for word, n in counts.items() if n >= least)


def _digits(rng: Generator, n: int) -> str:
    return str(rng.integers(10 ** (n - 1), 10**n))
