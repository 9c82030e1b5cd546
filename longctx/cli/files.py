"""Documents as a command line names them: paths, folders, patterns, names for them, and stdin."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longctx.errors import DocumentError

STDIN = "-"


@dataclass(frozen=True)
class Named:
    """A file, a folder, or ``-``, and the name that it is to have, if any."""

    path: str
    name: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether all documents below it are meant."""
        return Path(self.path).is_dir()


def named_files(arguments: Sequence[str]) -> Iterator[Named]:
    """What the arguments name, in their order, each path once.

    ``notes=a.txt`` names a file, ``-`` is standard input, and a pattern (``letters/*.txt``,
    ``**/*.md``) that the shell left as it was is all files that fit it.

    Raises:
        DocumentError: a pattern fits none, or a name is given to several.
    """
    seen: set[str] = set()
    for argument in arguments:
        for one in _named(argument):
            if one.path not in seen:
                seen.add(one.path)
                yield one


def read_stdin(encoding: str | None = None) -> str:
    """All of standard input, as text.

    Args:
        encoding: of it; None is the system's.

    Raises:
        DocumentError: nothing came, or it is not in that encoding.
    """
    if encoding is None:
        text = sys.stdin.read()
    else:
        from longctx.documents.reading.encoding import decode

        text = decode(sys.stdin.buffer.read(), "standard input", encoding).text
    if not text.strip():
        raise DocumentError("standard input (-) is empty; pipe a text into the command")
    return text


def _named(argument: str) -> list[Named]:
    if argument == STDIN or Path(argument).exists():
        return [Named(argument)]
    name, equals, rest = argument.partition("=")
    if equals and name and rest:
        if rest == STDIN or Path(rest).is_file():
            return [Named(rest, name)]
        raise DocumentError(
            f"{argument!r}: a name is for one file, and {rest!r} is none; name=FILE, or FILE alone"
        )
    if glob.has_magic(argument):
        if found := sorted(glob.glob(argument, recursive=True)):
            return [Named(path) for path in found if not Path(path).is_dir()] or [
                Named(path) for path in found
            ]
        raise DocumentError(f"no file fits the pattern {argument!r}; look at the folder it names")
    return [Named(argument)]  # whoever reads it says that it is not there
