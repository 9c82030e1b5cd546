"""Standard input and output as they come: closed, full, of any encoding, or with nobody reading."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any

# What writing to a terminal, a pipe or a disk that is gone or full raises.
_LOST = {errno.EPIPE, errno.EBADF, errno.EIO, errno.ENOSPC}
# What a terminal obeys, but for tabs and ends of lines.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let a command read and write whatever its streams are; it ends without a traceback.

    A closed stream is empty, or takes all and keeps nothing. A character that the terminal's
    encoding lacks is written as its escape, ``\\u2192``. Where nobody reads the output any more
    (``| head``), or it cannot be written, the command ends with status 1.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not _keeps_bytes(stream):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            # Here and not at the interpreter's end, which would complain of it.
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _LOST:
            raise
        _discard(sys.stdout)
        if error.errno != errno.EPIPE:
            with suppress(OSError):
                print(f"input or output failed ({error.strerror})", file=sys.stderr, flush=True)
        sys.exit(1)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)


def writes_unicode() -> bool:
    """Whether every character can be written on standard output as it is."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def text_of(argument: str) -> str:
    """Words of the command line as text, where the locale knows less of them than UTF-8 does."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def inert(text: str) -> str:
    """Words of tools and models without what a terminal would obey."""
    return _CONTROLS.sub("\ufffd", text)


def _keeps_bytes(stream: TextIOWrapper) -> bool:
    """Whether names of files that are no text are written as the bytes that they are, or the user
    chose what else is done."""
    if stream.errors == "surrogateescape":
        return stream.encoding.lower().startswith("utf")
    return stream.errors != "strict"


def _open_closed() -> None:
    """Put the null device where a stream is closed.

    Else the next file that is opened would have its number, and what llama.cpp prints would
    stand in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for good


def _discard(stream: Any) -> None:
    """Let what a stream still holds go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
