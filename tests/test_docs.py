"""Every Python block of the README and the docs runs; every command in them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples
from typer.main import get_command

from longctx.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


PYTHON_BLOCKS = [example for example in find_examples(*PAGES) if example.prefix == "python"]


@pytest.mark.parametrize("example", PYTHON_BLOCKS, ids=str)
def test_python_blocks_run(example: CodeExample, eval_example: EvalExample) -> None:
    """As printed, on the demo model."""
    eval_example.run(example)


def test_commands_in_the_docs_exist() -> None:
    """`longctx X` in a console block is a subcommand, and its options are real."""
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a click group
    seen = 0
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
            for name, rest in re.findall(r"^longctx ([a-z]+)(.*)$", block, re.MULTILINE):
                assert name in commands, f"{page.name}: longctx {name}"
                known = {option for p in commands[name].params for option in p.opts}
                for option in re.findall(r"(?<!\S)--[a-z-]+", rest.split("#")[0]):
                    assert option in known, f"{page.name}: longctx {name} {option}"
                seen += 1
    assert seen >= 5
