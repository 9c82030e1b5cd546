"""Vocabularies, test vectors and chat templates out of llama.cpp's source distribution.

The wheel leaves them out, so the source archive of the installed version is fetched once
with pip's own finder (it knows the configured index) and cut down to ``models/``.
"""

from __future__ import annotations

import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import platformdirs


def models_folder() -> Path:
    """Return the folder, downloading it on the first call.

    Raises:
        Exception: whatever pip raises when the archive cannot be had.
    """
    release = version("llama-cpp-python")
    folder = Path(platformdirs.user_cache_dir("longctx")) / f"llama-cpp-models-{release}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            work = Path(name)
            _extract_models(_download(release, work), work / "models")
            (work / "models").rename(folder)
    return folder


def _download(release: str, folder: Path) -> Path:
    # `pip download` would build the package to learn its metadata: minutes of C++.
    from pip._internal.commands import create_command
    from pip._internal.network.download import Downloader
    from pip._vendor.packaging.specifiers import SpecifierSet

    command = create_command("download")
    options, _ = command.parse_args(["--no-binary", ":all:", "--quiet", "llama-cpp-python"])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        found = finder.find_best_candidate("llama-cpp-python", SpecifierSet(f"=={release}"))
        if found.best_candidate is None:
            raise FileNotFoundError(f"the index has no source archive of {release}")
        downloader = _make_downloader(Downloader, session)
        path, _ = downloader(found.best_candidate.link, str(folder))
    return Path(path)


def _make_downloader(kind, session):
    try:
        return kind(session, "off", 3)  # pip 25.1 and later: with attempts to resume
    except TypeError:
        return kind(session, "off")


def _extract_models(archive: Path, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            kind = path.parent.name
            wanted = (kind == "models" and path.name.startswith("ggml-vocab-")) or (
                kind == "templates" and path.suffix == ".jinja"
            )
            if wanted and member.isfile():
                source = tar.extractfile(member)
                assert source is not None
                (folder / path.name).write_bytes(source.read())
