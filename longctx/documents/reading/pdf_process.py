"""The process that reads PDFs: started, listened to with patience that ends, and ended."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from longctx.documents.reading.content import Source

PAGE_SECONDS = 20.0
OPEN_SECONDS = 60.0
_PROGRAM = str(Path(__file__).with_name("pdf_pages.py"))


class Lost(Exception):
    """What was asked for did not come; the message says why."""


class _Ended(Lost):
    """The process ended, and did not take too long."""


class _Worker:
    """A process, what it is told, and what it says."""

    def __init__(self) -> None:
        self.n_files = 0
        self._process = subprocess.Popen(
            # -I: nothing in the folder or the environment is imported in place of what is meant.
            [sys.executable, "-I", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._threads = [_start(self._listen)]

    def read(self, source: Source, first: int) -> None:
        """Begin a file, from a page on; the one before must have come to its end."""
        self.n_files += 1
        request = {
            "first": first,
            "password": source.password,
            "size": len(source.data),
            "paths": list(filter(None, sys.path)),
        }
        self._threads.append(_start(lambda: self._feed(json.dumps(request).encode(), source.data)))

    def next(self, seconds: float) -> dict[str, Any]:
        """The next line that it says.

        Raises:
            Lost: it takes longer, or the process has ended.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Lost(f"it took longer than the limit of {seconds:g} seconds") from None
        if line is None:
            raise _Ended("the reader ended: damaged, or more memory than the limit")
        message: dict[str, Any] = json.loads(line)
        return message

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        assert self._process.stdin is not None
        with suppress(OSError):  # what it did not take any more
            self._process.stdin.close()

    def _feed(self, request: bytes, data: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError):  # it may have ended
            stdin.write(request + b"\n")
            stdin.write(data)
            stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)


class _Kept:
    """The process that files are read in one after the other, while none reads in it."""

    def __init__(self) -> None:
        self._worker: _Worker | None = None

    def take(self) -> _Worker:
        """It, or a new one."""
        worker, self._worker = self._worker, None
        return worker or _Worker()

    def put(self, worker: _Worker) -> None:
        """Give it back, at the end of a file."""
        self.end()
        self._worker = worker

    def end(self) -> None:
        """End it, where there is one."""
        if self._worker is not None:
            self._worker.end()
        self._worker = None


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def one_process() -> Iterator[None]:
    """Read the PDFs inside of this in one process, as long as it lasts: a page that ends it, or
    takes too long, costs that page and a new process, as it does everywhere."""
    if _kept.get() is not None:
        yield
        return
    kept = _Kept()
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        kept.end()


class PdfProcess:
    """A PDF that is read in another process, from one page on.

    A context manager: the process does not outlive it, but inside of :func:`one_process`.
    """

    def __init__(self, source: Source, *, first: int) -> None:
        self._source = source
        self._next_page = first
        self._is_open = False
        self._is_done = False
        kept = _kept.get()
        self._worker = kept.take() if kept else _Worker()
        self._worker.read(source, first)

    def __enter__(self) -> PdfProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        kept = _kept.get()
        if kept is not None and self._is_done:
            kept.put(self._worker)
        else:
            self._worker.end()

    def opening(self) -> dict[str, Any]:
        """``n_pages`` and ``metadata`` of the document, or an ``error``."""
        try:
            opened = self._told(OPEN_SECONDS)
        except Lost as lost:
            return {"error": str(lost)}
        self._is_open, self._is_done = True, "error" in opened
        return opened

    def page(self) -> dict[str, Any]:
        """The next page.

        Raises:
            Lost: it took too long, or ended the process.
        """
        page = self._told(PAGE_SECONDS)
        self._next_page += 1
        return page

    def bookmarks(self) -> list[Any]:
        """All of them, behind the last page; none if that fails."""
        try:
            found = list(self._told(PAGE_SECONDS)["bookmarks"])
        except Lost:
            return []
        self._is_done = True
        return found

    def _told(self, seconds: float) -> dict[str, Any]:
        try:
            return self._worker.next(seconds)
        except _Ended:
            if self._worker.n_files == 1:
                raise
        # Other files may have used it up: this one is judged by a process of its own.
        self._worker.end()
        self._worker = _Worker()
        self._worker.read(self._source, self._next_page)
        opened = self._worker.next(OPEN_SECONDS)
        return self._worker.next(seconds) if self._is_open else opened


def _start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="longctx-pdf", daemon=True)
    thread.start()
    return thread
