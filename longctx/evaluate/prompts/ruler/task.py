"""What a task of RULER is, and how its answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


@dataclass(frozen=True)
class Material:
    """What tasks are made of.

    ``length`` is in tokens, answer included; ``prose`` has at least so many; ``words`` are
    distinct and in a fixed order.
    """

    length: int
    prose: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One prompt and the strings that a right answer contains."""

    prompt: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class RulerTask:
    """A task: its name in the paper, room for its answer in tokens, and how to build it.

    ``build(material, size, random)`` makes a sample whose length grows with ``size``, in units
    of the task's own; ``upper(material)`` is the largest size there is material for.
    """

    name: str
    answer_tokens: int
    upper: Callable[[Material], int]
    build: Callable[[Material, int, Random], Sample]


def string_match_all(answer: str, references: Sequence[str]) -> float:
    """The share of references that the answer contains, whatever their case: 0 to 1.

    >>> string_match_all("They are 17 and 4.", ["17", "23"])
    0.5
    """
    return sum(text.lower() in answer.lower() for text in references) / len(references)
