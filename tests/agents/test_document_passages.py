"""Passages of documents are part of a conversation: found again after compaction and reload."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx.agents import (
    Agent,
    ConversationStore,
    Recalled,
    ToolResult,
    document_background,
    document_tool,
)
from longctx.agents.document_passages import NOTHING
from longctx.documents import DocumentQA
from longctx.errors import DocumentError, RequestError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall

FILLER = "word " * 30
RISK = "Until delivery of the barges the seller bears the whole risk of loss."
NIGHT = "At night the harbour of Juist is lit by nine lamps."
LONG = " ".join(f"Clause {i} obliges party {i * 37} to keep ledger {i * 91}." for i in range(60))


def by_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of the words that texts have: as near as they share words."""
    vectors = np.zeros((len(texts), 512), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in re.findall(r"\w{4,}", text.casefold()):
            row[crc32(word.encode()) % 512] += 1
    return vectors / np.maximum(1e-6, np.linalg.norm(vectors, axis=1, keepdims=True))


def library() -> DocumentQA:
    """Three documents, searched without a model."""
    qa = DocumentQA(ScriptedChatModel([]), embedder=by_words)
    for name, text in {"contract": RISK, "harbour": NIGHT, "clauses": LONG}.items():
        qa.add(text, doc_id=name)
    return qa


def filled(agent: Agent) -> None:
    """What was said before leaves the window."""
    before = agent.shown[-2]
    for i in range(25):
        agent.run(f"{i} {FILLER}")
    assert before not in agent.shown


def test_what_stood_beside_the_words_is_recalled(tmp_path: Path) -> None:
    """Verbatim, by its words, with its turn; once, though two questions brought it; in a new
    process' store as well, and none of the documents need be there any more."""
    path = tmp_path / "chats.sqlite"
    with ConversationStore(path) as store:
        llm = ScriptedChatModel(["Yes."] * 99, target_ctx=700)
        beside = document_background(library())
        agent = store.open("anna", llm, background=beside)
        for asked in ("Who bears the risk of loss of barges?", "Is the risk of loss the seller's?"):
            agent.run(asked)
            assert f"[contract] {RISK}" in llm.calls[-1].messages[-1].content
            assert "nine lamps" not in llm.calls[-1].messages[-1].content
        agent.run("Thanks!")
        assert llm.calls[-1].messages[-1].content == "Thanks!"
        filled(agent)
    with ConversationStore(path) as store:
        llm = ScriptedChatModel(["Yes."] * 9, target_ctx=700)
        agent = store.open("anna", llm)
        assert RISK not in "".join(message.content for message in agent.shown)
        found = agent.archive.find(agent.transcript, "delivery barges seller risk", 9)
        (passage,) = [one for one in found if RISK in one.text]
        assert str(passage) == f"[turn 2, background] [contract] {RISK}"
        events = agent.run("Whose was the risk of loss until delivery of the barges?").events
        (recalled,) = [event for event in events if isinstance(event, Recalled)]
        assert f"[turn 2, background] [contract] {RISK}" in recalled.text
        assert recalled.text in llm.calls[-1].messages[-1].content


def test_what_a_search_found_is_recalled(tmp_path: Path) -> None:
    """By the model's own ``recall``, after compaction and reload; nothing near is said so."""
    path = tmp_path / "agent.json"
    search = ToolCall(id="1", name="search_documents", arguments={"query": "harbour at night"})
    none = ToolCall(id="2", name="search_documents", arguments={"query": "lamps", "n": 1})
    empty = DocumentQA(ScriptedChatModel([]), embedder=by_words)
    llm = ScriptedChatModel([search, none, *["Nine."] * 30], target_ctx=900)
    agent = Agent(llm, tools=[document_tool(library()), document_tool(empty, "search_mail")])
    result = agent.run("How is the harbour lit?")
    first, second = (event for event in result.events if isinstance(event, ToolResult))
    assert first.text.startswith(f"[harbour] {NIGHT}")
    assert second.text == f"[harbour] {NIGHT}"
    filled(agent)
    agent.save(path)
    recall = ToolCall(id="3", name="recall", arguments={"query": "harbour lamps", "n": 1})
    llm = ScriptedChatModel([recall, "Nine."], target_ctx=900)
    tools = [document_tool(library()), document_tool(empty, "search_mail")]
    again = Agent.load(path, llm, tools=tools)
    (told,) = [e for e in again.run("How many?").events if isinstance(e, ToolResult)]
    assert told.text.startswith(f"[turn 1, search_documents] [harbour] {NIGHT}")


def test_each_passage_of_a_long_document_has_its_name() -> None:
    """However it is cut, all of it is there, and each piece is one that an archive holds whole."""
    qa = library()
    (hit,) = qa.search("Clause 7 obliges", limit=1)
    text = document_background(qa, n=1, min_similarity=-1)("Clause 7 obliges")
    pieces = text.split("\n\n")
    assert len(pieces) > 1
    assert all(piece.startswith("[clauses] ") and len(piece) <= 400 for piece in pieces)
    assert " ".join(piece.removeprefix("[clauses] ") for piece in pieces) == hit.text.strip()
    agent = Agent(ScriptedChatModel(["Yes."]), background=lambda _: text)
    agent.run("Clause 7?")
    held = {one.text for one in agent.archive.find(agent.transcript, "clause ledger party", 60)}
    assert held >= set(pieces)


def test_errors_are_told() -> None:
    """A library without documents, and limits that are none."""
    empty = DocumentQA(ScriptedChatModel([]), embedder=by_words)
    call = ToolCall(id="1", name="search_documents", arguments={"query": "risk"})
    agent = Agent(ScriptedChatModel([call, "None."]), tools=[document_tool(empty)])
    (result,) = [e for e in agent.run("Risk?").events if isinstance(e, ToolResult)]
    assert result.is_error
    assert "no document" in result.text
    with pytest.raises(DocumentError, match="no document"):
        Agent(ScriptedChatModel([]), background=document_background(empty)).run("Risk?")
    for wrong in ({"n": 0}, {"min_similarity": 2}):
        with pytest.raises(RequestError):
            document_background(library(), **wrong)

    class Nothing:
        """Finds nothing."""

        def search(self, query: str, *, limit: int) -> tuple[()]:
            return ()

    assert document_tool(Nothing()).call({"query": "x"}) == NOTHING
    assert document_background(Nothing())("x") == ""
