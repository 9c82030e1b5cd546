"""What tools were called with and what they gave back, in a file that people and programs read."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from os import SEEK_END
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError
from pydantic_core import from_json

from longctx import arguments
from longctx.agents.events import ToolResult
from longctx.errors import LongCtxError
from longctx.types import Frozen, ToolCall, first_problem

MAX_RESULT = 20_000
_BEGINNING = b'{"at":"'


class LoggedCall(Frozen):
    """One call: ``result`` is cut behind 20,000 characters, ``n_characters`` is what it had."""

    at: datetime
    call_id: str
    name: str
    arguments: dict[str, Any]
    seconds: float
    is_error: bool
    n_characters: int
    result: str

    def __str__(self) -> str:
        mark = "failed" if self.is_error else "ok"
        when = f"{self.at.astimezone():%Y-%m-%d %H:%M:%S}"
        given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        result = " ".join(self.result.split())
        shown = result if len(result) <= 200 else result[:200] + " …"
        return f"{when} {self.name}({given}) {mark} in {self.seconds:.2f} s: {shown}"


class CallLog:
    """A file to which each call of a tool is added as one line of JSON, when it has ended.

    Threads may share it, and agents.

    Args:
        path: the file; it is made when it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = arguments.path("call_log", path)
        self._lock = threading.Lock()

    def write(self, call: ToolCall, result: ToolResult, seconds: float) -> None:
        """Add a call.

        Raises:
            LongCtxError: the file cannot be written.
        """
        line = LoggedCall(
            at=datetime.now(timezone.utc),
            call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            seconds=round(seconds, 4),
            is_error=result.is_error,
            n_characters=len(result.text),
            result=result.text[:MAX_RESULT],
        ).model_dump_json()
        try:
            with self._lock, self.path.open("a+b") as file:
                file.write(f"{_end_of(file)}{line}\n".encode())
        except OSError as error:
            raise LongCtxError(
                f"the call log {self.path} cannot be written ({error}); name a file in a folder "
                "that can be written, or leave call_log out"
            ) from error

    def calls(self) -> list[LoggedCall]:
        """All that is in it, oldest first; lines that a killed program left half are left out.

        Raises:
            LongCtxError: the file cannot be read, or is no such log.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")  # half a line may end in half a character
        except OSError as error:
            raise LongCtxError(f"no call log can be read from {self.path} ({error})") from error
        try:
            return [
                LoggedCall.model_validate_json(line) for line in lines[:-1] if not _is_half(line)
            ]
        except ValidationError as error:
            raise LongCtxError(
                f"{self.path} is no call log ({first_problem(error, 'a line')}); take another file"
            ) from error


def _end_of(file: IO[bytes]) -> str:
    """What ends the line that a killed program left half; nothing where all are whole."""
    size = file.seek(0, SEEK_END)
    file.seek(max(0, size - 1))
    return "" if file.read(1) in (b"", b"\n") else "\n"


def _is_half(line: bytes) -> bool:
    """Whether it begins as a call does, and breaks off."""
    if not _BEGINNING.startswith(line[: len(_BEGINNING)]):
        return False
    try:
        from_json(line)
    except ValueError:
        return True
    return False
