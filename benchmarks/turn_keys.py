"""How fast cached keys turn: bytes a second, by the kind of RoPE, the cache's type and threads.

The keys of 16 layers of 16,384 tokens (8 heads of 128 values, as in models of 8 billion
parameters), each layer by one thread at a time, as a window that grows turns them. More threads
than the machine has cores show what they cost each other, for between two calls of numpy each
needs the interpreter's lock. Medians of alternating repeats.

    python benchmarks/turn_keys.py [--threads 1 2 16] [--tokens 16384] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from statistics import median

import numpy as np
from machine import save

from longctx.cache.key_rows import KeyRows
from longctx.rope import RopeConfig, Rotation

N_LAYERS, N_HEADS, HEAD_DIM = 16, 8, 128
OLD, NEW = (RopeConfig(freq_base=base, original_ctx=16_384) for base in (5e5, 1e6))


def layers(kv_type: str, n_tokens: int) -> tuple[np.ndarray, list[KeyRows]]:
    """The bytes of a state, and where each layer's keys lie in them."""
    row_bytes = KeyRows(kv_type, 1, 0, 0).numbers.n_bytes(N_HEADS * HEAD_DIM)
    state = np.zeros(N_LAYERS * n_tokens * row_bytes, np.uint8)
    rows = [
        KeyRows(kv_type, row_bytes, i * n_tokens * row_bytes, n_tokens) for i in range(N_LAYERS)
    ]
    keys = np.random.default_rng(0).standard_normal((n_tokens, N_HEADS * HEAD_DIM), np.float32)
    for each in rows:
        each.write(state, keys)
    return state, rows


def turning(state: np.ndarray, rows: list[KeyRows], rotation: Rotation, n_threads: int) -> float:
    """Seconds that all layers took."""
    started = time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(lambda each: each.rotate(state, rotation, head_dim=HEAD_DIM), rows))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 16])
    parser.add_argument("--types", nargs="+", default=["f16", "q8_0"])
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    positions = np.arange(1, options.tokens + 1)
    seconds: dict[str, list[float]] = {}
    n_bytes: dict[str, int] = {}
    for kv_type in options.types:
        state, rows = layers(kv_type, options.tokens)
        n_bytes[kv_type] = state.size
        kinds = {
            rope_type: Rotation.between(
                positions, OLD, positions, NEW, n_rot=HEAD_DIM, rope_type=rope_type
            )
            for rope_type in ("norm", "neox")
        }
        for _ in range(options.repeats):
            for (rope_type, rotation), n in product(kinds.items(), options.threads):
                took = turning(state, rows, rotation, n)
                seconds.setdefault(f"{rope_type} {kv_type} {n}", []).append(took)
    print("| RoPE, cache | " + " | ".join(f"{n} threads" for n in options.threads) + " |")
    print("| --- " * (len(options.threads) + 1) + "|")
    for kv_type, rope_type in product(options.types, ("norm", "neox")):
        speeds = [
            n_bytes[kv_type] / median(seconds[f"{rope_type} {kv_type} {n}"]) / 1e9
            for n in options.threads
        ]
        print(f"| {rope_type}, {kv_type} | " + " | ".join(f"{s:.2f} GB/s" for s in speeds) + " |")
    figures = {"options": vars(options), "n_bytes": n_bytes, "seconds": seconds}
    print("raw figures:", save("turn_keys", figures))


if __name__ == "__main__":
    main()
