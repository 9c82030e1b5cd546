"""How long llama.cpp's threads spin for each other before they sleep: the time of a batch by that.

GNU's OpenMP counts turns of an empty loop (``GOMP_SPINCOUNT``): none is what
``OMP_WAIT_POLICY=passive`` means by itself, 300,000 its default, 1,000 what longctx sets. Batches
of a token of 1, 4 and 16 texts, and of 256 tokens of a prompt, each count in a process of its own,
by turns; medians. ``--busy N`` runs so many loops beside it, for that is where spinning costs.

    python benchmarks/waiting.py [--repeats 3] [--busy 2 --counts 0 300 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

TEXTS, LENGTH, PROMPT = 16, 100, 256


def measure(model_path: str, threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each kind of batch, by the clock and of the processor."""
    from longctx._native import Context, ContextParams, Model, Part

    context = Context(
        Model(Path(model_path)),
        ContextParams(n_ctx=4096, n_seq_max=TEXTS + 1, flash_attention="on", n_threads=threads),
    )
    ids = np.random.default_rng(0).integers(1000, 40_000, PROMPT, dtype=np.int32)

    def decode(n: int) -> None:
        context.decode_parts([Part(ids[:1], LENGTH, seq_id) for seq_id in range(n)])
        context.wait()
        for seq_id in range(n):
            context.remove(LENGTH, seq_id=seq_id)

    def prefill() -> None:
        context.decode_parts([Part(ids, 0, TEXTS)])
        context.wait()
        context.remove(0, seq_id=TEXTS)

    def timed(batch: Callable[[], None], n: int) -> list[float]:
        batch()
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(n):
            batch()
        return [(time.perf_counter() - clock) / n, (time.process_time() - processor) / n]

    for seq_id in range(TEXTS):
        context.decode_parts([Part(ids[:LENGTH], 0, seq_id)])
    return {
        "1 token": timed(lambda: decode(1), 4 * rounds),
        "4 tokens": timed(lambda: decode(4), 2 * rounds),
        "16 tokens": timed(lambda: decode(16), rounds),
        "256 of a prompt": timed(prefill, max(2, rounds // 4)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 100, 300, 1000, 3000, 300_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10, help="batches of 16 tokens in a repeat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--save-as", default="waiting", help="name of the results' file")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        print(json.dumps(measure(options.model, options.threads, options.rounds)))
        return
    from machine import save

    from longctx import demo_model
    from longctx._native import quantize

    times: dict[str, dict[str, list[list[float]]]] = {}
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)
    ]
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "demo.f16.gguf"
            quantize(demo_model(), model, "f16")
            command = [sys.executable, __file__, "--model", str(model)]
            command += ["--threads", str(options.threads), "--rounds", str(options.rounds)]
            for _ in range(options.repeats):
                for count in options.counts:
                    env = {
                        **os.environ, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": str(count)
                    }  # fmt: skip
                    done = subprocess.run(command, env=env, capture_output=True, text=True)
                    if done.returncode:
                        sys.exit(done.stderr)
                    for kind, took in json.loads(done.stdout.splitlines()[-1]).items():
                        times.setdefault(str(count), {}).setdefault(kind, []).append(took)
    finally:
        for loop in loops:
            loop.kill()
    kinds = list(next(iter(times.values())))
    print("| turns | " + " | ".join(kinds) + " |\n" + "| --- " * (len(kinds) + 1) + "|")
    for count, of in times.items():
        cells = [
            " (".join(f"{1000 * median(took[i] for took in of[kind]):.1f} ms" for i in range(2))
            for kind in kinds
        ]
        print(f"| {int(count):,} | " + " | ".join(f"{cell} processor)" for cell in cells) + " |")
    print("raw figures:", save(options.save_as, {"options": vars(options), "seconds": times}))


if __name__ == "__main__":
    main()
