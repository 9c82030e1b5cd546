"""Growing a window by re-rotating the cached keys, against the prefill that it replaces.

For prefixes of 2k, 4k and 8k tokens, cached under the model's own RoPE: how long the move to
twice the trained window takes, and the perplexity of the next 512 tokens, against a prefill of
the same prefix under the new RoPE and against staying as trained. Under Self-Extend the window is
as large as it gets from the beginning, and nothing is prefilled again: what growing costs is that
now and then one token more moves a block of the oldest ones closer together. Each prefix is grown
to the next such token, and the time of its move stands against the text's own prefill: by the
clock, and of the processor, which other programs disturb less.

    python benchmarks/grow.py [--model FILE] [--prefixes 2048 4096 7680] [--repeats 3]
"""

from __future__ import annotations

import argparse
import time
from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import LongContextLLM, ModelInfo, demo_model

TARGET, NEXT = 16_384, 512
METHODS = ("ntk", "yarn", "self-extend")


def next_perplexity(session: Any, ids: list[int]) -> float:
    return exp(float(session.next_nll(ids).mean()))


def prefill(llm: LongContextLLM, ids: list[int]) -> tuple[Any, float]:
    session = llm.session()
    started = time.perf_counter()
    session.feed(ids)
    return session, time.perf_counter() - started


def measure(model: str | None, method: str, n: int, ids: list[int], repeats: int) -> dict[str, Any]:
    prefix, following = ids[:n], ids[n : n + NEXT]
    options: dict[str, Any] = {"method": method, "memory_limit": "12GiB", "n_threads": 2}
    with LongContextLLM(model, TARGET, **options) as llm:
        session, native_s = prefill(llm, prefix)
        native = next_perplexity(session, following)
        grow_s = []
        for _ in range(repeats):
            session.shrink(n)
            session.truncate(n)
            before = session.rescale_s
            session.grow(TARGET)
            grow_s.append(session.rescale_s - before)
        assert session.prefilled_again == 0, session.fallback
        grown = next_perplexity(session, following)
        session.close()
    with LongContextLLM(model, TARGET, window="fixed", **options) as llm:
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


def measure_self_extend(
    model: str | None, prefixes: list[int], ids: list[int], repeats: int
) -> list[dict[str, Any]]:
    """The first move at or behind each prefix: two prefixes may have the same one before them."""
    options: dict[str, Any] = {"memory_limit": "12GiB", "n_threads": 2}
    rows = []
    with LongContextLLM(model, TARGET, method="self-extend", **options) as llm:
        far = llm.plan.self_extend
        assert far is not None
        for n in sorted({far.stage(n).n_tokens for n in prefixes}):
            cpu = time.process_time()
            session, native_s = prefill(llm, ids[:n])
            native_cpu_s = time.process_time() - cpu
            grow_s, grow_cpu_s = [], []
            for _ in range(repeats):
                session.truncate(n)
                wall, cpu = time.perf_counter(), time.process_time()
                session.admit(1)
                grow_s.append(time.perf_counter() - wall)
                grow_cpu_s.append(time.process_time() - cpu)
                session.feed(ids[n : n + 1])
            grown = next_perplexity(session, ids[n + 1 : n + 1 + NEXT])
            assert session.prefilled_again == 0, session.fallback
            session.close()
            native = next_perplexity_as_trained(model, ids, n)
            rows.append(
                {
                    "method": "self-extend",
                    "prefix_tokens": n,
                    "grow_s": grow_s,
                    "grow_cpu_s": grow_cpu_s,
                    "prefill_native_s": native_s,
                    "prefill_native_cpu_s": native_cpu_s,
                    "perplexity": {"native": native, "grown": grown},
                }
            )
            print(
                f"| self-extend | {n:,} | {native_s:.1f} s | {median(grow_s) * 1000:.0f} ms | "
                f"{native_s / median(grow_s):.0f} | "
                f"{'' if native is None else f'{native:.2f}'} | | {grown:.2f} |",
                flush=True,
            )
            ratio = native_cpu_s / median(grow_cpu_s)
            grow_ms = median(grow_cpu_s) * 1000
            print(f"  processor: {native_cpu_s:.1f} s, {grow_ms:.0f} ms, {ratio:.0f}", flush=True)
    return rows


def next_perplexity_as_trained(model: str | None, ids: list[int], n: int) -> float | None:
    """Without any scaling; None where the trained window does not hold that much."""
    n_ctx = ModelInfo.from_gguf(model or demo_model()).n_ctx_train
    if n + 1 + NEXT > n_ctx:
        return None
    with LongContextLLM(model, n_ctx, n_threads=2) as llm:
        session, _ = prefill(llm, ids[: n + 1])
        return next_perplexity(session, ids[n + 1 : n + 1 + NEXT])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a GGUF; without it the demo model")
    parser.add_argument("--prefixes", type=int, nargs="+", default=[2048, 4096, 7680])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with LongContextLLM(options.model, TARGET, memory_limit="12GiB") as llm:
        text = "\n\n".join(topics[name].strip() for name in sorted(topics))
        ids = llm.tokenize(text[:120_000])
    print("| to | prefix | prefill again | grow | ratio | native | prefilled again | grown |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rows = [
        measure(options.model, method, n, ids, options.repeats)
        for n in options.prefixes
        for method in options.methods
        if method != "self-extend"
    ]
    if "self-extend" in options.methods:
        rows += measure_self_extend(options.model, options.prefixes, ids, options.repeats)
    name = "grow" if options.model is None else f"grow_{Path(options.model).stem}"
    told = {**vars(options), "model": options.model and Path(options.model).name}
    print("raw figures:", save(name, {"options": told, "rows": rows}))


if __name__ == "__main__":
    main()
