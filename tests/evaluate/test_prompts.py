"""The texts of recall, passkey and needle: what is hidden, where, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx import ContextOverflowError, DocumentError, LongContextLLM, RequestError
from longctx.evaluate.prompts.needle import needle_of, needle_prompt
from longctx.evaluate.prompts.passkey import passkey_prompt
from longctx.evaluate.prompts.recall import MAX_FACTS, build_facts, build_recall_text
from longctx.evaluate.prompts.texts import python_reference
from tests.conftest import TinyGguf

PROSE = python_reference()[:40_000]


@pytest.fixture(scope="module")
def tokenizer(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """A model for its tokenizer alone."""
    with LongContextLLM(tiny_gguf(), 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.mark.parametrize("vocabulary", ["bpe", "spm"])
def test_facts_are_stated_as_they_are_asked(tiny_gguf: TinyGguf, vocabulary: str) -> None:
    """Question and answer together are the statement's beginning; the answer is the number."""
    path = tiny_gguf(vocabulary=vocabulary)
    with LongContextLLM(path, 1024, reserve_output=16, n_threads=1) as llm:
        facts = build_facts(llm.tokenize, 20, seed=3)
        assert len({fact.name for fact in facts}) == 20
        for fact in facts:
            assert llm.detokenize(fact.answer).strip() == fact.number
            stated = llm.detokenize(fact.statement)
            assert stated.strip() == f"The number of the {fact.name} is {fact.number}."
            asked = (*fact.question, *fact.answer)
            assert fact.statement[: len(asked)] == asked


@pytest.mark.parametrize(("n_facts", "n_tokens"), [(1, 400), (7, 2000), (20, 5000)])
def test_facts_lie_evenly_in_a_text_of_exact_length(
    tokenizer: LongContextLLM, n_facts: int, n_tokens: int
) -> None:
    """Fact i begins at (i + ½) / n to within a statement, once; the seed decides everything."""
    filler = tokenizer.tokenize(PROSE)
    facts = build_facts(tokenizer.tokenize, n_facts, seed=1)
    text = build_recall_text(filler, facts, n_tokens, seed=1)
    assert len(text.ids) == n_tokens
    longest = max(len(fact.statement) for fact in facts)
    for i, (fact, begin) in enumerate(zip(facts, text.begins, strict=True)):
        assert text.ids[begin : begin + len(fact.statement)] == fact.statement
        assert abs(begin - (i + 0.5) / n_facts * n_tokens) <= longest
    written = tokenizer.detokenize(text.ids)
    assert all(written.count(fact.number) == 1 for fact in facts)
    assert build_recall_text(filler, facts, n_tokens, seed=1) == text
    assert build_recall_text(filler, facts, n_tokens, seed=2) != text
    assert build_facts(tokenizer.tokenize, n_facts, seed=1) == facts
    assert build_facts(tokenizer.tokenize, n_facts, seed=2) != facts


def test_recall_texts_that_cannot_be(tokenizer: LongContextLLM) -> None:
    """No room for the facts, too little prose, too many facts."""
    facts = build_facts(tokenizer.tokenize, 5, seed=0)
    with pytest.raises(ContextOverflowError, match="5 facts"):
        build_recall_text([1] * 1000, facts, 100, seed=0)
    with pytest.raises(DocumentError):
        build_recall_text([1] * 10, facts, 900, seed=0)
    for n_facts in (0, MAX_FACTS + 1, 2.5):
        with pytest.raises(RequestError, match="n_facts"):
            build_facts(tokenizer.tokenize, n_facts, seed=0)


def test_the_passkey_prompt_is_the_papers() -> None:
    """To the letter, for one repetition of the garbage around the key."""
    garbage = (
        "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
    )
    assert passkey_prompt(2 * len(garbage), 0.5, 9054) == (
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
        "them. I will quiz you about the important information there.\n"
        f"{garbage}\n"
        "The pass key is 9054. Remember it. 9054 is the pass key.\n"
        f"{garbage}\n"
        "What is the pass key? The pass key is"
    )


@given(st.integers(0, 20_000), st.floats(0, 1), st.integers(1, 50_000))
def test_the_passkey_stands_at_its_depth(n_garbage: int, depth: float, key: int) -> None:
    """So many characters of garbage, so much of it before the key, which is said twice."""
    _, before, line, after, _ = passkey_prompt(n_garbage, depth, key).split("\n")
    assert (len(before), len(before) + len(after)) == (round(depth * n_garbage), n_garbage)
    assert line.count(str(key)) == 2


@given(st.floats(0, 1), st.integers(0, len(PROSE)))
def test_the_needle_stands_once_behind_a_sentence(depth: float, n_characters: int) -> None:
    """At its depth or up to a paragraph before it; the prose around it is whole."""
    prose = PROSE[:n_characters]
    _, user = needle_prompt(prose, depth, "Oslo", 1_234_567)
    context, question = user.content.rsplit("\n\n", 1)
    needle = needle_of("Oslo", 1_234_567)
    before, after = context.split(needle)
    assert question.startswith("What is the special magic Oslo number?")
    assert "".join(f"{before}{after}".split()) == "".join(prose.split())
    assert len(before) <= round(depth * n_characters) + 1
    assert not (before and after) or before.rstrip()[-1] in ".?!"


def test_needles_go_in_at_sentence_ends() -> None:
    """Beginning, middle and end of three sentences."""
    prose = "One is here. Two is there. Three is gone."
    needle = needle_of("Lima", 7)

    def context(depth: float) -> str:
        return needle_prompt(prose, depth, "Lima", 7)[1].content.split("\n\n")[0]

    assert context(0) == f"{needle} {prose}"
    assert context(0.5) == f"One is here. {needle} Two is there. Three is gone."
    assert context(1) == f"{prose} {needle}"
