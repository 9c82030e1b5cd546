"""All the documents below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from longctx.documents.document import Document
from longctx.documents.load import load_document, name_of
from longctx.documents.reading.limits import MAX_FOLDER_FILES
from longctx.documents.reading.pdf_process import one_process
from longctx.errors import DocumentError, MissingExtraError

# What tools make and people do not read. Hidden files and folders are skipped anyway.
_MADE_FOLDERS = frozenset({
    "__pycache__", "node_modules", "bower_components", "site-packages", "venv", "env",
    "htmlcov", "target",
})  # fmt: skip
_MADE_FILES = frozenset({"package-lock.json", "pnpm-lock.yaml"})


@dataclass(frozen=True)
class Skipped:
    """A file that did not become a document, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class LoadedFolder:
    """The documents of a folder in the order of their paths, and what was left out."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class AddedFolder:
    """What became of a folder's files in a library.

    ``added`` and ``replaced`` are documents as they stand there now, ``unchanged`` those that
    were there already, ``skipped`` the files that did not become any.
    """

    added: tuple[Document, ...]
    replaced: tuple[Document, ...]
    unchanged: tuple[Document, ...]
    skipped: tuple[Skipped, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """All documents of the folder."""
        return (*self.added, *self.replaced, *self.unchanged)

    def __str__(self) -> str:
        counts = f"{len(self.added)} added, {len(self.replaced)} replaced, "
        counts += f"{len(self.unchanged)} unchanged, {len(self.skipped)} skipped"
        return "\n".join([counts, *(f"  {one.path}: {one.reason}" for one in self.skipped)])


def load_folder(
    path: str | Path, *, encoding: str | None = None, password: str | None = None
) -> LoadedFolder:
    """Read every document below a folder; ``doc_id`` is the path from there, with slashes.

    One bad file does not stop the others: it is listed in ``skipped`` with its error's message,
    as are images, archives, programs, links that lead out of the folder, folders that cannot be
    listed, and files that need a package that is not installed. Hidden files and
    folders, and what tools make (``__pycache__``, ``node_modules``, virtual environments, lock
    files) are passed over. Links to folders are not followed.

    Args:
        path: of the folder.
        encoding: of its text files, see :func:`load_document`.
        password: of those of its files that have one.

    Raises:
        DocumentError: it is no folder, cannot be listed, holds no document, or has more than
            20,000 files.
    """
    root = Path(path)
    skipped: list[Skipped] = []
    try:
        if not root.is_dir():
            raise DocumentError(f"{root} is not a folder; load_document reads a single file")
        os.listdir(root)
        files = list(_files(root, skipped))
        inside = root.resolve()
    except (OSError, ValueError) as error:
        raise DocumentError(f"the folder {root} cannot be listed ({error})") from error
    documents: list[Document] = []
    with one_process():
        for file in files:
            if file.is_symlink() and not _is_below(file, inside):
                skipped.append(Skipped(file, "a link that leads nowhere, or out of the folder"))
                continue
            try:
                doc_id = name_of(file.relative_to(root).as_posix())
                documents.append(
                    load_document(file, doc_id=doc_id, encoding=encoding, password=password)
                )
            except (DocumentError, MissingExtraError) as error:
                skipped.append(Skipped(file, str(error)))
    if not documents:
        if not skipped:
            raise DocumentError(f"the folder {root} holds no files")
        reasons = "".join(f"\n  {s.path}: {s.reason}" for s in skipped[:5])
        raise DocumentError(
            f"{root} holds no document that can be read; skipped ({len(skipped)}):{reasons}"
        )
    return LoadedFolder(tuple(documents), tuple(skipped))


def _files(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    n = 0

    def skip(error: OSError) -> None:
        skipped.append(Skipped(Path(error.filename), f"cannot be listed ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=skip):
        folders[:] = sorted(f for f in folders if f[0] != "." and f not in _MADE_FOLDERS)
        for name in sorted(names):
            if name[0] == "." or name in _MADE_FILES or name.endswith((".min.js", ".lock")):
                continue
            n += 1
            if n > MAX_FOLDER_FILES:
                raise DocumentError(
                    f"{root} holds more than {MAX_FOLDER_FILES:,} files; pass a folder further down"
                )
            yield Path(folder, name)


def _is_below(link: Path, folder: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        return False
