"""Where the processor time of 16 conversations goes: the batches of the engine, by what is in them.

The conversations of `server.py` (two turns, a text of its own each), written by the engine in
this process: no server and no network. Each batch is timed until it is computed, and counted by the
cells of its context and by whether it decodes (a token of each answer), prefills, or does both.
What is left is everything else: sampling, text, templates, threads.

    OMP_WAIT_POLICY=passive python benchmarks/rounds.py [--clients 16] [--tokens 48]
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

from machine import save

from longctx import LongContextLLM, demo_model
from longctx._native import Context, Part, quantize

CHARACTERS = 1200
SECOND = "Say it in other words."
Totals = defaultdict[tuple[int, str], list[float]]


def timed(totals: Totals) -> None:
    """Let every batch of several texts add to the totals: batches, rows, processor seconds."""
    decode_parts = Context.decode_parts

    def decode(context: Context, parts: Sequence[Part]) -> list[int]:
        started = time.process_time()
        rows = decode_parts(context, parts)
        context.wait()
        lengths = [len(part.tokens) for part in parts]
        kind = "decode" if max(lengths) == 1 else "prefill" if min(lengths) > 1 else "both"
        total = totals[context.n_ctx, kind]
        for i, more in enumerate((1, sum(lengths), time.process_time() - started)):
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
    options = parser.parse_args()
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    parts = [text[i : i + CHARACTERS] for i in range(0, len(text), CHARACTERS)][: options.clients]
    totals: Totals = defaultdict(lambda: [0, 0, 0.0])
    timed(totals)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "demo.f16.gguf"
        quantize(demo_model(), model, "f16")
        with LongContextLLM(model, options.cells, n_threads=options.threads) as llm:
            started = time.process_time()
            with ThreadPoolExecutor(len(parts)) as pool:
                talks = [pool.submit(converse, llm, part, options.tokens) for part in parts]
                n_tokens = sum(talk.result() for talk in talks)
            seconds = time.process_time() - started
    print("| cells | batches of | batches | rows | processor | a row |\n" + "| --- " * 6 + "|")
    rows = []
    for (cells, kind), (n, n_rows, took) in sorted(totals.items()):
        a_row = f"{1000 * took / n_rows:.1f} ms"
        print(f"| {cells:,} | {kind} | {n} | {n_rows} | {took:.1f} s | {a_row} |")
        rows.append({"cells": cells, "kind": kind, "batches": n, "rows": n_rows, "cpu_s": took})
    rest = seconds - sum(took for *_, took in totals.values())
    print(f"| | all else | | | {rest:.1f} s | |")
    print(f"{n_tokens} tokens in {seconds:.1f} s of the processor")
    figures = {"options": vars(options), "batches": rows, "cpu_s": seconds, "tokens": n_tokens}
    print("raw figures:", save("rounds", figures))


if __name__ == "__main__":
    main()
