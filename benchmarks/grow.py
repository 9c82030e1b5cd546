"""Growing a window by turning the cached keys, against the prefill that it replaces.

For prefixes of 2k, 4k and 8k tokens, cached under the model's own RoPE: how long the move to
twice the trained window takes, and the perplexity of the next 512 tokens, against a prefill of
the same prefix under the new RoPE and against staying as trained.

    python benchmarks/grow.py [--prefixes 2048 4096 7680] [--repeats 3]
"""

from __future__ import annotations

import argparse
import time
from math import exp
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import LongContextLLM

NEXT = 512
METHODS = ("ntk", "yarn", "linear")


def next_perplexity(session: Any, ids: list[int]) -> float:
    return exp(float(session.next_nll(ids).mean()))


def prefill(llm: LongContextLLM, ids: list[int]) -> tuple[Any, float]:
    session = llm.session()
    started = time.perf_counter()
    session.feed(ids)
    return session, time.perf_counter() - started


def measure(method: str, n: int, ids: list[int], repeats: int) -> dict[str, Any]:
    prefix, following = ids[:n], ids[n : n + NEXT]
    options: dict[str, Any] = {"method": method, "memory_limit": "12GiB", "n_threads": 2}
    with LongContextLLM(None, 16_384, **options) as llm:
        session, native_s = prefill(llm, prefix)
        native = next_perplexity(session, following)
        grow_s = []
        for _ in range(repeats):
            session.shrink(n)
            session.truncate(n)
            before = session.rescale_s
            session.grow(16_384)
            grow_s.append(session.rescale_s - before)
        assert session.prefilled_again == 0, session.fallback
        grown = next_perplexity(session, following)
        session.close()
    with LongContextLLM(None, 16_384, window="fixed", **options) as llm:
        session, again_s = prefill(llm, prefix)
        fresh = next_perplexity(session, following)
    row = {
        "method": method,
        "prefix_tokens": n,
        "grow_s": grow_s,
        "prefill_native_s": native_s,
        "prefill_again_s": again_s,
        "perplexity": {"native": native, "grown": grown, "prefilled_again": fresh},
    }
    print(
        f"| {method} | {n:,} | {again_s:.1f} s | {median(grow_s) * 1000:.0f} ms | "
        f"{again_s / median(grow_s):.0f} | {native:.2f} | {fresh:.2f} | {grown:.2f} |",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prefixes", type=int, nargs="+", default=[2048, 4096, 7680])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with LongContextLLM(None, 8192) as llm:
        text = "\n\n".join(topics[name].strip() for name in sorted(topics))
        ids = llm.tokenize(text[:120_000])
    print("| to | prefix | prefill again | grow | ratio | native | prefilled again | grown |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rows = [
        measure(method, n, ids, options.repeats)
        for n in options.prefixes
        for method in options.methods
    ]
    print("raw figures:", save("grow", {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
