"""`longctx --help` and that of each command: whole on any terminal, in words that are explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from longctx.cli.app import app
from longctx.documents.choice import Strategy
from longctx.planner.context_plan import Overflow, PlanMethod, Window
from longctx.planner.memory import KvType
from tools import command_reference

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts.md"

# Names of programs, formats and keys, words that every user of a command line knows, and the
# tasks of RULER, which its own help explains.
KNOWN = """
APIs Alt-Enter CPU Ctrl-C Ctrl-D Ctrl-R FILE GPT4All GPU GPUs GiB HTML HTTP JSON LM MB METHOD MODEL
API NAME NAMEs OWNER/REPO OpenAI PDF PDFs PORT/mcp QUANTIZATION TCP cp1252 v1 v1/embeddings
v1/rerank niah_single_1 niah_multikey_1 niah_multivalue niah_multiquery qa_1 qa_2
"""
TERMS = """
adapter, attention sinks, batch, calibration, cell, chat template, chatml, compaction, effective
window, embedder, flash attention, greedy, head, keydiff, layer, learning rate, logits, loss,
mixture of experts, mlock, nat, needle, nucleus, origin, passkey, penalties, perplexity, prefill,
profile, quantisation, rank, reasoning, recall, reranker, sentence-transformers, temperature,
tensor split, thinking, token, trained window, typical, weights, window
"""


def commands(
    group: Any = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by its words."""
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("width", [40, 80, 100])
def test_help_is_whole(width: int) -> None:
    """No option's name, and no word of what it means, is cut, or wider than the terminal."""
    for words, command in commands():
        done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(width)})
        assert done.exit_code == 0
        assert "…" not in done.stdout, words
        assert all(len(line) <= width for line in done.stdout.splitlines()), words
        shown = set(re.findall(r"--?[a-z][a-z-]*", done.stdout))
        for option in command.params:
            if option.param_type_name == "option":
                assert shown.issuperset((*option.opts, *option.secondary_opts)), words


def test_usage_is_as_manuals_have_it() -> None:
    """What must be given stands bare, what may be in brackets."""
    lines = {
        words: CliRunner()
        .invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
        .stdout.split("\n")[0]
        for words in [("ask",), ("plan",), ("chat",), ("serve",), ("models",), ("eval", "report")]
    }
    assert [line.partition("[OPTIONS] ")[2].strip() for line in lines.values()] == [
        "FILE... QUESTION", "MODEL", "[MODEL]", "[[NAME=]MODEL]...", "[FOLDERS...]", "FILES...",
    ]  # fmt: skip


def glossary() -> str:
    """The words in its left column, and those that the right one sets apart."""
    rows = CONCEPTS.read_text("utf-8").split("## Glossary")[1].splitlines()
    left = [row.split("|")[1] for row in rows if row.startswith("|")]
    return "\n".join([*left, *re.findall(r"[`*]([a-z-]+)[`*]", "\n".join(rows))])


def test_technical_words_of_the_help_are_explained() -> None:
    """Abbreviations, choices of options, and terms of the field are in the glossary."""
    explained = set(re.findall(r"[\w/-]+", glossary()))
    prose = re.sub(r"`[^`]*`", " ", command_reference.page())
    short = {
        each for each in re.findall(r"[A-Za-z][\w/-]*\w", prose) if re.search(r".[A-Z]|\d|_", each)
    }
    assert short - set(KNOWN.split()) - explained == set()
    choices = {
        c for kind in (PlanMethod, Strategy, KvType, Window, Overflow) for c in _values(kind)
    }
    assert choices - {"auto", "none", "error"} - explained == set()
    terms = " ".join(TERMS.split()).split(", ")
    assert [term for term in terms if not re.search(rf"\b{term}\b", glossary())] == []


def _values(kind: Any) -> Iterator[str]:
    for each in get_args(kind):
        if isinstance(each, str):
            yield each
        else:
            yield from _values(each)
