"""Small files, made by the tests."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from longctx.documents import Document, load_document

Read = Callable[..., Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read("name.txt", data)``: the document of a file that holds this."""

    def read(name: str, data: str | bytes, **options: str) -> Document:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return load_document(path, **options)

    return read


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[dict[str, str]], bytes]:
    """The bytes of a ZIP archive with these members."""

    def packed(members: dict[str, str]) -> bytes:
        path = tmp_path / "packed.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return path.read_bytes()

    return packed
