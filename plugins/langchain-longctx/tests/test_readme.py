"""The README's Python runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("example", list(find_examples(str(README))), ids=str)
def test_python_blocks(example: CodeExample, eval_example: EvalExample) -> None:
    """As they stand."""
    if example.prefix != "python":
        pytest.skip("no Python")
    eval_example.run(example)
