"""A program in a terminal: keys go in, and the screen, with what scrolled away, can be read."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import pytest

fcntl = pytest.importorskip("fcntl", reason="a terminal of POSIX")
termios = pytest.importorskip("termios")
import pyte  # noqa: E402  # after what another system lacks

ENTER, ALT_ENTER, CTRL_C, CTRL_D, CTRL_R, TAB, UP = (
    "\r", "\x1b\r", "\x03", "\x04", "\x12", "\t", "\x1b[A",
)  # fmt: skip


class Terminal:
    """Python code on a pseudo-terminal of its own.

    Args:
        code: what runs.
        arguments: its ``sys.argv[1:]``.
        columns: of the screen.
        rows: of the screen.
        environment: changes of the environment; None takes a variable out.
    """

    def __init__(
        self,
        code: str,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.01)
        self._screen.write_process_input = self.type
        self._stream = pyte.ByteStream(self._screen)
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        given = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
        for name in ("COLUMNS", "LINES"):
            given.pop(name, None)
        # The interpreter between takes the terminal for its own, so that Ctrl-C comes through.
        owned = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        owned += "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        self._process = subprocess.Popen(
            [sys.executable, "-c", owned + code, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={name: value for name, value in given.items() if value is not None},
            start_new_session=True,
        )
        os.close(slave)
        self._master = master

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def paste(self, text: str) -> None:
        """As a terminal pastes: marked as such."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    @property
    def screen(self) -> list[str]:
        """The lines that can be seen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def lines(self) -> list[str]:
        """All lines: those that scrolled away, and those that can be seen."""
        width = self._screen.columns
        above = [
            "".join(line[column].data for column in range(width)).rstrip()
            for line in self._screen.history.top
        ]
        return above + self.screen

    @property
    def bottom(self) -> str:
        """The last line that is not empty."""
        return next((line for line in reversed(self.screen) if line), "")

    @property
    def text(self) -> str:
        """:attr:`lines`, without the empty ones at the end."""
        return "\n".join(self.lines).rstrip()

    def wait_for(self, what: str | Callable[[], bool], seconds: float = 180) -> None:
        """Read on until a text stands on the terminal, or something else holds."""
        holds = what if callable(what) else lambda: what in self.text
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, f"{what!r} did not come:\n{self.text}"
            assert self._read(0.05), f"it ended before {what!r}:\n{self.text}"

    @property
    def sleeps(self) -> bool:
        """Whether its main thread waits, as for keys; where the system does not tell, it may."""
        state = Path(f"/proc/{self._process.pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "S"

    def end(self, seconds: float = 180) -> int:
        """Read to the end; the exit status."""
        until = time.monotonic() + seconds
        while self._read(0.05):
            assert time.monotonic() < until, f"it does not end:\n{self.text}"
        return self._process.wait(seconds)

    def _read(self, seconds: float) -> bool:
        """Read what there is within a time; False at the end."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # as Linux says that nobody writes any more
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
