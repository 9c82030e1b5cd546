"""Variable tracking: a chain of assignments in noise; which names hold the value? (section 3)."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from string import ascii_uppercase

from longctx.evaluate.prompts.ruler.task import NOISE, Material, RulerTask, Sample

_HOPS = 4
_EXAMPLE_NOISE = 12  # some 500 tokens with the question, as the paper's example has
_TEMPLATE = (
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
    "{context}\n"
    "Question: Find all variables that are assigned the value {value} in the text above."
)
_BEGINNING = (
    "Answer: According to the chain(s) of variable assignment in the text above, {count} "
    "variables are assigned the value {value}, they are:"
)


def build_variable_tracking(material: Material, size: int, random: Random) -> Sample:
    """One chain of four hops in ``size`` lines of noise, behind one worked example."""
    del material
    example, value, names = _question(_EXAMPLE_NOISE, 3, random)
    shown = f"{example} {_begin(value, names)} {' '.join(names)}"
    asked, value, references = _question(size, 5, random)
    return Sample(f"{shown}\n\n{asked}", _begin(value, references), tuple(references))


def _begin(value: str, names: list[str]) -> str:
    return _BEGINNING.format(count=len(names), value=value)


def _question(n_noise: int, n_letters: int, random: Random) -> tuple[str, str, list[str]]:
    """A question, the value it asks for, and the variables that hold it."""
    names: list[str] = []
    while len(names) < _HOPS + 1:
        name = "".join(random.choices(ascii_uppercase, k=n_letters))
        if name not in names:
            names.append(name)
    value = str(random.randint(10_000, 99_999))
    chain = [f"VAR {names[0]} = {value}"]
    chain += [f"VAR {new} = VAR {old}" for old, new in pairwise(names)]
    # One assignment may stand between any two lines of noise; the chain keeps its order.
    places = sorted(random.randint(0, n_noise) for _ in chain)
    lines = [NOISE] * n_noise
    for place, line in reversed(list(zip(places, chain, strict=True))):
        lines.insert(place, line)
    return _TEMPLATE.format(context="\n".join(lines), value=value), value, names


VARIABLE_TRACKING = RulerTask(
    name="vt",
    answer_tokens=30,
    upper=lambda material: material.length,
    build=build_variable_tracking,
)
