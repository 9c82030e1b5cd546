"""Files: written whole or not at all, kept in known folders, dropped when they are old, hashed.

What is written stands beside its place first and is moved there, so that a reader, or a process
that is killed, finds the old file or the new one. Each writer's part has a name of its own and a
lock: two that write one file do not race, and the last one's file stays.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from longctx.errors import RequestError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed: that is the lock
    fcntl = None  # type: ignore[assignment]  # Windows has none

_PART = ".longctx-part"
_BLOCK = 1 << 20
_NO_HOME = Path(os.devnull, "no home folder is known, set HOME")


def write_whole(path: str | Path, *pieces: bytes | memoryview, parents: bool = False) -> None:
    """Write a file, all of it or, whatever happens, what was there before.

    Arguments and errors as :func:`replacing`.
    """
    with replacing(path, parents=parents) as part, part.open("wb") as file:
        for piece in pieces:
            file.write(piece)


@contextmanager
def replacing(path: str | Path, *, parents: bool = False) -> Iterator[Path]:
    """Give a file to write, which takes another's place when the block ends without an error.

    As well-behaved editors do: a link stays, and what it points to is written; owner and
    permissions stay those of the file that was there; a read-only file is not replaced.

    Args:
        path: the place.
        parents: make the folder where it is missing.

    Yields:
        An empty file in the same folder.

    Raises:
        RequestError: there is a folder, a pipe, a device or a read-only file.
        OSError: the system refuses; its file name is ``path``.
    """
    target, before = _target(path)
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        for part in _parts(target.parent, _stem(target)):
            _remove_abandoned(part)
        with _locked_part(target) as (part, lock):
            yield part
            if before is not None:
                _be_like(lock.fileno(), before)
            os.fsync(lock.fileno())
            if fcntl is None:  # Windows moves no open file
                lock.close()
            os.replace(part, target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out, to change what a file says.

    :func:`replacing` keeps a file whole; what two processes read and then write, one would lose
    of the other. Where folders cannot be locked (Windows, some file systems), nobody is kept out.

    Raises:
        OSError: the folder cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def must_be_file(path: Path) -> None:
    """Refuse to read what has no end, or none yet: a pipe, a device. What is missing passes.

    Raises:
        OSError: it is none, or cannot be looked at.
    """
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"it is {_kind(mode)}, and no file")


def _target(path: str | Path) -> tuple[Path, os.stat_result | None]:
    """Where the file is, behind all links, and what is there."""
    try:
        target = Path(os.path.realpath(path))
        found = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return target, None
    except ValueError as error:
        raise RequestError(f"{str(path)!r} is no path ({error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(
            f"{path} is {_kind(found.st_mode)}, which cannot be replaced by a file; name a file"
        )
    # By its bits too: the superuser may write everywhere, and should not by mistake.
    if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise RequestError(
            f"{path} is read-only; make it writable, or write under another name. It is as it was"
        )
    return target, found


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
        stat.S_ISSOCK: "a socket",
        stat.S_ISLNK: "a loop of links",
    }
    return next((name for matches, name in kinds.items() if matches(mode)), "no file")


# The part


def _stem(target: Path) -> str:
    """What the names of a file's parts begin with; a long name is shortened to its hash."""
    name = target.name
    if len(os.fsencode(name)) > 200:
        name = hash_parts([os.fsencode(name)])[:32]
    return f".{name}."


def _parts(folder: Path, stem: str = ".") -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(stem) and entry.name.endswith(_PART):
                yield Path(entry.path)


@contextmanager
def _locked_part(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    while True:
        part = target.with_name(f"{_stem(target)}{secrets.token_hex(6)}{_PART}")
        with part.open("x+b") as lock:
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks, where nothing is swept
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if not os.fstat(lock.fileno()).st_nlink:
                    continue  # taken for abandoned before it was locked
            try:
                yield part, lock
            finally:
                lock.close()
                with suppress(OSError):
                    part.unlink()
            return


def _remove_abandoned(part: Path) -> None:
    """Remove a part whose writer was killed: nobody holds its lock."""
    with suppress(OSError):
        if fcntl is None:
            part.unlink()
            return
        with part.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _be_like(descriptor: int, before: os.stat_result) -> None:
    """Take over owner and permissions, as far as the system lets us."""
    if fcntl is None:
        return
    with suppress(OSError):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where folders can be synced (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


# Folders


def cache_folder(room: str, cache_dir: str | Path | None = None) -> Path:
    """Where something is kept that can be made again.

    Args:
        room: of that kind of thing, such as ``models``.
        cache_dir: what the caller chose; None is the user's cache folder.
    """
    if cache_dir is None:
        cache_dir = user_folder(platformdirs.user_cache_dir)
    return Path(cache_dir) / room


def data_folder(room: str) -> Path:
    """Where something is kept that was measured, in the user's data folder."""
    return user_folder(platformdirs.user_data_dir) / room


def state_folder() -> Path:
    """Where something is kept that a session leaves for the next, such as what was typed."""
    return user_folder(platformdirs.user_state_dir)


def user_folder(kind: Callable[..., str], program: str = "longctx", **options: Any) -> Path:
    """A folder of the user's for a program.

    Where no home is known (a container's user by number, without ``HOME``), it is one in which
    nothing is and nothing can be made, as in a home that is read-only; errors name it.

    Args:
        kind: of folder, such as ``platformdirs.user_cache_dir``.
        program: whose it is.
        options: of ``kind``.
    """
    try:
        return Path(kind(program, appauthor=False, **options))
    except RuntimeError:
        return _NO_HOME / program


def at_home(path: str | Path) -> Path:
    """A path whose ``~`` is the user's home; where that is not known, it stays, as in
    shells. What has a ``~`` for a name is written ``./~``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def touch(path: Path) -> None:
    """Note that a file was of use."""
    with suppress(OSError):  # another process has dropped it
        os.utime(path)


def discard(path: Path) -> None:
    """Drop a file that is of no use, where that can be done."""
    with suppress(OSError):  # the folder may be read-only, or, on Windows, somebody reads the file
        path.unlink()


def trim_folder(folder: Path, suffix: str, max_bytes: int, *, keep: Path | None = None) -> None:
    """Drop the files that were not of use for longest, until the others fit.

    Args:
        folder: looked through with the folders in it.
        suffix: of the files that count.
        max_bytes: of all of them together.
        keep: one that stays whatever its size.
    """
    found = []
    for path in folder.rglob(f"*{suffix}"):
        with suppress(OSError):  # another process may drop a file at any moment
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > max_bytes and path != keep:
            discard(path)
    for inside in {folder, *(path.parent for _, _, path in found)}:
        for part in _parts(inside):
            _remove_abandoned(part)


# Hashes


def hash_parts(parts: Iterable[bytes]) -> str:
    """SHA-256 of bytes that come one after another, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def hash_files(*paths: Path) -> str:
    """SHA-256 of what stands in files, one after another, in hexadecimal.

    Raises:
        OSError: one cannot be read.
    """
    return hash_parts(block for path in paths for block in _blocks(path))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
