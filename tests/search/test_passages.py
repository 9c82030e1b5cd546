"""Texts are found by words and by meaning, whatever was held before."""

from __future__ import annotations

import sqlite3
import tempfile
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.search.database import Database, FileKind
from longctx.search.passages import INDEX, PassageIndex, passages_of

KIND = FileKind(7, "index of a test")
WORDS = ["Bremen", "rains", "seller", "risk", "雨", "москва", "snake_case", "…", "42", "\n", ". "]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


class Meanings:
    """A vector of two numbers: whether a text is of weather, and whether of trade."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        """As :class:`longctx.protocols.Embedder`."""
        self.texts += texts
        rows = [
            [0.1 + any(w in t for w in ("rain", "wet")), 0.1 + any(w in t for w in ("sell", "buy"))]
            for t in texts
        ]
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_index(
    path: Path | str, owner: str = "a", embedder: Meanings | None = None
) -> PassageIndex:
    """One with a connection of its own."""
    return PassageIndex(Database(Path(path), (), KIND), owner, embedder)


@settings(max_examples=40, deadline=None)
@given(versions=st.lists(st.lists(TEXTS, max_size=5), min_size=1, max_size=5), data=st.data())
def test_it_holds_what_it_was_told_last(versions: list[list[str]], data: st.DataObject) -> None:
    """As one that never held anything else, whichever connection was told; twice is once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.sqlite")
        indexes = [open_index(path), open_index(path)]
        other = open_index(path, "b")
        other.hold(["Bremen is another owner's. It rains."])
        for texts in versions:
            index = data.draw(st.sampled_from(indexes))
            index.hold(texts)
            index.hold(list(texts))
        fresh = open_index(":memory:")
        fresh.hold(versions[-1])
        again = open_index(path)
        again.hold(versions[-1])
        for query in ("Bremen", "seller risk", "雨", "Москва", "snake_case 42"):
            expected = fresh.find(query, 99)
            assert index.find(query, 99) == again.find(query, 99) == expected
            having = {p for p, t in enumerate(versions[-1]) if query.casefold() in t.casefold()}
            assert having <= {match.place for match in expected}
        with sqlite3.connect(path) as db:
            n = sum(len(list(passages_of(text))) for text in versions[-1])
            assert db.execute("select count(*) from passages where owner = 'a'").fetchone() == (n,)
            db.execute(f"insert into {INDEX}({INDEX}) values ('integrity-check')")
        db.close()
        index.forget()
        assert index.find("Bremen", 9) == []
        assert [m.place for m in other.find("rains", 9)] == [0]


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=300))
def test_passages_are_the_text(text: str) -> None:
    """Nothing is lost, nothing twice, none is longer than is shown."""
    passages = list(passages_of(text, size=60))
    assert "".join(passages) == text
    assert all(0 < len(passage) <= 60 for passage in passages)


def test_rare_words_count_more_and_the_newest_is_first() -> None:
    """A badge among many numbers; of two versions the later one."""
    index = open_index(":memory:")
    numbers = [f"The number of the room is {n}." for n in range(30)]
    index.hold([*numbers, "My badge number is 4821.", *numbers, "My badge number is 7733.", "Hm."])
    found = index.find("What is the number of my badge?", 3)
    assert [match.place for match in found][:2] == [61, 30]
    assert found[0].coverage > 2 * found[2].coverage


def test_stems_and_accents_are_the_same_word() -> None:
    """As people write them."""
    index = open_index(":memory:")
    index.hold(["We moved to Zürich.", "He likes tea."])
    assert [m.place for m in index.find("moving zurich", 9)] == [0]


def test_meaning_finds_what_shares_no_word(tmp_path: Path) -> None:
    """Vectors are kept beside the words, and computed once."""
    texts = ["It rains.", "He sells cars.", "A third thing."]
    embedder = Meanings()
    index = open_index(tmp_path / "i.sqlite", embedder=embedder)
    index.hold(texts)
    assert index.find("wet", 9)[0].place == 0
    assert index.find("buy", 1)[0].place == 1
    again = Meanings()
    reopened = open_index(tmp_path / "i.sqlite", embedder=again)
    reopened.hold(texts)
    assert reopened.find("wet", 9)[0].place == 0
    assert not set(texts) & set(again.texts)


WRITTEN_OTHERWISE = [
    ("Le re\u0301sume\u0301 de la réunion", "résumé"),  # composed, and not
    ("Le résumé de la réunion", "re\u0301sume\u0301"),
    ("コードはＡＢＣ１２３です", "ABC123"),
    ("ﾌﾟﾛｼﾞｪｸﾄ名は鷲です", "プロジェクト名"),
    ("프로젝트의 암호는 독수리", "암호"),
    ("ה\u05b7ק\u05d5\u05b9ד", "הקוד"),  # with points
    ("رمز\u064f الم\u064eشروع\u0650", "المشروع"),
    ("İstanbul ofisi", "istanbul"),
    ("ΟΔΟΣ", "οδός"),
    ("eﬃcient ﬁles", "efficient"),
    ("𠀀𠀁の話", "𠀁"),
    ("मेरी किताब लाल है", "किताब"),
    ("รหัสของโครงการคือมังกร", "มังกร"),
    ("ລະຫັດຂອງໂຄງການ", "ໂຄງການ"),
    ("strasse", "STRAẞE"),
]


@pytest.mark.parametrize(("text", "query"), WRITTEN_OTHERWISE, ids=lambda one: ascii(one)[:20])
def test_a_word_is_found_however_it_is_written(text: str, query: str) -> None:
    """In any normal form and width, with marks or without; all of it, and not where it is not."""
    index = open_index(":memory:")
    for form in ("NFC", "NFD", "NFKC"):
        index.hold([unicodedata.normalize(form, text), "मेरी कोठी नीली है; something else, 42"])
        (best, *_) = index.find(query, 9)
        assert (best.place, best.coverage) == (0, 1)
    assert index.find("कुत्ता", 9) == []


def test_an_index_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    """The passages are there, however they were indexed, and can be forgotten."""
    path = tmp_path / "index.sqlite"
    open_index(path).hold(["Le re\u0301sume\u0301 de la réunion", "secret"])
    open_index(path, "b").hold(["Другая беседа"])
    with sqlite3.connect(path) as db:
        db.execute(f"drop table {INDEX}")
        db.execute("create virtual table words using fts5(text, content='')")
        db.execute("insert into words (rowid, text) values (1, 'le re sume'), (2, 'secret')")
    db.close()
    index = open_index(path)
    assert [match.place for match in index.find("résumé", 9)] == [0]
    assert [match.place for match in open_index(path, "b").find("беседа", 9)] == [0]
    index.hold(["Le résumé"])
    assert index.find("secret", 9) == []
    with sqlite3.connect(path) as db:
        db.execute(f"insert into {INDEX}({INDEX}) values ('integrity-check')")
        assert db.execute("select 1 from sqlite_master where name = 'words'").fetchall() == []
    db.close()


def test_passages_of_what_has_no_spaces_end_with_a_sentence() -> None:
    """In Chinese, Japanese and Hindi, too."""
    for sentence in ("这是一个关于项目的句子。", "これは文です。", "यहवाक्यहै।"):
        for passage in passages_of(sentence * 200):
            assert passage.endswith(sentence[-1])


def test_nothing_stays_open_where_a_transaction_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C right behind its first statement: what is written next is there, for others too."""

    class Interrupting(sqlite3.Connection):
        armed = False

        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            done = super().execute(sql, *values)
            if self.armed and sql.startswith("BEGIN"):
                Interrupting.armed = False
                raise KeyboardInterrupt
            return done

    path = tmp_path / "file.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Interrupting))
        database = Database(path, ("create table things (name text)",), KIND)
    Interrupting.armed = True
    with pytest.raises(KeyboardInterrupt), database.writing():
        pass
    with database.writing():
        database.rows("insert into things values ('here')")
    assert Database(path, (), KIND).rows("select name from things") == [("here",)]
