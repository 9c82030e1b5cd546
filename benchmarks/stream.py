"""An endless stream through a window of 4,096 tokens, as in StreamingLLM (Xiao et al. 2024).

Attention sinks and a sliding window, against the window alone (which should blow up) and against
prefilling the window again for each token (the quality bar). Of each 2,048 tokens the last 512
are scored. Also: how many tokens to drop at a time.

    python benchmarks/stream.py [--tokens 200000] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from math import exp
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import psutil
from machine import save

import longctx.cache.window as window_module
from longctx import LongContextLLM

WINDOW, BLOCK, SCORED = 4096, 2048, 512


def stream_ids(llm: LongContextLLM, n: int) -> list[int]:
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    ids = llm.tokenize(text)
    return (ids * (n // len(ids) + 1))[:n]


def run(n: int, n_keep: int, threads: int, label: str) -> list[dict[str, Any]]:
    rows = []
    with LongContextLLM(
        None, WINDOW, overflow="slide", n_keep=n_keep, n_threads=threads, reserve_output=16
    ) as llm:
        ids = stream_ids(llm, n)
        session = llm._new_session(n_outputs=SCORED)
        for begin in range(0, n - BLOCK + 1, BLOCK):
            started, moved = time.perf_counter(), session.rescale_s
            session.feed(ids[begin : begin + BLOCK - SCORED])
            scores = session.nll(ids[begin + BLOCK - SCORED : begin + BLOCK])
            rows.append(
                {
                    "tokens": begin + BLOCK,
                    "perplexity": exp(float(scores.mean())),
                    "ms_per_token": (time.perf_counter() - started) / BLOCK * 1000,
                    "slide_share": (session.rescale_s - moved) / (time.perf_counter() - started),
                    "rss_bytes": psutil.Process().memory_info().rss,
                }
            )
            if begin // BLOCK % 8 == 0:
                print(label, {k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
    return rows


def recomputed(n: int, points: int, threads: int) -> list[dict[str, Any]]:
    """The window prefilled anew: as many tokens as a slid one holds on average."""
    rows = []
    with LongContextLLM(None, WINDOW, n_threads=threads, reserve_output=16) as llm:
        ids = stream_ids(llm, n)
        blocks = range(1, n // BLOCK)
        for block in list(blocks)[:: max(1, len(blocks) // points)]:
            end = (block + 1) * BLOCK
            session = llm._new_session(n_outputs=SCORED)
            started = time.perf_counter()
            session.feed(ids[max(0, end - WINDOW) : end - SCORED])
            prefill_s = time.perf_counter() - started
            scores = session.nll(ids[end - SCORED : end])
            decode = []
            for token in ids[end : end + 8]:
                session.truncate(WINDOW - 16)
                started = time.perf_counter()
                session.advance(token)
                decode.append(time.perf_counter() - started)
            session.close()
            rows.append(
                {
                    "tokens": end,
                    "perplexity": exp(float(scores.mean())),
                    "prefill_s": prefill_s,
                    "decode_s": median(decode),
                }
            )
            print("recomputed", rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--short", type=int, default=24_576, help="for the other contenders")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    shares = {}
    for share in (2, 4, 8, 16):
        window_module.DISCARDED_SHARE = share
        shares[share] = run(options.short, 4, options.threads, f"drop 1/{share}")
    window_module.DISCARDED_SHARE = 4
    figures = {
        "options": vars(options),
        "dropped_share": shares,
        "window alone": run(options.short, 0, options.threads, "window alone"),
        "recomputed": recomputed(options.short, 8, options.threads),
        "sinks": run(options.tokens, 4, options.threads, "sinks"),
    }
    print("| way | tokens | perplexity of first and last tenth | ms a token | of it sliding |")
    print("| --- | --- | --- | --- | --- |")
    named = {f"drop 1/{share} at a time": rows for share, rows in shares.items()}
    for name, rows in {**named, **{k: figures[k] for k in ("window alone", "sinks")}}.items():
        full = [row for row in rows if row["tokens"] > WINDOW]
        tenth = max(1, len(full) // 10)
        first, last = (
            median(row["perplexity"] for row in part) for part in (full[:tenth], full[-tenth:])
        )
        print(
            f"| {name} | {rows[-1]['tokens']:,} | {first:.1f}, {last:.1f} | "
            f"{median(row['ms_per_token'] for row in full):.1f} | "
            f"{median(row['slide_share'] for row in full):.1%} |"
        )
    again = figures["recomputed"]
    ratio = median(row["prefill_s"] / row["decode_s"] for row in again)
    print(f"recomputed: perplexity {median(row['perplexity'] for row in again):.1f}")
    print(f"one token recomputed takes as long as {ratio:.0f} decoded in a window that slides")
    print("raw figures:", save("stream", figures))


if __name__ == "__main__":
    main()
