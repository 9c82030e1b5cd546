"""Folders become documents, without what nobody reads and without leaving the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longctx.documents import DocumentQA, folder, load_document, load_folder
from longctx.errors import DocumentError
from longctx.testing import ScriptedChatModel

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
CODE = '''import os


@decorated
class Ship:
    """A ship."""

    def sail(self, speed):
        return "\\d"


async def dock():
    pass
'''


def write(path: Path, data: str | bytes = "text") -> Path:
    """A file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_documents_of_all_levels_in_the_order_of_their_paths(tmp_path):
    """Hidden files, caches and lock files are passed over; other types and bad files are listed."""
    for name in ("b.md", "a/z.py", "a/deep/er/n.txt", "README", "Makefile"):
        write(tmp_path / name)
    for name in (".hidden.txt", ".git/config.txt", "node_modules/x/a.js", "__pycache__/a.py"):
        write(tmp_path / name)
    write(tmp_path / "poetry.lock")
    write(tmp_path / "logo.png", PNG)
    write(tmp_path / "empty.txt", "")
    write(tmp_path / "broken.pdf", "%PDF-1.7 and no more")
    loaded = load_folder(tmp_path)
    names = ["Makefile", "README", "b.md", "a/z.py", "a/deep/er/n.txt"]
    assert [d.doc_id for d in loaded.documents] == names
    skipped = {skipped.path.name: skipped.reason for skipped in loaded.skipped}
    assert set(skipped) == {"logo.png", "empty.txt", "broken.pdf"}
    assert "empty" in skipped["empty.txt"]
    assert "malformed" in skipped["broken.pdf"]


def test_links_do_not_lead_out(tmp_path):
    """Neither to a file nor to a folder elsewhere, nor round in a circle."""
    secret = write(tmp_path / "outside" / "secret.txt", "secret")
    root = tmp_path / "root"
    inside = write(root / "inside.txt")
    (root / "ok.txt").symlink_to(inside)
    (root / "file.txt").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    (root / "circle").symlink_to(root)
    (root / "self.txt").symlink_to(root / "self.txt")
    loaded = load_folder(root)
    assert [d.doc_id for d in loaded.documents] == ["inside.txt", "ok.txt"]
    assert {s.path.name for s in loaded.skipped} == {"file.txt", "self.txt"}


def test_pipes_are_not_waited_for(tmp_path):
    """A named pipe with a document's suffix is skipped."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    write(tmp_path / "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    assert [s.path.name for s in load_folder(tmp_path).skipped] == ["pipe.txt"]


def test_folders_that_cannot_be_read(tmp_path, monkeypatch):
    """No folder, none of that name, nothing in it that is a document, too much in it."""
    with pytest.raises(DocumentError, match="not a folder"):
        load_folder(write(tmp_path / "a.png", PNG))
    with pytest.raises(DocumentError, match="not a folder"):
        load_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DocumentError, match=r"the folder .*empty holds no files"):
        load_folder(tmp_path / "empty")
    with pytest.raises(DocumentError, match=r"no document.*\n.*a\.png"):
        load_folder(tmp_path)
    monkeypatch.setattr(folder, "MAX_FOLDER_FILES", 2)
    for name in "bcd":
        write(tmp_path / f"{name}.txt")
    with pytest.raises(DocumentError, match="more than 2 files"):
        load_folder(tmp_path)


def test_add_folder(tmp_path):
    """All of them are in the window, named by their paths."""
    write(tmp_path / "a.txt", "alpha")
    write(tmp_path / "b" / "c.txt", "gamma")
    llm = ScriptedChatModel(["x"])
    qa = DocumentQA(llm)
    assert len(qa.add_folder(tmp_path).documents) == 2
    qa.ask("Who?")
    assert '<document D2 "b/c.txt"' in llm.calls[0].messages[1].content


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    """By their size, before they are in memory."""
    monkeypatch.setattr("longctx.documents.load.MAX_FILE_BYTES", 10)
    with pytest.raises(DocumentError, match="11 bytes"):
        load_document(write(tmp_path / "a.txt", "x" * 11))


def test_python_has_headings(tmp_path):
    """Classes and functions, decorators included; the code is not executed."""
    document = load_document(write(tmp_path / "ship.py", CODE))
    assert document.media_type == "text/x-python"
    assert document.text == CODE
    assert [(s.title, s.level) for s in document.sections] == [
        ("class Ship", 1),
        ("def sail", 2),
        ("def dock", 1),
    ]
    ship, sail, _ = document.sections
    assert document.text[ship.start :].startswith("@decorated\n")
    assert document.text[sail.start : sail.end].endswith('return "\\d"\n')
    assert document.headings_at(CODE.index("return")) == ("class Ship", "def sail")


@pytest.mark.parametrize(
    "code", ["print 'python 2'", "def f(:\n", "(" * 5000 + ")" * 5000, "-" * 100_000 + "1"]
)
def test_code_that_does_not_parse_is_text(tmp_path, code):
    """Another version's, damaged, or nested too deeply: no sections, and no crash."""
    document = load_document(write(tmp_path / "a.py", code))
    assert (document.text, document.sections) == (code, ())
