"""What longctx and its extras bring with them: by pyproject.toml, and by what is installed."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import tomllib  # Python 3.11 and newer: this is for us, not for users
from packaging.requirements import Requirement

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = tuple(
    name
    for name in tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    if name != "dev"
)
"""For users, in the order of pyproject.toml; `dev` is for us."""


def normal(name: str) -> str:
    """A distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extra: str | None = None) -> tuple[dict[str, Distribution], set[str]]:
    """All that the core, or an extra with the core, needs: installed ones, and names of others."""
    project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]
    waiting = [each for each in map(Requirement, asked) if _holds(each, frozenset())]
    done: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, Distribution] = {}
    missing: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = normal(wanted.name), frozenset(wanted.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        needs = map(Requirement, found[name].requires or ())
        waiting += [each for each in needs if _holds(each, extras)]
    return found, missing


def _holds(wanted: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement is one on this machine, with these extras of who has it."""
    marker = wanted.marker
    return marker is None or any(marker.evaluate({"extra": each}) for each in {"", *extras})
