"""What a model practises: something stated far back, and asked for with an exact answer.

Names, attributes and sentences are other ones than those that recall is measured with
(:mod:`longctx.evaluate.prompts`), so that what is learnt is to look back, and not a phrase.
Pure: random numbers in, texts out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.random import Generator

KINDS = ("fact", "pair", "chain", "span")
SHARES = (0.45, 0.3, 0.1, 0.15)
"""How often each kind is drawn."""

_OWNERS = (
    "northern gate", "old mill", "third engine", "red folder", "glass tower", "lower archive",
    "quiet harbour master", "second choir", "yellow tram", "stone bridge", "winter camp",
    "copper valve", "left drawer", "city library", "spare wheel", "night train", "paper kite",
    "blue lamp", "iron stove", "village school", "round table", "wooden chest", "silver whistle",
    "green ledger", "tall chimney", "narrow stair", "summer house", "heavy crate", "long ladder",
    "small kettle", "deep well", "broken clock", "empty barrel", "striped tent", "linen sack",
    "marble bust", "grey donkey", "loud bell", "corner shop", "steep path",
)  # fmt: skip
_ATTRIBUTES = (
    "code", "weight", "price", "serial", "height", "account", "phone", "mileage", "score", "year",
)  # fmt: skip
_FACTS = (
    ("The {attribute} of the {owner} is {value}.", "The {attribute} of the {owner} is"),
    ("Note that the {owner} has {attribute} {value}.", "The {owner} has {attribute}"),
    ("For the {owner}, remember the {attribute}: {value}.", "The {attribute} for the {owner}:"),
    ("{value} is the {attribute} of the {owner}.", "What is the {attribute} of the {owner}? It is"),
    ("The {owner}'s {attribute}: {value}.", "Question: the {owner}'s {attribute}? Answer:"),
)
_ROOMS = (
    "cellar", "attic", "kitchen", "garden", "workshop", "stable", "office", "hall", "chapel",
    "pantry", "tower", "yard",
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Exercise:
    """``statements`` stand in the text, in any order; ``question`` comes later, then ``answer``."""

    statements: tuple[str, ...]
    question: str
    answer: str


def draw_exercises(
    rng: Generator, kind: str, n: int, span: Callable[[], tuple[str, str]]
) -> Sequence[Exercise]:
    """Draw exercises of one kind, each of which differs from the others in what it asks.

    Args:
        rng: draws them.
        kind: one of :data:`KINDS`.
        n: how many, up to 40.
        span: draws two halves of a stretch of prose, for exercises that copy it.
    """
    owners = [_OWNERS[i] for i in rng.permutation(len(_OWNERS))[:n]]
    if kind == "fact":
        statement, question = _FACTS[int(rng.integers(len(_FACTS)))]
        attribute = _ATTRIBUTES[int(rng.integers(len(_ATTRIBUTES)))]
        return [_fact(rng, statement, question, attribute, owner) for owner in owners]
    if kind == "pair":
        return [_pair(rng) for _ in owners]
    if kind == "chain":
        return [_chain(rng, owner) for owner in owners]
    return [_copied(*span()) for _ in owners]


def _fact(rng: Generator, statement: str, question: str, attribute: str, owner: str) -> Exercise:
    value = _digits(rng, int(rng.integers(3, 7)))
    asked = {"attribute": attribute, "owner": owner}
    said = statement.format(value=value, **asked)
    return Exercise((f"\n\n{said}\n\n",), f"\n\n{question.format(**asked)}", value)


def _pair(rng: Generator) -> Exercise:
    key = f"{_word(rng, 3)}-{_digits(rng, 2)}"
    value = _digits(rng, 5) if rng.random() < 0.5 else _word(rng, 6)
    return Exercise((f"\n{key} = {value}\n",), f"\n{key} =", value)


def _chain(rng: Generator, owner: str) -> Exercise:
    """Two hops: what is asked for is said of something that only the first statement names."""
    box, room = f"box {_digits(rng, 3)}", _ROOMS[int(rng.integers(len(_ROOMS)))]
    statements = (
        f"\n\nThe {owner} is in {box}.\n\n",
        f"\n\nSomeone put {box} into the {room}.\n\n",
    )
    return Exercise(statements, f"\n\nThe {owner} is in the", room)


def _copied(begin: str, rest: str) -> Exercise:
    return Exercise((f"\n\n{begin}{rest}\n\n",), f"\n\n{begin}", rest)


def _digits(rng: Generator, n: int) -> str:
    return str(rng.integers(10 ** (n - 1), 10**n))


def _word(rng: Generator, n: int) -> str:
    return "".join(_LETTERS[i] for i in rng.integers(len(_LETTERS), size=n))
