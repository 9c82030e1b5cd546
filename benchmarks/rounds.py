"""Where the time of 16 conversations goes: the batches of the engine, by what is in them.

The conversations of `server.py` (two turns, a text of its own each), written by the engine in
this process: no server and no network. Each batch is timed until it is computed, and counted by the
cells of its context and by whether it decodes (a token of each answer), prefills, or does both.
What is left is everything else: sampling, text, templates, threads. A row is of the processor's
time, which other programs disturb less; a batch is of the clock, which counts on a GPU.

    OMP_WAIT_POLICY=passive python benchmarks/rounds.py [--clients 16] [--tokens 48]
        [--billion --characters 400] [--gpu]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pydoc_data.topics import topics

from batch import billion
from machine import save

from longctx import LongContextLLM, demo_model
from longctx._native import Context, Part, quantize

SECOND = "Say it in other words."
Totals = defaultdict[tuple[int, str], list[float]]


def timed(totals: Totals) -> None:
    """Let every batch of several texts add to the totals: batches, rows, seconds of both clocks."""
    decode_parts = Context.decode_parts

    def decode(context: Context, parts: Sequence[Part]) -> list[int]:
        wall, cpu = time.perf_counter(), time.process_time()
        rows = decode_parts(context, parts)
        context.wait()
        lengths = [len(part.tokens) for part in parts]
        kind = "decode" if max(lengths) == 1 else "prefill" if min(lengths) > 1 else "both"
        total = totals[context.n_ctx, kind]
        took = time.process_time() - cpu, time.perf_counter() - wall
        for i, more in enumerate((1, sum(lengths), *took)):
            total[i] += more
        return rows

    Context.decode_parts = decode  # type: ignore[method-assign]  # of this process alone


def converse(llm: LongContextLLM, text: str, n_tokens: int) -> int:
    """Two turns; the tokens of both answers."""
    messages = [{"role": "user", "content": f"{text}\n\nWhat is this about?"}]
    first = llm.chat(messages, max_tokens=n_tokens)
    messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": SECOND}]
    second = llm.chat(messages, max_tokens=n_tokens)
    return first.usage.completion_tokens + second.usage.completion_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", type=int, default=16_384)
    parser.add_argument("--characters", type=int, default=1200, help="of each client's own text")
    parser.add_argument("--billion", action="store_true", help="a generated model, of batch.py")
    parser.add_argument("--gpu", action="store_true", help="all layers on the GPU, not none")
    options = parser.parse_args()
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    length = options.characters
    parts = [text[i * length : (i + 1) * length] for i in range(options.clients)]
    totals: Totals = defaultdict(lambda: [0, 0, 0.0, 0.0])
    timed(totals)
    with tempfile.TemporaryDirectory() as folder:
        if options.billion:
            model = billion(Path(folder))
        else:
            model = Path(folder) / "demo.f16.gguf"
            quantize(demo_model(), model, "f16")
        layers = "all" if options.gpu else 0
        with LongContextLLM(
            model, options.cells, n_threads=options.threads, n_gpu_layers=layers
        ) as llm:
            llm.chat([{"role": "user", "content": "Say hello."}], max_tokens=4)  # warm
            totals.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(len(parts)) as pool:
                talks = [pool.submit(converse, llm, part, options.tokens) for part in parts]
                n_tokens = sum(talk.result() for talk in talks)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print("| cells | batches of | batches | rows | processor | clock | a row | a batch |")
    print("| --- " * 8 + "|")
    rows = []
    for (cells, kind), (n, n_rows, cpu_s, wall_s) in sorted(totals.items()):
        each = f"{1000 * cpu_s / n_rows:.1f} ms | {1000 * wall_s / n:.2f} ms"
        print(f"| {cells:,} | {kind} | {n} | {n_rows} | {cpu_s:.1f} s | {wall_s:.2f} s | {each} |")
        seconds = {"cpu_s": cpu_s, "wall_s": wall_s}
        rows.append({"cells": cells, "kind": kind, "batches": n, "rows": n_rows, **seconds})
    n, n_rows, *inside = map(sum, zip(*totals.values(), strict=True))
    rest_cpu, rest_wall = cpu - inside[0], wall - inside[1]
    each = f"{1000 * rest_cpu / n_rows:.1f} ms | {1000 * rest_wall / n:.2f} ms"
    print(f"| | all else | {n} | {n_rows} | {rest_cpu:.1f} s | {rest_wall:.2f} s | {each} |")
    print(f"{n_tokens} tokens in {cpu:.1f} s of the processor, {wall:.1f} s")
    figures = {
        "options": vars(options), "batches": rows, "cpu_s": cpu, "wall_s": wall, "tokens": n_tokens,
    }  # fmt: skip
    print("raw figures:", save("rounds_gpu" if options.gpu else "rounds", figures))


if __name__ == "__main__":
    main()
