"""One KV cache for all sequences, or a stream of cells for each: what either costs to decode in.

The same cells, filled with 16 texts of 500 tokens or 4 of 4,000: the time of a token for each text
in one batch, of a slice of 128 tokens of one more prompt, and of both, in one batch and in two; of
a token of one text alone; of a copied sequence; and the memory. Both caches are open at once and
alternate. ``cpu`` is the time of all threads, which other programs disturb less than the clock;
on a GPU (``--gpu``) the clock is what counts.

    python benchmarks/kv_unified.py [--repeats 7] [--threads 2] [--only demo|billion] [--type f16]
        [--gpu]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from batch import billion
from machine import save
from numpy.typing import NDArray

from longctx import demo_model
from longctx._native import (
    Context,
    ContextParams,
    Model,
    ModelParams,
    Part,
    captured_log,
    quantize,
)

CELLS, SLICE = 16_384, 128
SHAPES = {"16 x 500": (16, 500), "4 x 4,000": (4, 4000)}
KINDS = {"unified": True, "streams": False}
Times = dict[str, list[tuple[float, float]]]


class Filled:
    """A cache with texts in it, and one sequence more that is empty."""

    def __init__(self, model: Model, n: int, length: int, flash: str, **options: Any) -> None:
        unified = options["kv_unified"]
        with captured_log() as log:
            self.context = Context(
                model,
                ContextParams(
                    n_ctx=CELLS if unified else CELLS // n,
                    n_seq_max=n + 1,
                    flash_attention=flash,  # type: ignore[arg-type]  # of the command line
                    **options,
                ),
            )
        self.kv_mib = _mib(log, "KV buffer")
        self.compute_mib = _mib(log, "compute buffer")
        self._n, self._length = n, length
        self._random = np.random.default_rng(0)
        self._n_vocab = model.n_vocab
        for seq_id in range(n):
            for begin in range(0, length, 512):
                ids = self._ids(min(512, length - begin))
                self.context.decode(ids, begin, seq_id=seq_id, outputs="none")

    def _ids(self, n: int) -> NDArray[np.int32]:
        return self._random.integers(self._n_vocab // 2, self._n_vocab, n, dtype=np.int32)

    @property
    def _tokens(self) -> list[Part]:
        return [Part(self._ids(1), self._length, seq_id) for seq_id in range(self._n)]

    @property
    def _slice(self) -> Part:
        return Part(self._ids(SLICE), 0, self._n)

    # What is timed

    def decode(self) -> None:
        """A token of each text."""
        self.context.decode_parts(self._tokens)

    def decode_one(self) -> None:
        """A token of the first text."""
        self.context.decode_parts(self._tokens[:1])

    def prefill(self) -> None:
        """A slice of a new prompt."""
        self.context.decode_parts([self._slice])

    def in_one_batch(self) -> None:
        """Both at once."""
        self.context.decode_parts([*self._tokens, self._slice])

    def in_two_batches(self) -> None:
        """One after the other."""
        self.decode()
        self.prefill()

    def copy(self) -> None:
        """Copies are made when the next batch is; so it has a token."""
        self.context.copy_sequence(0, self._n)
        self.context.decode_parts([Part(self._ids(1), self._length, self._n)])

    def undo(self) -> None:
        """As it was when it was filled."""
        for seq_id in range(self._n):
            self.context.remove(self._length, seq_id=seq_id)
        self.context.remove(0, seq_id=self._n)


WORK: dict[str, Callable[[Filled], None]] = {
    "a token of each": Filled.decode,
    "a token of one": Filled.decode_one,
    "a slice of a prompt": Filled.prefill,
    "both, in one batch": Filled.in_one_batch,
    "both, in two batches": Filled.in_two_batches,
    "a copy and its token": Filled.copy,
}


def measure(model: Model, shape: str, options: argparse.Namespace) -> dict[str, Any]:
    """Wall and CPU seconds of each kind of work in each kind of cache."""
    n, length = SHAPES[shape]
    caches = {
        name: Filled(model, n, length, options.flash, kv_unified=unified, n_threads=options.threads)
        for name, unified in KINDS.items()
    }
    times: dict[str, Times] = {name: {work: [] for work in WORK} for name in caches}
    for _ in range(options.repeats):
        for work, do in WORK.items():
            for name, cache in caches.items():
                wall, cpu = time.perf_counter(), time.process_time()
                do(cache)
                cache.context.wait()
                took = time.perf_counter() - wall, time.process_time() - cpu
                times[name][work].append(took)
                cache.undo()
    memory = {name: [cache.kv_mib, cache.compute_mib] for name, cache in caches.items()}
    for cache in caches.values():
        cache.context.close()
    return {"shape": shape, "times_s": times, "memory_mib": memory}


def show(name: str, row: dict[str, Any]) -> None:
    for work in WORK:
        cells = []
        for clock in (0, 1):
            unified, streams = (
                median(took[clock] for took in row["times_s"][kind][work]) * 1000 for kind in KINDS
            )
            cells += [f"{unified:.1f} ms", f"{streams:.1f} ms", f"{unified / streams:.2f}"]
        print(f"| {name} | {row['shape']} | {work} | {' | '.join(cells)} |", flush=True)
    for kind, (kv, compute) in row["memory_mib"].items():
        print(f"  {kind}: {kv:.0f} MiB of cells, {compute:.0f} MiB to compute in", flush=True)


def _mib(log: list[str], what: str) -> float:
    found = re.findall(rf"{what} size *= *([\d.]+) MiB", "\n".join(log))
    return sum(map(float, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--type", default="f16", help="of the demo model's weights")
    parser.add_argument("--flash", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--only", choices=("demo", "billion"))
    parser.add_argument("--gpu", action="store_true", help="all layers on the GPU, not none")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    figures: dict[str, list[dict[str, Any]]] = {}
    print("| model | texts | work | unified | streams | ratio | unified, cpu | streams | ratio |")
    print(f"|{' --- |' * 9}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("demo", "billion"):
            if options.only not in (None, name):
                continue
            if name == "billion":
                path = billion(Path(folder))
            else:
                path = Path(folder) / "demo.gguf"
                quantize(demo_model(), path, options.type)
            model = Model(path, params=None if options.gpu else ModelParams(devices=()))
            figures[name] = []
            for shape in options.shapes:
                figures[name].append(measure(model, shape, options))
                show(name, figures[name][-1])
            model.close()
    kind = "" if options.flash == "auto" else f"_flash_{options.flash}"
    kind += "_gpu" if options.gpu else ""
    saved = save(f"kv_unified{kind}", {"options": vars(options), "models": figures})
    print("raw figures:", saved)


if __name__ == "__main__":
    sys.exit(main())
