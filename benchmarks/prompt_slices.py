"""What a prompt's slices cost: 384 tokens in one batch, and in several, for models of many sizes.

The demo model, and generated ones (random weights: their text is noise, their speed is not), on
the processor. All lengths of slices alternate; medians.

    python benchmarks/prompt_slices.py [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from machine import save

from longctx import ModelInfo, demo_model
from longctx._native import Context, ContextParams, Model, Part, quantize

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests generate models
from tests.support.tiny_gguf import write_tiny_gguf

N_TOKENS = 384
SLICES = (64, 128, 192, 384)
SHAPES = {
    "random, 300 million": {"n_layer": 24, "n_embd": 1024, "n_head": 16, "n_ff": 2816},
    "random, 600 million": {"n_layer": 24, "n_embd": 1536, "n_head": 24, "n_ff": 4096},
    "random, a billion": {"n_layer": 22, "n_embd": 2048, "n_head": 32, "n_ff": 5632},
}


def models(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each as F16 and Q8_0, and gone when the next is asked for."""
    for name, shape in {"demo model": None, **SHAPES}.items():
        plain = folder / "plain.gguf"
        if shape is not None:
            write_tiny_gguf(
                plain, n_head_kv=4, head_dim=64, n_rot=64, n_ctx_train=4096, name=name, **shape
            )
        for kind in ("f16", "q8_0"):
            file = folder / f"{kind}.gguf"
            quantize(plain if shape else demo_model(), file, kind)
            yield f"{name}, {kind.upper()}", file
            file.unlink()
        plain.unlink(missing_ok=True)


def measure(file: Path, repeats: int, threads: int) -> dict[int, list[float]]:
    """Seconds of each repeat, by the length of the slices."""
    model = Model(file)
    params = ContextParams(n_ctx=512, n_seq_max=4, kv_unified=False, n_threads=threads)
    context = Context(model, params)
    ids = [10 + (7919 * i) % (model.n_vocab - 20) for i in range(N_TOKENS)]
    seconds: dict[int, list[float]] = {length: [] for length in SLICES}
    for repeat in range(repeats + 1):
        for length in SLICES:
            context.clear()
            started = time.perf_counter()
            for first in range(0, N_TOKENS, length):
                context.decode_parts([Part(ids[first : first + length], first, 0)])
            if repeat:  # the first reads the weights
                seconds[length].append(time.perf_counter() - started)
    context.close()
    model.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    found: dict[str, dict[str, object]] = {}
    print("| model | weights in layers | " + " | ".join(map(str, SLICES)) + " | 384 / 128 |")
    print("| --- " * (len(SLICES) + 3) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, file in models(Path(folder)):
            info = ModelInfo.from_gguf(file)
            n_weights = info.n_layer * info.layer_weights
            seconds = measure(file, options.repeats, options.threads)
            per_s = {length: N_TOKENS / median(times) for length, times in seconds.items()}
            speeds = " | ".join(f"{each:.0f}" for each in per_s.values())
            ratio = per_s[384] / per_s[128]
            print(f"| {name} | {n_weights / 1e6:.0f} M | {speeds} | {ratio:.2f} |", flush=True)
            found[name] = {"layer_weights": n_weights, "seconds": seconds}
    print("raw figures:", save("prompt_slices", {"options": vars(options), "models": found}))


if __name__ == "__main__":
    main()
