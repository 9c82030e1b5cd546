"""Vocabularies, chat templates and cases of tests out of llama.cpp's source distribution.

The wheel leaves them out, so the source archive of the installed version is fetched once, and cut
down to ``models/`` and two tests.
"""

from __future__ import annotations

import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import platformdirs

from tests.support.sources import download, put

SCHEMA_CASES, CHAT_CASES = "test-json-schema-to-grammar.cpp", "test-chat.cpp"


def models_folder() -> Path:
    """Return the folder, downloading it on the first call.

    Raises:
        Exception: whatever pip raises when the archive cannot be had.
    """
    release = version("llama-cpp-python")
    folder = Path(platformdirs.user_cache_dir("longctx")) / f"llama-cpp-models-{release}-3"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            work = Path(name)
            _extract(download("llama-cpp-python", release, work), work / "models")
            put(work / "models", folder)
    return folder


def _extract(archive: Path, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            kind = path.parent.name
            wanted = (
                (kind == "models" and path.name.startswith("ggml-vocab-"))
                or (kind == "templates" and path.suffix == ".jinja")
                or path.name in (SCHEMA_CASES, CHAT_CASES)
            )
            if wanted and member.isfile():
                source = tar.extractfile(member)
                assert source is not None
                (folder / path.name).write_bytes(source.read())
