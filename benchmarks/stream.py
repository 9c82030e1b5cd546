"""An endless stream through a small window, as in StreamingLLM (Xiao et al. 2024).

Attention sinks and a sliding window, against the window alone (which should blow up) and against
prefilling the window again for each token (the quality bar). Of each half window the last
quarter is scored. Also: how many tokens to drop at a time.

With --facts a fact is told every so many tokens, and asked for when it is 1, 2, 4, 16 and 64
windows back: a window that slides against one that compresses.

    python benchmarks/stream.py [--tokens 200000] [--window 4096] [--threads 2]
    python benchmarks/stream.py --model tests/models/tiny-longctx.gguf --window 512
    python benchmarks/stream.py --facts 1000 --tokens 64000 --window 1024
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from statistics import mean, median
from typing import Any

import numpy as np
import psutil
from machine import save

import longctx.cache.window as window_module
from longctx import LongContextLLM
from longctx.cache import Session
from longctx.evaluate.prompts.random_numbers import generator
from longctx.evaluate.prompts.recall import MAX_FACTS, Fact, build_facts


def stream_ids(llm: LongContextLLM, n: int) -> list[int]:
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    ids = llm.tokenize(text)
    return (ids * (n // len(ids) + 1))[:n]


@dataclass(frozen=True)
class Setting:
    """What runs: a model, its window in tokens, and threads."""

    model: str | None
    window: int
    threads: int

    @property
    def block(self) -> int:
        """Tokens of a row."""
        return self.window // 2

    @property
    def scored(self) -> int:
        """How many of them, at the end, are scored."""
        return self.block // 4

    def open(self, **options: Any) -> LongContextLLM:
        """The model with its window."""
        return LongContextLLM(
            self.model, self.window, n_threads=self.threads, reserve_output=16, **options
        )


def run(setting: Setting, n: int, n_keep: int, label: str) -> list[dict[str, Any]]:
    rows = []
    block, scored = setting.block, setting.scored
    with setting.open(overflow="slide", n_keep=n_keep) as llm:
        ids = stream_ids(llm, n)
        session = llm.session(n_outputs=scored)
        for begin in range(0, n - block + 1, block):
            started, moved = time.perf_counter(), session.rescale_s
            session.feed(ids[begin : begin + block - scored])
            scores = session.nll(ids[begin + block - scored : begin + block])
            rows.append(
                {
                    "tokens": begin + block,
                    "perplexity": exp(float(scores.mean())),
                    "ms_per_token": (time.perf_counter() - started) / block * 1000,
                    "slide_share": (session.rescale_s - moved) / (time.perf_counter() - started),
                    "rss_bytes": psutil.Process().memory_info().rss,
                }
            )
            if begin // block % 8 == 0:
                print(label, {k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
    return rows


def recomputed(setting: Setting, n: int, points: int) -> list[dict[str, Any]]:
    """The window prefilled anew: as many tokens as a slid one holds on average."""
    rows = []
    window, size, scored = setting.window, setting.block, setting.scored
    with setting.open() as llm:
        ids = stream_ids(llm, n)
        blocks = range(1, n // size - 1)  # some text must follow each
        for block in list(blocks)[:: max(1, len(blocks) // points)]:
            end = (block + 1) * size
            session = llm.session(n_outputs=scored)
            started = time.perf_counter()
            session.feed(ids[max(0, end - window) : end - scored])
            prefill_s = time.perf_counter() - started
            scores = session.nll(ids[end - scored : end])
            decode = []
            for token in ids[end : end + 8]:
                session.truncate(window - 16)
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


DISTANCES = (1, 2, 4, 16, 64)
"""How far back a fact is asked for, in windows."""


def remembered(
    setting: Setting, n: int, every: int, overflow: str, ask_every: int, seed: int
) -> dict[str, Any]:
    """Facts told along a stream and asked for later; memory, and time by quarters of it."""
    with setting.open(overflow=overflow, method="none", window="fixed") as llm:
        ids, n_facts = stream_ids(llm, n + 50_000), n // every
        ids = ids[generator(seed).integers(0, 50_000) :]
        facts = [
            fact
            for i in range(-(-n_facts // MAX_FACTS))  # names come again after a hundred
            for fact in build_facts(llm.tokenize, MAX_FACTS, seed=seed + 1000 * i)
        ]
        session = llm.session(n_outputs=setting.scored)
        session.begin()
        told: list[int] = []
        scores: dict[float, list[tuple[float, bool]]] = {each: [] for each in DISTANCES}
        nll, seconds, moved = [], [], []
        for i in range(n_facts):
            prose = ids[i * every : (i + 1) * every - len(facts[i].statement)]
            started, before = time.perf_counter(), session.rescale_s
            session.feed(prose[: -setting.scored])
            nll += [float(x) for x in session.nll(prose[-setting.scored :])]
            session.feed(facts[i].statement)
            seconds.append(time.perf_counter() - started)
            moved.append(session.rescale_s - before)
            told.append(len(session.text_ids))
            if i % ask_every:
                continue
            for distance in DISTANCES:
                wanted = told[-1] - distance * setting.window
                asked = min(range(len(told)), key=lambda j: abs(told[j] - wanted))
                # A name that was given out again since has another number now.
                if abs(told[asked] - wanted) <= every / 2 and i - asked < MAX_FACTS:
                    scores[distance].append(asked_for(session, facts[asked]))
        part = max(1, n_facts // 4)
        figures = {
            "overflow": overflow,
            "seed": seed,
            "perplexity": exp(mean(nll[setting.scored * 2 :])),
            "recall": {
                str(distance): {
                    "windows": distance,
                    "nats": mean(nats for nats, _ in found),
                    "exact": mean(exact for _, exact in found),
                    "asked": len(found),
                }
                for distance, found in scores.items()
                if found
            },
            "seconds_by_quarter": [sum(seconds[q * part : (q + 1) * part]) for q in range(4)],
            "moving_share": sum(moved) / sum(seconds),
            "rss_bytes": psutil.Process().memory_info().rss,
            "kept_share": session.kept_share,
            "cells": session.n_tokens,
        }
        print(figures, flush=True)
        return figures


def asked_for(session: Session, fact: Fact) -> tuple[float, bool]:
    """Nats a token of the answer, and whether greedy decoding writes it."""
    twin = session.fork()  # the question may push something out, which shall stay for the next one
    try:
        twin.feed(fact.question)
        nats, exact = 0.0, True
        for token in fact.answer:
            logits = twin.next_logits()[0].astype(np.float64)
            exact &= int(logits.argmax()) == token
            nats += float(np.log(np.exp(logits - logits.max()).sum()) + logits.max()) - float(
                logits[token]
            )
            twin.advance(token)
    finally:
        twin.close()
    return nats / len(fact.answer), exact


def facts_table(results: list[dict[str, Any]]) -> None:
    """Both ways side by side, every seed together."""
    print("| windows back | " + " | ".join(f"{r['overflow']}, seed {r['seed']}" for r in results))
    for distance in map(str, DISTANCES):
        cells = [
            f"{found['nats']:.2f}, {found['exact']:.0%} of {found['asked']}"
            if (found := result["recall"].get(distance))
            else ""
            for result in results
        ]
        print(f"| {distance} | " + " | ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--short", type=int, default=12_288, help="for the other contenders")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--model", help="a GGUF file; default: the demo model")
    parser.add_argument(
        "--facts", type=int, help="tokens from one to the next; instead of all else"
    )
    parser.add_argument("--ask-every", type=int, default=1, help="ask after every so many facts")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--save-as", help="of facts; default: after the model")
    options = parser.parse_args()
    setting = Setting(options.model, options.window, options.threads)
    if options.facts:
        results = [
            remembered(setting, options.tokens, options.facts, way, options.ask_every, seed)
            for seed in options.seeds
            for way in ("slide", "compress")
        ]
        facts_table(results)
        model = "demo" if options.model is None else Path(options.model).stem
        asked = {**vars(options), "model": model}
        name = options.save_as or f"stream_facts_{model.replace('-', '_')}"
        print("raw figures:", save(name, {"options": asked, "results": results}))
        return
    shares = {}
    for share in (2, 4, 8):
        window_module.DISCARDED_SHARE = share
        shares[share] = run(setting, options.short, 4, f"drop 1/{share}")
    window_module.DISCARDED_SHARE = 4
    figures = {
        "options": vars(options),
        "dropped_share": shares,
        "window alone": run(setting, options.short, 0, "window alone"),
        "recomputed": recomputed(setting, options.short, 4),
        "sinks": run(setting, options.tokens, 4, "sinks"),
    }
    print("| way | tokens | perplexity of first and last tenth | ms a token | of it sliding |")
    print("| --- | --- | --- | --- | --- |")
    named = {f"drop 1/{share} at a time": rows for share, rows in shares.items()}
    for name, rows in {**named, **{k: figures[k] for k in ("window alone", "sinks")}}.items():
        full = [row for row in rows if row["tokens"] > setting.window]
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
    print("raw figures:", save("stream" if options.model is None else "stream_tiny", figures))


if __name__ == "__main__":
    main()
