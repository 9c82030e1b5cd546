"""Ways to ask: piece by piece, in an event loop, with a conversation, a schema, instructions."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.documents import AnswerStream, Document, DocumentQA
from longctx.errors import BackendError, ContextOverflowError, RequestError, TemplateError
from longctx.testing import ScriptedChatModel
from longctx.types import Progress
from tests.models import TINY
from tests.support.thorough import thorough

CONTRACT = "Until delivery the seller bears the risk. The price is 480,000 euros."
ROOMS = "\n\n".join(
    f"The code of room {n} is {n * 37}. " + "It is a room like any other room. " * 4
    for n in range(40)
)


def asked(replies: list[str], **options) -> tuple[ScriptedChatModel, DocumentQA]:
    """A contract, and a model with a script."""
    llm = ScriptedChatModel(replies)
    qa = DocumentQA(llm, **options)
    qa.add(CONTRACT, doc_id="contract")
    return llm, qa


def no_meaning(texts: list[str]) -> np.ndarray:
    """An embedder for which all texts mean the same: BM25 decides."""
    return np.ones((len(texts), 2))


@pytest.fixture(scope="module")
def tiny():
    """The small model of the tests, with a window of 1,024 tokens."""
    with LongContextLLM(TINY, 1024, n_threads=1, reserve_output=12) as llm:
        yield llm


# Piece by piece


@pytest.mark.parametrize("strategy", ["whole", "retrieve", "map_reduce", "refine"])
def test_a_stream_says_what_an_answer_says(strategy):
    """Text, citations, report and cost, under every strategy."""
    answers = []
    for stream in (True, False):
        replies = ['"The code of room 0 is 0" [D1].'] * 20
        llm = ScriptedChatModel(replies, target_ctx=700, reserve_output=40)
        qa = DocumentQA(llm, strategy=strategy, embedder=no_meaning)
        qa.add(ROOMS if strategy != "whole" else ROOMS[:600], doc_id="rooms")
        question = "What is the code of room 0?"
        answers.append(qa.stream(question).answer if stream else qa.ask(question))
    assert answers[0] == answers[1]
    assert answers[0].grounded


@pytest.mark.parametrize("strategy", ["whole", "retrieve", "map_reduce"])
def test_the_sources_come_first_and_the_answer_last(strategy):
    """They are what the report says was read; the pieces are the answer's text."""
    llm = ScriptedChatModel(["It is blue [D1]."] * 20, target_ctx=700, reserve_output=40)
    qa = DocumentQA(llm, strategy=strategy, embedder=no_meaning)
    qa.add(ROOMS if strategy != "whole" else CONTRACT, doc_id="rooms")
    with qa.stream("What is the code of room 31?") as stream:
        assert stream.sources
        assert llm.calls == []
        chunks = list(stream)
    first, *pieces, last = chunks
    assert first.sources == stream.sources
    assert last.answer == stream.answer
    assert "".join(piece.text for piece in pieces) == last.answer.text
    assert not any(piece.sources or piece.answer for piece in pieces)
    read = {document.doc_id for document in last.answer.report.documents}
    assert {source.doc_id for source in first.sources} == read
    assert len(pieces) > 2
    if strategy == "retrieve":
        assert first.sources == last.answer.report.passages


def test_what_is_wrong_is_said_before_the_first_piece():
    """Overflow and nonsense are errors of the call."""
    llm, qa = asked(["x"], strategy="whole")
    with pytest.raises(RequestError):
        qa.stream("")
    with pytest.raises(RequestError, match="did you mean max_tokens"):
        qa.stream("Who?", max_token=3)
    llm.target_ctx = 80
    with pytest.raises(ContextOverflowError):
        qa.stream("Who?")
    assert llm.calls == []


def test_a_stream_that_is_left_frees_the_model(tiny):
    """The rest is given up, the next question is answered, and nothing half-written is kept."""
    qa = DocumentQA(tiny)
    qa.add("The sky is blue and the sea is green.", doc_id="sky")
    with qa.stream("What is the sky?") as stream:
        assert next(stream).sources
        next(stream)
    with pytest.raises(BackendError, match="given up"):
        _ = stream.answer
    whole = qa.ask("What is the sky?")
    assert whole.text == "".join(chunk.text for chunk in qa.stream("What is the sky?"))


def test_aask_leaves_the_event_loop_free_and_can_be_cancelled(tiny):
    """Other tasks run meanwhile; a cancelled question frees the model."""
    qa = DocumentQA(tiny)
    qa.add("The sky is blue and the sea is green.", doc_id="sky")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        reads, loop_runs, in_time = asyncio.Event(), threading.Event(), []

        def hold(_: Progress) -> None:  # in the thread that waits for the model
            loop.call_soon_threadsafe(reads.set)
            in_time.append(loop_runs.wait(30))

        answering = asyncio.create_task(qa.aask("What is the sea?", on_progress=hold))
        await reads.wait()
        loop_runs.set()
        assert (await answering).text == qa.ask("What is the sea?").text
        assert all(in_time)

        def cancel(progress: Progress) -> None:
            loop.call_soon_threadsafe(cancelled.cancel)
            time.sleep(0.1)

        question = qa.aask("What is the colour of it?", max_tokens=200, on_progress=cancel)
        cancelled = asyncio.create_task(question)
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        answer = await asyncio.wait_for(qa.aask("And the sky?"), timeout=60)
        assert answer.report.calls == 1

    asyncio.run(run())


def test_several_threads_ask_one_library(tiny):
    """Each gets the answer to its own question."""
    qa = DocumentQA(tiny)
    qa.add("The sky is blue and the sea is green.", doc_id="sky")
    questions = [f"What is the number {n}?" for n in range(4)]
    answers: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda q=q: answers.update({q: qa.ask(q, max_tokens=4).text}))
        for q in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {q: qa.ask(q, max_tokens=4).text for q in questions}


# What an answer is held to


def test_instructions_stand_behind_the_documents():
    """Those of the library and of the question; the documents stay in the cache."""
    llm, qa = asked(["x", "y"], instructions="Answer in French.")
    qa.ask("Who?")
    second = qa.ask("Who?", instructions="Be formal.")
    assert llm.calls[1].messages[1].content.endswith("Who?\nAnswer in French.\nBe formal.")
    assert llm.calls[0].messages[1].content.endswith("Who?\nAnswer in French.")
    assert second.usage.prefilled_tokens < 10


def test_a_schema_holds_the_answer_and_no_note():
    """Every strategy's last call has it, and its notes are free."""
    schema = {"type": "object", "properties": {"code": {"type": "string"}}}
    replies = ["note"] * 12
    llm = ScriptedChatModel(replies, target_ctx=700, reserve_output=40)
    qa = DocumentQA(llm, strategy="map_reduce")
    qa.add(ROOMS, doc_id="rooms")
    qa.ask("What is the code?", response_schema=schema)
    held = [call.options.get("response_schema") for call in llm.calls]
    assert held == [None] * (len(held) - 1) + [schema]
    with pytest.raises(RequestError, match="schema"):
        qa.ask("What is the code?", response_schema=7)


def test_a_real_model_answers_in_json(tiny):
    """And its values are judged as quotations."""
    qa = DocumentQA(tiny)
    qa.add("The sky is blue and the sea is green.", doc_id="sky")
    schema = {
        "type": "object",
        "properties": {"quote": {"enum": ["the sky is blue", "the sky is red"]}},
        "required": ["quote"],
        "additionalProperties": False,
    }
    answer = qa.ask("What is the sky?", response_schema=schema, max_tokens=40)
    quote = json.loads(answer.text)["quote"]
    (citation,) = answer.citations
    assert citation.verified == answer.grounded == (quote == "the sky is blue")


# The same question


def test_the_same_question_gets_the_same_answer(tiny):
    """At temperature 0 or with a seed, in one process; it costs nothing again."""
    qa = DocumentQA(tiny)
    qa.add("The sky is blue and the sea is green. " * 8, doc_id="sky")
    first = qa.ask("What is it?")
    qa.ask("What else is there?")
    again = qa.ask("What is it?")
    assert (again.text, again.citations) == (first.text, first.citations)
    assert again.usage.prefilled_tokens == 0
    assert again.usage.prompt_tokens == first.usage.prompt_tokens
    seeded = [qa.ask("What is it?", temperature=2.0, seed=s).text for s in (1, 2, 1)]
    assert seeded[0] == seeded[2] != seeded[1]


def test_chance_is_drawn_anew():
    """Without a seed there is nothing to keep; neither where anything differs."""
    llm, qa = asked([str(n) for n in range(9)])
    drawn = [qa.ask("Who?", temperature=1.0).text for _ in range(2)]
    assert drawn == ["0", "1"]
    greedy = [qa.ask("Who?").text, qa.ask("Who?", max_tokens=9).text, qa.ask("Who?", top_k=4).text]
    assert greedy == ["2", "3", "4"]
    assert qa.ask("Who?").text == "2"
    qa.add("Another text.", doc_id="other")
    assert qa.ask("Who?").text == "5"
    assert len(llm.calls) == 6


@thorough
def test_notes_are_the_same_too(tiny):
    """All of a question that reads everything, also where notes are taken side by side."""
    qa = DocumentQA(tiny, strategy="map_reduce", budget_tokens=800)
    qa.add("The sky is blue and the sea is green. " * 200, doc_id="sky")
    first, again = [qa.ask("What is it?", max_tokens=24) for _ in range(2)]
    assert first.report.calls > 2
    assert (again.text, again.report) == (first.text, first.report)
    assert again.usage.prefilled_tokens == 0


# Conversations


def test_a_follow_up_knows_the_conversation():
    """It stands before the question, and the search has the questions before."""
    llm = ScriptedChatModel(["x"], target_ctx=700, reserve_output=40)
    qa = DocumentQA(llm, embedder=no_meaning)
    qa.add(ROOMS, doc_id="rooms")
    history = [
        {"role": "user", "content": "What is the code of room 31?"},
        {"role": "assistant", "content": "It is 1147."},
    ]
    answer = qa.ask("And who cleans it?", history=history)
    prompt = llm.calls[0].messages[1].content
    assert "user: What is the code of room 31?\nassistant: It is 1147.\n" in prompt
    assert prompt.endswith("And who cleans it?")
    assert "The code of room 31 is 1147." in prompt
    assert answer.strategy == "retrieve"


@pytest.mark.parametrize(
    "history", ["Who?", [{"role": "system", "content": "x"}], [{"content": "x"}], 7]
)
def test_what_is_no_history(history):
    """Other turns than questions and answers, and what is no list of messages."""
    _, qa = asked(["x"])
    with pytest.raises((RequestError, TemplateError)):
        qa.ask("And then?", history=history)
    assert qa.ask("And then?", history=[]).text == "x"


# Which documents


def library(llm: ScriptedChatModel) -> DocumentQA:
    """Three texts with metadata."""
    qa = DocumentQA(llm, embedder=no_meaning)
    qa.add("Rent is due in May.", doc_id="a", metadata={"year": 2023, "tags": ["lease", "flat"]})
    qa.add("Rent is due in June.", doc_id="b", metadata={"year": 2024})
    qa.add(Document(doc_id="c", text="Rent is due in July.", media_type="text/html"))
    return qa


@pytest.mark.parametrize(
    ("where", "doc_ids"),
    [
        ({"year": 2024}, ["b"]),
        ({"year": [2023, 2024]}, ["a", "b"]),
        ({"tags": "flat"}, ["a"]),
        ({"media_type": "text/html"}, ["c"]),
        ({"year": 2023, "tags": "lease"}, ["a"]),
        (lambda document: "June" in document.text, ["b"]),
    ],
)
def test_documents_are_picked_by_what_is_known_of_them(where, doc_ids):
    """For questions and for searches."""
    qa = library(ScriptedChatModel(["x"]))
    report = qa.ask("When?", where=where).report
    assert [document.doc_id for document in report.documents] == doc_ids
    assert {hit.doc_id for hit in qa.search("rent", where=where)} == set(doc_ids)


@pytest.mark.parametrize("where", [{"year": 1999}, {"nothing": 1}, {"year": 2024, "tags": "x"}, 7])
def test_where_nothing_is(where):
    """It is said, and not answered from all or none of them."""
    with pytest.raises(RequestError, match="where"):
        library(ScriptedChatModel(["x"])).ask("When?", where=where)


# Room


@pytest.mark.parametrize("strategy", ["whole", "retrieve", "map_reduce", "refine"])
@pytest.mark.parametrize("target_ctx", [150, 300, 480])
@pytest.mark.parametrize("max_tokens", [None, 60])
@pytest.mark.parametrize("keeps_a_share", [True, False])
def test_raise_to_at_least_is_enough_the_first_time(
    strategy, target_ctx, max_tokens, keeps_a_share
):
    """Also where a longer passage comes later, or the model keeps a quarter of its window."""
    question = "What is this? " * 90
    text = ROOMS[:3000] + "It is a room unlike any other room. " * 24

    def ask(target_ctx: int) -> None:
        reserve = min(1024, target_ctx // 4) if keeps_a_share else 50
        llm = ScriptedChatModel(["x"] * 40, target_ctx=target_ctx, reserve_output=reserve)
        qa = DocumentQA(llm, strategy=strategy, embedder=no_meaning)
        qa.add(text, doc_id="rooms")
        qa.ask(question, max_tokens=max_tokens)

    with pytest.raises(ContextOverflowError) as caught:
        ask(target_ctx)
    assert f"at least {caught.value.needed}" in str(caught.value)
    ask(caught.value.needed)


def test_notes_have_a_least_length():
    """An answer of a few tokens leaves none for them, and no window would."""
    _, qa = asked(["x"], strategy="map_reduce")
    with pytest.raises(RequestError, match="16 or more"):
        qa.ask("What is it?", max_tokens=8)


def test_a_stream_is_of_its_type():
    """For those who check."""
    _, qa = asked(["x"])
    assert isinstance(qa.stream("Who?"), AnswerStream)
