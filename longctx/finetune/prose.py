"""English that every Python has, and that no measure of ours is made on: its docstrings."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from longctx.protocols import Tokenizer

_PART_CHARACTERS = 1_000_000
_SKIPPED = {"site-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "encodings"}
_LEAST = 80  # characters of a docstring that is prose


def packaged_prose(n_characters: int = 1_500_000) -> str:
    """The docstrings of the standard library, by file, up to a length; some 5 s to collect.

    :func:`longctx.evaluate.python_reference`, which is measured on, is another text.
    """
    return "\n\n".join(docstrings(Path(sysconfig.get_paths()["stdlib"]), n_characters))


def docstrings(folder: Path, n_characters: int) -> Iterator[str]:
    """The docstrings of the Python files below a folder, in a fixed order, up to a length."""
    n = 0
    for path in sorted(folder.rglob("*.py")):
        if not _SKIPPED.isdisjoint(path.relative_to(folder).parts):
            continue
        for text in _docstrings(path):
            yield text
            n += len(text) + 2
            if n >= n_characters:
                return


def encoded(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text, which may be tens of millions of characters: in parts, side by side."""
    parts = [""]
    for paragraph in text.split("\n\n"):
        if len(parts[-1]) > _PART_CHARACTERS:
            parts.append("")
        parts[-1] += f"\n\n{paragraph}" if parts[-1] or len(parts) > 1 else paragraph
    first = tokenizer.encode(parts[0])  # alone: a tokenizer may get itself ready in it
    with ThreadPoolExecutor() as threads:
        rest = threads.map(tokenizer.encode, parts[1:])
        return [*first, *(token for ids in rest for token in ids)]


def _docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # a template, or in another encoding
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) > _LEAST:
                yield text
