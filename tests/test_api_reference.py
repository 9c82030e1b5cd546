"""docs/api.md has every public name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from longctx.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENTRIES = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
PUBLIC = [
    "longctx",
    "longctx.agents",
    "longctx.documents",
    "longctx.evaluate",
    "longctx.export",
    "longctx.grammar",
    "longctx.models",
    "longctx.remote",
    "longctx.server",
]
"""Packages whose ``__all__`` is for users; of others, what the documentation imports is."""


def resolve(name: str) -> Any:
    """The module or the object of a dotted name; None where it needs what is not installed."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        except MissingExtraError:
            return None
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise LookupError(name)


def documented() -> tuple[list[Any], set[str]]:
    """Objects that have an entry, and modules all of whose own members have."""
    objects, modules = [], set[str]()
    for entry in map(resolve, ENTRIES):
        if isinstance(entry, ModuleType):
            modules.add(entry.__name__)
            objects += [getattr(entry, name) for name in getattr(entry, "__all__", ())]
        else:
            objects.append(entry)
    return objects, modules


def imported_in_the_docs() -> set[tuple[str, str]]:
    """Names that blocks of Python import from longctx."""
    found = set()
    for page in PAGES:
        for block in re.findall(r"```py(?:thon)?\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for module, names in re.findall(r"^from (longctx[\w.]*) import (.*)$", block, re.M):
                found |= {(module, name.strip()) for name in names.split(",")}
    return found


def public_names() -> set[tuple[str, str]]:
    """All that is promised, by module and name."""
    promised = {(p, name) for p in PUBLIC for name in importlib.import_module(p).__all__}
    return promised | imported_in_the_docs()


def test_every_public_name_is_in_the_reference() -> None:
    """By an entry of its own, or of its module."""
    objects, modules = documented()
    missing = []
    for module, name in sorted(public_names()):
        home = resolve(module)
        if home is None:
            continue
        found = getattr(home, name)
        if isinstance(found, ModuleType):
            continue  # it has an entry, or its names are promised one by one
        if not str(getattr(found, "__module__", "")).startswith("longctx"):
            continue  # a constant, or an alias of types: told of by those who take it
        has_entry = any(found is each for each in objects)
        of_module = getattr(found, "__module__", None) in modules
        if not (has_entry or of_module):
            missing.append(f"::: {getattr(found, '__module__', module)}.{name}")
    assert missing == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_is_there(entry: str) -> None:
    """Under its name, with a docstring."""
    found = resolve(entry)
    assert found is None or found.__doc__
