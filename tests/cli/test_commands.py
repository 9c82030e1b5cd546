"""The command line as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from longctx.cli import main
from tests.support.thorough import thorough


def run(
    *arguments: str,
    stdin: str | bytes = "",
    ok: bool = True,
    before: str = "",
    alone: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `longctx` with streams of its own; in a process of its own, too, perhaps with some Python
    before."""
    alone = alone or bool(before)
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = _in_a_process(before, arguments, given) if alone else _here(arguments, given)
    if ok:
        assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def _in_a_process(
    before: str, arguments: tuple[str, ...], stdin: bytes
) -> subprocess.CompletedProcess[str]:
    code = f"{before}import sys; from longctx.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=stdin,
        capture_output=True,
        timeout=300,
        check=False,
    )
    texts = [said.decode().replace("\r\n", "\n") for said in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(arguments, done.returncode, *texts)


def _here(arguments: tuple[str, ...], stdin: bytes) -> subprocess.CompletedProcess[str]:
    """A second is what Python and the library take to start; streams are what pipes would be."""
    said = {"stdout": BytesIO(), "stderr": BytesIO()}
    streams = {
        name: TextIOWrapper(bytes_, "utf-8")
        for name, bytes_ in {"stdin": BytesIO(stdin), **said}.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        patch.setattr(sys, "argv", ["longctx", *arguments])
        patch.setenv("COLUMNS", "80")  # and not those of the terminal that the tests run in
        try:
            main(list(arguments))
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    for name in said:
        streams[name].flush()
    texts = [bytes_.getvalue().decode() for bytes_ in said.values()]
    return subprocess.CompletedProcess(arguments, status, *texts)


def test_what_a_user_wrote_is_quoted_as_it_is() -> None:
    """A scale that is no number is part of the path, and a colon on each side makes no emoji."""
    done = run("inspect", "nowhere/x.gguf:abc", ok=False)
    assert "nowhere/x.gguf:abc: " in done.stderr


def test_a_wrong_option_is_said_in_our_words() -> None:
    """Without those of the library that checks it."""
    done = run("serve", "--cors", "here", ok=False)
    assert done.stderr.startswith("RequestError: cors: 'here' is no origin; ")


def test_help_teaches_every_command() -> None:
    """Each subcommand is listed, and its own help has an example."""
    listed = run("--help").stdout
    for command in ("demo", "chat", "ask", "models", "inspect", "plan", "export", "doctor"):
        assert command in listed
        assert f"longctx {command}" in run(command, "--help").stdout


def test_inspect_and_plan_print_json(demo_gguf: Path) -> None:
    """--json is one document whose numbers are the model's."""
    info = json.loads(run("inspect", str(demo_gguf), "--json").stdout)
    assert (info["architecture"], info["n_ctx_train"], info["n_rot"]) == ("llama", 8192, 64)
    arguments = ("plan", str(demo_gguf), "--target-ctx", "16384", "--json")
    plan = json.loads(run(*arguments).stdout)
    assert (plan["n_ctx"], plan["scale"], plan["method"]) == (16384, 2.0, "self-extend")
    plan = json.loads(run(*arguments, "--window", "fixed").stdout)
    assert plan["method"] == "ntk"
    assert 204_000 < plan["rope"]["freq_base"] < 205_000
    assert plan["reasons"]


def test_plan_explains_itself(demo_gguf: Path) -> None:
    """The table names base, memory and reasons."""
    arguments = ("plan", str(demo_gguf), "--target-ctx", "32768", "--memory", "6GiB")
    shown = run(*arguments, "--method", "ntk").stdout
    for text in ("rope_freq_base", "KV cache", "because", "warning"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["inspect", "no-such-file.gguf"], 1, "ModelFileError"),
        (["inspect", "."], 1, "ModelFileError"),
        (["plan", "{model}", "--target-ctx", "0"], 1, "PlanError"),
        (["plan", "{model}", "--target-ctx", "-1"], 1, "PlanError"),
        (["plan", "{model}", "--target-ctx", "10000000"], 1, "PlanError"),
        (["plan", "{model}", "--memory", "1MiB"], 1, "PlanError"),
        (["plan", "{model}", "--memory", "lots"], 1, "PlanError"),
        (["plan", "{model}", "--method", "magic"], 1, "PlanError"),
        (["ask", "no-such-file.txt", "Why?"], 1, "DocumentError"),
        (["ask", "Why?"], 2, "Usage"),
        (["plan"], 2, "Usage"),
        (["frobnicate"], 2, "Usage"),
    ],
)
def test_nonsense_is_answered_on_stderr(
    demo_gguf: Path, arguments: list[str], status: int, said: str
) -> None:
    """Exit status 1 for an error, 2 for wrong usage; no traceback, nothing on stdout."""
    filled = [argument.format(model=demo_gguf) for argument in arguments]
    done = run(*filled, ok=False)
    assert done.returncode == status
    assert said in done.stderr


@thorough
def test_colours_respect_no_color(demo_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: on a terminal too, and in errors."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    asked = ("plan", str(demo_gguf), "--method", "none", "--memory", "8GiB")
    failed = (
        "import contextlib; from longctx.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['inspect', 'no-such-file.gguf'])\n"
    )
    colour = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38;)")
    for refused, wanted in ((False, True), (True, False)):
        if refused:
            monkeypatch.setenv("NO_COLOR", "1")
        done = run(*asked, before=failed)
        assert "no-such-file.gguf" in done.stderr
        assert bool(colour.search(done.stdout)) is wanted
        assert bool(colour.search(done.stderr)) is wanted
        assert not (refused and colour.search(run("--help").stdout))


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `longctx --install-completion` hooks up."""
    monkeypatch.setenv("_LONGCTX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "longctx ex")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run().stdout.split() == ["export"]
    monkeypatch.setenv("COMP_WORDS", "longctx doctor --no")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run().stdout.split() == ["--no-self-test"]


def test_chat_from_a_pipe() -> None:
    """Lines come in, answers go out, with their cost; /exit ends it."""
    done = run(
        "chat", "--target-ctx", "16384", "--system", "You answer in one sentence.",
        "--max-tokens", "24", "--temperature", "0",
        stdin="What is the capital of France?\nAnd of Italy?\n/exit\nx\n",
    )  # fmt: skip
    assert "Paris" in done.stdout
    assert "Rome" in done.stdout
    assert done.stdout.count("prefilled in") == 2


def test_ask_a_file(tmp_path: Path) -> None:
    """A document goes in whole; --json has the answer and the report."""
    file = tmp_path / "contract.txt"
    file.write_text("The seller bears the risk until delivery. After it the buyer does.\n")
    done = run(
        "ask", str(file), "Who bears the risk until delivery?", "--max-tokens", "48",
        "--temperature", "0", "--json",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert "seller" in answer["text"].lower()
    assert answer["usage"]["prompt_tokens"] > 20


def test_a_demo_on_a_short_file_says_why_not(tmp_path: Path) -> None:
    """Nothing to show below the trained window: the numbers, before any prefill."""
    file = tmp_path / "short.txt"
    file.write_text("Too short.")
    done = run("demo", "--file", str(file), ok=False)
    assert done.returncode == 1
    assert "8,192" in done.stderr
