"""The README's blocks run, and its table is the options'."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from llm_longctx import LongCtxOptions
from llm_longctx.options import DescribedOptions
from pytest_examples import CodeExample, EvalExample, find_examples

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("example", find_examples(str(README)), ids=str)
def test_python_blocks(example: CodeExample, eval_example: EvalExample) -> None:
    """Every block of Python runs as it is printed."""
    eval_example.run(example)


def test_the_first_console_example(run: Callable[..., Result]) -> None:
    """It prints what the README prints."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith("$ llm ")]
    command, expected = block.split("\n", 1)
    assert run(*shlex.split(command)[2:]).stdout == expected


def test_the_table_has_every_option() -> None:
    """In the order of the class."""
    named = re.findall(r"^\| `(\w+)` \|", README.read_text(), re.MULTILINE)
    assert named == list(DescribedOptions.model_fields)
    assert named == list(LongCtxOptions.model_fields)[: len(named)]
