"""What lies behind a page's text by its style sheets: whether white text may be seen on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_BACKGROUND = re.compile(
    r"background(?:-color|-image)?\s*:\s*"
    r"(?!\s|none|white|transparent|inherit|initial|unset|#f{3,4}\b|#f{6}(?:ff)?\b"
    r"|rgba?\(\s*255\s*,\s*255\s*,\s*255\b|rgba\([^)]*,\s*0(?:\.0*)?\s*\))",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COMBINATOR = re.compile(r"[\s>+~]+")
_NAME = re.compile(r"[.#]?[\w-]+|\*")
_ATTRIBUTE = re.compile(r"\[[^\]]*\]")
_NOT_AT_REST = re.compile(r"::|:(?:hover|focus|active|before|after|visited|target|checked)", re.I)
_MAX_RULES = 1_000


class Grounds:
    """The elements that have a background which is not white, by their own style or a sheet's.

    Sheets are read as far as names go: a rule is for elements whose tag, classes and id it names
    last. What a sheet beside the page says is not known: there, whatever has a class or an id may
    have a background.

    Args:
        tree: of the page.
    """

    def __init__(self, tree: LexborHTMLParser) -> None:
        sheets = "\n".join(node.text() or "" for node in tree.css("style"))
        links = (node.attributes.get("rel") or "" for node in tree.css("link"))
        self._rules = _named_last(_COMMENT.sub("", sheets))
        self._is_unknown = (
            any("stylesheet" in rel.lower() for rel in links)
            or "@import" in sheets
            or len(self._rules) > _MAX_RULES
        )
        self._known: dict[frozenset[str], bool] = {}

    def is_behind(self, node: LexborNode | None) -> bool:
        """Whether an element, or one that it is in, has one."""
        while node is not None:
            attributes = node.attributes or {}
            if attributes.get("bgcolor") or attributes.get("background"):
                return True
            if _BACKGROUND.search(attributes.get("style") or ""):
                return True
            if (self._rules or self._is_unknown) and self._has(node):
                return True
            node = node.parent
        return False

    def _has(self, node: LexborNode) -> bool:
        attributes = node.attributes or {}
        classes = (attributes.get("class") or "").split()
        element_id = attributes.get("id")
        if self._is_unknown and (classes or element_id):
            return True
        names = frozenset(
            (node.tag or "", "*", *("." + name for name in classes), f"#{element_id}")
        )
        if names not in self._known:
            self._known[names] = any(rule <= names for rule in self._rules)
        return self._known[names]


def _named_last(sheet: str) -> set[frozenset[str]]:
    """The names that selectors end with, of rules that give a background."""
    rules: set[frozenset[str]] = set()
    for rule in sheet.split("}"):
        head, _, body = rule.rpartition("{")
        if not _BACKGROUND.search(body):
            continue
        for selector in head.rpartition("{")[2].split(","):  # rules may stand in an @media
            last = _COMBINATOR.split(_ATTRIBUTE.sub("", selector).strip())[-1]
            if _NOT_AT_REST.search(last):
                continue
            names = _NAME.findall(last.replace(":root", "html").partition(":")[0])
            if names:
                rules.add(frozenset(names))
            if len(rules) > _MAX_RULES:
                return rules
    return rules
