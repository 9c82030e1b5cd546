"""Files: whole or not at all, whoever writes them, wherever they lie."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM, LongCtxError, RequestError
from longctx.agents import Agent
from longctx.evaluate.figures.plots import Curve, curves_figure, write_figure
from longctx.files import (
    cache_folder,
    data_folder,
    hash_files,
    hash_parts,
    replacing,
    touch,
    trim_folder,
    write_whole,
)
from longctx.planner import Profile
from longctx.search.vectors import VectorCache
from longctx.testing import ScriptedChatModel
from tests.models import TINY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, modes and locks of POSIX")

Writer = Callable[[Path], Any]


@pytest.fixture(scope="module")
def writers() -> dict[str, Writer]:
    """Everything that writes a file where its caller says."""
    llm = LongContextLLM(TINY, 512, reserve_output=16, n_threads=1)
    session = llm.session()
    session.feed([1, 2, 3])
    asked: Any = [{"role": "user", "content": "Hi"}]
    llm.chat(asked, max_tokens=1)
    agent = Agent(ScriptedChatModel(["Hello."]))
    agent.run("Hi")
    profile = Profile(model_sha256="0" * 64, method="yarn", window=1024)
    figure = curves_figure(title="t", x_label="x", y_label="y", curves=[Curve("c", [1, 2], [3, 4])])
    return {
        "write_whole": lambda path: write_whole(path, b"new"),
        "session.save": session.save,
        "save_chat": lambda path: llm.save_chat(path, asked),
        "Agent.save": agent.save,
        "Profile.save": profile.save,
        "write_figure": lambda path: write_figure(figure, path),
    }


NAMES = ("write_whole", "session.save", "save_chat", "Agent.save", "Profile.save", "write_figure")
each_writer = pytest.mark.parametrize("name", NAMES)


def left(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(os.listdir(folder))


# Where it is written


@each_writer
def test_a_link_stays_and_its_file_is_written(
    writers: dict[str, Writer], name: str, tmp_path: Path
) -> None:
    """Over folders and through several links, whether the file is there yet or not."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "old.svg").write_bytes(b"old")
    (tmp_path / "second").symlink_to("there/old.svg")
    (tmp_path / "first.svg").symlink_to("second")
    (tmp_path / "dangling.svg").symlink_to(there / "new.svg")
    for link, file in (("first.svg", "old.svg"), ("dangling.svg", "new.svg")):
        writers[name](tmp_path / link)
        assert (tmp_path / link).is_symlink()
        assert (there / file).read_bytes() not in (b"", b"old")
    assert left(there) == ["new.svg", "old.svg"]
    assert left(tmp_path) == ["dangling.svg", "first.svg", "second", "there"]


@each_writer
@pytest.mark.parametrize(
    "kind", ["pipe", "folder", "socket", "device", "loop", "read-only", "link to a pipe"]
)
def test_what_is_no_file_to_replace_is_refused(
    writers: dict[str, Writer], name: str, kind: str, tmp_path: Path
) -> None:
    """At once, also where nobody reads the pipe; and it is what it was."""
    path = tmp_path / "a.svg"
    if kind.endswith("pipe"):
        pipe = path if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(pipe)
        if pipe != path:
            path.symlink_to(pipe)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes(b"precious")
        path.chmod(0o444)
    before, names = path.lstat(), left(tmp_path)
    with pytest.raises(RequestError, match="read-only" if kind == "read-only" else "is a ") as said:
        writers[name](path)
    assert str(path) in str(said.value)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        before.st_ino, before.st_mode, before.st_mtime,
    )  # fmt: skip
    assert left(tmp_path) == names
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@each_writer
def test_folders_that_cannot_be_are_typed_errors(
    writers: dict[str, Writer], name: str, tmp_path: Path
) -> None:
    """A file where a folder should be, and a name that no system takes."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "a.svg", tmp_path / "null\0byte.svg", tmp_path / ("x" * 400)):
        bare = name == "write_whole" and "\0" not in str(path)  # its callers put it in words
        with pytest.raises(OSError if bare else LongCtxError):
            writers[name](path)
    assert left(tmp_path) == ["file"]


def test_permissions_stay_and_new_files_have_the_usual_ones(tmp_path: Path) -> None:
    """Not those of a temporary file, which only its owner can read."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    mask = os.umask(0o022)
    try:
        for mode in (0o600, 0o640, 0o777):
            old.chmod(mode)
            write_whole(old, b"new")
            assert stat.S_IMODE(old.stat().st_mode) == mode
        write_whole(new, b"new")
        assert stat.S_IMODE(new.stat().st_mode) == 0o644
    finally:
        os.umask(mask)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs the superuser")
def test_the_owner_stays(tmp_path: Path) -> None:
    """Also when the superuser writes."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chown(path, 12345, 54321)
    write_whole(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_names_of_any_length_and_kind(tmp_path: Path) -> None:
    """The part's name is longer than the file's."""
    for name in ("x" * 255, "ж" * 127, "[a]*?", ".hidden", "with\nline"):
        write_whole(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert len(left(tmp_path)) == 5


def test_a_relative_path_and_one_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they come from a command line."""
    monkeypatch.chdir(tmp_path)
    write_whole("a/b/c", b"1", b"2", parents=True)
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"12"
    with pytest.raises(OSError, match="nowhere/c"):
        write_whole("nowhere/c", b"")


# Whole


def write_half(path: Path, error: BaseException) -> None:
    """Fail while the part is written."""
    with replacing(path) as part:
        part.write_bytes(b"half")
        raise error


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    """Whatever is raised while the part is written."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    for error in (ValueError("x"), OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_half(path, error)
        assert path.read_bytes() == b"old"
        assert left(tmp_path) == ["a"]


def test_threads_that_write_one_file_do_not_race(tmp_path: Path) -> None:
    """Each version is whole, and no part stays."""
    path = tmp_path / "a"

    def write(n: int) -> None:
        write_whole(path, bytes([n]) * 100_000)
        found = path.read_bytes()
        assert len(found) == 100_000
        assert len(set(found)) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert left(tmp_path) == ["a"]


def test_processes_that_write_one_file_do_not_race(tmp_path: Path) -> None:
    """None fails, none takes another's part for rubbish, and each version is whole."""
    path = tmp_path / "a"
    over, end = os.pipe()
    children = []
    for n in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(end)
                while not select([over], [], [], 0)[0]:
                    write_whole(path, bytes([n]) * 200_000)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    seen, n_read = set(), 0
    while n_read < 300 or len(seen) < 2:
        if path.exists():
            found = path.read_bytes()
            assert len(found) == 200_000
            seen |= {frozenset(found)}
            n_read += 1
    os.close(end)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    os.close(over)
    assert all(len(one) == 1 for one in seen)
    assert left(tmp_path) == ["a"]


def test_the_part_of_a_killed_writer_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    """The lock tells them apart, not the process's number, which another container has too."""
    path = tmp_path / "a"
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with replacing(path) as part:
            part.write_bytes(b"half")
            os.write(tell, b".")
            time.sleep(60)
    os.read(told, 1)
    (half,) = left(tmp_path)
    write_whole(path, b"whole")
    assert left(tmp_path) == sorted([half, "a"])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    write_whole(tmp_path / "another", b"")
    assert half in left(tmp_path)
    write_whole(path, b"whole again")
    assert left(tmp_path) == ["a", "another"]


# Reading


def test_reading_a_pipe_or_a_device_does_not_hang(tmp_path: Path) -> None:
    """Nobody writes to it, or it never ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as llm:
        for path in (pipe, Path("/dev/zero"), tmp_path):
            for load in (
                llm.load_session,
                llm.load_chat,
                lambda path: Agent.load(path, ScriptedChatModel([])),
                lambda path: LongContextLLM(path, 512, reserve_output=16),
            ):
                with pytest.raises(LongCtxError):
                    load(path)


# Folders


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Those of other suffixes are not counted, and one may be kept whatever its size."""
    for age, name in enumerate(("new", "middle", "old")):
        path = tmp_path / "below" / f"{name}.x"
        write_whole(path, bytes(100), parents=True)
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "other.y").write_bytes(bytes(1000))
    trim_folder(tmp_path, ".x", 300)
    assert len(left(tmp_path / "below")) == 3
    touch(tmp_path / "below" / "old.x")
    trim_folder(tmp_path, ".x", 200)
    assert left(tmp_path / "below") == ["new.x", "old.x"]
    trim_folder(tmp_path, ".x", 0, keep=tmp_path / "below" / "new.x")
    assert left(tmp_path / "below") == ["new.x"]
    assert (tmp_path / "other.y").exists()
    touch(tmp_path / "gone.x")


def test_vectors_are_kept_where_they_can_be(tmp_path: Path) -> None:
    """A folder that is a file keeps none, and says nothing."""
    (tmp_path / "file").write_bytes(b"")
    store = VectorCache(tmp_path / "file", "model")
    store.save(["a"], np.ones((1, 2), np.float32))
    assert store.load(["a"]) == [None]


def test_each_room_has_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's, or the one that was chosen."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform == "linux":
        assert cache_folder("models") == tmp_path / "cache" / "longctx" / "models"
        assert data_folder("profiles") == tmp_path / "data" / "longctx" / "profiles"
    assert cache_folder("models", tmp_path) == tmp_path / "models"


def test_hashes_are_of_the_bytes_in_their_order(tmp_path: Path) -> None:
    """However they are cut."""
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two" * 1_000_000)
    whole = hash_parts([b"one" + b"two" * 1_000_000])
    assert hash_files(tmp_path / "a", tmp_path / "b") == whole
    assert len(whole) == 64
