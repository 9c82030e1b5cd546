"""Writes docs/licenses.md: the licences of what longctx needs, from the installed metadata.

python -m tools.licenses
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

from tools.requirements import EXTRAS, closure

PAGE = Path(__file__).parents[1] / "docs" / "licenses.md"
HEAD = """\
# Licences

longctx is Apache-2.0. It ships no code of others; pip installs what it needs beside it. Below is
what that was when this page was made (`python -m tools.licenses`, on Linux), as the packages' own
metadata say it. `make test` checks that nothing is missing here.

The package contains a small model, `tiny-longctx`, which is our own and Apache-2.0
(`tests/models/README.md` in the repository says how it was trained); the extra `demo` has
SmolLM2-135M-Instruct (Apache-2.0), the extra `rag` all-MiniLM-L6-v2 (Apache-2.0). The models that
you open have licences of their own.

| package | version | with | licence |
| --- | --- | --- | --- |
"""
_KNOWN = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def licence(package: Distribution) -> str:
    """An SPDX expression where there is one, else what the classifiers or a short text say."""
    data = package.metadata
    if expression := data.get("License-Expression"):
        return str(expression)
    classifiers = [
        each.split(" :: ")[-1]
        for each in data.get_all("Classifier") or ()
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    if classifiers:
        return ", ".join(_KNOWN.get(each, each) for each in classifiers)
    text = str(data.get("License") or "").strip().splitlines()
    return _KNOWN.get(text[0], text[0]) if text else "see its files"


def page() -> str:
    """The page; what several extras need is named with each."""
    core, _ = closure()
    with_extra: dict[str, list[str]] = {}
    packages = dict(core)
    for extra in EXTRAS:
        found, _missing = closure(extra)
        packages |= found
        for name in found.keys() - core.keys():
            with_extra.setdefault(name, []).append(extra)
    rows = [
        f"| {name} | {packages[name].version} | {', '.join(with_extra.get(name, ['core']))} "
        f"| {re.sub(r'[|]', '/', licence(packages[name]))} |"
        for name in sorted(packages)
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
