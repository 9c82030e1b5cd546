"""A SQLite file that several threads and processes share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longctx.errors import DocumentError, LongCtxError

Row = tuple[Any, ...]

_WAIT_S = 60.0
_PAGE_BYTES = 8192  # a vector of 384 numbers is 1,536 bytes: five a page, not two


@dataclass(frozen=True)
class FileKind:
    """What a file is, so that it is not taken for another.

    Attributes:
        number: tells this kind of file from others, and goes up with the schema.
        what: it is, in messages.
        pragma: where SQLite keeps the number.
        error: of a file that cannot be used.
        mismatch: of one that is something else, or damaged.
    """

    number: int
    what: str = "library of longctx"
    pragma: str = "application_id"
    error: type[LongCtxError] = DocumentError
    mismatch: type[LongCtxError] = DocumentError


class Database:
    """One connection, which threads take in turns; processes have one each.

    The file is in WAL mode: readers and a writer do not wait for each other, writers wait for
    their turn, and what a process that is killed had not committed was never there.

    Args:
        path: made where it is not there; its folder must be.
        schema: the statements that make its tables.
        kind: of file.

    Raises:
        LongCtxError: of the sort that the kind says: the file is no such file, damaged, or
            cannot be opened.
    """

    def __init__(self, path: Path, schema: Sequence[str], kind: FileKind) -> None:
        self._path = path
        self._kind = kind
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._make(schema)
        except (sqlite3.Error, ValueError) as error:  # ValueError: a null byte in the path
            raise self._told(error) from error
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a statement returns."""
        with self._telling() as connection:
            return connection.execute(sql, values).fetchall()

    def run_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute a statement with each of some values."""
        with self._telling() as connection:
            connection.executemany(sql, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done inside is done at once, or not at all; no one else writes meanwhile."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with self._transaction("BEGIN"):
            yield

    def close(self) -> None:
        """Let go of the file; it may be called twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._lock:
            with self._telling() as connection:
                if connection.in_transaction:  # a part of the one around it
                    yield
                    return
            try:  # Ctrl-C may come right behind the first statement: nothing stays open
                with self._telling() as connection:
                    connection.execute(begin)
                yield
                with self._telling() as connection:
                    connection.execute("COMMIT")
            except BaseException:
                if self._connection is not None and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _make(self, schema: Sequence[str]) -> None:
        if self.rows("SELECT 1 FROM sqlite_master LIMIT 1") or self._number():
            self._must_be()
        else:
            self.rows(f"PRAGMA page_size = {_PAGE_BYTES}")
        self._use_wal()
        self.rows("PRAGMA synchronous = NORMAL")
        with self.writing():
            if self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
                self._must_be()  # another process was first
                return
            for statement in schema:
                self.rows(statement)
            self.rows(f"PRAGMA {self._kind.pragma} = {self._kind.number}")

    def _must_be(self) -> None:
        if self._number() != self._kind.number:
            raise self._kind.mismatch(
                f"{self._path} is a SQLite file of another program, or of another version of "
                f"longctx, and no {self._kind.what}; name another file"
            )

    def _number(self) -> int:
        return int(self.rows(f"PRAGMA {self._kind.pragma}")[0][0])

    def _use_wal(self) -> None:
        """SQLite waits for no lock here, so two that make the same file have to."""
        until = time.monotonic() + _WAIT_S
        while True:
            try:
                with self._lock:
                    if self._connection is not None:
                        self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.Error as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise self._told(error) from error
                time.sleep(0.01)

    @contextmanager
    def _telling(self) -> Iterator[sqlite3.Connection]:
        """The connection, with our errors in place of SQLite's."""
        with self._lock:
            try:
                if self._connection is None:
                    raise self._kind.error(f"{self._path} is closed; open it again")
                yield self._connection
            except sqlite3.Error as error:
                raise self._told(error) from error

    def _told(self, error: Exception) -> LongCtxError:
        said, kind = str(error), self._kind.error
        if "locked" in said:
            fix = f"another process has been writing for {_WAIT_S:.0f} s; try again"
        elif "not a database" in said or "malformed" in said:
            kind = self._kind.mismatch
            fix = f"it is no {self._kind.what}, or damaged; name another file, or remove this one"
        elif "readonly" in said or "unable to open" in said:
            fix = "its folder must be there, and both must be writable"
        else:
            fix = "look at the disk, and whether the file may be written"
        return kind(f"{self._path} cannot be used ({said}): {fix}")
