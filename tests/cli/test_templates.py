"""Chat templates on the command line: what they lose is shown, and another can be given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chat import shapes
from tests.cli.test_commands import run
from tests.conftest import TinyGguf

SMALL = ("--target-ctx", "1024", "--max-tokens", "4")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "ChatML"),
        (shapes.LOSES_QUESTIONS["constant"], "drops words of the user"),
        (shapes.BROKEN, "no valid Jinja"),
        (shapes.NO_SYSTEM["drops it"], "head of the user's first message"),
    ],
)
def test_plan_and_inspect_tell(source: str | None, said: str, tiny_gguf: TinyGguf) -> None:
    """In words and in JSON, without loading weights."""
    model = str(tiny_gguf(chat_template=source))
    for command in (["plan", model, "--target-ctx", "2048"], ["inspect", model]):
        assert said in " ".join(run(*command).stdout.split())
        document = json.loads(run(*command, "--json").stdout)
        assert any(said in line for line in document.get("warnings", document.get("notes")))
        assert "chat_template" not in document.get("info", document)


def test_another_template(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """chat and ask fail with what to do, do it, and work."""
    model = str(tiny_gguf(chat_template=shapes.BROKEN))
    text = tmp_path / "contract.txt"
    text.write_text("The seller bears the risk.", encoding="utf-8")
    own = tmp_path / "own.jinja"
    own.write_text(shapes.KEEPS_ALL["trims"], encoding="utf-8")
    failed = run("ask", str(text), "Who?", "--model", model, *SMALL, ok=False)
    assert failed.returncode == 1
    assert "--chat-template" in failed.stderr
    for template in ("chatml", str(own)):
        more = (*SMALL, "--chat-template", template)
        run("ask", str(text), "Who?", "--model", model, *more)
        assert "generated" in run("chat", model, *more, stdin="Hello\n").stdout
    failed = run("chat", model, *SMALL, "--chat-template", "nothing.jinja", ok=False)
    assert failed.returncode == 1
    assert "nothing.jinja" in failed.stderr


def test_an_evaluation_that_asks_in_the_template(tiny_gguf: TinyGguf) -> None:
    """needle and ruler take another template as well, as their errors advise."""
    asked = ["eval", "needle", str(tiny_gguf(chat_template=shapes.BROKEN))]
    asked += ["--lengths", "512", "--depths", "50", "--trials", "1"]
    failed = run(*asked, ok=False)
    assert failed.returncode == 1
    assert "--chat-template" in failed.stderr
    run(*asked, "--chat-template", "chatml")
    assert "--chat-template" in run("eval", "ruler", "--help").stdout
