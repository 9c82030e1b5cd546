"""Documents as a command line names them: paths, folders, patterns, names for them, and stdin."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from longctx.errors import DocumentError, LongCtxError

if TYPE_CHECKING:
    from longctx.documents import Document

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


def read_stdin(name: str, *, encoding: str | None = None, password: str | None = None) -> Document:
    """All of standard input as a document, of whatever format its bytes are.

    Args:
        name: of the document.
        encoding: of a text; None is found out.
        password: of what has one.

    Raises:
        DocumentError: nothing came, or it is none.
        MissingExtraError: it needs a package that is not installed.
    """
    from longctx.documents import load_document

    data = sys.stdin.buffer.read()
    if not data.strip():
        raise DocumentError("standard input (-) is empty; pipe a text into the command")
    with TemporaryDirectory() as folder:
        file = Path(folder, f"stdin{Path(name).suffix}")
        file.write_bytes(data)
        try:
            document = load_document(file, doc_id=name, encoding=encoding, password=password)
        except LongCtxError as error:
            told = str(error).replace(str(file), "standard input (-)")
            raise type(error)(told) from error
    return document.model_copy(update={"source": None})


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
