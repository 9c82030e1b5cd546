"""What does not fit whole: the best passages, or all of it a window at a time."""

from __future__ import annotations

import re

import numpy as np
import pytest

from longctx.documents import Document, DocumentQA, Page
from longctx.documents.chunks import Chunk
from longctx.documents.packing import best_at_edges, joined, largest_fitting
from longctx.errors import ContextOverflowError
from longctx.testing import ScriptedChatModel
from longctx.types import Progress

N_PARAGRAPHS = 60


def paragraph(n: int) -> str:
    """Some 40 tokens with one fact."""
    return f"The code of room {n} is {n * 7919 % 9973}. " + "It is a room like any other. " * 4


TEXT = "\n\n".join(paragraph(n) for n in range(N_PARAGRAPHS))


def no_meaning(texts: list[str]) -> np.ndarray:
    """An embedder for which all texts mean the same: BM25 decides."""
    return np.ones((len(texts), 2))


def ask(question: str, replies: list[str], **options):
    """A library of two documents in a window that holds a quarter of it."""
    llm = ScriptedChatModel(replies, target_ctx=1000, reserve_output=60)
    qa = DocumentQA(llm, embedder=no_meaning, **options)
    pages = tuple(
        Page(number=n + 1, start=match.start(), end=match.start() + 1)
        for n, match in enumerate(re.finditer("The code", TEXT))
    )
    qa.add(Document(doc_id="rooms", text=TEXT, pages=pages))
    qa.add("The garden is closed on Monday.", doc_id="garden")
    return llm, qa.ask(question)


def test_auto_retrieves_what_the_question_asks_for():
    """The paragraph with the fact is in the window; the reason has the numbers."""
    llm, answer = ask("What is the code of room 41?", ['"The code of room 41 is 5543" [D1]'])
    prompt = llm.calls[0].messages[1].content
    assert paragraph(41).strip() in prompt
    assert answer.strategy == answer.report.strategy == "retrieve"
    assert re.search(r"2 documents.* are [\d,]+ tokens, more than the budget of 1,000", str(answer))
    (citation,) = answer.citations
    assert (citation.verified, citation.page) == (True, 42)


def test_retrieval_fills_the_budget_and_accounts_for_it():
    """One chunk more would not fit; passages and the rest add up to the window."""
    _, answer = ask("What is the code of room 41?", ["x"])
    report = answer.report
    assert report.prompt_tokens == answer.usage.prompt_tokens
    assert report.prompt_tokens + report.reserved_tokens + report.free_tokens == 1000
    assert report.prompt_tokens == report.other_tokens + sum(d.tokens for d in report.documents)
    assert sum(p.tokens for p in report.passages) == sum(d.tokens for d in report.documents)
    assert 0 <= report.free_tokens < 192 + 32
    assert "rooms" in [d.doc_id for d in report.left_out]
    # In the order of documents and text, and neighbours are one passage.
    places = [(p.doc_id != "rooms", p.start) for p in report.passages]
    assert places == sorted(places)
    ends = {p.end for p in report.passages if p.doc_id == "rooms"}
    assert not ends & {p.start for p in report.passages if p.doc_id == "rooms"}


def test_a_smaller_budget_is_kept():
    """It bounds prompt and answer, whatever the window could hold."""
    _, answer = ask("What is the code of room 41?", ["x"], budget_tokens=400)
    report = answer.report
    assert (report.budget_tokens, report.target_ctx) == (400, 1000)
    assert report.prompt_tokens + report.reserved_tokens <= 400


def test_questions_about_everything_read_everything():
    """Auto takes map_reduce: every paragraph is in one of the windows, then the notes are."""
    replies = [*["a note"] * 9, "The end."]
    llm, answer = ask("Summarise these documents.", replies)
    assert answer.strategy == "map_reduce"
    assert '"Summarise" asks about all of it' in answer.report.reason
    prompts = [call.messages[1].content for call in llm.calls]
    read = "".join(prompts)
    assert all(read.count(f"code of room {n} is") == 1 for n in range(N_PARAGRAPHS))
    assert "The garden is closed" in read
    assert answer.report.left_out == ()
    assert answer.report.calls == len(llm.calls)
    assert prompts[-1].count("a note") == len(llm.calls) - 1
    assert answer.text == replies[len(llm.calls) - 1]


def test_usage_and_progress_cover_all_calls():
    """Tokens are summed, and progress never goes back or passes its total."""
    llm = ProgressingModel(["note"] * 30, target_ctx=1000, reserve_output=60)
    qa = DocumentQA(llm, strategy="map_reduce")
    qa.add(TEXT, doc_id="rooms")
    seen: list[Progress] = []
    answer = qa.ask("What is it about?", on_progress=seen.append)
    assert answer.usage.prompt_tokens == sum(llm.count(call.messages) for call in llm.calls)
    done = [progress.done_tokens for progress in seen]
    assert done == sorted(done)
    assert all(progress.done_tokens <= progress.total_tokens for progress in seen)
    assert len(seen) == len(llm.calls)


class ProgressingModel(ScriptedChatModel):
    """Reports each prefill as one batch."""

    def chat(self, messages, *, on_progress=None, **options):
        """As its base, and one report."""
        completion = super().chat(messages, **options)
        if on_progress:
            n = completion.usage.prefilled_tokens
            on_progress(Progress(done_tokens=n, total_tokens=n, elapsed_s=0.1))
        return completion


def test_many_notes_are_condensed_until_they_fit():
    """Long notes of many parts do not overflow the last window."""
    llm = ScriptedChatModel(["word " * 40] * 200, target_ctx=520, reserve_output=100)
    qa = DocumentQA(llm, strategy="map_reduce")
    qa.add(TEXT, doc_id="rooms")
    answer = qa.ask("What is it about?")
    condensing = [c for c in llm.calls if "one shorter note" in c.messages[1].content]
    assert condensing
    assert answer.report.calls == len(llm.calls)


def test_refine_carries_the_answer_through_all_parts():
    """Each further window has the answer of the one before."""
    replies = [f"answer {n}" for n in range(30)]
    llm, answer = ask("What is it about?", replies, strategy="refine")
    assert len(llm.calls) >= 3
    for n, call in enumerate(llm.calls[1:]):
        assert f"answer {n}\n" in call.messages[1].content
    assert answer.text == replies[len(llm.calls) - 1]


@pytest.mark.parametrize("strategy", ["map_reduce", "refine"])
def test_parts_end_in_the_same_places_for_every_question(strategy):
    """So that the next question finds them in the cache: prompts begin alike."""
    first, _ = ask("What is it about?", ["x"] * 30, strategy=strategy)
    second, _ = ask("Who lives there, and why?", ["longer answer"] * 30, strategy=strategy)
    for one, two in zip(first.calls[:3], second.calls[:3], strict=True):
        passages = one.messages[1].content.rpartition("</passage")[0]
        assert passages
        assert two.messages[1].content.startswith(passages)


@pytest.mark.parametrize("strategy", ["retrieve", "map_reduce", "refine"])
def test_a_window_too_small_for_anything(strategy):
    """The error has the numbers, and the model was never called."""
    llm = ScriptedChatModel(["x"] * 9, target_ctx=150, reserve_output=60)
    qa = DocumentQA(llm, strategy=strategy, embedder=no_meaning)
    qa.add(TEXT, doc_id="rooms")
    with pytest.raises(ContextOverflowError) as caught:
        qa.ask("What is the code of room 41?")
    assert caught.value.needed > caught.value.available == 150
    assert llm.calls == []


def test_edges_put_the_best_first_and_last():
    """The order of the window changes, what is in it does not."""
    _, in_order = ask("What is the code of room 41?", ["x"])
    edged, at_edges = ask("What is the code of room 41?", ["x"], order="edges")
    places = [p.start for p in at_edges.report.passages]
    assert sorted(places) != places
    assert "code of room 41 is" in at_edges_first(edged)
    assert {p.mark for p in at_edges.report.passages} == {p.mark for p in in_order.report.passages}


def at_edges_first(llm: ScriptedChatModel) -> str:
    """The first passage of the window."""
    return llm.calls[0].messages[1].content.split("</passage")[0]


def test_the_order_of_edges():
    """Best, third, …, fourth, second."""
    document = Document(doc_id="a", text="abcde")
    chunks = [Chunk(document, i + 1, i, i + 1, 1) for i in range(5)]
    blocks = [joined([chunk], {"a": "D1"})[0] for chunk in chunks]
    ranked = [chunks[i] for i in (3, 0, 4, 1, 2)]
    assert [block.start for block in best_at_edges(blocks, ranked)] == [3, 4, 2, 1, 0]


@pytest.mark.parametrize("guess", [1, 4, 5, 6, 100])
def test_as_many_as_fit(guess):
    """Whatever the estimate says, the exact count decides, and is made seldom."""
    counted = []

    def exact(n):
        counted.append(n)
        return 5 * n

    assert largest_fitting(10, 25, lambda n: guess * n, exact) == 5
    assert len(counted) == len(set(counted)) <= 4
    counted.clear()
    assert largest_fitting(10, 25, lambda n: 5 * n, exact) == 5
    assert counted == [5]
    assert largest_fitting(10, 99, lambda n: guess * n, exact) == 10
    assert largest_fitting(10, 4, lambda n: guess * n, exact) == 0
    assert largest_fitting(0, 4, lambda n: guess * n, exact) == 0
