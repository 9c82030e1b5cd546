"""What was typed into chats, kept from one session to the next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory

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
            self._trim()
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Add a message to the file."""
        if len(string) > MAX_CHARACTERS:
            return
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            super().store_string(string)

    def _trim(self) -> None:
        if not self._path.exists() or self._path.stat().st_size <= MAX_BYTES:
            return
        kept = self._path.read_bytes()[-MAX_BYTES // 2 :]
        _, mark, whole = kept.partition(b"\n# ")  # where a message begins
        self._path.write_bytes(mark + whole)
