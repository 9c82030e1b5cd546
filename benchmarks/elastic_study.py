"""How to grow a window: perplexity and recall of every way, at 8k, 12k, 16k and 32k.

One text with numbered facts in it is prefilled once for each way. At each mark twenty facts are
asked for from the same cache (mean negative log-likelihood of an answer's digits; chance is
2.30 nats), and the 512 tokens that follow are scored. Ways that were measured before are kept,
so an interrupted study goes on where it stopped.

    python benchmarks/elastic_study.py [--ways none ntk-fixed ...] [--marks 8192 12288 16384 32768]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from machine import RESULTS, save

from longctx import LongContextLLM, demo_model, plan_context
from longctx.evaluate.figures.plots import PALETTE, write_figure
from longctx.packaged_model import fast_copy
from longctx.rope import Rotation, SelfExtendConfig

SCORED = 512
PREFIX = 6000
MARGIN = 768  # a mark's evaluation begins so many tokens before it, and ends within the window
FACT_EVERY = 384
ADJECTIVES = (
    "amber", "brass", "coral", "dusty", "eager", "faded", "gentle", "hollow", "ivory", "jolly",
)  # fmt: skip
NOUNS = (
    "falcon", "badger", "lantern", "anchor", "violin", "cactus", "pebble", "turbine", "harbour",
)  # fmt: skip


def self_extend(group: int, block: int, start: int) -> dict[str, Any]:
    return {"self_extend": SelfExtendConfig(group=group, block=block, start=start)}


@dataclass(frozen=True)
class Way:
    """One contender: options of the model, changes of its plan, and the largest window."""

    method: str
    window: str = "elastic"
    target: int = 32_768
    plan: dict[str, Any] = field(default_factory=dict)
    last: int = 32_768
    recompute: int = 0
    steps: int | None = None
    fractional: bool = False


WAYS = {
    "self-extend g=8 w=2048 start=6144": Way(
        "self-extend", plan=self_extend(8, 2048, 6144), last=16_384
    ),
    "yarn elastic": Way("yarn", last=16_384),
    "ntk elastic": Way("ntk", last=16_384),
    "yarn fixed s=2": Way("yarn", "fixed", 16_384, last=16_384),
    "ntk fixed s=2": Way("ntk", "fixed", 16_384, last=16_384),
    "self-extend g=4 w=2048 start=6144": Way(
        "self-extend", plan=self_extend(4, 2048, 6144), last=16_384
    ),
    "self-extend g=16 w=2048 start=6144": Way(
        "self-extend", plan=self_extend(16, 2048, 6144), last=16_384
    ),
    "self-extend g=8 fractional": Way(
        "self-extend", plan=self_extend(8, 2048, 6144), last=16_384, fractional=True
    ),
    "self-extend g=8 w=512 start=6144": Way(
        "self-extend", plan=self_extend(8, 512, 6144), last=16_384
    ),
    "self-extend g=8 w=1024 start=4096": Way(
        "self-extend", plan=self_extend(8, 1024, 4096), last=16_384
    ),
    "self-extend g=8 w=2048 start=7168": Way(
        "self-extend", plan=self_extend(8, 2048, 7168), last=16_384
    ),
    "yarn elastic, last 512 recomputed": Way("yarn", last=16_384, recompute=512),
    "yarn elastic, steps of 2048": Way("yarn", last=16_384, steps=2048),
    "ntk-by-parts elastic": Way("ntk-by-parts", last=16_384),
    "none": Way("none", "fixed", last=12_288),
    "self-extend g=4 start=12288 on yarn s=2": Way(
        "yarn", "fixed", 16_384, plan=self_extend(4, 2048, 12_288), last=16_384
    ),
    "self-extend g=8 to 32k": Way("self-extend", plan=self_extend(8, 2048, 6144)),
    "yarn elastic to 32k": Way("yarn"),
    "yarn fixed s=4": Way("yarn", "fixed"),
    "self-extend g=16 to 32k": Way("self-extend", plan=self_extend(16, 2048, 6144)),
    "ntk elastic to 32k": Way("ntk"),
    "ntk fixed s=4": Way("ntk", "fixed"),
    "linear fixed s=2": Way("linear", "fixed", 16_384, last=16_384),
    "ntk-by-parts fixed s=2": Way("ntk-by-parts", "fixed", 16_384, last=16_384),
    "none to 32k": Way("none", "fixed"),
    "linear fixed s=4": Way("linear", "fixed"),
    "ntk-by-parts fixed s=4": Way("ntk-by-parts", "fixed"),
    "self-extend g=4 w=2048 start=7168, calibrated": Way(
        "self-extend", plan=self_extend(4, 2048, 7168)
    ),
}


def build(
    llm: LongContextLLM, marks: list[int], every: int = FACT_EVERY
) -> tuple[list[int], list[tuple[int, str, str]]]:
    """The token ids, and the facts, one in ``every`` tokens: (where it ends, question, answer)."""
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    source = iter(llm.tokenize(text[: 8 * max(marks)]))
    random = np.random.default_rng(0)
    names = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
    random.shuffle(names)
    ids: list[int] = []
    facts: list[tuple[int, str, str]] = []
    scored = [(mark - MARGIN, mark - MARGIN + SCORED) for mark in marks]
    while len(ids) < max(marks):
        ids += [next(source) for _ in range(every - 24)]
        if any(begin - 40 < len(ids) < end for begin, end in scored):
            continue
        name, number = names[len(facts)], str(random.integers(10_000, 100_000))
        ids += llm.tokenize(f"\n\nThe number of the {name} is {number}.\n\n")
        facts.append((len(ids), f"\n\nThe number of the {name} is ", number))
    return ids[: max(marks)], facts


def recall(session: Any, llm: LongContextLLM, facts: list[tuple[int, str, str]]) -> list[float]:
    """Nats a digit of twenty facts spread evenly over what the cache holds, oldest first."""
    held = [fact for fact in facts if fact[0] <= session.n_tokens]
    chosen = [held[round(i)] for i in np.linspace(0, len(held) - 1, 20)]
    nats = []
    for _, question, answer in chosen:
        ids = llm.tokenize(question + answer)
        first = len(ids) - len(answer)
        assert llm.detokenize(ids[first:]) == answer
        nats.append(float(session.next_nll(ids)[first:].mean()))
    return nats


def runs(positions: np.ndarray) -> np.ndarray:
    """Positions with those that are shared spread evenly to the next: float64."""
    order = np.argsort(positions, kind="stable")
    values, first, counts = np.unique(positions[order], return_index=True, return_counts=True)
    spread = np.empty(len(positions))
    within = np.arange(len(positions)) - np.repeat(first, counts)
    spread[order] = np.repeat(values, counts) + within / np.repeat(counts, counts)
    return spread


@contextmanager
def fractional_positions(wanted: bool) -> Iterator[None]:
    """Keys stand at p/g, not ⌊p/g⌋; the cells keep whole positions, which only order them."""
    between = Rotation.between
    if wanted:

        def spread(old: Any, old_rope: Any, new: Any, new_rope: Any, **options: Any) -> Rotation:
            return between(runs(old), old_rope, runs(new), new_rope, **options)

        Rotation.between = spread  # type: ignore[method-assign]  # what is varied
    try:
        yield
    finally:
        Rotation.between = between  # type: ignore[method-assign]  # as it was


def measure(way: Way, marks: list[int], threads: int, prefix: Path) -> list[dict[str, Any]]:
    rows = []
    options: dict[str, Any] = {"method": way.method, "window": way.window}
    model = fast_copy(demo_model())
    plan = plan_context(
        model, way.target, memory_limit="12GiB", reserve_output=16, **options
    ).model_copy(update=way.plan)
    with (
        LongContextLLM(model, plan=plan, n_threads=threads) as llm,
        fractional_positions(way.fractional),
    ):
        ids, facts = build(llm, marks)
        session = llm.session(n_outputs=SCORED)
        far = plan.self_extend
        if way.steps:
            session.window.steps = tuple(range(8192, way.target + 1, way.steps))
        if way.window == "elastic" and not (far and far.start < PREFIX):
            if not prefix.exists():
                session.feed(ids[:PREFIX])
                session.save(prefix)
            elif not session.n_tokens:
                session.load(prefix)
        started = time.monotonic()
        for mark in marks:
            if mark > way.last:
                break
            end = mark - MARGIN
            before = session.n_ctx
            session.feed(ids[session.n_tokens : end])
            if way.recompute and session.n_ctx != before:
                session.truncate(session.n_tokens - way.recompute)
                session.feed(ids[session.n_tokens : end])
            session.grow(mark)
            nats = recall(session, llm, facts)
            scores = session.nll(ids[end : end + SCORED])
            rows.append(
                {
                    "mark": mark,
                    "perplexity": exp(float(scores.mean())),
                    "recall": float(np.mean(nats)),
                    "recall_by_depth": nats,
                    "seconds": time.monotonic() - started,
                    "rescale_s": session.rescale_s,
                    "prefilled_again": session.prefilled_again,
                }
            )
            print(
                mark,
                {k: round(v, 3) for k, v in rows[-1].items() if isinstance(v, float)},
                flush=True,
            )
    return rows


def control(marks: list[int], threads: int) -> list[dict[str, Any]]:
    """Unscaled, with only the last trained window before each mark."""
    rows = []
    with LongContextLLM(None, 8192, n_threads=threads, reserve_output=16) as llm:
        ids, _ = build(llm, marks)
        for mark in marks:
            session = llm.session(n_outputs=SCORED)
            end = mark - MARGIN
            session.feed(ids[max(0, end + SCORED - 8192) : end])
            scores = session.nll(ids[end : end + SCORED])
            session.close()
            rows.append({"mark": mark, "perplexity": exp(float(scores.mean()))})
            print(mark, rows[-1], flush=True)
    return rows


def report(figures: dict[str, list[dict[str, Any]]], plot: Path) -> None:
    """The table of all ways, and a plot of the main ones: perplexity, and recall by depth."""
    marks = sorted({row["mark"] for rows in figures.values() for row in rows})
    titles = [f"{mark // 1024}k" for mark in marks]
    print(f"| way | {' | '.join(f'perplexity {t}' for t in titles)} | ", end="")
    print(f"{' | '.join(f'recall {t}' for t in titles)} |")
    print("| --- |" + " --- |" * 2 * len(marks))
    for name, rows in figures.items():
        by_mark = {row["mark"]: row for row in rows}
        cells = [f"{by_mark[m]['perplexity']:.2f}" if m in by_mark else "" for m in marks]
        cells += [
            f"{by_mark[m]['recall']:.2f}" if "recall" in by_mark.get(m, {}) else "" for m in marks
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    draw(figures, plot)


DRAWN = {
    "none to 32k": ("none", "ink", "v:"),
    "linear fixed s=2": ("linear, s = 2", "grey", "x:"),
    "ntk fixed s=2": ("NTK-aware, s = 2", "orange", "o-"),
    "ntk fixed s=4": ("NTK-aware, s = 4", "orange", "o--"),
    "ntk-by-parts fixed s=2": ("NTK-by-parts, s = 2", "pink", "P-"),
    "yarn fixed s=2": ("YaRN, s = 2", "blue", "s-"),
    "yarn fixed s=4": ("YaRN, s = 4", "blue", "s--"),
    "self-extend g=8 to 32k": ("Self-Extend", "green", "D-"),
    "self-extend g=4 w=2048 start=7168, calibrated": ("calibrated", "red", "^-"),
}
"""Ways that are drawn: their label, the name of their colour, marker and dash."""
AT_MOST = 1.5, 2.6  # where the two plots end; what lies above is named in the legend


def draw(figures: dict[str, list[dict[str, Any]]], plot: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    control = {row["mark"]: row["perplexity"] for row in figures["control"]}
    for name, (label, colour, style) in DRAWN.items():
        rows = figures[name]
        options = {"color": PALETTE[colour][0], "markersize": 5}
        ratios = [row["perplexity"] / control[row["mark"]] for row in rows]
        above = [f"{ratio:,.1f}" for ratio in ratios if ratio > AT_MOST[0]]
        left.plot([row["mark"] / 1024 for row in rows], ratios, style, **options)
        at_16k = next(row for row in rows if row["mark"] == 16_384)
        nats = np.array(at_16k["recall_by_depth"]).reshape(5, 4).mean(1)
        if above:
            label += f", above: {', '.join(above)} times"
        if nats.max() > AT_MOST[1]:
            label += f", {nats.min():.1f} to {nats.max():.1f} nats"
        right.plot([10, 30, 50, 70, 90], nats, style, label=label, **options)
    left.axhline(1, color=PALETTE["grey"][0], linestyle=":")
    left.set(ylim=(0.9, AT_MOST[0]), xticks=[8, 12, 16, 32])
    left.set(xlabel="text so far (thousands of tokens)", ylabel="times the control's perplexity")
    left.set_title("What it costs: perplexity of the next 512 tokens", loc="left")
    right.axhline(np.log(10), color=PALETTE["grey"][0], linestyle=":", label="chance")
    right.set(ylim=(1, AT_MOST[1]), xticks=[10, 30, 50, 70, 90])
    right.set(xlabel="depth of the fact (% of 16k tokens)", ylabel="nats a digit")
    right.set_title("What it buys: facts recalled (lower is better)", loc="left")
    for axes in (left, right):
        axes.grid(True, color=PALETTE["rule"][0], linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    write_figure(figure, plot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=["control", *WAYS], default=["control", *WAYS])
    parser.add_argument("--marks", type=int, nargs="+", default=[8192, 12_288, 16_384, 32_768])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", type=Path, help="only print the table, and draw this plot")
    options = parser.parse_args()
    path = RESULTS / "elastic_study.json"
    done = json.loads(path.read_text())["figures"] if path.exists() else {}
    if options.report:
        report(done, options.report)
        return
    # All elastic ways begin with the same unscaled text: it is prefilled once.
    prefix = Path(tempfile.mkdtemp()) / "prefix.session"
    for name in options.ways:
        if name in done:
            continue
        print(f"== {name}", flush=True)
        if name == "control":
            done[name] = control(options.marks, options.threads)
        else:
            done[name] = measure(WAYS[name], options.marks, options.threads, prefix)
        save("elastic_study", done)


if __name__ == "__main__":
    main()
