"""DocumentQA: exact budgets, nothing cut, only the question prefilled again."""

from pathlib import Path

import pytest

from longctx.documents import Document, DocumentQA
from longctx.errors import ContextOverflowError, DocumentError, RequestError
from longctx.testing import ScriptedChatModel

TEXT = "Until delivery the seller bears the risk. " * 40


def test_a_second_question_prefills_only_itself():
    """The documents stand first, so that their keys are reused."""
    llm = ScriptedChatModel(["The seller.", "The buyer."])
    qa = DocumentQA(llm)
    qa.add(TEXT, doc_id="contract")
    first = qa.ask("Who bears it?")
    second = qa.ask("And after?")
    assert first.usage.cached_tokens == 0
    assert second.usage.prefilled_tokens <= llm.count("And after?") + 3


def test_report_adds_up_to_the_window():
    """Documents, the rest, the reserve and what is free are the target window."""
    llm = ScriptedChatModel(["x"], target_ctx=2000)
    qa = DocumentQA(llm)
    qa.add(TEXT, doc_id="a")
    qa.add(Document(doc_id="b", text="Short."))
    answer = qa.ask("Who?", max_tokens=100)
    report = answer.report
    assert [d.doc_id for d in report.documents] == ["a", "b"]
    assert report.left_out == ()
    assert report.prompt_tokens == answer.usage.prompt_tokens
    assert report.prompt_tokens == report.other_tokens + sum(d.tokens for d in report.documents)
    assert report.prompt_tokens + report.reserved_tokens + report.free_tokens == 2000
    assert report.reserved_tokens == 100
    assert "2 documents" in str(report)


def test_what_does_not_fit_is_refused_with_the_counts_by_document():
    """The model is never called; one token fewer fits."""
    llm = ScriptedChatModel(["x"], target_ctx=300, reserve_output=50)
    qa = DocumentQA(llm, strategy="whole")
    qa.add(TEXT, doc_id="big")
    qa.add("Short.", doc_id="small")
    with pytest.raises(ContextOverflowError, match=r"'big' \d{3}, 'small'") as caught:
        qa.ask("Who?")
    assert llm.calls == []
    llm.target_ctx = caught.value.needed - 1
    with pytest.raises(ContextOverflowError, match="1 too many"):
        qa.ask("Who?")
    llm.target_ctx = caught.value.needed
    assert qa.ask("Who?").report.free_tokens == 0


def test_sources(tmp_path):
    """A path, a Path with a name, a Document, a Document renamed, and text with a name."""
    path = tmp_path / "note.txt"
    path.write_text("hello")
    qa = DocumentQA(ScriptedChatModel([]))
    qa.add(str(path))
    qa.add(path, doc_id="again")
    qa.add(Document(doc_id="c", text="c"))
    qa.add(Document(doc_id="c", text="c"), doc_id="d")
    qa.add("plain text", doc_id="e")
    assert [d.doc_id for d in qa.documents] == ["note.txt", "again", "c", "d", "e"]


def test_a_text_that_names_a_file_is_not_guessed_at(tmp_path):
    """With doc_id a string is text; the name of a file is hardly the text that was meant."""
    path = tmp_path / "note.txt"
    path.write_text("hello")
    with pytest.raises(DocumentError, match="Path"):
        DocumentQA(ScriptedChatModel([])).add(str(path), doc_id="x")


def test_names_are_unique():
    """A citation must point to one document."""
    qa = DocumentQA(ScriptedChatModel([]))
    qa.add("one", doc_id="a")
    with pytest.raises(DocumentError, match="already"):
        qa.add("two", doc_id="a")
    assert [d.text for d in qa.documents] == ["one"]


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "best"},
        {"strategy": None},
        {"order": "random"},
        {"budget_tokens": 0},
        {"budget_tokens": 5000},
        {"embedder": 7},
    ],
)
def test_nonsense_options_are_refused(options):
    """At once, and not at the first question."""
    with pytest.raises(RequestError):
        DocumentQA(ScriptedChatModel([]), **options)


@pytest.mark.parametrize("doc_ids", [["nowhere"], [], "a"])
def test_unknown_documents_are_refused(doc_ids):
    """A subset names documents of the library, in a list."""
    qa = DocumentQA(ScriptedChatModel(["x"]))
    qa.add("text", doc_id="a")
    with pytest.raises(RequestError):
        qa.ask("Who?", doc_ids=doc_ids)


def test_a_subset_is_in_the_window_and_the_rest_in_the_report():
    """Marks and order are the library's, whatever the order of the names."""
    llm = ScriptedChatModel(["x"])
    qa = DocumentQA(llm)
    for name in "abc":
        qa.add(f"text of {name}", doc_id=name)
    report = qa.ask("Who?", doc_ids=["c", "a"]).report
    assert [d.doc_id for d in report.documents] == ["a", "c"]
    assert [d.doc_id for d in report.left_out] == ["b"]
    prompt = llm.calls[0].messages[1].content
    assert '<document D1 "a"' in prompt
    assert '<document D3 "c"' in prompt
    assert "text of b" not in prompt


@pytest.mark.parametrize(
    ("question", "max_tokens"), [("", None), ("  ", None), (None, None), ("?", -2), ("?", "9")]
)
def test_nonsense_questions(question, max_tokens):
    """They are refused before the model is called."""
    qa = DocumentQA(ScriptedChatModel([]))
    qa.add("text", doc_id="a")
    with pytest.raises(RequestError):
        qa.ask(question, max_tokens=max_tokens)


def test_no_documents_no_answer():
    """Without a document there is nothing to answer from."""
    with pytest.raises(DocumentError, match="add one"):
        DocumentQA(ScriptedChatModel([])).ask("Who?")


@pytest.mark.parametrize("source", [None, 5, b"bytes", ["a.txt"], Path("nowhere.txt"), "nowhere"])
def test_nonsense_sources(source):
    """What is neither a path nor text nor a Document is refused."""
    with pytest.raises(DocumentError):
        DocumentQA(ScriptedChatModel([])).add(source)


def test_citations_come_with_the_answer():
    """A quotation in the answer is checked against the documents of the window."""
    qa = DocumentQA(ScriptedChatModel(['It says "seller bears the risk" and "made up".']))
    qa.add(TEXT, doc_id="contract")
    found, invented = qa.ask("Who?").citations
    assert (found.verified, found.doc_id) == (True, "contract")
    assert (invented.verified, invented.doc_id) == (False, None)
