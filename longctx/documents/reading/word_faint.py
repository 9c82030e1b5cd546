"""Whether a run of a Word document is there, and no reader sees it."""

from __future__ import annotations

from typing import Any

from longctx.documents.reading.word_styles import W

_WHITE = frozenset({"FFFFFF", "FEFEFE", "FDFDFD"})
_NO_FILL = frozenset({"", "AUTO", *_WHITE})
_PLAIN_TABLES = frozenset({"", "TableGrid", "TableNormal"})
_TINY = 3  # half points


def is_faint(run: Any) -> bool:
    """Whether its own format makes it white on nothing, or tiny.

    What a style says is not known; on a shaded cell, a page with a background, in a drawn shape
    or a styled table, white may be seen, and counts as seen.

    Args:
        run: a ``w:r`` element.
    """
    properties = run.find(f"{W}rPr")
    if properties is None:
        return False
    size = properties.find(f"{W}sz")
    value = size.get(f"{W}val", "") if size is not None else ""
    if value.isdecimal() and int(value) <= _TINY:
        return True
    color = properties.find(f"{W}color")
    if color is None or color.get(f"{W}val", "").upper() not in _WHITE:
        return False
    if color.get(f"{W}themeColor", "background1") not in ("background1", "light1"):
        return False
    highlight = properties.find(f"{W}highlight")
    return highlight is None and not any(map(_may_show_white, (run, *run.iterancestors())))


def _may_show_white(element: Any) -> bool:
    tag = element.tag
    if tag == f"{W}txbxContent":
        return True
    if tag == f"{W}document":
        return element.find(f"{W}background") is not None
    for name in ("rPr", "pPr", "tcPr", "tblPr"):
        shade = element.find(f"{W}{name}/{W}shd")
        if shade is not None and shade.get(f"{W}fill", "").upper() not in _NO_FILL:
            return True
    style = element.find(f"{W}tblPr/{W}tblStyle") if tag == f"{W}tbl" else None
    return style is not None and style.get(f"{W}val", "") not in _PLAIN_TABLES
