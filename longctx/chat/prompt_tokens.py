"""The text of a prompt to its tokens, of which the part that was there before is not cut again."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from longctx.tokens.fragment_memory import FragmentMemory, Key
from longctx.tokens.special_tokens import SpecialToken, SpecialTokens
from longctx.tokens.vocabulary import Vocabulary

ENCODED_TOKENS = 500_000
"""Tokens of fragments whose ids are kept: unchanged messages of a conversation, documents."""
KEPT_CHARACTERS = 4_000_000
"""Of prompts that may go on."""
_MOST_KEPT = 32
"""Such prompts; each is compared with the next one that comes."""


@dataclass(slots=True)
class _Fragment:
    """Text between two control tokens: its parts, and what names it in memory."""

    parts: list[str | SpecialToken]
    text: str
    ids: tuple[int, ...] | None = None


_Controls: TypeAlias = list[int]
_Piece: TypeAlias = list["_Controls | _Fragment"]


@dataclass(frozen=True, eq=False)
class _Cut:
    """A text in pieces, and where each of them ends."""

    marked: str
    sentinel: str
    ends: list[int] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)


class PromptTokens:
    """Tokenises rendered prompts.

    Args:
        vocabulary: the model.
        special: all of its special tokens.
        found_anyway: those of them that llama.cpp finds in any text, and that content must not be.
        written: ids of fragments as the model wrote them, which it is told again.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        special: SpecialTokens,
        found_anyway: SpecialTokens,
        written: FragmentMemory,
    ) -> None:
        self._vocabulary = vocabulary
        self._special = special
        self._found_anyway = found_anyway
        self._written = written
        self._encoded = FragmentMemory(ENCODED_TOKENS)
        self._recent: list[_Cut] = []
        self._lock = threading.Lock()

    def of(self, marked: str, sentinel: str) -> tuple[list[int], Key, tuple[int, ...]]:
        """The ids of a prompt, without BOS where the template left it out.

        Args:
            marked: the prompt, with a sentinel wherever content is not to become a special token.
            sentinel: that character.

        Returns:
            All ids, the fragment behind the last control token, and its ids.
        """
        ids: list[int] = []
        before: int | None = None
        tail: Key = (None, "")
        tail_ids: tuple[int, ...] = ()
        for piece in self._cut(marked, sentinel).pieces:
            for each in piece:
                if isinstance(each, list):
                    ids += each
                    before = each[-1]
                    tail, tail_ids = (before, ""), ()
                    continue
                tail = before, each.text
                found = self._written.get(tail)
                if found is None:
                    if each.ids is None:
                        each.ids = self._encode(each.parts, sentinel)
                    found = each.ids
                tail_ids = found
                ids += found
        return ids, tail, tail_ids

    def tail(self, marked: str, sentinel: str) -> Key:
        """The fragment behind the last control token."""
        before: int | None = None
        text = ""
        for each in self._pieces(marked, sentinel):
            if isinstance(each, list):
                before, text = each[-1], ""
            else:
                text = each.text
        return before, text

    def _cut(self, marked: str, sentinel: str) -> _Cut:
        """Cut a prompt; what it has in common with one of the last is cut already."""
        with self._lock:
            others = [cut for cut in self._recent if cut.sentinel == sentinel]
        common = [_n_common(cut.marked, marked) for cut in others]
        n = max(common, default=0)
        before = others[common.index(n)] if n else None
        new = _Cut(marked, sentinel)
        if before is not None:
            # A token that begins before the end of a piece must be there whole.
            n_kept = bisect_right(before.ends, n - self._special.longest)
            new.ends.extend(before.ends[:n_kept])
            new.pieces.extend(before.pieces[:n_kept])
        start = new.ends[-1] if new.ends else 0
        for end in self._special.boundaries(marked[start:]):
            new.ends.append(start + end)
        at = start
        for end in [*new.ends[len(new.pieces) :], len(marked)]:
            new.pieces.append(list(self._pieces(marked[at:end], sentinel)))
            at = end
        self._keep(new, before, n)
        return new

    def _keep(self, new: _Cut, before: _Cut | None, n: int) -> None:
        with self._lock:
            # What goes on takes the place of what it goes on from; a fork stands beside it.
            if before in self._recent and n > len(before.marked) // 2:
                self._recent.remove(before)
            self._recent.append(new)
            while (
                len(self._recent) > _MOST_KEPT
                or sum(len(cut.marked) for cut in self._recent) > KEPT_CHARACTERS
            ):
                self._recent.pop(0)

    def _pieces(self, marked: str, sentinel: str) -> Iterator[_Controls | _Fragment]:
        for is_control, group in groupby(self._special.partition(marked), _is_control):
            parts = list(group)
            if is_control:
                yield [part.id for part in parts if isinstance(part, SpecialToken)]
            else:
                yield _Fragment(parts, "".join(map(_text_of, parts)).replace(sentinel, ""))

    def _encode(self, parts: Sequence[str | SpecialToken], sentinel: str) -> tuple[int, ...]:
        """The ids of a fragment, tokenised when it is first seen."""
        key = (sentinel, *(part if isinstance(part, str) else part.id for part in parts))
        ids = self._encoded.get(key)
        if ids is None:
            ids = self._tokenise(parts, sentinel)
            self._encoded.put(key, ids)
        return ids

    def _tokenise(self, parts: Sequence[str | SpecialToken], sentinel: str) -> tuple[int, ...]:
        ids: list[int] = []
        for part in parts:
            if isinstance(part, SpecialToken):
                ids.append(part.id)
                continue
            text = part.replace(sentinel, "")
            if sentinel in part and self._found_anyway.occur_in(text):
                # llama.cpp finds these tokens in any text, so the pieces go in one by one.
                for index, piece in enumerate(filter(None, part.split(sentinel))):
                    ids += self._continue(piece) if index else self._vocabulary.encode(piece)
            else:
                ids += self._vocabulary.encode(text)
        return tuple(ids)

    def _continue(self, text: str) -> list[int]:
        """Tokenise text that continues other text.

        SentencePiece vocabularies put a space before the first word of whatever they are
        given; behind a line feed they do not.
        """
        ids = self._vocabulary.encode(text)
        if self._vocabulary.decode_bytes(ids) == text.encode():
            return ids
        anchor = self._vocabulary.encode("\n")
        anchored = self._vocabulary.encode("\n" + text)
        return anchored[len(anchor) :] if anchored[: len(anchor)] == anchor else ids


def _n_common(left: str, right: str) -> int:
    """How many characters two texts begin with alike."""
    low, high, step = 0, min(len(left), len(right)), 64
    while low < high and left.startswith(right[low : low + step], low):
        low = min(high, low + step)
        step *= 2
    high = min(high, low + step)
    while low < high:
        middle = (low + high + 1) // 2
        if left.startswith(right[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _is_control(part: str | SpecialToken) -> bool:
    return isinstance(part, SpecialToken) and part.is_control


def _text_of(part: str | SpecialToken) -> str:
    return part if isinstance(part, str) else part.text
