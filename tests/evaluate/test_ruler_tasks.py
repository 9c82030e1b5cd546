"""RULER's tasks: the prompts hold what their definitions say."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from longctx.evaluate.prompts.ruler import TASKS, Material, Sample
from longctx.evaluate.prompts.ruler.task import string_match_all, string_match_part
from longctx.evaluate.prompts.texts import python_reference

WORDS = tuple(sorted(set(re.findall(r"\b[a-z]{4,}\b", python_reference()))))
SHORT = Material(2048, python_reference()[:20_000], WORDS)
LONG = Material(8192, python_reference()[:60_000], WORDS)
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def build(name: str, material: Material, size: int, seed: int = 0) -> Sample:
    """One sample of a task."""
    return TASKS[name].build(material, size, Random(seed))


def test_the_paper_has_thirteen_tasks() -> None:
    """Eight of needles, one of tracing, two of counting, two of questions (table 1)."""
    assert len(TASKS) == 13


@pytest.mark.parametrize("name", TASKS)
def test_seeds_decide_and_sizes_add(name: str) -> None:
    """The same seed the same sample; another seed another; a larger size a longer prompt, of
    the same question."""
    small, large = build(name, SHORT, 60), build(name, SHORT, 600)
    assert small == build(name, SHORT, 60)
    assert small.prompt != build(name, SHORT, 60, seed=1).prompt
    assert len(small.prompt) < len(large.prompt)
    assert len(set(small.references)) == len(small.references)
    assert (small.beginning, small.references) == (large.beginning, large.references)


@pytest.mark.parametrize(
    ("name", "size", "n_needles", "n_references"),
    [
        ("niah_single_1", 40, 1, 1),
        ("niah_single_2", 8000, 1, 1),
        ("niah_single_3", 8000, 1, 1),
        ("niah_multikey_1", 8000, 4, 1),
        ("niah_multikey_2", 40, 41, 1),
        ("niah_multikey_3", 40, 41, 1),
        ("niah_multivalue", 8000, 4, 4),
        ("niah_multiquery", 8000, 4, 4),
    ],
)
def test_needles_in_haystacks(name: str, size: int, n_needles: int, n_references: int) -> None:
    """So many needles, each once; the references are the values of the keys asked for."""
    sample = build(name, SHORT, size, seed=5)
    context, question = sample.prompt.rsplit("\n", 1)
    kind = "uuids" if name in ("niah_single_3", "niah_multikey_3") else "numbers"
    value = UUID if kind == "uuids" else r"\d{7}"
    needles = re.findall(
        rf"One of the special magic {kind} for (\S+) is: ({value})\.(?=\s|$)", context
    )
    assert len(needles) == n_needles
    asked = [key for key in {key for key, _ in needles} if key in question]
    assert len(asked) == (4 if name == "niah_multiquery" else 1)
    assert len(sample.references) == n_references
    assert set(sample.references) == {number for key, number in needles if key in asked}
    one = f"What is the special magic {kind[:-1]} for"
    assert question.startswith(one) == (n_references == 1)
    assert context.count("The grass is green.") == (40 if name == "niah_single_1" else 0)
    answer = sample.beginning
    assert answer.startswith(f"The special magic {kind[: -1 if n_references == 1 else None]} for ")
    assert all(key in answer for key in asked)


@pytest.mark.parametrize("name", ["niah_single_1", "niah_single_2", "niah_multikey_2", "qa_1"])
def test_answers_stand_anywhere(name: str) -> None:
    """Over many seeds, what is asked for comes to stand in all quarters of the context."""
    places = []
    for seed in range(80):
        sample = build(name, SHORT, 8000 if name == "niah_single_2" else 40, seed)
        places.append(sample.prompt.index(sample.references[0]) / len(sample.prompt))
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
    assert f"5 variables are assigned the value {value[1]}, they are:" in sample.beginning


@pytest.mark.parametrize(("material", "common", "seldom"), [(SHORT, 6, 1), (LONG, 30, 3)])
@pytest.mark.parametrize("size", [50, len(WORDS) + 50])
def test_common_words_are_the_most_common(
    material: Material, size: int, common: int, seldom: int
) -> None:
    """The paper's counts, for short and long windows; the references come most often. Where a
    text has not so many words, others are invented."""
    sample = build("cwe", material, size)
    listed = sample.prompt.rsplit("Below is a numbered list", 1)[1].split("\n")[1]
    counts = Counter(re.findall(r"\d+\. (\w+)", listed))
    assert {word for word, count in counts.items() if count == common} == set(sample.references)
    assert len(sample.references) == 10
    assert sum(count == seldom for count in counts.values()) == size


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


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["qa_1", "qa_2"])
def test_questions_are_answered_by_the_documents_they_lead_to(name: str, seed: int) -> None:
    """One document answers by itself; of two, the first only says who the second is about."""
    sample = build(name, SHORT, 30, seed)
    documents = re.findall(r"Document \d+:\n(.+)", sample.prompt)
    assert len(documents) == 30 + (2 if name == "qa_2" else 1)
    question = sample.prompt.rsplit("Question: ", 1)[1]
    named = re.search(
        r"of ([A-Z]\w+ [A-Z]\w+)\?|was (?:the teacher of )?([A-Z]\w+ [A-Z]\w+) born", question
    )
    assert named is not None
    (begin,) = [d for d in documents if d.startswith(named[1] or named[2])]
    if name == "qa_2":
        teacher = re.search(r"learned the trade from ([A-Z]\w+ [A-Z]\w+),", begin)
        assert teacher is not None
        (begin,) = [d for d in documents if d.startswith(teacher[1])]
    (answer,) = sample.references
    assert answer in begin


def test_an_answer_is_scored_by_the_references_it_holds() -> None:
    """Whatever their case and order; of all the share, of one that is enough it or nothing."""
    assert string_match_all("It is ABC, and 12.", ("abc", "12")) == 1
    assert string_match_all("abc", ("abc", "12")) == 0.5
    assert string_match_all("", ("abc",)) == 0
    assert string_match_part("abc", ("abc", "12")) == 1
    assert string_match_part("ab", ("abc", "12")) == 0
    assert {name for name in TASKS if TASKS[name].score is string_match_part} == {"qa_1", "qa_2"}
