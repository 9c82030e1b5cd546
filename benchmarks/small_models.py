"""Two models trained here, at once, twice and four times their window: a Llama, and a Gemma 3 half
of whose layers slide.

Read is text that neither was trained on. Of each model, length and method, every one in a fixed
window of that length: perplexity of the last tokens, recall of ten facts (means over the seeds),
and those tasks of RULER that models so small can do, with 95 % Wilson intervals.

    python -m tools.train_tiny_model --sliding --folder build/sliding --out build/tiny-sliding.gguf
    python benchmarks/small_models.py tests/models/tiny-longctx.gguf build/tiny-sliding.gguf
        [--factors 1 2 4] [--methods none yarn self-extend] [--seeds 5] [--samples 50]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

from machine import save

from longctx import LongContextLLM
from longctx.evaluate import perplexity, recall, ruler
from tools.tiny_model.corpus import held_out_lines

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
METHODS = ("none", "linear", "ntk", "ntk-by-parts", "yarn", "self-extend")
TASKS = ("niah_single_1", "niah_single_2", "niah_multikey_1", "niah_multikey_2")
SCORED = 128
FACTS = 10


def main() -> None:
    """Measure every combination, print a row each, and write all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, default=[TINY], help="GGUF files")
    parser.add_argument("--factors", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=5, help="of perplexity and recall")
    parser.add_argument("--samples", type=int, default=50, help="of each task of RULER")
    parser.add_argument("--save-as", default="small_models", help="name of the results' file")
    options = parser.parse_args()
    text = "\n".join(held_out_lines())
    rows = []
    for path in options.models:
        for factor in options.factors:
            # At the trained length no method scales, so that all are the first.
            for method in options.methods if factor > 1 else ["none"]:
                row = measured(path, factor, method, text, options)
                rows.append(row)
                print(line(row), flush=True)
    save(options.save_as, {"seeds": options.seeds, "rows": rows})


def measured(
    path: Path, factor: int, method: str, text: str, options: argparse.Namespace
) -> dict[str, Any]:
    """One model in one window by one method."""
    with LongContextLLM(path) as llm:
        length = factor * llm.info.n_ctx_train
    opening: dict[str, Any] = {"method": method, "window": "fixed", "reserve_output": 1}
    with LongContextLLM(path, length, n_threads=1, **opening) as llm:
        seeds = range(options.seeds)
        predicted = [
            perplexity(llm, length, marks=[length], stride=SCORED, text=text, seed=seed).perplexity
            for seed in seeds
        ]
        found = [recall(llm, length, n_facts=FACTS, text=text, seed=seed) for seed in seeds]
        tasks = ruler(llm, [length], tasks=TASKS, samples=options.samples, text=text)
    return {
        "model": path.stem,
        "length": length,
        "method": method,
        "perplexity": geometric_mean(predicted),
        "perplexities": predicted,
        "recall_nats": mean(one.mean_nats for one in found),
        "recall_exact": mean(one.exact for one in found),
        "recall_by_seed": [(one.mean_nats, one.exact) for one in found],
        "ruler": {score.task: (score.score, score.low, score.high) for score in tasks.scores},
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table in docs/evaluation.md."""
    tasks = " | ".join(
        f"{score:.0f} ({low:.0f}-{high:.0f})" for score, low, high in row["ruler"].values()
    )
    return (
        f"| {row['model']} | {row['length']:,} | {row['method']} | {row['perplexity']:.1f} "
        f"| {row['recall_nats']:.2f}, {row['recall_exact']:.0%} | {tasks} |"
    )


if __name__ == "__main__":
    main()
