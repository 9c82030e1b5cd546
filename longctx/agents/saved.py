"""An agent's conversation on disk: versioned, readable JSON, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from longctx.errors import LongCtxError, SnapshotMismatchError
from longctx.types import Frozen, Message


class SavedAgent(Frozen):
    """The file's content. ``tools`` are names only: functions cannot be saved."""

    format: Literal["longctx-agent"] = "longctx-agent"
    version: Literal[1] = 1
    tools: tuple[str, ...]
    messages: tuple[Message, ...]


def write(path: Path, saved: SavedAgent) -> None:
    """Write atomically: a crash leaves the old file or the new one.

    Raises:
        LongCtxError: the folder is missing or cannot be written.
    """
    data = saved.model_dump_json(indent=2).encode()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    except OSError as error:
        raise LongCtxError(
            f"{path} cannot be written ({error}); choose a folder that can"
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise LongCtxError(f"{path} cannot be written ({error}); the old file is intact") from error
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> SavedAgent:
    """Read what :func:`write` wrote.

    Raises:
        LongCtxError: the file cannot be read.
        SnapshotMismatchError: it holds no agent, or one of another version.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise LongCtxError(f"no saved agent can be read from {path} ({error})") from error
    try:
        return SavedAgent.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SnapshotMismatchError(
            f"{path} is no agent saved in format 'longctx-agent' version 1 ({where}: "
            f"{first['msg']}); save the agent again with this version of longctx"
        ) from error
