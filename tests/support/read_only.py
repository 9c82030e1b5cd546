"""A file system on which nothing can be removed; the superuser of a test has no other."""

from __future__ import annotations

import errno
from pathlib import Path


def refused(path: Path, missing_ok: bool = False) -> None:
    """In place of :meth:`pathlib.Path.unlink`."""
    del missing_ok
    raise OSError(errno.EROFS, "Read-only file system", str(path))
