"""Lists the external links of README, documentation and release files, each with its pages.

python -m tools.links           # the list
python -m tools.links --check   # asks each for its head, and ends with 1 where one fails
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/*.md")]
_LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


def links() -> dict[str, list[str]]:
    """Pages by address, both sorted; blocks of code are left out."""
    found: dict[str, list[str]] = {}
    for page in sorted(PAGES):
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for address in _LINK.findall(text):
            found.setdefault(address, []).append(str(page.relative_to(ROOT)))
    return dict(sorted(found.items()))


def answer(address: str) -> str:
    """The status, or what went wrong."""
    try:
        return str(httpx.head(address, follow_redirects=True, timeout=20).status_code)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Print, and perhaps ask."""
    failed = False
    for address, pages in links().items():
        status = answer(address) if "--check" in sys.argv else ""
        failed |= status not in ("", "200")
        print(address, status, ", ".join(dict.fromkeys(pages)))
    sys.exit(failed)


if __name__ == "__main__":
    main()
