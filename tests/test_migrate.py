"""docs/migrate.md: what it calls ours is there, and what it calls others' is theirs."""

from __future__ import annotations

import os
import re
import subprocess
from inspect import signature
from pathlib import Path

import pytest
from llama_cpp import Llama
from typer.main import get_command

from longctx import LongContextLLM
from longctx.cli.app import app
from longctx.options import ChatOptions
from longctx.planner import PlanOptions
from tests.support.llama_server import llama_server
from tests.support.thorough import thorough

PAGE = (Path(__file__).parents[1] / "docs" / "migrate.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## From (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def rows(section: str) -> list[tuple[str, str]]:
    """The two columns of a section's table."""
    lines = re.findall(r"^\| (?!there|---)(.*?) \| ?(.*?) \|.*\|$", SECTIONS[section], re.MULTILINE)
    assert len(lines) > 8
    return lines


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def arguments(cell: str) -> set[str]:
    """Names of the arguments that a cell writes: `name=` and `f(name=…)`."""
    return {name for text in code(cell) for name in re.findall(r"\b(\w+)=", text)}


def test_arguments_of_ours_exist() -> None:
    """Of the model and of a call."""
    known = {*signature(LongContextLLM.__init__).parameters, *PlanOptions.__annotations__}
    known |= set(ChatOptions.__annotations__)
    for _theirs, ours in rows("`llama_cpp.Llama`"):
        assert arguments(ours) <= known, ours
        for method in re.findall(r"\bllm\.(\w+)", ours):
            assert hasattr(LongContextLLM, method), ours


def test_arguments_of_llama_cpp_python_exist() -> None:
    """In the version that is installed."""
    known: set[str] = set()
    for name in ("__init__", "create_chat_completion", "create_completion", "from_pretrained"):
        known |= set(signature(getattr(Llama, name)).parameters)
    for theirs, _ours in rows("`llama_cpp.Llama`"):
        assert arguments(theirs) <= known, theirs
        for method in re.findall(r"`\.(\w+)\(", theirs):
            assert hasattr(Llama, method), theirs


@thorough
def test_settings_of_the_langchain_model_exist() -> None:
    """Where the plugin is installed."""
    fields = pytest.importorskip("langchain_longctx").ChatLongCtx.model_fields
    for _theirs, ours in rows("`ChatLlamaCpp`"):
        assert arguments(ours) <= set(fields), ours


@pytest.mark.parametrize("section", ["`llama-server`", "Ollama"])
def test_commands_and_options_of_ours_exist(section: str) -> None:
    """Options without a command are those of `longctx serve`."""
    commands = get_command(app).commands
    for _theirs, ours in rows(section):
        for text in code(ours):
            words = text.split()
            name = words[1] if words[0] == "longctx" else "serve"
            if words[0] == "longctx" or text.startswith("--"):
                known = {option for each in commands[name].params for option in each.opts}
                assert {word for word in words if word.startswith("--")} <= known, text


def test_options_of_llama_server_exist() -> None:
    """In the version that is installed."""
    environment = {**os.environ, "LLAMA_ARG_DEVICE": "none"}
    done = subprocess.run(
        [llama_server(), "--help"], env=environment, capture_output=True, text=True, check=True
    )
    known = set(re.findall(r"(?<!\S)--?[a-zA-Z][\w-]*", done.stdout))
    for theirs, _ours in rows("`llama-server`"):
        for text in code(theirs):
            options = {word for word in text.split() if word.startswith("-")}
            assert options <= known, text
