"""A library on disk is the one in memory: reopened, shared, killed, or damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.documents import Document, DocumentQA, Section, Table
from longctx.errors import DocumentError, LongCtxError
from longctx.testing import ScriptedChatModel
from tests.documents.test_library import PARAGRAPHS, Embedding, ids
from tests.support.thorough import thorough


def at(path: Path | None, embedder: object = None, **options) -> DocumentQA:
    """A library there, or in memory."""
    llm = ScriptedChatModel(["x"] * 200, **options)
    return DocumentQA(llm, path=path, embedder=embedder or Embedding())


NAMES = st.sampled_from("abcd")
TEXTS = st.sampled_from(
    [*PARAGRAPHS[:3], "\n\n".join(PARAGRAPHS), "e", "ooo 3", "\x00 nul, \U0001d482 \ufb01"]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, TEXTS),
        st.tuples(st.just("update"), NAMES, TEXTS),
        st.tuples(st.just("remove"), NAMES, st.none()),
        st.tuples(st.just("reopen"), st.none(), st.none()),
        st.tuples(st.just("ask"), st.none(), st.none()),
    ),
    max_size=12,
)


def step(qa: DocumentQA, what: str, name: str, text: str) -> str | None:
    """What it did: nothing, or the kind of its error."""
    try:
        if what == "remove":
            qa.remove(name)
        elif what in ("add", "update"):
            getattr(qa, what)(text, doc_id=name)
    except LongCtxError as error:
        return type(error).__name__
    return None


def state(qa: DocumentQA) -> tuple[object, ...]:
    """All that a user sees of a library: documents, ranking, and the window."""
    if not qa.documents:
        return ()
    # Drawn, so that it is asked each time: what is known from before is in no call.
    answer = qa.ask("What is the code of room 2?", temperature=0.5)
    window = qa.llm.calls[-1].messages[1].content if qa.llm.calls else ""
    return qa.documents, qa.search("code of room 3?", limit=99), answer.report, window


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_disk_and_memory_are_the_same(steps: list[tuple[str, str, str]]) -> None:
    """After any operations, also when it is opened again or seen from another connection."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.library")
        memory, disk, other = at(None), at(path), at(path)
        for n, (what, name, text) in enumerate(steps):
            one = other if n % 2 else disk  # they write in turns, and see what the other wrote
            if what == "reopen":
                disk.close()
                disk = at(path)
            elif what == "ask":
                assert state(one) == state(memory)
            else:
                assert step(one, what, name, text) == step(memory, what, name, text)
        expected = state(memory)
        assert state(disk) == expected
        assert state(other) == expected
        embedding = Embedding()
        again = at(path, embedding)
        assert state(again) == expected
        # The probe and the query: no document is embedded again.
        assert len(set(embedding.texts)) <= 3
        for qa in (disk, other, again):
            qa.close()


def test_all_of_a_document_is_kept(tmp_path: Path) -> None:
    """Sections, pages, tables, notes and metadata as they were."""
    text = "# Title\n\na;b\n1;2\n"
    document = Document(
        doc_id="a", text=text, source="x/a.md", media_type="text/markdown", title="Title",
        encoding="utf-8", sections=(Section(title="Title", level=1, start=0, end=len(text)),),
        tables=(Table(start=9, header_end=13, end=17),), notes=("a note",),
        metadata={"year": 2024, "tags": ["x", "é"], "of": {"n": None}},
    )  # fmt: skip
    with at(tmp_path / "a.library") as qa:
        qa.add(document)
    with at(tmp_path / "a.library") as qa:
        assert qa.documents == (document,)
        assert ids(qa.ask("?", where={"tags": "é"}).report.documents) == ["a"]


def test_another_tokenizer_and_another_embedder(tmp_path: Path) -> None:
    """Each cuts, counts and embeds for itself, once; neither disturbs the other."""
    path = tmp_path / "a.library"

    class Bytes(ScriptedChatModel):
        def count(self, text, tools=None) -> int:
            return len(str(text))

    one = at(path)
    one.add("\n\n".join(PARAGRAPHS), doc_id="rooms")
    found = one.search("code", limit=999)
    bytewise = DocumentQA(Bytes(["x"], target_ctx=10**6), path=path, embedder=Embedding())
    more = bytewise.search("code", limit=999)
    assert len(more) > len(found)
    assert one.search("code", limit=999) == found
    one.update(PARAGRAPHS[0], doc_id="rooms")
    assert {hit.text for hit in bytewise.search("code", limit=999)} <= {
        hit.text for hit in more
    } | {PARAGRAPHS[0]}
    other = at(path, embedder=lambda texts: [[1.0, 0.0]] * len(texts))
    assert {hit.similarity for hit in other.search("code")} == {1.0}
    assert one.search("code")[0].similarity != 1.0


def test_vectors_of_what_is_gone_are_dropped(tmp_path: Path) -> None:
    """The file does not grow with every update."""
    path = tmp_path / "a.library"
    qa = at(path)
    for n in range(5):
        qa.update(PARAGRAPHS[n], doc_id="a")
        qa.search("code")
    with sqlite3.connect(path) as connection:
        count = "SELECT count(*) FROM "
        assert connection.execute(f"{count} vectors").fetchone() == (1,)
        assert connection.execute(f"{count} chunks").fetchone() == (1,)
    connection.close()


def test_threads_add_ask_and_remove(tmp_path: Path) -> None:
    """Each of them sees whole documents, and none is lost; in memory and on disk."""
    for path in (None, tmp_path / "a.library"):
        qa = at(path)
        qa.add("The first.", doc_id="first")
        failed: list[BaseException] = []

        def work(name: str, qa: DocumentQA = qa, failed: list[BaseException] = failed) -> None:
            try:
                for n in range(8):
                    qa.add(f"Text {n} of {name}.", doc_id=f"{name}{n}")
                    qa.search("text", limit=3)
                    qa.ask("What?")
                    if n % 2:
                        qa.remove(f"{name}{n}")
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        kept = {f"{name}{n}" for name in "abc" for n in (0, 2, 4, 6)}
        assert set(ids(qa.documents)) == {"first", *kept}


WRITER = """
import sys
from pathlib import Path
from longctx.documents import DocumentQA
from longctx.testing import ScriptedChatModel
import numpy as np
path, name, n, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
qa = DocumentQA(ScriptedChatModel([]), path=path, embedder=lambda t: np.ones((len(t), 3)))
print("open", flush=True)
for i in range(n):
    batch = folder / f"{name}{i}"
    batch.mkdir()
    for part in "xyz":
        (batch / f"{name}{i}{part}.txt").write_text(f"{name} {i} {part}. " * 40)
    qa.add_folder(batch)
    if i % 3 == 2:
        qa.search("text")
    print(i, flush=True)
"""


def writer(path: Path, name: str, n: int) -> subprocess.Popen[str]:
    """A process that adds folders of three documents."""
    arguments = [sys.executable, "-c", WRITER, str(path), name, str(n), str(path.parent)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ})


@thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_two_processes_write_and_one_is_killed(tmp_path: Path) -> None:
    """Both make the same new file; what the killed one had finished is there, and nothing half."""
    path = tmp_path / "a.library"
    lasting, killed = writer(path, "a", 25), writer(path, "b", 10_000)
    try:
        assert killed.stdout is not None
        lines = iter(killed.stdout)
        done = next(int(line) for line in lines if line.strip() == "7")
        killed.send_signal(signal.SIGKILL)
        killed.wait(60)
        assert lasting.wait(120) == 0
    finally:
        for process in (lasting, killed):
            process.kill()
            process.communicate()
    with at(path) as qa:
        names = ids(qa.documents)
        assert {f"a{i}{part}.txt" for i in range(25) for part in "xyz"} <= set(names)
        assert {f"b{i}{part}.txt" for i in range(done + 1) for part in "xyz"} <= set(names)
        assert sum(name.startswith("b") for name in names) % 3 == 0
        assert len(set(names)) == len(names)
        assert len({hit.doc_id for hit in qa.search("a 3", limit=10_000)}) == len(names)
        qa.update("new", doc_id=names[0])
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_files_that_are_no_library(tmp_path: Path) -> None:
    """A text, another program's database, a folder, no folder: said, and left as they are."""
    (tmp_path / "text").write_text("Dear Sir, " * 1000)
    connection = sqlite3.connect(tmp_path / "other")
    connection.execute("CREATE TABLE documents (a)")
    connection.commit()
    connection.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("text", "other")}
    for name, said in (
        ("text", "no library of longctx"),
        ("other", "another program"),
        ("", "unable to open"),
        ("nowhere/a.library", "folder must be there"),
    ):
        with pytest.raises(DocumentError, match=said):
            at(tmp_path / name)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_library_cut_short(tmp_path: Path) -> None:
    """Half a file is an error of ours, wherever it shows."""
    path = tmp_path / "a.library"
    with at(path) as qa:
        for n in range(30):
            qa.add(f"{n} " * 2000, doc_id=str(n))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DocumentError, match="damaged"):
        at(path).search("7", limit=100)


def test_a_library_that_is_closed(tmp_path: Path) -> None:
    """Says so; closing twice is harmless, and memory has nothing to close."""
    qa = at(tmp_path / "a.library")
    qa.add("text", doc_id="a")
    qa.close()
    qa.close()
    with pytest.raises(DocumentError, match="closed"):
        qa.ask("?")
    with at(None) as memory:
        memory.add("text", doc_id="a")
    assert len(memory.documents) == 1
