"""Searching alone, looking again, and knowing that nothing was found."""

from __future__ import annotations

import numpy as np
import pytest

from longctx.documents import DocumentQA
from longctx.documents.absence import MIN_RELEVANCE
from longctx.documents.founded import unfounded
from longctx.documents.search import MULTILINGUAL
from longctx.errors import RequestError
from longctx.testing import ScriptedChatModel
from tests.support.cross_encoder import write_cross_encoder

LEASE = """The landlord lets the flat on the second floor of 14 Mill Lane in Hull to Maria Keller.
The rent is 1,150 pounds a month, due on the third working day. Heating is paid by the tenant.

The tenant pays a deposit of 2,300 pounds, which is returned six weeks after the end of the lease.
The landlord keeps roof, windows and heating in repair. Pets need the landlord's consent."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors go to the tests' folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "vectors"))


def lease(replies: list[str], **options) -> tuple[ScriptedChatModel, DocumentQA]:
    """A lease, and the packaged embedder."""
    llm = ScriptedChatModel(replies)
    qa = DocumentQA(llm, **options)
    qa.add(LEASE, doc_id="lease")
    return llm, qa


def rooms(**options) -> DocumentQA:
    """Forty rooms that mean the same to the embedder."""
    qa = DocumentQA(
        ScriptedChatModel(["x"] * 5, target_ctx=700, reserve_output=40),
        embedder=lambda texts: np.ones((len(texts), 2)),
        **options,
    )
    for n in range(40):
        qa.add(f"The code of room {n} is {n * 37}. " + "A room like any. " * 20, doc_id=f"room {n}")
    return qa


def test_search_alone():
    """Parts of documents, the best first, as they stand there; the model is not asked."""
    qa = rooms()
    hits = qa.search("code of room 31", limit=3)
    assert len(hits) == 3
    assert hits[0].doc_id == "room 31"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    texts = {document.doc_id: document.text for document in qa.documents}
    assert all(texts[hit.doc_id][hit.start : hit.end] == hit.text for hit in hits)
    assert [hit.doc_id for hit in qa.search("code", doc_ids=["room 7"])] == ["room 7"]
    assert qa.llm.calls == []


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": "3"}, {"doc_ids": ["no"]}])
def test_nonsense_searches(options):
    """As nonsense questions."""
    with pytest.raises(RequestError):
        rooms().search("code", **options)
    with pytest.raises(RequestError):
        rooms().search(" ")


def test_progress_while_documents_are_embedded():
    """Tokens of their chunks, to the last, and none where they are embedded already."""
    qa = rooms()
    seen = []
    qa.search("code", on_search=seen.append)
    assert len(seen) == 2
    assert [p.done_tokens for p in seen] == sorted(p.done_tokens for p in seen)
    assert {p.total_tokens for p in seen} == {seen[-1].done_tokens}
    qa.search("room", on_search=seen.append)
    assert len(seen) == 2


# Looking again


class Counts:
    """A reranker that likes the passages with most of a word."""

    def __init__(self, word: str) -> None:
        self.word, self.asked = word, 0

    def score(self, question: str, passages: list[str]) -> list[float]:
        """How often it stands there."""
        self.asked += len(passages)
        return [passage.count(self.word) for passage in passages]


@pytest.mark.parametrize("kind", ["object", "function"])
def test_any_reranker_orders_what_was_found(kind):
    """An object with the method, or a function; for searches and for what the model reads."""
    counts = Counts("1147")
    qa = rooms(reranker=counts if kind == "object" else counts.score)
    assert qa.search("room", limit=1)[0].doc_id == "room 31"
    assert qa.search("room", limit=1)[0].score == 1
    assert counts.asked == 80
    report = qa.ask("Which room?").report
    assert "room 31" in [passage.doc_id for passage in report.passages]


def test_a_cross_encoder_of_sentence_transformers(tmp_path):
    """Given as a model, and as its folder: the same order."""
    from sentence_transformers import CrossEncoder

    write_cross_encoder(tmp_path)
    model = CrossEncoder(str(tmp_path), device="cpu")
    by_model = rooms(reranker=model).search("code of room 3", limit=40)
    assert by_model == rooms(reranker=tmp_path).search("code of room 3", limit=40)
    scores = model.predict([("code of room 3", hit.text) for hit in by_model])
    assert list(scores) == sorted(scores, reverse=True)
    assert [hit.score for hit in by_model] == pytest.approx(list(scores), abs=1e-5)
    plain = rooms().search("code of room 3", limit=40)
    assert [hit.doc_id for hit in by_model] != [hit.doc_id for hit in plain]


@pytest.mark.parametrize(
    ("reranker", "said"),
    [
        (7, "a reranker is"),
        (lambda q, texts: [1.0], "one finite number for each"),
        (lambda q, texts: ["a"] * len(texts), "no numbers"),
        (lambda q, texts: [float("nan")] * len(texts), "one finite number for each"),
        ("nowhere/at/all", "cannot be loaded"),
    ],
)
def test_rerankers_that_are_none(reranker, said):
    """Named, with what would do."""
    with pytest.raises(RequestError, match=said):
        rooms(reranker=reranker).search("code")


# Nothing found


def test_what_is_not_in_the_documents_is_said():
    """The model is not asked; the flag and the figure tell why."""
    llm, qa = lease(["x"], strategy="retrieve")
    answer = qa.ask("Who is the president of Brazil?")
    assert answer.text == "This is not in the documents."
    assert answer.grounded is False
    assert answer.relevance < MIN_RELEVANCE
    assert (answer.report.calls, answer.report.documents, llm.calls) == (0, (), [])
    assert [d.doc_id for d in answer.report.left_out] == ["lease"]
    with qa.stream("Who is the president of Brazil?") as stream:
        assert stream.sources == ()
        assert "".join(chunk.text for chunk in stream) == answer.text


@pytest.mark.parametrize(
    "question",
    [
        "How high is the rent?",
        "Who repairs the roof?",
        "May I keep a dog?",
        "When is it returned?",
        "Where is it?",
    ],
)
def test_what_is_in_the_documents_is_asked(question):
    """In words of the text, and in others."""
    llm, qa = lease(["It is so."], strategy="retrieve")
    answer = qa.ask(question)
    assert answer.text == "It is so."
    assert answer.grounded is None  # nothing was quoted
    assert len(llm.calls) == 1


def test_a_fact_that_no_whole_document_names_is_said_to_be_missing():
    """Without the model; a search is made where the words leave a doubt, and not elsewhere."""
    llm, qa = lease([])
    answer = qa.ask("Who is the president of Brazil?")
    assert (answer.strategy, answer.text) == ("whole", "This is not in the documents.")
    assert answer.grounded is False
    assert llm.calls == []
    embedded = []
    llm, qa = lease(["It is so."], embedder=lambda texts: embedded.append(texts))
    assert qa.ask("Who is the president of Brazil?").relevance is None
    assert embedded == []


@pytest.mark.parametrize(
    "question",
    [
        "Can you translate the agreement into German?",
        "Translate the agreement into German.",
        "What do you think of this landlord, morally speaking?",
        "Write a poem in the style of Shakespeare.",
        "What does the document say about giraffes?",
        "How high?",
        "Wer ist der Präsident von Brasilien?",
    ],
)
def test_work_on_whole_documents_is_not_looked_for_in_them(question):
    """Nor is what is vague, named there, or in a language that the limit was not made for."""
    llm, qa = lease(["x"])
    answer = qa.ask(question)
    assert (answer.text, answer.relevance, len(llm.calls)) == ("x", None, 1)


def test_each_way_to_deal_with_it():
    """A search may always be made or never count; a schema is always answered."""
    question = "Who is the president of Brazil?"
    _, qa = lease(["x"], not_found="ask")
    assert (qa.ask(question).text, qa.ask(question).relevance) == ("x", None)
    llm, qa = lease([], not_found="say")
    assert (qa.ask(question).strategy, qa.ask(question).grounded) == ("whole", False)
    assert llm.calls == []
    _, qa = lease(["Nobody."], strategy="retrieve", not_found="ask")
    assert (qa.ask(question).text, qa.ask(question).grounded) == ("Nobody.", False)
    _, qa = lease(["{}"], strategy="retrieve")
    assert qa.ask(question, response_schema={"type": "object"}).text == "{}"
    _, qa = lease(["x"], strategy="retrieve", min_relevance=0)
    assert qa.ask(question).text == "x"


def test_grounded_is_what_the_citations_say():
    """All verified, or one not, or nothing to go by."""
    replies = ['"The rent is 1,150 pounds" [D1]', '"The rent is 150 pounds" [D1]', "Yes."]
    _, qa = lease(replies)
    assert [qa.ask(f"How high {n}?").grounded for n in range(3)] == [True, False, None]


@pytest.mark.parametrize(
    ("reply", "new"),
    [
        ("The rent is 1150 pounds, the deposit 2 300 (two thousand).", ()),
        ("It costs 1,250 pounds [D1].", ("1,250",)),
        ("The tenant is Maria Keller, the landlord is Lula.", ("Lula",)),
        ("1. The rent, 2. the deposit", ()),
        ("In all 41,400 pounds", ("41,400",)),
        ("Das hat der Mieter mit dem Vermieter und dem Richter vereinbart.", ()),
        ("It was in 1987.", ()),
    ],
)
def test_figures_and_names_from_nowhere(reply, new):
    """An answer that has some is not grounded; those of the question are no news."""
    _, qa = lease([reply])
    answer = qa.ask("How high is the rent? It was 900 in 1987.")
    assert answer.unfounded == new
    assert (answer.grounded is False) == bool(new)


SAME = [
    ["480,000", "480000", "480 000", "480'000", "480.000,00", "480,000.00", "480\u00a0000,0"],
    ["7.5", "7,5", "7.50", "7,500"],
    ["1,250,000", "1 250 000", "1250000", "1.250.000,00", "12,50,000"],
    ["0.075", "0,0750"],
    ["1998", "1998.0"],
]
OTHERS = ["480", "4800", "75", "0.75", "1,250", "7500000", "12.5", "05.05.2024", "5.5.2024"]


@pytest.mark.parametrize("same", SAME, ids=lambda same: same[0])
def test_a_figure_is_the_same_however_it_is_written(same):
    """With and without thousands parted, with zeros behind the point; and no other is."""
    for written in same:
        text = f"It is {written} €, he says."
        assert [one for one in same if unfounded(f"It is {one}.", "", [text])] == []
        if " " in written:  # it may be two
            continue
        others = [*OTHERS, *(one for other in SAME if other is not same for one in other)]
        assert [one for one in others if not unfounded(f"It is {one}.", "", [text])] == []


MILLIONS = [
    "7.5 million", "7,500,000", "7 500 000", "7,5 Mio", "7,5 Millionen", "7500 thousand",
    "0.0075 billion", "7.5 mln", "7,5 млн", "750万", "7.5-million", "7,50\u00a0millions",
]  # fmt: skip


@pytest.mark.parametrize("written", MILLIONS)
def test_millions_are_written_out_or_not(written):
    """The same value in any words; the digits alone are another, and so is another word."""
    text = f"The price is {written} euros."
    assert [one for one in MILLIONS if unfounded(f"It is {one} euros.", "", [text])] == []
    for other in ("75 million", "9 billion", "7 million", "750,000", "7.5 thousand", "76亿"):
        assert unfounded(f"It is {other} euros.", "", [text]) == (other,)


@pytest.mark.parametrize(
    ("answer", "text", "new"),
    [
        ("It made 7.5 million.", "Sales, in millions\n2023 | 7.5", ()),
        ("It made 7.5 million.", "Sales, in thousands\n2023 | 7,500", ()),
        ("It made 7,500,000.", "Sales, in thousands\n2023 | 7,500", ()),
        ("It made 8,500,000.", "Sales, in thousands\n2023 | 7,500", ("8,500,000",)),
        ("It made 75 million.", "Sales, in thousands\n2023 | 7,500", ("75 million",)),
        ("It is 480.", "数量は４８０個", ()),
        ("It is 480.", "المبلغ ٤٨٠ دولار", ()),
        ("It is 481.", "数量は４８０個", ("481",)),
        ("It is 480,000.", "\uff14\uff18\uff10\uff0c\uff10\uff10\uff10円", ()),
        ("It is 1,250.50.", "\u0661\u066c\u0662\u0665\u0660\u066b\u0665\u0660", ()),
        ("It is 125,050.", "\u0661\u066c\u0662\u0665\u0660\u066b\u0665\u0660", ("125,050",)),
        ("It is 480 000.", "480\u2009000 €", ()),
        ("Son 2.000 millones.", "Cuesta 2 mil millones de euros.", ()),
        ("It is 2 billion.", "Cuesta 2 mil millones de euros.", ()),
        ("It is 20 billion.", "Cuesta 2 mil millones de euros.", ("20 billion",)),
        ("销售额为750万元", "单位 万元\n2023 | 750", ()),
        ("It made 7.5 million.", "It is 7.5 km away.", ("7.5 million",)),
        ("It made €7.5m.", "It made 7,500,000.", ()),
        ("It is 12m long.", "It is 12 m long.", ()),
        ("It made 480k.", "It made 480,000.", ()),
        ("It is 3 million.", "There are 3 of them.", ("3 million",)),
        ("Das sind 2 Billionen.", "2,000,000,000,000", ()),
        ("It is clause 4b.", "Clause 5", ()),
        ("50 millionaires came.", "50 rich people came.", ()),
        # Several without a space between them.
        ("It is 20.", "values = [10,20,30]", ()),
        ("They are [10,20,30].", "10, 20 and 30", ()),
        ("It is 40.", "values = [10,20,30]", ("40",)),
        ("It was in 2024.", "Signed on 05.05.2024.", ()),
        ("It is 14.", "It is 3.14.", ("14",)),
        ("It is 567.", "It is 1,234,567.89.", ("567",)),
        # Halves and quarters.
        ("Take 1.5 cups.", "1½ cups of milk", ()),
        ("Take 0.75 cups.", "¾ cup of milk", ()),
        ("Take 1½ cups.", "1.5 cups of milk", ()),
        ("Take 1.5 cups.", "1 cup, or ¾, of milk", ("1.5",)),
        ("It made 1½ million.", "It made 1,500,000.", ()),
        ("He lives in Zürich, he says.", "He lives in Zu\u0308rich.", ()),
    ],
)
def test_words_that_scale_a_figure(answer, text, new):
    """Units of a table count; a letter may be one or a unit; a longer word is none."""
    assert unfounded(answer, "", [text]) == new


@pytest.mark.parametrize("options", [{"not_found": "x"}, {"min_relevance": 2}])
def test_nonsense(options):
    """At once."""
    with pytest.raises(RequestError):
        lease([], **options)


# Languages


def test_a_language_that_the_embedder_does_not_know_is_said():
    """In the report, with an embedder that knows many; nothing is called absent by its scale."""
    llm = ScriptedChatModel(["x"])
    qa = DocumentQA(llm, strategy="retrieve")
    qa.add("乙方不同意该条款。合同价格为四十八万元。违约方应承担赔偿责任。", doc_id="zh")
    answer = qa.ask("What is the price of the contract?")
    (note,) = answer.report.notes
    assert "Chinese" in note
    assert MULTILINGUAL in note
    assert f"note: {note}" in str(answer.report)
    assert (answer.relevance, len(llm.calls)) == (None, 1)


def test_an_embedder_of_the_users_must_know_both():
    """Of one that is not the packaged one, it is known only that there are two languages."""
    german = "Der Verkäufer trägt die Gefahr bis zur Übergabe der Ware an den Käufer."
    qa = DocumentQA(
        ScriptedChatModel(["x"] * 3), strategy="retrieve", embedder=lambda t: np.ones((len(t), 2))
    )
    qa.add(german, doc_id="de")
    (note,) = qa.ask(
        "What does the seller have to bear until the goods are delivered?"
    ).report.notes
    assert "English" in note
    assert "German" in note
    assert qa.ask("Wer trägt die Gefahr bis zur Übergabe der Ware?").report.notes == ()
