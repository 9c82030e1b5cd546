"""What Self-Extend's group, block and start do, on the small model of the tests.

Trained on 512 tokens, it is read to 1,024 and 2,048: perplexity of all that lies past the trained
window, and recall of twenty facts (nats a digit, and how many exactly), means over the seeds.
Beside it growing by YaRN and by the NTK base, in one step and in several, ntk-by-parts, both
static, whole and fractional positions, and Self-Extend on top of YaRN.

    python benchmarks/self_extend.py [--seeds 3] [--windows 1024 2048]
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

from elastic_study import fractional_positions
from machine import save

from longctx import LongContextLLM, plan_context
from longctx.evaluate import perplexity, recall
from longctx.rope import SelfExtendConfig

MODEL = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
TRAINED = 512


@dataclass(frozen=True)
class Way:
    """Options of the model, and changes of its plan; ``stacked`` takes twice the trained RoPE."""

    method: str = "self-extend"
    window: str = "elastic"
    plan: dict[str, Any] = field(default_factory=dict)
    fractional: bool = False
    stacked: bool = False


def far(group: int, block: int, start: int, **options: Any) -> Way:
    """Self-Extend by hand."""
    config = SelfExtendConfig(group=group, block=block, start=start)
    return Way(plan={"self_extend": config}, **options)


WAYS = {
    "none, fixed": Way("none", "fixed"),
    "linear, fixed": Way("linear", "fixed"),
    "ntk, fixed": Way("ntk", "fixed"),
    "ntk-by-parts, fixed": Way("ntk-by-parts", "fixed"),
    "yarn, fixed": Way("yarn", "fixed"),
    "ntk, elastic": Way("ntk"),
    "ntk-by-parts, elastic": Way("ntk-by-parts"),
    "yarn, elastic": Way("yarn"),
    "g=2 w=128 start=384": far(2, 128, 384),
    "g=4 w=128 start=384": far(4, 128, 384),
    "g=8 w=128 start=384": far(8, 128, 384),
    "g=16 w=128 start=384": far(16, 128, 384),
    "g=32 w=128 start=384": far(32, 128, 384),
    "g=8 w=32 start=384": far(8, 32, 384),
    "g=8 w=64 start=384": far(8, 64, 384),
    "g=8 w=64 start=256": far(8, 64, 256),
    "g=8 w=64 start=448": far(8, 64, 448),
    "g=8 w=128 start=384, fractional": far(8, 128, 384, fractional=True),
    "g=4 w=128 start=768 on yarn s=2": far(
        4, 128, 768, method="yarn", window="fixed", stacked=True
    ),
}


def measure(way: Way, length: int, seeds: int, threads: int) -> dict[str, float]:
    past, nats, exact = [], [], []
    options: dict[str, Any] = {"method": way.method, "window": way.window}
    guard: AbstractContextManager[None] = (
        fractional_positions(True) if way.fractional else nullcontext()
    )
    changes = dict(way.plan)
    if way.stacked:
        changes["rope"] = plan_context(MODEL, 2 * TRAINED, reserve_output=8, **options).rope
    plan = plan_context(MODEL, length, reserve_output=8, **options).model_copy(update=changes)
    with guard, LongContextLLM(MODEL, plan=plan, n_threads=threads) as llm:
        for seed in range(seeds):
            marks = list(range(TRAINED + 128, length + 1, 128))
            result = perplexity(llm, length, marks=marks, stride=128, seed=seed)
            past.append(log(result.perplexity))
            found = recall(llm, length - 64, n_facts=20, seed=seed)
            nats.append(found.mean_nats)
            exact.append(found.exact)
    return {"perplexity": exp(mean(past)), "nats": mean(nats), "exact": mean(exact)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, nargs="+", default=[1024, 2048])
    options = parser.parse_args()
    titles = [
        f"{what} {n:,}" for n in options.windows for what in ("perplexity to", "nats", "exact")
    ]
    print(f"| way | {' | '.join(titles)} |")
    print("| --- |" + " --- |" * len(titles), flush=True)
    rows: dict[str, Any] = {}
    for name, way in WAYS.items():
        rows[name] = [measure(way, n, options.seeds, options.threads) for n in options.windows]
        cells = [
            cell
            for row in rows[name]
            for cell in (
                f"{row['perplexity']:.2f}", f"{row['nats']:.2f}", f"{100 * row['exact']:.0f} %"
            )
        ]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("raw figures:", save("self_extend", {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
