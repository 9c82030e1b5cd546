"""Where documents stand in a library: which is which, and what number a new one gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from longctx.documents.document import Document
from longctx.documents.entry import Entry
from longctx.documents.holdings import Holdings
from longctx.errors import DocumentError

MakeEntry: TypeAlias = Callable[[Document, int, str | None], Entry]
"""Of a document, its number and its origin."""


@dataclass(frozen=True)
class Incoming:
    """A document on its way into a library.

    ``names`` are those that it may have, the first that is free; a name that was given is the
    only one. ``origin`` is the file that it was read from: one without a given name is what was
    read from the same file before, whatever that is called.
    """

    document: Document
    names: tuple[str, ...]
    origin: str | None = None


@dataclass(frozen=True)
class Put:
    """What became of documents that came in, as they stand in the library."""

    added: tuple[Document, ...]
    replaced: tuple[Document, ...]
    unchanged: tuple[Document, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of them."""
        return (*self.added, *self.replaced, *self.unchanged)


@dataclass(frozen=True)
class Placed:
    """What is to be written so that documents that came in are there."""

    put: Put
    entries: tuple[Entry, ...]
    last_number: int


class Shelf:
    """Entries by number, name and origin.

    Args:
        count: tokens of a text.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._by_number: dict[int, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self._by_origin: dict[str, list[int]] = {}
        self._last_number = 0
        self._holdings: Holdings | None = None

    @property
    def numbers(self) -> frozenset[int]:
        """Of what is there."""
        return frozenset(self._by_number)

    @property
    def last_number(self) -> int:
        """The highest that any document ever had."""
        return self._last_number

    def holdings(self) -> Holdings:
        """What is there now; the same object until something changes."""
        if self._holdings is None:
            self._holdings = Holdings(self._by_number.values(), self._count)
        return self._holdings

    def apply(self, written: Iterable[Entry], removed: Iterable[int], last_number: int) -> None:
        """Take entries out, and put others in, in place of those of the same numbers."""
        for number in removed:
            self._forget(self._by_number.pop(number))
        for entry in written:
            if entry.number in self._by_number:
                self._forget(self._by_number[entry.number])
            self._by_number[entry.number] = entry
            self._by_id[entry.doc_id] = entry
            if entry.origin is not None:
                self._by_origin.setdefault(entry.origin, []).append(entry.number)
        self._last_number = last_number
        self._holdings = None

    def place(self, incoming: Sequence[Incoming], make: MakeEntry, *, replace: bool) -> Placed:
        """Say what is to be written; nothing changes.

        Args:
            incoming: in the order in which they get their numbers.
            make: an entry.
            replace: whether one takes the place and the number of the one that it is.

        Raises:
            DocumentError: another one has its name, or it is there and is not to be replaced.
        """
        came = Shelf(self._count)  # earlier ones of the same batch
        last = self._last_number
        added: list[Document] = []
        replaced: list[Document] = []
        unchanged: list[Document] = []
        for one in incoming:
            before = came.find(one) or self.find(one)
            doc_id = before.doc_id if before else self._free_name(one, came)
            document = one.document
            if document.doc_id != doc_id:
                document = document.model_copy(update={"doc_id": doc_id})
            if before is not None and _is_same(before.document, document):
                unchanged.append(before.document)
                continue
            if before is not None and not replace:
                raise DocumentError(
                    f"there is already a document {doc_id!r}; update(...) puts this one in its "
                    "place, and another doc_id (for a file: add(Path(...), doc_id='...')) beside it"
                )
            if before is None:
                last += 1
            entry = make(document, before.number if before else last, one.origin)
            came.apply([entry], [], last)
            (replaced if before else added).append(document)
        put = Put(tuple(added), tuple(replaced), tuple(unchanged))
        return Placed(put, came.holdings().entries, last)

    def find(self, one: Incoming) -> Entry | None:
        """The entry that it is; None if it is new."""
        if len(one.names) == 1:
            return self._by_id.get(one.names[0])
        same = [self._by_number[n] for n in self._by_origin.get(one.origin or "", ())]
        named = [entry for entry in same if entry.doc_id in one.names]
        return next(iter([*named, *same]), None)

    def has(self, doc_id: str) -> bool:
        """Whether a name is taken."""
        return doc_id in self._by_id

    def _free_name(self, one: Incoming, came: Shelf) -> str:
        for name in one.names:
            if not self.has(name) and not came.has(name):
                return name
        raise DocumentError(
            f"there are already documents {', '.join(map(repr, one.names))}; give this one "
            "another doc_id: add(Path(...), doc_id='...')"
        )

    def _forget(self, entry: Entry) -> None:
        del self._by_id[entry.doc_id]
        if entry.origin is not None:
            self._by_origin[entry.origin].remove(entry.number)


def _is_same(one: Document, other: Document) -> bool:
    """A file may be named by another path than before."""
    return one == other.model_copy(update={"source": one.source})
