"""What a share of the cache still knows: runs of `longctx eval compress`, gathered over seeds.

Each run's differences are to the whole text in f16 with the same seed and kind of text, so that
what seeds differ by drops out; behind ± stands the standard error over the seeds. One run each:

    longctx eval compress --length 6000 --target-ctx 6656 --kinds dense --kv-types f16 --seed 0 \\
        --json > 0.json
    longctx eval compress … --kv-types q8_0 --methods keydiff --keep 75,50 --seed 0 --json > 1.json
    python benchmarks/compress.py *.json [--save-as compress_smollm2_6000] [--plot compression.svg]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from machine import RESULTS

from longctx.evaluate import CompressResult, CompressScore, EvaluationRun, load_run
from longctx.evaluate.figures.plots import Curve, curves_figure, write_figure


class Way(NamedTuple):
    """One way to hold a kind of text; ``share`` is what is left, of 1."""

    kind: str
    kv_type: str
    method: str
    share: float


class Seen(NamedTuple):
    """One score, beside that of the whole text in f16, and the prefill's seconds."""

    score: CompressScore
    whole: CompressScore
    prefill_s: float


def main() -> None:
    """Gather, print a table a kind of text, write what was gathered, and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="what --json printed")
    parser.add_argument("--save-as", help="name of a file of all runs among the results")
    parser.add_argument("--plot", type=Path, help="draw nats against bytes, a curve a cache")
    parser.add_argument("--plot-kind", default="sparse", help="the kind of text that is drawn")
    options = parser.parse_args()
    results = [
        result
        for path in options.runs
        for result in load_run(path).results
        if isinstance(result, CompressResult)
    ]
    seen = gathered(results)
    for kind in dict.fromkeys(way.kind for way in seen):
        print(table({way: found for way, found in seen.items() if way.kind == kind}))
    if options.save_as:
        command = "longctx eval compress, a run for each kind of text, type and seed"
        run = EvaluationRun(measure="compress", command=command, results=tuple(results))
        path = RESULTS / f"{options.save_as}.json"
        path.write_text(run.model_dump_json(indent=1) + "\n")
        print("raw figures:", path)
    if options.plot:
        draw(seen, options.plot_kind, options.plot)


def gathered(results: Sequence[CompressResult]) -> dict[Way, list[Seen]]:
    """All scores by way, in the order of their bytes; one of a seed without f16 is left out."""
    whole = {
        (result.kind, result.seed): result.scores[0]
        for result in results
        if result.subject.kv_type_k == "f16"
    }
    seen: dict[Way, list[Seen]] = defaultdict(list)
    for result in results:
        beside = whole.get((result.kind, result.seed))
        for score in result.scores if beside else ():
            way = Way(result.kind, result.subject.kv_type_k, score.method, score.keep)
            seen[way].append(Seen(score, beside, result.prefill_s))
    return dict(sorted(seen.items(), key=lambda item: -item[1][0].score.n_bytes))


def table(seen: dict[Way, list[Seen]]) -> str:
    """Means over the seeds, and differences to the whole text in f16."""
    lines = [
        "| text | cache | kept | MiB | perplexity | | nats | | exact | of the prefill | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, found in seen.items():
        scores = [one.score for one in found]
        worse = spread([100 * (one.score.perplexity / one.whole.perplexity - 1) for one in found])
        less = spread([one.score.nats - one.whole.nats for one in found], digits=2)
        cost = mean(one.score.seconds / one.prefill_s for one in found)
        lines.append(
            f"| {way.kind} | {way.kv_type} | {way.share:.0%} {way.method} "
            f"| {scores[0].n_bytes / 2**20:.0f} | {mean(s.perplexity for s in scores):.2f} "
            f"| {worse} % | {mean(s.nats for s in scores):.2f} | {less} "
            f"| {mean(s.exact for s in scores):.0%} "
            f"| {f'{cost:.1%}' if way.share < 1 else ''} | {len(found)} |"
        )
    return "\n".join(lines)


def spread(differences: Sequence[float], digits: int = 1) -> str:
    """Their mean and its standard error; of one alone nothing is known of that."""
    text = f"{mean(differences):+.{digits}f}"
    if len(differences) < 2:
        return text
    return f"{text} ± {stdev(differences) / len(differences) ** 0.5:.{digits}f}"


def draw(seen: dict[Way, list[Seen]], kind: str, path: Path) -> None:
    """Nats of the answers against bytes, a curve for each type of cache and method."""
    curves = []
    wanted = {way: found for way, found in seen.items() if way.kind == kind}
    for kv_type, method in dict.fromkeys((w.kv_type, w.method) for w in wanted if w.share < 1):
        points = [
            (found[0].score.n_bytes / 2**20, mean(one.score.nats for one in found))
            for way, found in wanted.items()
            if way.kv_type == kv_type and way.method in (method, "whole")
        ]
        curves.append(Curve(f"{kv_type}, {method}", *zip(*points, strict=True)))
    figure = curves_figure(
        title=f"What a cache of fewer bytes still knows ({kind})",
        x_label="keys and values (MiB)",
        y_label="nats a token of the answer (lower is better)",
        curves=curves,
    )
    write_figure(figure, path)


if __name__ == "__main__":
    main()
