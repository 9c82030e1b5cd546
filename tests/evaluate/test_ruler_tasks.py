"""RULER's tasks: the prompts hold what their definitions say."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from longctx.evaluate.prompts.ruler import TASKS, Material, Sample, string_match_all
from longctx.evaluate.prompts.texts import python_reference

WORDS = tuple(sorted(set(re.findall(r"\b[a-z]{4,}\b", python_reference()))))
SHORT = Material(2048, python_reference()[:20_000], WORDS)
LONG = Material(8192, python_reference()[:60_000], WORDS)


def build(name: str, material: Material, size: int, seed: int = 0) -> Sample:
    """One sample of a task."""
    return TASKS[name].build(material, size, Random(seed))


@pytest.mark.parametrize("name", TASKS)
def test_seeds_decide_and_sizes_add(name: str) -> None:
    """The same seed the same sample; another seed another; a larger size a longer prompt."""
    small, large = build(name, SHORT, 60), build(name, SHORT, 600)
    assert small == build(name, SHORT, 60)
    assert small.prompt != build(name, SHORT, 60, seed=1).prompt
    assert len(small.prompt) < len(large.prompt)
    assert len(set(small.references)) == len(small.references)


@pytest.mark.parametrize(
    ("name", "n_needles", "n_references", "n_asked"),
    [
        ("niah_single", 1, 1, 1),
        ("niah_multikey", 4, 1, 1),
        ("niah_multivalue", 4, 4, 1),
        ("niah_multiquery", 4, 4, 4),
    ],
)
def test_needles_in_haystacks(name: str, n_needles: int, n_references: int, n_asked: int) -> None:
    """So many needles, each once; the references are the numbers of the names asked for."""
    sample = build(name, SHORT, 8000, seed=5)
    context, question = sample.prompt.rsplit("\n", 1)
    needles = re.findall(r"One of the special magic numbers for (\S+) is: (\d{7})\.", context)
    assert len(needles) == n_needles
    asked = [key for key in {key for key, _ in needles} if key in question]
    assert len(asked) == n_asked
    assert len(sample.references) == n_references
    assert set(sample.references) == {number for key, number in needles if key in asked}
    singular = "What is the special magic number for"
    assert question.startswith(singular) == (n_references == 1)


def test_needles_spread_over_the_haystack() -> None:
    """Over many seeds, single needles come to stand in all quarters."""
    places = []
    for seed in range(80):
        prompt = build("niah_single", SHORT, 8000, seed).prompt
        places.append(prompt.index("One of the special") / len(prompt))
    assert {int(4 * place) for place in places} == {0, 1, 2, 3}


def test_variables_are_chained_in_order() -> None:
    """One value, four hops, noise between; following the chain finds the references."""
    sample = build("vt", SHORT, 40)
    *_, asked = sample.prompt.split("Memorize and track")
    value = re.search(r"assigned the value (\d{5}) in the text", asked)
    assert value is not None
    held: list[str] = []
    for line in asked.splitlines():
        if (first := re.fullmatch(r"VAR ([A-Z]{5}) = (\d+)", line)) is not None:
            assert (first[2], held) == (value[1], [])
            held.append(first[1])
        elif (hop := re.fullmatch(r"VAR ([A-Z]{5}) = VAR ([A-Z]{5})", line)) is not None:
            assert hop[2] == held[-1]
            held.append(hop[1])
    assert tuple(held) == sample.references
    assert len(held) == 5
    assert asked.count("The grass is green.") == 40


@pytest.mark.parametrize(("material", "common", "seldom"), [(SHORT, 6, 1), (LONG, 30, 3)])
def test_common_words_are_the_most_common(material: Material, common: int, seldom: int) -> None:
    """The paper's counts, for short and long windows; the references come most often."""
    sample = build("cwe", material, 50)
    listed = sample.prompt.rsplit("Below is a numbered list", 1)[1].split("\n")[1]
    counts = Counter(re.findall(r"\d+\. (\w+)", listed))
    assert {word for word, count in counts.items() if count == common} == set(sample.references)
    assert len(sample.references) == 10
    assert sum(count == seldom for count in counts.values()) == 50


def test_frequent_words_follow_zeta() -> None:
    """Dots come most often; the references are the next three, with frequencies as 1/k²."""
    sample = build("fwe", LONG, 2000)
    text = re.search(r"coded words\. (.*)\nQuestion", sample.prompt)
    assert text is not None
    ranked = Counter(text[1].split()).most_common()
    assert ranked[0][0] == "..."
    assert tuple(word for word, _ in ranked[1:4]) == sample.references
    for rank, (_, count) in enumerate(ranked[:8], start=1):
        assert count == int(2000 * 6 / 3.141592653589793**2 / rank**2)


def test_an_answer_is_scored_by_the_references_it_holds() -> None:
    """Whatever their case and order; none is 0, all is 1."""
    assert string_match_all("It is ABC, and 12.", ("abc", "12")) == 1
    assert string_match_all("abc", ("abc", "12")) == 0.5
    assert string_match_all("", ("abc",)) == 0
