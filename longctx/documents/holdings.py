"""What a library holds at one moment: what a question is asked of, whatever changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from longctx.documents.answer import Repeat
from longctx.documents.chunks import Chunk
from longctx.documents.entry import Entry, mark_of
from longctx.documents.layout import Block
from longctx.documents.packing import joined
from longctx.errors import RequestError


class Holdings:
    """Documents in the order in which they were added; it never changes.

    Args:
        entries: all of them, in their order.
        count: tokens of a text.
    """

    def __init__(self, entries: Iterable[Entry], count: Callable[[str], int]) -> None:
        self.entries = tuple(entries)
        self._count = count

    @cached_property
    def by_id(self) -> Mapping[str, Entry]:
        """All of them by their ``doc_id``."""
        return {entry.doc_id: entry for entry in self.entries}

    def select(self, doc_ids: Sequence[str] | None) -> tuple[Entry, ...]:
        """The named ones, in the order of the library; None is all of them.

        Raises:
            RequestError: it is no list of names, an empty one, or a name is not there.
        """
        if doc_ids is None:
            return self.entries
        if isinstance(doc_ids, str) or not isinstance(doc_ids, Collection) or not doc_ids:
            raise RequestError(f"doc_ids is {doc_ids!r}; give a list of names, or None for all")
        if missing := [name for name in doc_ids if name not in self.by_id]:
            known = ", ".join(map(repr, list(self.by_id)[:10])) or "none"
            raise RequestError(f"there is no document {missing[0]!r}; there are {known}")
        names = set(doc_ids)
        return tuple(entry for entry in self.entries if entry.doc_id in names)

    def passages(self, chunks: Iterable[Chunk]) -> list[Block]:
        """Chunks as blocks, in the order of the library, neighbours joined."""
        return joined(chunks, self._marks)

    def tokens(self, block: Block) -> int:
        """Tokens of a block: counted whole when its document was added; of a passage, those of
        its chunks and of its markers, each counted by itself."""
        entry = self.by_id[block.document.doc_id]
        if not block.is_passage:
            return entry.tokens
        inside = (c.tokens for c in entry.chunks if block.start <= c.start < block.end)
        return sum(inside) + self._count(block.markers)

    @cached_property
    def _marks(self) -> Mapping[str, str]:
        return {entry.doc_id: mark_of(entry.number) for entry in self.entries}


def once(entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Repeat, ...]]:
    """Leave out what repeats another's text.

    Returns:
        The first of each text, and those that were left out.
    """
    first: dict[str, Entry] = {}
    repeats = []
    for entry in entries:
        same = first.setdefault(entry.document.text, entry)
        if same is not entry:
            repeats.append(Repeat(doc_id=entry.doc_id, same_as=same.doc_id))
    return tuple(first.values()), tuple(repeats)
