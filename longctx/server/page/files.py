"""The files that people give the page: bounded in number and bytes, and gone after some minutes."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from longctx.documents.document import Document
from longctx.server.errors import ApiError


@dataclass(frozen=True)
class FileText:
    """The text of a file.

    Attributes:
        name: the file's own.
        text: what was read.
        media_type: what the file was.
        n_tokens: of the text, by the model's tokenizer.
        n_pages: None for what has no pages.
        notes: what is in the file and not in the text, and what was guessed.
    """

    name: str
    text: str
    media_type: str
    n_tokens: int
    n_pages: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, document: Document, n_tokens: int) -> FileText:
        """What was read of a file."""
        return cls(
            name=name,
            text=document.text,
            media_type=document.media_type,
            n_tokens=n_tokens,
            n_pages=len(document.pages) or None,
            notes=document.notes,
        )


class FileStore:
    """Keeps the texts that came last, each for some minutes.

    Args:
        max_count: of files.
        max_bytes: of all their texts together, in UTF-8.
        minutes: that each is kept.
        clock: tells seconds.
    """

    def __init__(
        self,
        max_count: int,
        max_bytes: int,
        minutes: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._minutes = minutes
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, int, FileText]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def n_bytes(self) -> int:
        """Of all texts that are kept."""
        return sum(n for _, n, _ in self._kept.values())

    def keep(self, file: FileText) -> str:
        """Keep a file, and return its id; the oldest make way.

        Raises:
            ApiError: 413, the text is larger than all that may be kept.
        """
        size = len(file.text.encode())
        if size > self._max_bytes or not self._max_count:
            raise ApiError(
                413,
                f"the text of {file.name!r:.100} has {size:,} bytes, and {self._max_bytes:,} of "
                f"{self._max_count:,} files are kept; give a part of it",
                code="file_too_large",
            )
        self.expire()
        while len(self._kept) >= self._max_count or self.n_bytes + size > self._max_bytes:
            self._kept.popitem(last=False)
        file_id = f"file-{uuid.uuid4().hex}"
        self._kept[file_id] = (self._clock() + self._minutes * 60, size, file)
        return file_id

    def find(self, file_id: str) -> FileText:
        """The file of that id.

        Raises:
            ApiError: 404.
        """
        self.expire()
        if file_id not in self._kept:
            raise ApiError(
                404,
                f"there is no file {file_id!r:.100} here: files are kept for {self._minutes:g} "
                f"minutes, the last {self._max_count:,} of them, in {self._max_bytes:,} bytes; "
                "give it again",
                code="file_not_found",
            )
        return self._kept[file_id][2]

    def drop(self, file_id: str) -> None:
        """Keep it no more.

        Raises:
            ApiError: 404.
        """
        self.find(file_id)
        del self._kept[file_id]

    def expire(self) -> None:
        """Let go of what was kept long enough."""
        now = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)
