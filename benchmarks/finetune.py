"""What a short fine-tuning brings the small model of the tests: recall at 4 and 8 times its window.

The model was trained on 512 tokens; adapters teach it 4,096. Each way is trained on as many tokens;
facts, their names and the text that they stand in were not trained on, by the model neither. Runs
that were made before are kept, so an interrupted study goes on where it stopped.

    python benchmarks/finetune.py [--tokens 60000] [--seeds 0 1 2] [--ways yarn ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from machine import RESULTS, save

from longctx import LongContextLLM
from longctx.evaluate import perplexity, recall
from longctx.finetune import extend
from longctx.finetune.prose import docstrings

MODEL = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
TRAINED, TARGET = 512, 4096
TEXTS_OF_ALL = 3  # with fewer, recall at four times the window is left out

WAYS: dict[str, dict[str, Any]] = {
    "self-extend": {},
    "yarn": {"method": "yarn"},
    "self-extend, full length": {"full_length": True},
    "self-extend, no recall": {"recall_share": 0.0},
    "self-extend, half recall": {"recall_share": 0.5},
    "self-extend, rank 8": {"rank": 8},
    "self-extend, rank 64": {"rank": 64},
    "self-extend, learning rate 1e-3": {"learning_rate": 1e-3},
    "self-extend, learning rate 2e-3": {"learning_rate": 2e-3},
    "self-extend, learning rate 5e-4": {"learning_rate": 5e-4},
    "self-extend, rank 8, learning rate 1e-3": {"rank": 8, "learning_rate": 1e-3},
    "self-extend, learning rate 1e-2": {"learning_rate": 1e-2},
    "ntk": {"method": "ntk"},
    "yarn, full length": {"method": "yarn", "full_length": True},
}


def unseen_prose() -> str:
    """Docstrings of a package that neither the model nor an adapter was trained on."""
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    return "\n\n".join(docstrings(Path(spec.origin).parent / "models", 150_000))


def measure(prose: str, method: str, adapters: list[Path], n_texts: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    window = "elastic" if method in ("self-extend", "none") else "fixed"
    target = TRAINED if method == "none" else TARGET
    with LongContextLLM(
        MODEL,
        target,
        method=method,
        window=window,
        adapters=adapters,
        reserve_output=0,
        n_threads=1,
    ) as llm:
        for length in (TRAINED, 4 * TRAINED, 8 * TRAINED):
            if length > target or (length == 4 * TRAINED and n_texts < TEXTS_OF_ALL):
                continue
            n_facts = 8 if length == TRAINED else 20
            facts = [
                recall(llm, length, n_facts=n_facts, text=prose, seed=seed).facts
                for seed in range(n_texts)
            ]
            scores = [score for each in facts for score in each]
            found[str(length)] = {
                "exact": float(np.mean([score.exact for score in scores])),
                "nats": float(np.mean([score.nats for score in scores])),
                "n_facts": len(scores),
                "nats_by_fifth": [
                    float(np.mean([s.nats for s in scores if int(5 * s.depth) == part]))
                    for part in range(5)
                ],
            }
        for length, name in ((TRAINED - 32, "short"), (TARGET, "long")):
            if length > target:
                continue
            times = 2 if name == "short" else 1
            read = [
                perplexity(llm, length, stride=128, marks=[length], text=prose, seed=seed)
                for seed in range(times * n_texts)
            ]
            found[f"{name}_perplexity"] = exp(float(np.mean([np.log(r.perplexity) for r in read])))
    return found


def trained(way: str, tokens: int, seed: int, prose: str, n_texts: int) -> dict[str, Any]:
    options = WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        made = extend(
            MODEL, TARGET, budget_s=None, tokens=tokens, out=folder, seed=seed, measure=False,
            n_threads=1, **options,
        )  # fmt: skip
        print(f"{way}, seed {seed}: {made}, {made.seconds:.0f} s, loss {made.loss:.3f}", flush=True)
        return {
            "tokens": made.tokens,
            "seconds": made.seconds,
            "total_s": time.monotonic() - started,
            "loss": made.loss,
            "recipe": made.recipe.model_dump(),
            **measure(prose, made.recipe.method, [made.adapter], n_texts),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--texts", type=int, default=2, help="recall is over as many")
    parser.add_argument("--name", default="finetune", help="of the file of results")
    options = parser.parse_args()
    path = RESULTS / f"{options.name}.json"
    rows = json.loads(path.read_text())["figures"] if path.exists() else []
    prose, n_texts = unseen_prose(), options.texts

    def keep(key: dict[str, Any], make: Callable[[], dict[str, Any]]) -> None:
        """Make a row, unless there is one."""
        if any(key.items() <= row.items() for row in rows):
            return
        rows.append({**key, **make()})
        save(options.name, rows)
        show(rows[-1])

    for method in ("none", "self-extend", "yarn"):
        key = {"way": f"{method}, untrained", "texts": n_texts}
        keep(key, partial(measure, prose, method, [], n_texts))
    for seed in options.seeds:
        for way in options.ways:
            key = {"way": way, "seed": seed, "asked_tokens": options.tokens, "texts": n_texts}
            keep(key, partial(trained, way, options.tokens, seed, prose, n_texts))


def show(row: dict[str, Any]) -> None:
    found = [
        f"{length}: {row[length]['exact']:.0%} exact, {row[length]['nats']:.2f} nats"
        for length in ("512", "2048", "4096")
        if length in row
    ]
    long = row.get("long_perplexity", float("nan"))
    print(
        f"{row['way']}: {'; '.join(found)}; perplexity short {row['short_perplexity']:.2f}, "
        f"long {long:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
