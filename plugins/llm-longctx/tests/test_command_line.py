"""``llm …`` through click's runner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llm
from click.testing import Result

Run = Callable[..., Result]


def test_the_first_prompt_after_installation(run: Run) -> None:
    """The packaged model answers without any setting."""
    result = run("-m", "longctx", "Name the capital of France.", "-o", "max_tokens", "16")
    assert result.exit_code == 0, result.output
    assert "Paris" in result.stdout


def test_models_and_options_are_listed(run: Run) -> None:
    """``llm models`` shows the model, and each option with its description."""
    result = run("models", "--options", "-q", "longctx")
    assert "longctx: longctx" in result.stdout
    assert all(name in result.stdout for name in ("target_ctx", "overflow", "self-extend"))
    assert "Features" in result.stdout or "tools" in result.stdout


def test_a_file_gets_a_name_and_loses_it(run: Run, tiny: Path) -> None:
    """add, list, prompt, remove."""
    added = run("longctx", "add", "small", str(tiny))
    assert added.exit_code == 0, added.output
    assert added.stdout == "longctx/small: llama, trained on 4,096 tokens\n"
    assert json.loads(run("longctx", "list", "--json").stdout) == {"small": str(tiny.resolve())}
    assert f"longctx/small: {tiny.resolve()}\n" == run("longctx", "list").stdout
    answer = run("-m", "longctx/small", "Hi", "-o", "max_tokens", "4", "-o", "target_ctx", "4096")
    assert answer.exit_code == 0, answer.output
    again = run("longctx", "add", "small", str(tiny))
    assert again.exit_code == 1
    assert "already" in again.output
    assert run("longctx", "remove", "small").exit_code == 0
    assert "None yet" in run("longctx", "list").stdout
    assert "no model small" in run("longctx", "remove", "small").output


def test_wrong_files_and_names_are_refused(run: Run, tiny: Path, tmp_path: Path) -> None:
    """A message on stderr, exit status 1, no traceback."""
    other = tmp_path / "no.gguf"
    other.write_text("no model")
    for arguments in (
        ("longctx", "add", "x", str(other)),
        ("longctx", "add", "x", str(tmp_path / "missing.gguf")),
        ("longctx", "add", "a b", str(tiny)),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_damaged_list_says_so(run: Run, user_dir: Path) -> None:
    """Every command of llm reads it, so none may end in a traceback."""
    (user_dir / "longctx").mkdir(parents=True)
    (user_dir / "longctx" / "models.json").write_text("{")
    result = run("models")
    assert result.exit_code == 1
    assert "models.json cannot be read" in result.output


def test_too_long_a_prompt_is_refused_with_the_numbers(run: Run, tiny: Path) -> None:
    """Nothing is cut."""
    result = run(
        "-m", "longctx", "-o", "model", str(tiny), "-o", "target_ctx", "4096",
        "word " * 5000, "-o", "max_tokens", "8",
    )  # fmt: skip
    assert result.exit_code == 1
    assert result.output.startswith("Error: the prompt is 15018 tokens")
    assert "the window is 4096" in result.output


def test_wrong_options_are_refused(run: Run) -> None:
    """By name and range, before a model is loaded."""
    for name, value in (("windw", "fixed"), ("temperature", "-1"), ("window", "wide")):
        result = run("-m", "longctx", "-o", name, value, "Hi")
        assert result.exit_code == 1, result.output
        assert name in result.output


def test_the_second_process_reads_the_document_from_disk(
    run: Run, tiny: Path, tmp_path: Path
) -> None:
    """What one process prefilled, the next finds in the cache folder, weights loaded anew."""
    document = tmp_path / "document.md"
    document.write_text("# Sale\n\n" + "The seller bears the risk until delivery. " * 60)
    ask = [sys.executable, "-m", "llm", "-m", "longctx", "--usage", "-f", f"longctx:{document}"]
    for name, value in (("model", tiny), ("target_ctx", 4096), ("max_tokens", 4)):
        ask += ["-o", name, str(value)]
    cached = []
    for question in ("Who bears the risk?", "When does it pass?"):
        # The file is written behind the answer, and a process ends when it is there.
        done = subprocess.run([*ask, question], capture_output=True, text=True, check=True)
        details = json.loads(done.stderr[done.stderr.index("{") :])
        cached.append(details["prompt_tokens_details"]["cached_tokens"])
    assert cached[0] == 0
    assert cached[1] > 1024
    # Two questions add too little to the document to be kept beside it.
    assert ": 1 conversation, " in run("longctx", "cache").stdout
    assert ": 0 conversations, " in run("longctx", "cache", "--clear").stdout


def test_fragments_of_files_and_folders(run: Run, tmp_path: Path) -> None:
    """HTML, DOCX and text become text; what cannot be read is named."""
    import docx

    page = tmp_path / "a.html"
    page.write_text("<html><script>no()</script><p>Risk passes on delivery.</p></html>")
    word = docx.Document()
    word.add_paragraph("The buyer pays in May.")
    word.save(str(tmp_path / "b.docx"))
    (tmp_path / "c.bin").write_bytes(b"\0\1")
    loader = llm.get_fragment_loaders()["longctx"]
    (fragment,) = loader(str(page))
    assert isinstance(fragment, llm.Fragment)
    assert fragment == "Risk passes on delivery."
    assert fragment.source == str(page.resolve())
    assert [str(f) for f in loader(str(tmp_path))] == [
        "Risk passes on delivery.",
        "The buyer pays in May.",
    ]
    shown = run("fragments", "show", f"longctx:{page}")
    assert shown.stdout.strip() == "Risk passes on delivery."
    missing = run("-m", "longctx", "-f", f"longctx:{tmp_path / 'none.pdf'}", "Hi")
    assert missing.exit_code == 1
    assert "there is no file" in missing.output
