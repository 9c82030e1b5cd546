"""Draws the packages of longctx in the README, from the import contract in pyproject.toml.

python -m tools.architecture          # writes it
python -m tools.architecture --check  # exit status 1 where the README has another
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BANDS = {
    "cli": "commands",
    "deploy": "servers",
    "documents": "applications",
    "llm": "messages in, text out",
    "local": "many texts on one model",
    "backends": "windows, chats, models",
    "planner": "plans and counts",
    "_native": "llama.cpp",
    "testing": "threads and protocols",
    "stream": "options and streams",
    "types": "values and errors",
}
"""What the layers are for, by a package of the first layer of each band."""
_CONTRACT = re.compile(r'containers = \["longctx"\].*?\nlayers = \[(.*?)\n\]', re.DOTALL)
_BLOCK = re.compile(r"(<!-- python -m tools\.architecture -->\n```text\n)(.*?)(```)", re.DOTALL)


def layers() -> list[list[str]]:
    """The packages of each layer, the highest first, as import-linter holds them."""
    # Python 3.10 has no TOML in its library, and this is all of it that is needed.
    found = _CONTRACT.search((ROOT / "pyproject.toml").read_text("utf-8"))
    if found is None:
        raise LookupError("pyproject.toml has no contract of layers for longctx")
    return [layer.split(" | ") for layer in re.findall(r'"([^"]+)"', found[1])]


def diagram() -> str:
    """A line a band, the highest first; each imports only from itself and from those below."""
    bands: dict[str, list[str]] = {}
    title = ""
    for layer in layers():
        title = next((BANDS[name] for name in layer if name in BANDS), title)
        bands.setdefault(title, []).append(" · ".join(layer))
    width = max(map(len, bands))
    rows = [f"{title:<{width}}  │ {' → '.join(parts)}" for title, parts in bands.items()]
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the diagram, or compare it."""
    text = README.read_text("utf-8")
    drawn = _BLOCK.sub(lambda found: found[1] + diagram() + found[3], text)
    if "--check" in sys.argv:
        sys.exit(drawn != text)
    README.write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
