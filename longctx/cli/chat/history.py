"""What was typed into chats, kept from one session to the next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory

from longctx.files import alone_in, write_whole

MAX_BYTES = 1_000_000
"""Of the file; the older half of what is longer is dropped."""
MAX_CHARACTERS = 10_000
"""Of a message that is kept: what is longer is a pasted document."""


class KeptHistory(FileHistory):
    """A file that only its user reads; where it cannot be read or written, there is none.

    Args:
        path: the file, made when something is kept.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The newest first."""
        try:
            if self._path.exists():
                self._trim()
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Add a message to the file."""
        if len(string) > MAX_CHARACTERS:
            return
        # Another chat may be trimming it.
        with suppress(OSError), alone_in(self._path.parent):
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            super().store_string(string)

    def _trim(self) -> None:
        with alone_in(self._path.parent):
            if self._path.stat().st_size <= MAX_BYTES:
                return
            kept = self._path.read_bytes()[-MAX_BYTES // 2 :]
            _, mark, whole = kept.partition(b"\n# ")  # where a message begins
            write_whole(self._path, mark + whole)
