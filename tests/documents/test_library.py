"""A library that lives: documents come, change and go, and nothing else is done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from longctx.documents import Document, DocumentQA
from longctx.errors import BackendError, DocumentError, RequestError
from longctx.testing import ScriptedChatModel
from tests.documents.test_folder import write

PARAGRAPHS = [f"The code of room {n} is {n * 37}. " + "A room like any. " * 30 for n in range(6)]


class Embedding:
    """Vectors by the letters of a text, and what it was asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row each, of length 1."""
        self.texts += texts
        rows = [[len(t) % 7 + 1, t.count("e") + 1, t.count("o"), t.count("3")] for t in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


Open = Callable[..., DocumentQA]


@pytest.fixture(params=["memory", "disk"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """A library in memory, or on disk."""
    path = tmp_path / "a.library" if request.param == "disk" else None

    def make(replies: Sequence[str] = ["x"] * 20, **options) -> DocumentQA:
        options.setdefault("embedder", Embedding())
        return DocumentQA(ScriptedChatModel(list(replies)), path=path, **options)

    return make


def ids(documents: Sequence[Document]) -> list[str]:
    """Their names."""
    return [document.doc_id for document in documents]


def test_an_update_keeps_its_place_and_prefills_what_changed(opened: Open) -> None:
    """The documents before it are cached, and the answer is by the new text."""
    qa = opened(["a", '"It costs 30." [D2]', "c"])
    qa.add("The ship is in Hull. " * 50, doc_id="letter")
    qa.add("It costs 20.", doc_id="offer")
    first = qa.ask("What does it cost?")
    qa.update("It costs 30.", doc_id="offer")
    assert ids(qa.documents) == ["letter", "offer"]
    second = qa.ask("What does it cost?")
    assert second.citations[0].verified
    assert second.usage.prefilled_tokens < first.usage.prefilled_tokens / 4
    assert qa.ask("What does it cost?").usage.prefilled_tokens == 0


def test_an_update_embeds_the_chunks_that_are_new(opened: Open) -> None:
    """And nothing if the text is what it was."""
    embedding = Embedding()
    qa = opened(embedder=embedding)
    qa.add("\n\n".join(PARAGRAPHS), doc_id="rooms")
    qa.add("The garden.", doc_id="garden")
    n_chunks = len(qa.search("code", limit=99))
    assert n_chunks > 4
    embedding.texts.clear()
    qa.update("\n\n".join([*PARAGRAPHS[:5], PARAGRAPHS[5].replace("185", "999")]), doc_id="rooms")
    qa.update("The garden.", doc_id="garden")
    hits = qa.search("code 999", limit=99)
    assert "999" in hits[0].text
    assert len(hits) == n_chunks
    new = [text for text in embedding.texts if text != "code 999"]
    assert len(new) == 1
    assert "999" in new[0]


def test_what_is_removed_is_gone_and_marks_stay(opened: Open) -> None:
    """No answer, search or number has it again."""
    qa = opened(['"beta" [D2]', "x"])
    for name in ("alpha", "beta", "gamma"):
        qa.add(f"This is {name}.", doc_id=name)
    qa.search("alpha")
    qa.remove("alpha", "gamma")
    qa.add("This is delta.", doc_id="delta")
    assert ids(qa.documents) == ["beta", "delta"]
    assert {hit.doc_id for hit in qa.search("alpha")} == {"beta", "delta"}
    assert qa.ask("Which?").citations[0].verified
    window = qa.llm.calls[0].messages[1].content
    assert '<document D2 "beta"' in window
    assert '<document D4 "delta"' in window  # D3 was another document
    with pytest.raises(RequestError, match="no document 'alpha'"):
        qa.remove("beta", "alpha")
    assert ids(qa.documents) == ["beta", "delta"]


def test_the_same_text_twice_stands_once_and_is_told(opened: Open) -> None:
    """In the window and in the search; each alone can be asked, and outlives the other."""
    qa = opened()
    for name, text in (("a", "The same text."), ("b", "Another."), ("c", "The same text.")):
        qa.add(text, doc_id=name)
    answer = qa.ask("Which?")
    assert ids(answer.report.documents) == ["a", "b"]
    assert [(r.doc_id, r.same_as) for r in answer.report.repeats] == [("c", "a")]
    assert answer.report.left_out == ()
    assert "c is the same text as a" in str(answer.report)
    assert qa.llm.calls[0].messages[1].content.count("The same text.") == 1
    assert [hit.doc_id for hit in qa.search("text")].count("c") == 0
    assert ids(qa.ask("Which?", doc_ids=["c"]).report.documents) == ["c"]
    qa.remove("a")
    again = qa.ask("Which?").report
    assert (ids(again.documents), again.repeats) == (["b", "c"], ())


def test_adding_again_changes_nothing_and_another_needs_update(opened: Open) -> None:
    """So a script may run twice."""
    qa = opened()
    first = qa.add("one", doc_id="a", metadata={"year": 2024})
    assert qa.add("one", doc_id="a", metadata={"year": 2024}) == first
    with pytest.raises(DocumentError, match="update"):
        qa.add("two", doc_id="a")
    qa.update("one", doc_id="a", metadata={"year": 2025})
    assert [d.metadata for d in qa.documents] == [{"year": 2025}]
    assert qa.update("new", doc_id="b").doc_id == "b"


def test_files_of_one_name_live_side_by_side(opened: Open, tmp_path: Path) -> None:
    """Each is known by its path, however it is written, and updated by it."""
    one = write(tmp_path / "one" / "__init__.py", "a = 1")
    two = write(tmp_path / "two" / "__init__.py", "b = 2")
    qa = opened()
    assert [qa.add(str(one)).doc_id, qa.add(two).doc_id] == ["__init__.py", two.as_posix()]
    two.write_text("b = 3")
    with pytest.raises(DocumentError, match="update"):
        qa.add(two)
    assert qa.update(tmp_path / "one" / ".." / "two" / "__init__.py").doc_id == two.as_posix()
    assert [d.text for d in qa.documents] == ["a = 1", "b = 3"]
    # Two folders with the same names in them.
    assert ids(qa.add_folder(tmp_path / "one").unchanged) == ["__init__.py"]
    write(tmp_path / "three" / "__init__.py", "c = 3")
    assert ids(qa.add_folder(tmp_path / "three").added) == ["three/__init__.py"]


def test_a_folder_is_added_again(opened: Open, tmp_path: Path) -> None:
    """What is new, what changed, what did not, and what could not be read."""
    folder = tmp_path / "docs"
    for name in ("a/x.txt", "b/x.txt", "c.txt"):
        write(folder / name, f"text of {name}")
    write(folder / "broken.pdf", "%PDF-1.7 and no more")
    qa = opened()
    report = qa.add_folder(folder)
    assert ids(report.added) == ["c.txt", "a/x.txt", "b/x.txt"]
    assert [s.path.name for s in report.skipped] == ["broken.pdf"]
    assert "3 added, 0 replaced, 0 unchanged, 1 skipped\n" in str(report)
    write(folder / "b/x.txt", "another text")
    write(folder / "d.txt", "new")
    again = qa.add_folder(folder)
    assert (ids(again.added), ids(again.replaced)) == (["d.txt"], ["b/x.txt"])
    assert ids(again.unchanged) == ["c.txt", "a/x.txt"]
    assert ids(qa.documents) == ["c.txt", "a/x.txt", "b/x.txt", "d.txt"]
    assert qa.documents[2].text == "another text"


class Counting(ScriptedChatModel):
    """Refuses to count one document, as a model that was closed does."""

    refused = "\0"

    def count(self, text, tools=None) -> int:
        """See the base."""
        if self.refused in str(text):
            raise BackendError("it was closed")
        return super().count(text, tools)


def test_a_folder_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error in its last document leaves the library as it was."""
    for name in "ab":
        write(tmp_path / "docs" / f"{name}.txt", name)
    for path in (None, tmp_path / "a.library"):
        llm = Counting([])
        qa = DocumentQA(llm, path=path)
        qa.add("before", doc_id="before")
        llm.refused = "b.txt"
        with pytest.raises(BackendError):
            qa.add_folder(tmp_path / "docs")
        assert ids(qa.documents) == ["before"]
        if path:
            assert ids(DocumentQA(llm, path=path).documents) == ["before"]
        llm.refused = "\0"
        assert ids(qa.add_folder(tmp_path / "docs").added) == ["a.txt", "b.txt"]


def test_names_taken_in_all_their_forms(opened: Open, tmp_path: Path) -> None:
    """A file finds no free name only if all three are others'."""
    path = write(tmp_path / "a.txt", "the file")
    qa = opened()
    qa.add("text", doc_id="a.txt")
    qa.add("text", doc_id=path.as_posix())
    with pytest.raises(DocumentError, match="another doc_id"):
        qa.add(path)


def test_metadata_come_back_as_they_are(opened: Open) -> None:
    """So that the same document again changes nothing, in another process too."""
    given = {"tags": ("x", "y"), "of": {"pages": (1, (2, 3))}}
    first = opened().add("text", doc_id="a", metadata=given)
    assert first.metadata == {"tags": ["x", "y"], "of": {"pages": [1, [2, 3]]}}
    qa = opened()
    assert qa.add("text", doc_id="a", metadata=given) == first
    assert qa.search("text", where={"tags": "y"})
    for odd in ({1: "x"}, ["x"]):
        with pytest.raises(DocumentError, match="metadata"):
            qa.add("text", doc_id="b", metadata=odd)
        with pytest.raises(DocumentError, match="metadata"):
            Document(doc_id="b", text="text", metadata=odd)


def test_metadata_that_disk_cannot_hold(opened: Open) -> None:
    """It is said, and nothing of the document is there; memory holds anything."""
    qa = opened()
    given = {"signed": date(2024, 5, 9)}
    if qa.path is None:
        assert qa.add("text", doc_id="a", metadata=given).metadata == given
        return
    with pytest.raises(RequestError, match=r"'a' cannot be kept.*isoformat"):
        qa.add("text", doc_id="a", metadata=given)
    assert qa.documents == ()
    qa.add("text", doc_id="a", metadata={"pages": [1, 2], "of": {"x": None}})


def test_unknown_options_are_refused(opened: Open) -> None:
    """With the names that there are."""
    with pytest.raises(RequestError, match="doc_id"):
        opened().add("text", name="a")
