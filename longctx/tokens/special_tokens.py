"""Special tokens: where their text stands, and how llama.cpp cuts a text at them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from longctx._native import TokenAttr
from longctx.tokens.vocabulary import Vocabulary

_CONTROL = int(TokenAttr.CONTROL | TokenAttr.UNKNOWN)  # ints: enum arithmetic is slow
_SPECIAL = TokenAttr.CONTROL | TokenAttr.UNKNOWN | TokenAttr.USER_DEFINED
_LSTRIP, _RSTRIP = int(TokenAttr.LSTRIP), int(TokenAttr.RSTRIP)
# What C's isspace() accepts, which llama.cpp strips beside LSTRIP and RSTRIP tokens.
_C_SPACE = " \t\n\v\f\r"
_BRACKETED = re.compile(r"<.+>|\[.+\]|\{.+\}", re.DOTALL)
# Models whose HTML tags are single tokens (Gemma) read documents with them; they close no message.
# fmt: off
_HTML = frozenset((
    "a", "b", "blockquote", "br", "caption", "code", "div", "em", "h1", "h2", "h3", "h4", "h5",
    "h6", "i", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody",
    "td", "tfoot", "th", "thead", "tr", "u", "ul",
))
# fmt: on


@dataclass(frozen=True)
class SpecialToken:
    """A token that llama.cpp finds by its text before it tokenises the rest."""

    id: int
    text: str
    attr: TokenAttr

    @cached_property  # enum arithmetic is slow, and every prompt asks
    def is_control(self) -> bool:
        """Whether it is found only when special tokens are parsed."""
        return bool(int(self.attr) & _CONTROL)

    def is_markup(self, template: str) -> bool:
        """Whether its text inside content would pass for structure of the conversation.

        Of the USER_DEFINED tokens, runs of white space and plain HTML tags that the
        template does not use are text like any other.
        """
        if self.is_control:
            return True
        text = self.text.strip("\u2581" + _C_SPACE)
        is_html = text.strip("</>") in _HTML and text not in template
        return bool(_BRACKETED.fullmatch(text)) and not is_html


class SpecialTokens:
    """The special tokens of a vocabulary, found by text; ``longest`` is how many characters one
    has at most."""

    def __init__(self, tokens: Iterable[SpecialToken]) -> None:
        self.tokens = tuple(token for token in tokens if token.text)
        self._by_text = {token.text: token for token in self.tokens}
        lengths: dict[str, set[int]] = {}
        for text in self._by_text:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(sizes) for first, sizes in lengths.items()}
        self.longest = max(map(len, self._by_text), default=0)
        alternatives = "".join(re.escape(first) for first in lengths)
        self._first = re.compile(f"[{alternatives}]" if lengths else "(?!)")

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> SpecialTokens:
        """Collect the tokens that are CONTROL, USER_DEFINED or UNKNOWN."""
        return cls(
            SpecialToken(
                token,
                vocabulary.token_text(token).decode("utf-8", "replace"),
                vocabulary.token_attr(token),
            )
            for token in vocabulary.tokens_with(_SPECIAL)
        )

    def occurrences(self, text: str) -> Iterator[tuple[int, SpecialToken]]:
        """Yield every place where a token's text stands, overlapping ones too."""
        for match in self._first.finditer(text):
            start = match.start()
            for length in self._lengths[match.group()]:
                token = self._by_text.get(text[start : start + length])
                if token is not None:
                    yield start, token

    def occur_in(self, text: str) -> bool:
        """Whether any token's text stands in ``text``."""
        return next(self.occurrences(text), None) is not None

    def boundaries(self, text: str) -> Iterator[int]:
        """Places behind which a text is partitioned as if it began there.

        Each is the end of a control token that no other token's text overlaps, and that swallows
        nothing behind it.
        """
        found = [(start, start + len(token.text), token) for start, token in self.occurrences(text)]
        ends = 0
        for i, (start, end, token) in enumerate(found):
            follows = found[i + 1][0] if i + 1 < len(found) else len(text)
            stands_alone = start >= ends and follows >= end
            if stands_alone and token.is_control and not int(token.attr) & _RSTRIP:
                yield end
            ends = max(ends, end)

    def partition(self, text: str) -> list[str | SpecialToken]:
        """Cut a text at its special tokens, as llama.cpp does when it parses them.

        The longest tokens are cut out first, over the whole text
        (``llama_vocab::impl::tokenizer_st_partition``); a token with LSTRIP or RSTRIP
        swallows the white space on that side.
        """
        present = {token.id: token for _, token in self.occurrences(text)}.values()
        parts: list[str | SpecialToken] = [text] if text else []
        # Of tokens that are equally long, any: but the same, whatever stands before and behind.
        for token in sorted(present, key=lambda token: (-len(token.text.encode()), token.id)):
            cut: list[str | SpecialToken] = []
            for part in parts:
                cut.extend(_cut(part, token) if isinstance(part, str) else [part])
            parts = cut
        return parts


def _cut(text: str, token: SpecialToken) -> Iterator[str | SpecialToken]:
    pieces = text.split(token.text)
    attr = int(token.attr)
    for index, piece in enumerate(pieces):
        if index > 0:
            yield token
            if attr & _RSTRIP:
                piece = piece.lstrip(_C_SPACE)
        if index < len(pieces) - 1 and attr & _LSTRIP:
            piece = piece.rstrip(_C_SPACE)
        if piece:
            yield piece
