"""Makes docs/window.svg, the README's picture: what a window past the trained one costs and keeps.

The tests' small model, trained on 512 tokens, reads texts of up to 2,048 that it was not trained
on: in the elastic window, with NTK-aware scaling and YaRN fixed at that size, and unscaled.
Perplexity is that of the 256 tokens that end at each length; recall is the share of ten facts of
the text so far that greedy decoding writes out. Means over the seeds.

    python -m tools.readme_picture [--seeds 12] [--draw]   # two minutes of one core
"""

from __future__ import annotations

import argparse
import json
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.figure import Figure

from longctx import LongContextLLM
from longctx.evaluate import perplexity, recall
from longctx.evaluate.figures.plots import PALETTE, write_figure
from tests.models import TINY
from tools.tiny_model.corpus import held_out_lines

ROOT = Path(__file__).parents[1]
TRAINED, WINDOW, STRIDE = 512, 2048, 256
MARKS = list(range(STRIDE, WINDOW + 1, STRIDE))
LENGTHS = [512, 768, 1024, 1536, 2048]
FIGURES = ROOT / "benchmarks" / "results" / "window.json"
ROOM = 16  # of the window, for the chat template's tokens and the answer

WAYS = {
    "longctx, elastic": ("auto", "elastic", "green", "D-"),
    "YaRN, fixed": ("yarn", "fixed", "blue", "s--"),
    "NTK-aware, fixed": ("ntk", "fixed", "orange", "o-."),
    "no scaling": ("none", "fixed", "ink", "v:"),
}
"""Method, window, and how it is drawn: the name of its colour, marker and dash."""


def measure(method: str, window: Any, seeds: int) -> dict[str, list[float]]:
    """Perplexity at each mark, and the share of facts found at each length."""
    costs: list[list[float]] = [[] for _ in MARKS]
    found: list[list[float]] = [[] for _ in LENGTHS]
    text = "\n".join(held_out_lines())
    with LongContextLLM(
        TINY, WINDOW + ROOM, method=method, window=window, reserve_output=8, n_threads=1
    ) as llm:
        for seed in range(seeds):
            result = perplexity(llm, WINDOW, marks=MARKS, stride=STRIDE, text=text, seed=seed)
            for cost, point in zip(costs, result.points, strict=True):
                cost.append(log(point.perplexity))
            for share, length in zip(found, LENGTHS, strict=True):
                share.append(recall(llm, length, n_facts=10, text=text, seed=seed).exact)
    return {"perplexity": [exp(mean(each)) for each in costs], "exact": [mean(f) for f in found]}


def draw(figures: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Two plots side by side, with the trained window marked in both."""
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, (_method, _window, colour, style) in WAYS.items():
        options: dict[str, Any] = {"color": PALETTE[colour][0], "markersize": 4, "label": label}
        left.plot(MARKS, figures[label]["perplexity"], style, **options)
        right.plot(LENGTHS, [100 * share for share in figures[label]["exact"]], style, **options)
    left.set(ylabel="perplexity (lower is better)", yscale="log", yticks=[10, 15, 20, 25])
    left.set_yticks([], minor=True)
    left.yaxis.set_major_formatter("{x:.0f}")
    left.set_title("What the text costs to predict", loc="left")
    right.set(ylabel="facts found (%, higher is better)", ylim=(-2, 65))
    right.set_title("What is still found in it", loc="left")
    for axes in (left, right):
        axes.set(xlabel="tokens of text", xticks=[512, 1024, 1536, 2048])
        axes.axvline(TRAINED, color=PALETTE["grey"][0], linewidth=0.8)
        axes.text(TRAINED + 15, axes.get_ylim()[1], "trained window", va="top", fontsize=8)
        axes.grid(True, color=PALETTE["rule"][0], linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    write_figure(figure, path)


def main() -> None:
    """Measure every way, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument(
        "--figures", type=Path, default=FIGURES, help="where they are kept, as JSON"
    )
    parser.add_argument("--draw", action="store_true", help="only draw those that are there")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "window.svg")
    options = parser.parse_args()
    if not options.draw:
        measured = {}
        for label, (method, window, *_style) in WAYS.items():
            measured[label] = measure(method, window, options.seeds)
            print(label, json.dumps(measured[label]), flush=True)
        options.figures.write_text(json.dumps(measured, indent=1) + "\n")
    draw(json.loads(options.figures.read_text()), options.picture)


if __name__ == "__main__":
    main()
