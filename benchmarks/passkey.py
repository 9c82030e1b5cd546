"""Pass keys under every method: at the trained window, at twice and at four times it.

The packaged model is asked for one pass key at nine depths under each way (five at 32k), one trial
each. Ways that were measured before are kept, so that an interrupted run goes on where it stopped.
A prompt of 16,384 tokens takes two cores two minutes, one of 32,768 eight; a way reads 4 to 6.

    python benchmarks/passkey.py [--ways "none, 8k" …] [--report]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Literal

from machine import RESULTS, save

from longctx import LongContextLLM
from longctx.evaluate import PasskeyResult, passkey

NINE = tuple(i / 8 for i in range(9))
FIVE = tuple(i / 4 for i in range(5))


@dataclass(frozen=True)
class Way:
    """One contender: its method, whether its window grows, its tokens, and where keys hide."""

    method: str
    window: Literal["elastic", "fixed"]
    length: int
    depths: tuple[float, ...] = NINE


WAYS = {
    "none, 8k": Way("none", "fixed", 8192),
    "none, 16k": Way("none", "fixed", 16_384, FIVE),
    "linear, s = 2, 16k": Way("linear", "fixed", 16_384, FIVE),
    "NTK-aware, s = 2, 16k": Way("ntk", "fixed", 16_384),
    "NTK-by-parts, s = 2, 16k": Way("ntk-by-parts", "fixed", 16_384),
    "YaRN, s = 2, 16k": Way("yarn", "fixed", 16_384),
    "Self-Extend, elastic, 16k": Way("self-extend", "elastic", 16_384),
    "calibrated, elastic, 16k": Way("auto", "elastic", 16_384),
    "NTK-aware, s = 4, 32k": Way("ntk", "fixed", 32_768, FIVE),
    "YaRN, s = 4, 32k": Way("yarn", "fixed", 32_768, FIVE),
    "Self-Extend, elastic, 32k": Way("self-extend", "elastic", 32_768, FIVE),
    "calibrated, elastic, 32k": Way("auto", "elastic", 32_768, FIVE),
}


def measure(way: Way) -> PasskeyResult:
    with LongContextLLM(
        None, way.length, method=way.method, window=way.window, reserve_output=16
    ) as llm:
        return passkey(llm, depths=way.depths, trials=1)


def report(done: dict[str, PasskeyResult]) -> None:
    """A table with a row for each way; a dash where it was not asked."""
    print(f"| depth, % of the text | {' | '.join(f'{100 * depth:g}' for depth in NINE)} | found |")
    print("| --- |" + " --- |" * (len(NINE) + 1))
    for name, result in done.items():
        found = {cell.depth: "yes" if cell.accuracy else "no" for cell in result.cells}
        marks = " | ".join(found.get(depth, "-") for depth in NINE)
        n_found = list(found.values()).count("yes")
        print(f"| {name} | {marks} | {n_found} of {len(found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--report", action="store_true", help="only print the table")
    options = parser.parse_args()
    path = RESULTS / "passkey.json"
    raw = json.loads(path.read_text())["figures"] if path.exists() else {}
    done = {name: PasskeyResult.model_validate(raw[name]) for name in WAYS if name in raw}
    if options.report:
        report(done)
        return
    for name in options.ways:
        if name in done:
            continue
        print(f"== {name}", flush=True)
        done[name] = measure(WAYS[name])
        print(done[name], flush=True)
        save("passkey", {n: result.model_dump(mode="json") for n, result in done.items()})


if __name__ == "__main__":
    main()
