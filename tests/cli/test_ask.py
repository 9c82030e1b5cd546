"""`longctx ask` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fpdf import FPDF

from longctx.documents import DocumentQA
from longctx.testing import ScriptedChatModel
from tests.cli.test_chat import THINKS
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.models import TINY

FACTS = "\n\n".join(
    f"The code of room {n} is {n * 37}. " + "It is like any other room. " * 5 for n in range(40)
)


def test_a_folder_that_does_not_fit_is_searched(
    tmp_path: Path, tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strategy, passages and what was left out are in the JSON; skipped files are on stderr."""
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "rooms.md").write_text(f"# Rooms\n\n{FACTS}")
    (tmp_path / "rooms" / "picture.png").write_bytes(b"\x89PNG")
    arguments = ["ask", str(tmp_path / "rooms"), "What is the code of room 31?", "--json"]
    options = ["--model", str(tiny_gguf()), "--target-ctx", "2048", "--max-tokens", "8"]
    # The vectors go to the test's folder.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run(*arguments, *options)
    answer = json.loads(done.stdout)
    assert answer["strategy"] == "retrieve"
    place = FACTS.index("The code of room 31 ") + len("# Rooms\n\n")
    spans = [(p["start"], p["end"]) for p in answer["report"]["passages"]]
    assert any(start <= place < end for start, end in spans)
    assert answer["report"]["left_out"][0]["doc_id"] == "rooms.md"
    assert "picture.png" in done.stderr


def test_thoughts_are_apart_from_the_answer(tmp_path: Path) -> None:
    """A field of the JSON, and on stderr; documents pass the switch on."""
    (tmp_path / "a.txt").write_text("The sky is blue.")
    (tmp_path / "thinks.jinja").write_text(THINKS)
    asked = ("ask", str(tmp_path / "a.txt"), "Is it blue?", "--model", str(TINY))
    asked += ("--target-ctx", "1024", "--max-tokens", "8", "--temperature", "0")
    asked += ("--strategy", "whole", "--chat-template", str(tmp_path / "thinks.jinja"))
    thought = json.loads(run(*asked, "--json").stdout)
    assert (thought["text"], bool(thought["reasoning"])) == ("", True)
    assert " ".join(thought["reasoning"].split())[:12] in " ".join(run(*asked).stderr.split())
    brief = (*asked, "--json", "--thinking-budget", "2", "--max-tokens", "24")
    both = json.loads(run(*brief).stdout)
    assert bool(both["text"]) is bool(both["reasoning"]) is True
    said = json.loads(run(*asked, "--json", "--no-thinking").stdout)
    assert (bool(said["text"]), said["reasoning"]) == (True, "")


def test_wrong_options_are_said_on_stderr(tmp_path: Path, tiny_gguf: TinyGguf) -> None:
    """Status 1 and the names that would do."""
    (tmp_path / "a.txt").write_text("text")
    done = run(
        "ask", str(tmp_path / "a.txt"), "Why?", "--model", str(tiny_gguf()),
        "--target-ctx", "1024", "--strategy", "guess", ok=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "map_reduce" in done.stderr


OPTIONS = ("--model", str(TINY), "--target-ctx", "1024", "--max-tokens", "6", "--temperature", "0")


def test_patterns_names_stdin_and_several_questions(tmp_path: Path) -> None:
    """Each file once, under the name that it was given; one answer for each question."""
    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).write_text(f"The sky over {name} is blue.")
    done = run(
        "ask", str(tmp_path / "*.txt"), f"notes={tmp_path / 'c.md'}", str(tmp_path / "a.txt"), "-",
        "-q", "Is it blue?", "-q", "And at night?", "--json", *OPTIONS, stdin="The sea is green.",
    )  # fmt: skip
    first, second = json.loads(done.stdout)
    read = [document["doc_id"] for document in first["report"]["documents"]]
    assert read == ["a.txt", "b.txt", "notes", "stdin"]
    # The documents are read once, and each question alone.
    assert second["usage"]["prefilled_tokens"] < first["usage"]["prefilled_tokens"] / 2
    followed = run(
        "ask", str(tmp_path / "a.txt"), "-q", "Is it blue?", "-q", "And at night?", "--follow-up",
        "--json", *OPTIONS,
    )  # fmt: skip
    one, other = json.loads(followed.stdout)
    assert other["report"]["other_tokens"] > one["report"]["other_tokens"] + 10


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["{folder}/*.pdf"], "no file fits the pattern"),
        (["name={folder}"], "a name is for one file"),
        (["-"], "standard input"),
    ],
)
def test_what_names_no_file(files: list[str], said: str, tmp_path: Path) -> None:
    """Status 1, and what to do."""
    names = [name.format(folder=tmp_path) for name in files]
    done = run("ask", *names, "Why?", *OPTIONS, ok=False)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())


def test_a_library_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files given are added or updated; without any, what is in it is asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    note, kept = tmp_path / "a.txt", ("--library", str(tmp_path / "a.library"), "--json")
    note.write_text("The sky is blue.")
    (tmp_path / "b.txt").write_text("The sea is green.")
    run("ask", str(note), str(tmp_path / "b.txt"), "Is it blue?", *kept, *OPTIONS)
    note.write_text("The sky is red. " * 9)
    run("ask", str(note), "Is it blue?", *kept, *OPTIONS)
    note.unlink()
    answer = json.loads(run("ask", "Is it blue?", *kept, *OPTIONS).stdout)
    read = {document["doc_id"]: document["tokens"] for document in answer["report"]["documents"]}
    assert list(read) == ["a.txt", "b.txt"]
    assert read["a.txt"] > 2 * read["b.txt"]


def test_one_file_of_several_that_cannot_be_read(tmp_path: Path) -> None:
    """It is said and left out; alone it is an error."""
    (tmp_path / "a.txt").write_text("The sky is blue.")
    (tmp_path / "b.txt").write_bytes(b"")
    done = run("ask", str(tmp_path / "*.txt"), "Is it blue?", "--json", *OPTIONS)
    assert [d["doc_id"] for d in json.loads(done.stdout)["report"]["documents"]] == ["a.txt"]
    assert "skipped" in done.stderr
    assert "b.txt is empty" in " ".join(done.stderr.split())
    alone = run("ask", str(tmp_path / "b.txt"), "Is it blue?", *OPTIONS, ok=False)
    assert alone.returncode == 1


def test_what_is_piped_in_is_read_as_a_file_is(tmp_path: Path) -> None:
    """By its bytes: a PDF's text, any encoding; what is no document is refused."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica")
    pdf.cell(text="The code is 4711.")
    utf16 = "The sea is green.".encode("utf-16")
    for data, name, text in (
        (bytes(pdf.output()), "-", "The code is 4711."),
        (utf16, "-", "The sea is green."),
        ("# Größe\n7".encode("cp1252"), "notes.md=-", "# Größe\n7"),
    ):
        library = tmp_path / f"{text[:5]}.library"
        run("ask", name, "Why?", *OPTIONS, "--library", str(library), stdin=data)
        with DocumentQA(ScriptedChatModel([]), path=library) as documents:
            (document,) = documents.documents
            assert (document.text, document.source) == (text, None)
            assert document.doc_id == ("stdin" if name == "-" else "notes.md")
    for data in (bytes(range(256)) * 9, b"", b" \n"):
        refused = run("ask", "-", "Why?", *OPTIONS, stdin=data, ok=False)
        assert refused.returncode == 1
        assert "standard input (-) is" in " ".join(refused.stderr.split())


def test_encodings_and_passwords(tmp_path: Path) -> None:
    """Of files, of those in folders, and of what is piped in; who has none is told."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_bytes("Größe".encode("cp850"))
    pdf = FPDF()
    pdf.set_encryption("owner", user_password="secret")
    pdf.add_page()
    pdf.set_font("Helvetica")
    pdf.cell(text="The code is 4711.")
    pdf.output(str(folder / "b.pdf"))
    library = str(tmp_path / "a.library")
    asked = ("ask", str(folder), "-", "Why?", "--model", str(TINY), "--target-ctx", "1024")
    asked += ("--max-tokens", "2", "--library", library, "--encoding", "cp850")
    assert "asks for a password" in " ".join(run(*asked, stdin="x").stderr.split())
    run(*asked, "--password", "secret", stdin="Straße")
    with DocumentQA(ScriptedChatModel([]), path=library) as documents:
        texts = {document.doc_id: document.text for document in documents.documents}
    assert texts == {"a.txt": "Größe", "b.pdf": "The code is 4711.", "stdin": "Stra├ƒe"}
