"""A library of many small documents, in memory and on disk: build, open, update one, ask.

Each step runs in a process of its own, so that nothing is warm that would not be; memory is that
process's peak. Documents are files of some 60 words in a folder; the model is the small one of the
tests. The embedder is a hash, so that the library is measured, and not the model that embeds; how
many texts it was given is counted. ``--stores`` compares ways to keep their vectors in SQLite:
plain blobs, which is what is done, and the extension sqlite-vec, by ``apsw``, for not every Python
can load extensions.

    python benchmarks/library.py [--documents 10000] [--stores]      # pip install apsw sqlite-vec
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import save
from rich.console import Console
from rich.table import Table

MODEL = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
N_DIM = 384
QUERY = "Who keeps the brass key of the north gate?"


def write_folder(folder: Path, n: int) -> None:
    """Files with words in an order of their own, a tenth of them in a folder each."""
    words = (Path(__file__).parents[1] / "docs" / "rag.md").read_text().split()
    for i in range(n):
        chosen = random.Random(i).choices(words, k=60)
        path = folder / str(i % 10) / f"{i}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Note {i}. {' '.join(chosen)}\n")


class Hashing:
    """Vectors that depend on the text alone."""

    texts = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :class:`longctx.protocols.Embedder`."""
        self.texts += len(texts)
        rows = [np.random.default_rng(zlib.crc32(t.encode())).standard_normal(N_DIM) for t in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def timed(figures: dict[str, Any], name: str, run: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = run()
    figures[name] = round(time.perf_counter() - begin, 3)
    return result


def step(name: str, scratch: Path) -> dict[str, Any]:
    """One process: ``memory`` or ``disk``, new or again."""
    from longctx import LongContextLLM
    from longctx.documents import DocumentQA

    figures: dict[str, Any] = {}
    kind = name.partition(" ")[0]
    embedder = Hashing()
    with LongContextLLM(MODEL, 2048, reserve_output=16) as llm:
        before = peak()
        path = scratch / "a.library" if kind == "disk" else None
        qa = timed(figures, "open", lambda: DocumentQA(llm, embedder=embedder, path=path))
        timed(figures, "documents", lambda: qa.documents)
        if kind == "memory" or name == "disk new":
            timed(figures, "add_folder", lambda: qa.add_folder(scratch / "documents"))
        timed(figures, "first search", lambda: qa.search(QUERY))
        timed(figures, "next search", lambda: qa.search("What does it cost?"))
        if name == "disk again":
            changed = scratch / "documents" / "7" / "777.md"
            changed.write_text("The brass key of the north gate is kept by Ada.\n")
            timed(figures, "update one", lambda: qa.update(changed))
            hits = timed(figures, "search after it", lambda: qa.search(QUERY))
            assert "7/777.md" in [hit.doc_id for hit in hits]
            timed(figures, "ask", lambda: qa.ask(QUERY, max_tokens=8))
            timed(figures, "folder again", lambda: qa.add_folder(scratch / "documents"))
            timed(figures, "remove one", lambda: qa.remove("7/777.md"))
        figures["texts embedded"] = embedder.texts
        figures["memory_mb"] = round((peak() - before) / 2**20)
        qa.close()
    return figures


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def disk_mb(folder: Path) -> float:
    return round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20, 1)


def in_a_process(name: str, scratch: Path) -> dict[str, Any]:
    arguments = [sys.executable, __file__, "--step", name, "--scratch", str(scratch)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# Stores


def seconds(run: Callable[[], Any], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def stores(n: int, scratch: Path) -> dict[str, dict[str, Any]]:
    """The same vectors as blobs and in sqlite-vec."""
    import apsw
    import sqlite_vec

    vectors = np.random.default_rng(0).standard_normal((n, N_DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = [os.urandom(16) for _ in range(n)]
    query = vectors[5] + vectors[9]

    blobs = sqlite3.connect(scratch / "blobs", isolation_level=None)
    blobs.execute("PRAGMA page_size = 8192")
    blobs.execute("PRAGMA journal_mode = WAL")
    blobs.execute("CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB)")

    def insert_blobs() -> None:
        blobs.execute("BEGIN")
        rows = ((key, row.tobytes()) for key, row in zip(keys, vectors, strict=True))
        blobs.executemany("INSERT INTO vectors VALUES (?, ?)", rows)
        blobs.execute("COMMIT")

    def load_blobs() -> np.ndarray:
        rows = dict(blobs.execute("SELECT key, vector FROM vectors"))
        return np.stack([np.frombuffer(rows[key], dtype=np.float32) for key in keys])

    change = ("UPDATE vectors SET vector = ? WHERE key = ?", (vectors[0].tobytes(), keys[7]))
    found = {"blobs": {"insert all": seconds(insert_blobs, 1), "load all": seconds(load_blobs)}}
    loaded = load_blobs()
    found["blobs"]["score all"] = seconds(lambda: loaded @ query)
    found["blobs"]["update one"] = seconds(lambda: blobs.execute(*change))

    extension = apsw.Connection(str(scratch / "vec"))
    extension.enable_load_extension(True)
    extension.load_extension(sqlite_vec.loadable_path())
    extension.execute("PRAGMA journal_mode = WAL")
    extension.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{N_DIM}] distance_metric=cosine)")

    def insert_vec() -> None:
        extension.execute("BEGIN")
        rows = ((i, row.tobytes()) for i, row in enumerate(vectors))
        extension.executemany("INSERT INTO v (rowid, e) VALUES (?, ?)", rows)
        extension.execute("COMMIT")

    def score_vec() -> Any:
        sql = "SELECT rowid, vec_distance_cosine(e, ?) FROM v"
        return extension.execute(sql, (query.tobytes(),)).fetchall()

    def best_50() -> Any:
        sql = "SELECT rowid, distance FROM v WHERE e MATCH ? AND k = 50"
        return extension.execute(sql, (query.tobytes(),)).fetchall()

    vec = ("UPDATE v SET e = ? WHERE rowid = 7", (vectors[0].tobytes(),))
    found["sqlite-vec"] = {
        "insert all": seconds(insert_vec, 1),
        "load all": 0.0,
        "score all": seconds(score_vec),
        "best 50": seconds(best_50),
        "update one": seconds(lambda: extension.execute(*vec).fetchall()),
    }
    for connection, name in ((blobs, "blobs"), (extension, "vec")):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        key = "blobs" if name == "blobs" else "sqlite-vec"
        found[key]["disk_mb"] = round((scratch / name).stat().st_size / 2**20, 1)
    return {k: {n: round(v, 5) for n, v in row.items()} for k, row in found.items()}


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    table = Table("", *rows, title=title)
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        table.add_row(name, *(str(row.get(name, "")) for row in rows.values()))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--stores", action="store_true")
    parser.add_argument("--step")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--save-as", default="library")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.scratch)))
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_folder(scratch / "documents", options.documents)
        steps = ("memory", "disk new", "disk again")
        figures = {"steps": {name: in_a_process(name, scratch) for name in steps}}
        figures["documents"] = options.documents
        figures["documents_mb"] = disk_mb(scratch / "documents")
        figures["library_mb"] = round((scratch / "a.library").stat().st_size / 2**20, 1)
        show("seconds", figures["steps"])
        if options.stores:
            figures["stores"] = stores(options.documents, scratch)
            show("vectors, seconds", figures["stores"])
        save(options.save_as, figures)


if __name__ == "__main__":
    main()
