"""What an element's own attributes say about whether a reader sees its text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

    from longctx.documents.reading.html_grounds import Grounds

_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE)
_TRANSPARENT = re.compile(r"(?:^|;)\s*opacity\s*:\s*0*(?:\.0+)?\s*(?:;|$|!)", re.IGNORECASE)
_TINY = re.compile(
    r"font-size\s*:\s*(?:0*[01](?:\.\d+)?\s*(?:px|pt)|0+(?:\.0+)?(?![\d.])|0*\.0\d*r?em)",
    re.IGNORECASE,
)
_OFF_SCREEN = re.compile(
    r"(?:left|top|right|bottom|margin-left|margin-top|text-indent)\s*:\s*-\d{3,}(?:\.\d+)?\s*(?:px|pt|em)",
    re.IGNORECASE,
)
_CLIPPED = re.compile(
    r"clip\s*:\s*rect\(\s*0|clip-path\s*:\s*(?:inset\((?:50|100)%|circle\(0)"
    r"|(?:^|;)\s*(?:max-)?(?:height|width)\s*:\s*[01](?:px)?\s*(?:;.*)?overflow\s*:\s*hidden"
    r"|transform\s*:\s*scale\(\s*0\s*\)",
    re.IGNORECASE,
)
_OWN_BACKGROUND = re.compile(r"background(?:-color)?\s*:\s*([^;!]+)", re.IGNORECASE)
_COLOR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;!]+)", re.IGNORECASE)
_WHITE = re.compile(
    r"white|#f{3,4}|#f{6}(?:ff)?|rgba?\(\s*255\s*,\s*255\s*,\s*255\s*(?:,\s*1(?:\.0)?\s*)?\)"
    r"|transparent|rgba\([^)]*,\s*0(?:\.0)?\s*\)",
    re.IGNORECASE,
)


def is_hidden(node: LexborNode) -> bool:
    """Whether it is not there for a reader until something shows it."""
    attributes = node.attributes
    if not attributes:
        return False
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    if not style:
        return False
    if node.tag in ("html", "body") and _TRANSPARENT.search(style):
        return True
    return _HIDING.search(style) is not None


def is_faint(node: LexborNode, grounds: Grounds) -> bool:
    """Whether its text is there, but white on white, too small, transparent or off the screen.

    By its own style alone: of style sheets, only the grounds that they give are known.
    """
    attributes = node.attributes
    if not attributes:
        return False
    style = attributes.get("style") or ""
    if style and any(p.search(style) for p in (_TRANSPARENT, _TINY, _OFF_SCREEN, _CLIPPED)):
        return node.tag not in ("html", "body")
    color = match[1] if (match := _COLOR.search(style)) else attributes.get("color") or ""
    behind = _OWN_BACKGROUND.search(style)
    if color and behind and color.strip().lower() == behind[1].strip().lower():
        return True
    return _WHITE.fullmatch(color.strip()) is not None and not grounds.is_behind(node)
