"""Keeps text that users supply from becoming control tokens.

A chat template is rendered to one string, so a document that contains ``<|im_end|>`` would
close the user's message. Before rendering, each such text in what users supply is broken by a
sentinel character that occurs nowhere else; what still reads as a control token after
rendering was written by the template. The sentinels are taken out again before tokenising.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from longctx.errors import TemplateError
from longctx.recent import Recent
from longctx.tokens.special_tokens import SpecialToken, SpecialTokens

KEPT_CHARACTERS = 4_000_000
"""Of texts that were broken: the messages of a conversation come again with each answer."""

# Linear A: letters that no text needs, that no case or JSON rule changes and that Python's
# repr() prints as they are (a noncharacter would come out of it as an escape).
_SENTINELS = tuple(map(chr, range(0x10600, 0x10737)))
# Templates look these up and compare with them; they carry no text of a user's.
# fmt: off
_KEYWORDS = frozenset((
    "type", "function", "name", "description", "parameters", "properties", "required", "items",
    "enum", "string", "number", "integer", "boolean", "array", "object", "null", "id",
    "arguments", "tool_calls", "tool_call_id",
))
# fmt: on


class Guard:
    """Breaks the text of ``tokens`` in strings, with one sentinel for a whole prompt."""

    def __init__(self, tokens: Iterable[SpecialToken]) -> None:
        self._tokens = SpecialTokens(tokens)
        texts = [token.text for token in self._tokens.tokens]
        self._longest = max(map(len, texts), default=0)
        self._heads = {text[:cut] for text in texts for cut in range(1, len(text))}
        self._tails = {text[cut:] for text in texts for cut in range(1, len(text))}
        self._joined = "\0".join(texts)
        self._broken: Recent[tuple[str, str, bool], str] = Recent(
            KEPT_CHARACTERS, lambda key, broken: len(key[0]) + len(broken)
        )

    def break_text(self, text: str, sentinel: str, *, inner: bool = False) -> str:
        """Return ``text`` with a sentinel inside each token's text.

        Text at an edge that the template's own could complete to a token is set apart, too.

        Args:
            text: what a user supplied.
            sentinel: one character that ``text`` lacks.
            inner: also set apart a whole text that could be the middle of a token. Only for
                content: templates compare other fields (``type == "string"``).
        """
        key = text, sentinel, inner
        broken = self._broken.get(key)
        if broken is None:
            broken = self._break(text, sentinel, inner)
            self._broken.put(key, broken)
        return broken

    def _break(self, text: str, sentinel: str, inner: bool) -> str:
        cuts = {start + 1 for start, token in self._tokens.occurrences(text) if token.text[1:]}
        # Templates strip content, so the edges are those of the text without white space.
        core = text.strip()
        if core:
            start = len(text) - len(text.lstrip())
            end = start + len(core)
            middle = inner and len(core) < self._longest and core in self._joined
            reach = range(1, min(self._longest, len(core) + 1))
            if middle or any(core[:size] in self._tails for size in reach):
                cuts.add(start)
            if middle or any(core[-size:] in self._heads for size in reach):
                cuts.add(end)
        if not cuts:
            return text
        edges = [0, *sorted(cuts), len(text)]
        return sentinel.join(text[a:b] for a, b in pairwise(edges))

    def break_tree(self, value: Any, sentinel: str) -> Any:
        """Return JSON-like data with every string and key broken, JSON schema's words aside."""
        if isinstance(value, str):
            return value if value in _KEYWORDS else self.break_text(value, sentinel)
        if isinstance(value, Mapping):
            return {
                self.break_tree(key, sentinel): self.break_tree(item, sentinel)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.break_tree(item, sentinel) for item in value]
        return value


def pick_sentinel(*data: Any) -> str:
    """Return a character that occurs in none of the strings in ``data``.

    Raises:
        TemplateError: every candidate occurs, which only a hostile text achieves.
    """
    texts: list[str] = []
    _collect(data, texts)
    for sentinel in _SENTINELS:
        if not any(sentinel in text for text in texts):
            return sentinel
    raise TemplateError(
        f"the messages hold all {len(_SENTINELS)} characters of the Linear A script, so none is "
        "left to mark control tokens with; leave one of them out"
    )


def _collect(value: Any, texts: list[str]) -> None:
    """Texts that may hold a sentinel: most are ASCII, and a thousand messages have many."""
    if isinstance(value, str):
        if not value.isascii():
            texts.append(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(key, texts)
            _collect(item, texts)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, texts)
