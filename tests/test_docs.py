"""Every Python block of the README and the docs runs; every command in them exists."""

from __future__ import annotations

import ast
import re
from inspect import signature
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples
from typer.main import get_command
from typing_extensions import is_typeddict

from longctx import LongContextLLM
from longctx.agents import Agent
from longctx.cache import Session
from longctx.cli.app import app
from longctx.documents import DocumentQA
from tests.support.thorough import quick
from tools import command_reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


PYTHON_BLOCKS = [example for example in find_examples(*PAGES) if example.prefix == "python"]


FIRST = [each for each in PYTHON_BLOCKS if each.path.name in ("README.md", "tutorial.md")]


@pytest.mark.parametrize("example", quick(PYTHON_BLOCKS, *FIRST), ids=str)
def test_python_blocks_run(example: CodeExample, eval_example: EvalExample) -> None:
    """As printed, on the demo model."""
    eval_example.run(example)


def test_commands_in_the_docs_exist() -> None:
    """`longctx X`, or `longctx X Y`, in a console block exists, and its options are real."""
    seen = 0
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
            for line in re.findall(r"^longctx (.*)$", block, re.MULTILINE):
                command, words = get_command(app), line.split("#")[0].split()
                while hasattr(command, "commands"):  # a click group
                    name = words.pop(0)
                    assert name in command.commands, f"{page.name}: longctx {line}"
                    command = command.commands[name]
                known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
                for option in (word for word in words if re.fullmatch("--[a-z-]+", word)):
                    assert option in known, f"{page.name}: longctx {line}: {option}"
                seen += 1
    assert seen >= 5


def test_every_option_is_documented() -> None:
    """The page of commands is the one that `--help` would make."""
    written = command_reference.PAGE.read_text("utf-8")
    assert written == command_reference.page(), "run python -m tools.command_reference"


def test_calls_in_the_text_are_as_they_are_defined() -> None:
    """`llm.save_chat(path, messages)` and its like: the method is there, and an argument that has
    a parameter's name stands in its place."""
    homes = {"llm": LongContextLLM, "session": Session, "agent": Agent, "qa": DocumentQA}
    seen = 0
    for page in PAGES:
        for name, call in re.findall(
            r"`((?:llm|session|agent|qa)\.\w+)(\([^`]*\))`", page.read_text()
        ):
            home, method = name.split(".")
            function = getattr(homes[home], method)
            _self, *parameters = signature(function).parameters
            # What `**options: Unpack[…]` takes, by name or by `**options`.
            unpacked = [o for hint in get_type_hints(function).values() for o in get_args(hint)]
            known = {None, *parameters, *(n for o in unpacked for n in _names(o))}
            node = ast.parse(f"f{call.replace('…', '...')}", mode="eval").body
            assert isinstance(node, ast.Call)
            for place, argument in enumerate(node.args):
                if isinstance(argument, ast.Name) and argument.id in parameters:
                    assert parameters[place] == argument.id, f"{page.name}: {name}{call}"
            for keyword in node.keywords:
                assert keyword.arg in known, f"{page.name}: {name}{call}"
            seen += 1
    assert seen >= 8


def _names(kind: object) -> list[str]:
    return list(kind.__annotations__) if is_typeddict(kind) else []
