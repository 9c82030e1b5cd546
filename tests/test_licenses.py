"""docs/licenses.md and docs/install.md name what is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("tomllib")  # Python 3.10 has none, and users need none of this

from tools import licenses, requirements

ROOT = Path(__file__).parents[1]
INSTALLED_HERE = [extra for extra in requirements.EXTRAS if extra != "ray"]


@pytest.mark.parametrize("extra", [None, *INSTALLED_HERE])
def test_every_package_has_its_licence(extra: str | None) -> None:
    """`python -m tools.licenses` writes the page again."""
    rows = re.findall(
        r"^\| ([\w.-]+) \| [^|]+ \| [^|]+ \| (.+) \|$", licenses.PAGE.read_text(), re.M
    )
    told = dict(rows)
    found, missing = requirements.closure(extra)
    assert missing == set()
    assert set(found) - set(told) == set()
    assert all(told[name] != "see its files" for name in found)


def test_no_licence_of_the_core_binds_the_whole() -> None:
    """Neither GPL nor AGPL, which would bind whoever ships longctx with a program."""
    core, _missing = requirements.closure()
    for name, package in core.items():
        assert "GPL" not in licenses.licence(package), name


def test_the_table_of_extras_has_each() -> None:
    """`python -m tools.extras` writes it again."""
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    for extra in requirements.EXTRAS:
        assert re.search(rf"^\| `{extra}` \| .+ \| \d+ \| \d+ \|", page, re.MULTILINE), extra
