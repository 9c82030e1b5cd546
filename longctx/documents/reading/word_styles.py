"""What the styles of a Word document say about its paragraphs: headings, titles, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MAX_CHAIN = 32


class Styles:
    """The paragraph styles, each with what it inherits (``w:basedOn``)."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._styles = {
            style.get(f"{W}styleId", ""): style
            for root in roots
            for style in root.iter(f"{W}style")
        }

    def level(self, paragraph: Any) -> int:
        """The level of a heading, from 1; 0 for other paragraphs.

        A heading is what has the style "heading 1" (in every language of Word), a style based on
        it, or an outline level.
        """
        if (level := _outline_level(paragraph.find(f"{W}pPr"))) is not None:
            return level
        for style in self._chain(paragraph):
            name = style.find(f"{W}name")
            if name is not None and (match := _HEADING.fullmatch(name.get(f"{W}val", ""))):
                return int(match[1])
            if (level := _outline_level(style.find(f"{W}pPr"))) is not None:
                return level
        return 0

    def is_title(self, paragraph: Any) -> bool:
        """Whether it has the style "Title", or one based on it."""
        names = (style.find(f"{W}name") for style in self._chain(paragraph))
        return any(
            name is not None and name.get(f"{W}val", "").lower() == "title" for name in names
        )

    def numbering(self, paragraph: Any) -> tuple[str | None, str | None]:
        """The numbering and its level that the paragraph's style gives it."""
        number_id = level = None
        for style in self._chain(paragraph):
            properties = style.find(f"{W}pPr/{W}numPr")
            if properties is not None:
                number_id = number_id or _value(properties, "numId")
                level = level or _value(properties, "ilvl")
        return number_id, level

    def breaks_page(self, paragraph: Any) -> bool:
        """Whether a page begins before it."""
        own = paragraph.find(f"{W}pPr/{W}pageBreakBefore")
        if own is not None:
            return is_on(own)
        found = (style.find(f"{W}pPr/{W}pageBreakBefore") for style in self._chain(paragraph))
        first = next((element for element in found if element is not None), None)
        return first is not None and is_on(first)

    def _chain(self, paragraph: Any) -> Iterable[Any]:
        style_id = _value(paragraph.find(f"{W}pPr"), "pStyle")
        for _ in range(_MAX_CHAIN):  # hostile styles are based on each other
            style = self._styles.get(style_id or "")
            if style is None:
                return
            yield style
            style_id = _value(style, "basedOn")


def is_on(element: Any) -> bool:
    """Whether a switch that is there is on."""
    return element.get(f"{W}val") not in ("0", "false", "off")


def _value(parent: Any, name: str) -> str | None:
    element = parent.find(f"{W}{name}") if parent is not None else None
    return element.get(f"{W}val") if element is not None else None


def _outline_level(properties: Any) -> int | None:
    value = _value(properties, "outlineLvl")
    if value is None or not value.isdecimal():
        return None
    return int(value) + 1 if int(value) < 9 else 0
