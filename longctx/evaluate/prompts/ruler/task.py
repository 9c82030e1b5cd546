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
    """One prompt, how a right answer begins, and the strings that it contains."""

    prompt: str
    beginning: str
    references: tuple[str, ...]


def string_match_all(answer: str, references: Sequence[str]) -> float:
    """The share of references that the answer contains, whatever their case: 0 to 1.

    >>> string_match_all("They are 17 and 4.", ["17", "23"])
    0.5
    """
    return sum(text.lower() in answer.lower() for text in references) / len(references)


def string_match_part(answer: str, references: Sequence[str]) -> float:
    """1 where the answer contains one of the references, whatever its case, else 0.

    >>> string_match_part("In Oslo.", ["Oslo", "Oslo, Norway"])
    1.0
    """
    return float(any(text.lower() in answer.lower() for text in references))


@dataclass(frozen=True)
class RulerTask:
    """A task: its name in the paper, room for its answer in tokens, how to build and score it.

    ``build(material, size, random)`` makes a sample whose length grows with ``size``, in units
    of the task's own; ``upper(material)`` is the largest size there is material for.
    """

    name: str
    answer_tokens: int
    upper: Callable[[Material], int]
    build: Callable[[Material, int, Random], Sample]
    score: Callable[[str, Sequence[str]], float] = string_match_all
