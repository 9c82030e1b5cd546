"""The process that reads a PDF: started, listened to with patience that ends, and ended."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from longctx.documents.reading.content import Source

PAGE_SECONDS = 20.0
OPEN_SECONDS = 60.0
_PROGRAM = str(Path(__file__).with_name("pdf_pages.py"))


class Lost(Exception):
    """What was asked for did not come; the message says why."""


class PdfProcess:
    """A PDF that is read in a process of its own, from one page on.

    A context manager: the process does not outlive it.
    """

    def __init__(self, source: Source, *, first: int) -> None:
        self._process = subprocess.Popen(
            # -I: nothing in the folder or the environment is imported in place of what is meant.
            [sys.executable, "-I", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        asked = {"first": first, "password": source.password, "paths": list(filter(None, sys.path))}
        request = json.dumps(asked).encode()
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._threads = [
            self._start(lambda: self._feed(request, source.data)),
            self._start(self._listen),
        ]

    def __enter__(self) -> PdfProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def opening(self) -> dict[str, Any]:
        """``n_pages`` and ``metadata`` of the document, or an ``error``."""
        try:
            return self._next(OPEN_SECONDS)
        except Lost as lost:
            return {"error": str(lost)}

    def page(self) -> dict[str, Any]:
        """The next page.

        Raises:
            Lost: it took too long, or ended the process.
        """
        return self._next(PAGE_SECONDS)

    def bookmarks(self) -> list[Any]:
        """All of them, behind the last page; none if that fails."""
        try:
            return list(self._next(PAGE_SECONDS)["bookmarks"])
        except Lost:
            return []

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Lost(f"it took longer than the limit of {seconds:g} seconds") from None
        if line is None:
            raise Lost("the reader ended: damaged, or more memory than the limit")
        message: dict[str, Any] = json.loads(line)
        return message

    def _feed(self, request: bytes, data: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as stdin:  # it may have ended
            stdin.write(request + b"\n")
            stdin.write(data)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    @staticmethod
    def _start(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="longctx-pdf", daemon=True)
        thread.start()
        return thread
