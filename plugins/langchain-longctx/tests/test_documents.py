"""Files into LangChain, and LangChain's documents into the window."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_longctx import ChatLongCtx, LongCtxLoader, LongCtxRetriever, document_qa

from longctx import DocumentError

TEXTS = {
    "harbour.md": "# Harbour\n\nThe harbour master of Genoa is called Anna Rossi.",
    "bread.txt": "Bread is made of flour, water, salt and yeast.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two readable files, and one that is not."""
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty.txt").write_text("")
    return tmp_path


def test_a_folder_is_loaded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the order of paths, whole, and what cannot be read is told."""
    documents = LongCtxLoader(folder).load()
    assert [Path(d.metadata["source"]).name for d in documents] == ["bread.txt", "harbour.md"]
    assert documents[0].page_content == TEXTS["bread.txt"]
    assert "empty.txt" in caplog.text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which."""
    with pytest.raises(DocumentError, match="nowhere"):
        LongCtxLoader(tmp_path / "nowhere.txt").load()


def test_the_passage_that_answers_comes_first(folder: Path) -> None:
    """With its place in the document."""
    chat = ChatLongCtx(target_ctx=2048, max_tokens=16, reserve_output=16)
    documents = LongCtxLoader(folder).load()
    retriever = LongCtxRetriever.from_documents(documents, count=chat.get_num_tokens, k=1)
    (found,) = retriever.invoke("Who is the harbour master?")
    assert "Anna Rossi" in found.page_content
    source = next(d for d in documents if d.metadata["source"] == found.metadata["source"])
    place = slice(found.metadata["start"], found.metadata["end"])
    assert source.page_content[place] == found.page_content


def test_documents_are_asked(folder: Path) -> None:
    """LangChain's documents stand whole in longctx's window."""
    chat = ChatLongCtx(target_ctx=2048, max_tokens=16, reserve_output=16)
    qa = document_qa(LongCtxLoader(folder).load(), chat)
    answer = qa.ask("Who is the harbour master?")
    assert answer.strategy == "whole"
    assert answer.usage.prompt_tokens > 40


def test_documents_that_share_a_source_are_told_apart() -> None:
    """Pages of a file are numbered."""
    chat = ChatLongCtx(target_ctx=2048, max_tokens=16, reserve_output=16)
    pages = [
        Document("One.", metadata={"source": "a.pdf"}),
        Document("Two.", metadata={"source": "a.pdf"}),
    ]
    assert [d.doc_id for d in document_qa(pages, chat).documents] == ["a.pdf", "a.pdf #2"]


def test_what_is_known_of_documents_is_kept(tmp_path: Path) -> None:
    """What a file says of itself, and what LangChain knows: questions can go by it."""
    (tmp_path / "a.md").write_text("---\nauthor: Anna\n---\n# Harbour\n\nIt is in Genoa.")
    (loaded,) = LongCtxLoader(tmp_path / "a.md").load()
    assert loaded.metadata["author"] == "Anna"
    assert loaded.metadata["source"] == str(tmp_path / "a.md")
    other = Document("It is in Rome.", metadata={"title": 7, "author": "Bob", "odd": object()})
    chat = ChatLongCtx(target_ctx=2048, max_tokens=16, reserve_output=16)
    qa = document_qa([loaded, other], chat)
    assert [d.title for d in qa.documents] == ["Harbour", "7"]
    assert "odd" not in qa.documents[1].metadata
    asked = qa.ask("Where is it?", where={"author": "Anna"}, max_tokens=1)
    assert [d.doc_id for d in asked.report.documents] == [qa.documents[0].doc_id]
