"""A download that goes on where it broke off, also in the next process.

huggingface_hub begins each download anew since 1.18: files that several processes append to were
corrupted on file systems that ignore locks (its pull request 4228). Here a part is kept under the
hash of the whole, which is checked before the file takes its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from longctx.files import hash_files

_TRIES = 5
_WAIT_S = 1.0


class Answer(Protocol):
    """What of a response is used; httpx's, by whatever version."""

    @property
    def status_code(self) -> int:
        """206 for a part."""

    def iter_bytes(self) -> Iterator[bytes]:
        """The body, as it comes."""


@dataclass(frozen=True)
class Whole:
    """What is to come.

    Attributes:
        path: where the file is put once it is whole.
        n_bytes: of all of it.
        sha256: of all of it, None where it is not known.
        begin: asks for the file from a byte on.
        transient: the errors after which it is worth to ask again.
    """

    path: Path
    n_bytes: int
    sha256: str | None
    begin: Callable[[int], AbstractContextManager[Answer]]
    transient: type[Exception]


def bring(whole: Whole, report: Callable[[int], None]) -> None:
    """Download a file, or what is missing of it.

    Args:
        whole: what is to come.
        report: called with the number of bytes that are here.

    Raises:
        OSError: what came is not what should have, or cannot be written.
    """
    part = whole.path.with_name(f"{whole.path.name}.partial")
    tries = _TRIES
    with part.open("ab") as file:
        if file.tell() > whole.n_bytes:
            file.truncate(0)
        while (here := file.seek(0, os.SEEK_END)) < whole.n_bytes:
            try:
                with whole.begin(here) as answer:
                    if here and answer.status_code != 206:  # it sends all of it
                        file.truncate(0)
                    for piece in answer.iter_bytes():
                        file.write(piece)
                        report(file.tell())
            except whole.transient:
                tries = _TRIES if file.tell() > here else tries - 1
                file.flush()
                if not tries:
                    raise
                time.sleep(_WAIT_S)
    if whole.sha256 is not None and hash_files(part) != whole.sha256:
        part.unlink()
        raise OSError("what came has another hash than what was announced")
    os.replace(part, whole.path)
