"""Needles in a haystack: single, multi-key, multi-value, multi-query (RULER, section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import product
from random import Random
from typing import Literal
from uuid import UUID

from longctx.evaluate.prompts.ruler.task import NOISE, Material, RulerTask, Sample
from longctx.evaluate.prompts.texts import ADJECTIVES, NOUNS

_DEPTHS = 40  # places that needles may have in prose, evenly spread


@dataclass(frozen=True)
class Haystack:
    """What needles are hidden in, and what they are.

    Attributes:
        hay: prose; noise, which is five sentences over and over; or other needles.
        names: whether keys are an adjective and a noun, or UUIDs.
        values: what is hidden.
        n_keys: names; those that are not asked for distract.
        n_values: values to each name.
        n_queries: names that are asked for.
    """

    hay: Literal["prose", "noise", "needles"] = "prose"
    names: Literal["words", "uuids"] = "words"
    values: Literal["numbers", "uuids"] = "numbers"
    n_keys: int = 1
    n_values: int = 1
    n_queries: int = 1


def build_niah(material: Material, size: int, random: Random, *, haystack: Haystack) -> Sample:
    """Hide values under names, and ask for some.

    Args:
        material: whose prose is the haystack, and whose words are keys of other needles.
        size: characters of prose, lines of noise, or other needles.
        random: draws names, values and places.
        haystack: what is hidden, in what.
    """
    names = _names(haystack, random)
    values = {name: [_value(haystack, random) for _ in range(haystack.n_values)] for name in names}
    needles = [_needle(haystack, name, value) for name in names for value in values[name]]
    random.shuffle(needles)
    asked = random.sample(names, haystack.n_queries)
    # Last, so that the same is hidden at every size.
    context = _hide(needles, haystack, material, size, random)
    several = haystack.n_queries * haystack.n_values > 1
    prompt, beginning = (
        text.format(context=context, query=_enumerate(asked))
        for text in _template(haystack.values, several=several)
    )
    return Sample(prompt, beginning, tuple(value for name in asked for value in values[name]))


def _names(haystack: Haystack, random: Random) -> list[str]:
    if haystack.names == "uuids":
        return [_uuid(random) for _ in range(haystack.n_keys)]
    return random.sample([f"{a}-{n}" for a, n in product(ADJECTIVES, NOUNS)], haystack.n_keys)


def _value(haystack: Haystack, random: Random) -> str:
    if haystack.values == "uuids":
        return _uuid(random)
    return str(random.randrange(1_000_000, 10_000_000))


def _uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _needle(haystack: Haystack, name: str, value: str) -> str:
    return f"One of the special magic {haystack.values} for {name} is: {value}."


def _hide(
    needles: list[str], haystack: Haystack, material: Material, size: int, random: Random
) -> str:
    """The context: needles in their order, at places that are drawn."""
    if haystack.hay == "prose":
        sentences = re.split(r"(?<=[.!?])\s+", material.prose[:size].strip())
        depths = sorted(random.sample(range(_DEPTHS), len(needles)))
        places = [round(len(sentences) * depth / (_DEPTHS - 1)) for depth in depths]
        return " ".join(_insert(sentences, needles, places))
    shares = sorted(random.random() for _ in needles)
    places = [int(share * (size + 1)) for share in shares]
    if haystack.hay == "noise":
        return "\n".join(_insert([NOISE] * size, needles, places))
    others = [
        _needle(haystack, _other_name(haystack, material, random), _value(haystack, random))
        for _ in range(size)
    ]
    return "\n".join(_insert(others, needles, places))


def _other_name(haystack: Haystack, material: Material, random: Random) -> str:
    """A key that distracts: of words of the text, for there are not names enough."""
    if haystack.names == "uuids":
        return _uuid(random)
    return "-".join(random.choices(material.words, k=2))


def _insert(lines: list[str], needles: list[str], places: list[int]) -> list[str]:
    for place, needle in reversed(list(zip(places, needles, strict=True))):
        lines.insert(place, needle)
    return lines


def _template(values: str, *, several: bool) -> tuple[str, str]:
    """The prompt, and how its answer begins."""
    if several:
        some, what, hidden, question, answer = "Some", values, "are", "are all", "are"
    else:
        some, what, hidden, question, answer = "A", values[:-1], "is", "is", "is"
    return (
        f"{some} special magic {what} {hidden} hidden within the following text. Make sure to "
        f"memorize it. I will quiz you about the {what} afterwards.\n{{context}}\n"
        f"What {question} the special magic {what} for {{query}} mentioned in the provided text?",
        f"The special magic {what} for {{query}} mentioned in the provided text {answer}",
    )


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def _task(name: str, haystack: Haystack) -> RulerTask:
    in_prose = haystack.hay == "prose"
    return RulerTask(
        name=name,
        answer_tokens=128,
        upper=lambda material: len(material.prose) if in_prose else material.length,
        build=partial(build_niah, haystack=haystack),
    )


NIAH_TASKS = (
    _task("niah_single_1", Haystack(hay="noise")),
    _task("niah_single_2", Haystack()),
    _task("niah_single_3", Haystack(values="uuids")),
    _task("niah_multikey_1", Haystack(n_keys=4)),
    _task("niah_multikey_2", Haystack(hay="needles")),
    _task("niah_multikey_3", Haystack(hay="needles", names="uuids", values="uuids")),
    _task("niah_multivalue", Haystack(n_values=4)),
    _task("niah_multiquery", Haystack(n_keys=4, n_queries=4)),
)
