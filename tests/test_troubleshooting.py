"""docs/troubleshooting.md quotes errors as the source raises them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import longctx
from longctx import errors

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(\w+Error)` \| `([^`]+)` \|", PAGE, re.MULTILINE)


@cache
def messages() -> tuple[str, ...]:
    """Every string of the package, with … for what is filled in."""
    found = []
    for file in sorted((ROOT / "longctx").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(map(_part, node.values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "…"


@pytest.mark.parametrize(("kind", "text"), ROWS)
def test_the_text_is_that_of_the_source(kind: str, text: str) -> None:
    """… stands for any value, and the class is one of ours."""
    assert hasattr(longctx, kind) or hasattr(errors, kind)
    pattern = re.compile(".*?".join(map(re.escape, text.split("…"))), re.DOTALL)
    assert any(pattern.search(message) for message in messages())


def test_every_kind_of_error_is_told_of() -> None:
    """On the page, in a row or under a heading."""
    kinds = {name for name in longctx.__all__ if name.endswith("Error")} - {"LongCtxError"}
    assert {kind for kind in kinds if kind not in PAGE} == set()
    assert len(ROWS) > 20
