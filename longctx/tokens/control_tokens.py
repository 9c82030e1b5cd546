"""Keeps the template's control tokens apart from text that only looks like them.

A chat template is rendered to one string, and a tokenizer that parses special tokens in that
string cannot tell the template's ``<|im_end|>`` from one that a document contains. So every
look-alike in the caller's text is broken by a sentinel before rendering; afterwards only the
template's own are whole, the text between them is tokenised as plain text, and the sentinels
are gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from longctx._native import TokenAttr

_SENTINELS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # noncharacters: no text holds them


class Vocabulary(Protocol):
    """What is asked of a model's vocabulary."""

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""

    def token_text(self, token: int) -> bytes:
        """The raw entry of a token."""

    def token_attr(self, token: int) -> TokenAttr:
        """The attributes of a token."""


class ControlTokens:
    """The texts of a vocabulary that become one token wherever they stand.

    Control tokens, and those user-defined ones that are markup (``<tool_call>``); user-defined
    runs of white space are ordinary text.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.ids: dict[str, int] = {}
        self.attributes: dict[str, TokenAttr] = {}
        marked = TokenAttr.CONTROL | TokenAttr.USER_DEFINED | TokenAttr.UNKNOWN
        for token in range(vocabulary.n_vocab):
            attribute = vocabulary.token_attr(token)
            if not attribute & marked:
                continue
            text = vocabulary.token_text(token).decode("utf-8", "replace")
            if len(text) > 1 and not text.isspace() and "\u2581" not in text:
                self.ids[text] = token
                self.attributes[text] = attribute
        longest_first = sorted(self.ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._heads = {text[:n] for text in self.ids for n in range(1, len(text))}
        self._tails = {text[n:] for text in self.ids for n in range(1, len(text))}
        self._longest = max(map(len, self.ids), default=0)

    def free_sentinel(self, texts: Iterator[str]) -> str:
        """Choose a sentinel that occurs in none of the texts."""
        joined = "".join(texts)
        return next(mark for mark in _SENTINELS if mark not in joined)

    def disarm(self, text: str, sentinel: str) -> str:
        """Break every control token in the text, and what the text around could complete."""
        broken = self._pattern.sub(lambda found: found[0][0] + sentinel + found[0][1:], text)
        # Overlapping look-alikes: what remains whole after one pass is broken by the next.
        while self._pattern.search(broken):
            broken = self._pattern.sub(lambda found: found[0][0] + sentinel + found[0][1:], broken)
        if any(text[:n] in self._tails for n in range(1, min(self._longest, len(text) + 1))):
            broken = sentinel + broken
        if any(text[-n:] in self._heads for n in range(1, min(self._longest, len(text) + 1))):
            broken += sentinel
        return broken

    def split(self, text: str) -> Iterator[str | int]:
        """Cut a rendered prompt into plain fragments (str) and control tokens (int)."""
        at = 0
        strip_next = False
        for found in self._pattern.finditer(text):
            fragment = text[at : found.start()]
            attribute = self.attributes[found[0]]
            if strip_next:
                fragment = fragment.lstrip()
            if attribute & TokenAttr.LSTRIP:
                fragment = fragment.rstrip()
            if fragment:
                yield fragment
            yield self.ids[found[0]]
            strip_next = bool(attribute & TokenAttr.RSTRIP)
            at = found.end()
        rest = text[at:].lstrip() if strip_next else text[at:]
        if rest:
            yield rest


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return ``value`` with ``change`` applied to every string in its dicts and lists."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {map_strings(key, change): map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    return value


def strings_in(value: object) -> Iterator[str]:
    """Every string in nested dicts and lists, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings_in(key)
            yield from strings_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)
