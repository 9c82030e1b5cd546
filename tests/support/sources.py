"""Source archives of packages, as their index has them: what wheels leave out."""

from __future__ import annotations

from pathlib import Path


def download(name: str, release: str, folder: Path) -> Path:
    """Fetch the source archive of a release into a folder, with pip's own finder.

    It knows the configured index; ``pip download`` would build the package to learn its metadata.

    Raises:
        Exception: whatever pip raises when the archive cannot be had.
    """
    from pip._internal.commands import create_command
    from pip._internal.network.download import Downloader
    from pip._vendor.packaging.specifiers import SpecifierSet

    command = create_command("download")
    options, _ = command.parse_args(["--no-binary", ":all:", "--quiet", name])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        found = finder.find_best_candidate(name, SpecifierSet(f"=={release}"))
        if found.best_candidate is None:
            raise FileNotFoundError(f"the index has no source archive of {name} {release}")
        downloader = _make_downloader(Downloader, session)
        path, _ = downloader(found.best_candidate.link, str(folder))
    return Path(path)


def put(made: Path, folder: Path) -> None:
    """Move what was made of an archive to its place, where another process of the tests may have
    been first."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _make_downloader(kind, session):
    try:
        return kind(session, "off", 3)  # pip 25.1 and later: with attempts to resume
    except TypeError:
        return kind(session, "off")
