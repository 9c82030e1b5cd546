"""Needles in a haystack: single, multi-key, multi-value, multi-query (RULER, section 3)."""

from __future__ import annotations

import re
from functools import partial
from random import Random

from longctx.evaluate.prompts.ruler.task import Material, RulerTask, Sample
from longctx.evaluate.prompts.texts import ADJECTIVES, NOUNS

_DEPTHS = 40  # places that needles may have, evenly spread


def build_niah(
    material: Material,
    size: int,
    random: Random,
    *,
    n_keys: int,
    n_values: int,
    n_queries: int,
) -> Sample:
    """Hide numbers under names in prose, and ask for some.

    Args:
        material: whose prose is the haystack.
        size: characters of prose.
        random: draws names, numbers and places.
        n_keys: names; those that are not asked for distract.
        n_values: numbers to each name.
        n_queries: names that are asked for.
    """
    names = random.sample([f"{a}-{n}" for a in ADJECTIVES for n in NOUNS], n_keys)
    numbers = random.sample(range(1_000_000, 10_000_000), n_keys * n_values)
    values = {name: numbers[i * n_values : (i + 1) * n_values] for i, name in enumerate(names)}
    needles = [
        f"One of the special magic numbers for {name} is: {number}."
        for name in names
        for number in values[name]
    ]
    random.shuffle(needles)
    sentences = re.split(r"(?<=[.!?])\s+", material.prose[:size].strip())
    depths = sorted(random.sample(range(_DEPTHS), len(needles)), reverse=True)
    places = [round(len(sentences) * depth / (_DEPTHS - 1)) for depth in depths]
    for place, needle in zip(places, needles, strict=True):
        sentences.insert(place, needle)
    asked = random.sample(names, n_queries)
    prompt = _template(several=n_queries * n_values > 1).format(
        context=" ".join(sentences), query=_enumerate(asked)
    )
    return Sample(prompt, tuple(str(number) for name in asked for number in values[name]))


def _template(*, several: bool) -> str:
    numbers, are, some = ("numbers", "are all", "Some") if several else ("number", "is", "A")
    hidden = "are" if several else "is"
    return (
        f"{some} special magic {numbers} {hidden} hidden within the following text. Make sure to "
        f"memorize it. I will quiz you about the {numbers} afterwards.\n{{context}}\n"
        f"What {are} the special magic {numbers} for {{query}} mentioned in the provided text?"
    )


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def _task(name: str, *, n_keys: int = 1, n_values: int = 1, n_queries: int = 1) -> RulerTask:
    return RulerTask(
        name=name,
        answer_tokens=128,
        upper=lambda material: len(material.prose),
        build=partial(build_niah, n_keys=n_keys, n_values=n_values, n_queries=n_queries),
    )


NIAH_TASKS = (
    _task("niah_single"),
    _task("niah_multikey", n_keys=4),
    _task("niah_multivalue", n_values=4),
    _task("niah_multiquery", n_keys=4, n_queries=4),
)
