"""What quantised keys and values cost in perplexity, and save in memory.

python benchmarks/kv_types.py [--tokens 6144] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from math import exp
from pydoc_data.topics import topics

from machine import save

from longctx import LongContextLLM

SCORED = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=6144)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = []
    print("| keys and values | KV cache of 8,192 tokens | perplexity | took |")
    print("| --- | --- | --- | --- |", flush=True)
    for kv_type in ("f16", "bf16", "q8_0", "q4_0"):
        with LongContextLLM(None, 8192, kv_type=kv_type, n_threads=options.threads) as llm:
            text = "\n\n".join(topics[name].strip() for name in sorted(topics))
            started = time.perf_counter()
            scores = llm.score(llm.tokenize(text)[: options.tokens])[-SCORED:]
            row = {
                "kv_type": kv_type,
                "kv_bytes": llm.plan.memory.kv_bytes,
                "perplexity": exp(float(scores.mean())),
                "seconds": time.perf_counter() - started,
            }
        rows.append(row)
        print(
            f"| {kv_type} | {row['kv_bytes'] / 2**20:.0f} MiB | {row['perplexity']:.3f} | "
            f"{row['seconds']:.0f} s |",
            flush=True,
        )
    print("raw figures:", save("kv_types", {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
