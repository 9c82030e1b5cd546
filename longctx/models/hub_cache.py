"""Hugging Face's cache on disk, read without its library: what is there whole.

``models--OWNER--NAME/refs/REVISION`` names a commit, ``snapshots/COMMIT/`` has its files, which
appear there when they are complete; parts of downloads lie elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from longctx.files import at_home
from longctx.models.variants import is_model_file

MAIN = "main"


def hub_cache() -> Path:
    """Where the cache is, by the variables that its library reads."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    default = os.environ.get("HF_HOME") or f"{home}/huggingface"
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return at_home(os.path.expandvars(chosen or f"{default}/hub"))


def repository_folder(cache: Path, repo: str) -> Path:
    """Where all of a repository lies."""
    return cache / f"models--{repo.replace('/', '--')}"


def repositories(cache: Path) -> Iterator[str]:
    """The models' repositories, ``owner/name`` each."""
    for folder in sorted(cache.glob("models--*--*")):
        yield folder.name.removeprefix("models--").replace("--", "/", 1)


def snapshot(cache: Path, repo: str, revision: str | None) -> Path | None:
    """The folder of a revision's files; without one that of the main branch, else the newest."""
    folder = repository_folder(cache, repo)
    try:
        commit = (folder / "refs" / (revision or MAIN)).read_text().strip()
    except OSError:
        commit = revision or ""
    if commit and (found := folder / "snapshots" / commit).is_dir():
        return found
    return None if revision else max(snapshots(cache, repo), key=_age, default=None)


def snapshots(cache: Path, repo: str) -> list[Path]:
    """The folders of all revisions that were downloaded."""
    folder = repository_folder(cache, repo) / "snapshots"
    return sorted(path for path in folder.glob("*") if path.is_dir())


def files_in(folder: Path) -> dict[str, int]:
    """The models' files below a folder: sizes in bytes by name, with ``/`` between folders."""
    found = {}
    for path in sorted(folder.rglob("*.gguf")):
        if is_model_file(path.name) and path.is_file():
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def _age(folder: Path) -> float:
    return folder.stat().st_mtime
