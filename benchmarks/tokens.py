"""Counting a long text: our tokenizer against llama.cpp's, and whether they agree.

The two sides alternate, so that a machine whose speed drifts slows both. The ratio is
theirs / ours of medians. Ours is timed as it is used, through ``ModelTokenizer``; building
its fast path is paid once, so it is timed apart.

    python benchmarks/tokens.py [--runs 5] [--repeat 4]
"""

from __future__ import annotations

import argparse
import time
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save
from rich.console import Console
from rich.table import Table

from longctx._native import Model
from longctx.packaged_model import demo_model
from longctx.tokens import FastTokenizer, ModelTokenizer
from longctx.tokens.tokenizer import BUILD_AFTER_CHARACTERS


def timed(work) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(model: Model, text: str, runs: int) -> dict[str, Any]:
    build_s, _ = timed(lambda: FastTokenizer.for_model(model))
    ours = ModelTokenizer(model)
    ours.encode("x " * BUILD_AFTER_CHARACTERS)  # enough text for the fast path to be built
    times: dict[str, list[float]] = {"ours": [], "llama.cpp": []}
    exact = True
    for _ in range(runs):
        ours_s, our_ids = timed(lambda: ours.encode(text))
        theirs_s, their_ids = timed(lambda: model.encode(text))
        times["ours"].append(ours_s)
        times["llama.cpp"].append(theirs_s)
        exact = exact and our_ids == their_ids
    return {
        "characters": len(text),
        "tokens": len(their_ids),
        "ours_s": times["ours"],
        "llama_cpp_s": times["llama.cpp"],
        "ratio_of_medians": median(times["llama.cpp"]) / median(times["ours"]),
        "exact": exact,
        "build_s": build_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=4, help="times the document, for one long")
    options = parser.parse_args()
    model = Model(demo_model(), vocab_only=True)
    document = "\n".join(topics[key] for key in sorted(topics))
    texts = {
        "one page": document[:5_000],
        "a chapter": document[:50_000],
        "the language reference": document,
        f"{options.repeat} times that": document * options.repeat,
    }
    figures = {name: measure(model, text, options.runs) for name, text in texts.items()}
    table = Table(title=f"Counting tokens, SmolLM2's vocabulary, {options.runs} runs each")
    for column in ("text", "characters", "tokens", "llama.cpp", "ours", "ratio", "same ids"):
        table.add_column(column, justify="left" if column == "text" else "right")
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['characters']:,}",
            f"{row['tokens']:,}",
            f"{median(row['llama_cpp_s']) * 1e3:.1f} ms",
            f"{median(row['ours_s']) * 1e3:.1f} ms",
            f"{row['ratio_of_medians']:.1f}",
            "yes" if row["exact"] else "NO",
        )
    console = Console()
    console.print(table)
    built = median(row["build_s"] for row in figures.values())
    console.print(f"building the fast path, once: {built:.2f} s")
    console.print(f"saved {save('tokens', figures)}")


if __name__ == "__main__":
    main()
