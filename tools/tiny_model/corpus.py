"""English that every machine with Python and torch has: a language reference and docstrings."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

HELD_OUT = ("exceptions", "execmodel", "integers", "types")
"""Topics of the language reference that are kept from training."""

_SKIPPED = {"site-packages", "test", "tests", "testing", "idle_test", "lib2to3", "pydoc_data"}


def training_lines() -> list[str]:
    """Return the text to train on: lines without indentation, in a fixed order."""
    texts = [text for name, text in sorted(topics.items()) if name not in HELD_OUT]
    for folder in (Path(sysconfig.get_paths()["stdlib"]), _package("torch"), _package("numpy")):
        texts += docstrings(folder)
    seen = set(held_out_lines())  # topics quote one another
    return [line for text in texts for line in _lines(text) if line not in seen]


def held_out_lines() -> list[str]:
    """Return text that the model has never seen."""
    return [line for name in HELD_OUT for line in _lines(topics[name])]


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def docstrings(folder: Path) -> Iterator[str]:
    """The docstrings of the Python files below a folder, in a fixed order."""
    for path in sorted(folder.rglob("*.py")):
        if _SKIPPED.isdisjoint(path.relative_to(folder).parts):
            yield from _docstrings_of(path)


def _docstrings_of(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a file of templates, or in another encoding
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) > 80:
                yield text
