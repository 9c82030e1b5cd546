"""List numbers of a Word document, which are in none of its text: counted as Word counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from longctx.documents.reading.word_styles import W

_PLACE = re.compile(r"%([1-9])")
_MAX_ROMAN = 4000


@dataclass(frozen=True)
class _Level:
    start: int
    style: str
    text: str
    is_legal: bool
    restarts_after: int | None


class Numbering:
    """Hands out the number of each list paragraph, in the order of the text."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._abstract: dict[str, dict[int, _Level]] = {}
        self._linked: dict[str, str] = {}
        self._list_of: dict[str, tuple[str, dict[int, _Level], dict[int, int]]] = {}
        # Of each abstract list, which its instances share: level → the last number.
        self._counts: dict[str, dict[int, int]] = {}
        self._overridden: set[str] = set()
        for root in roots:
            self._read(root)

    def number(self, list_id: str | None, level: int) -> str:
        """The number of the next paragraph of a list at a level; empty if it shows none."""
        if list_id is None or list_id not in self._list_of:
            return ""
        abstract_id, levels, starts = self._list_of[list_id]
        if level not in levels:
            return ""
        counts = self._counts.setdefault(abstract_id, {})
        if starts and list_id not in self._overridden:
            self._overridden.add(list_id)
            for at, start in starts.items():
                counts[at] = start - 1
        counts[level] = counts.get(level, levels[level].start - 1) + 1
        for deeper in [at for at in counts if at > level]:
            after = levels[deeper].restarts_after if deeper in levels else None
            if after is None or level < after:
                del counts[deeper]
        return self._shown(levels, counts, level)

    @staticmethod
    def _shown(levels: dict[int, _Level], counts: dict[int, int], level: int) -> str:
        own = levels[level]
        if own.style == "bullet":
            return "•"
        if own.style == "none" and not own.text:
            return ""

        def place(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            if at not in levels:
                return ""
            value = counts.get(at, levels[at].start)
            counts.setdefault(at, value)
            style = "decimal" if own.is_legal else levels[at].style
            return _FORMATS.get(style, str)(value)

        return _PLACE.sub(place, own.text).strip()

    def _read(self, root: Any) -> None:
        for abstract in root.iter(f"{W}abstractNum"):
            levels = {int(v): _level(e) for e in abstract.iter(f"{W}lvl")
                      if (v := e.get(f"{W}ilvl", "")).isdecimal()}  # fmt: skip
            self._abstract[abstract.get(f"{W}abstractNumId", "")] = levels
        for number in root.iter(f"{W}num"):
            link = number.find(f"{W}abstractNumId")
            abstract_id = link.get(f"{W}val", "") if link is not None else ""
            levels, starts = dict(self._abstract.get(abstract_id, {})), {}
            for override in number.iter(f"{W}lvlOverride"):
                at = override.get(f"{W}ilvl", "")
                if not at.isdecimal():
                    continue
                if (own := override.find(f"{W}lvl")) is not None:
                    levels[int(at)] = _level(own)
                start = override.find(f"{W}startOverride")
                if start is not None and start.get(f"{W}val", "").isdecimal():
                    starts[int(at)] = int(start.get(f"{W}val"))
            self._list_of[number.get(f"{W}numId", "")] = abstract_id, levels, starts


def _level(element: Any) -> _Level:
    def value(name: str, default: str) -> str:
        found = element.find(f"{W}{name}")
        return str(found.get(f"{W}val", default)) if found is not None else default

    start, restart = value("start", "1"), value("lvlRestart", "")
    legal = element.find(f"{W}isLgl")
    return _Level(
        start=int(start) if start.isdecimal() else 1,
        style=value("numFmt", "decimal"),
        text=value("lvlText", ""),
        is_legal=legal is not None and legal.get(f"{W}val") not in ("0", "false", "off"),
        restarts_after=int(restart) if restart.isdecimal() else None,
    )


def _letters(value: int) -> str:
    """a … z, aa, bb …"""
    if value < 1:
        return str(value)
    return chr(ord("a") + (value - 1) % 26) * min((value - 1) // 26 + 1, 100)


def _roman(value: int) -> str:
    if not 0 < value < _MAX_ROMAN:
        return str(value)
    digits = ""
    for n, letters in (
        (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
        (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
    ):  # fmt: skip
        digits, value = digits + letters * (value // n), value % n
    return digits


def _ordinal(value: int) -> str:
    teens = 10 <= value % 100 < 20
    return f"{value}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


_FORMATS: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "decimalZero": lambda value: f"{value:02}",
    "lowerLetter": _letters,
    "upperLetter": lambda value: _letters(value).upper(),
    "lowerRoman": _roman,
    "upperRoman": lambda value: _roman(value).upper(),
    "ordinal": _ordinal,
    "none": lambda _: "",
}
