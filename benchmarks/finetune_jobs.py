"""What a process of ``finetune_gpu.py`` does: one job after the other, until a time.

Its arguments are a folder and its own number. ``jobs.json`` in the folder says what there is to do,
and until when; a job is its who first makes its claim. Rows go to ``NUMBER.rows``, a line each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from finetune import measure as measure_tiny
from finetune_questions import asked

from longctx import LongContextLLM, ModelInfo
from longctx._native import supports_gpu_offload
from longctx.evaluate import perplexity, recall
from longctx.evaluate.measures.recall import FactScore
from longctx.finetune import FinetuneProgress, extend
from longctx.finetune.attention import fast_way

_LEAST_S = {"sweep": 5.0, "train": 15.0, "measure": 5.0}  # below which a job is not begun
_STRIDE = 512

Row = dict[str, Any]


class Training:
    """Trains within a time, of which loading takes a part that the first training shows."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._beside_s = 25.0
        self._said_at = 0.0

    def train(self, job: Row, out: Path, seconds: float) -> Row:
        """Make an adapter in ``out``, within so many seconds, and say what came of it."""
        started = time.monotonic()
        options = {"budget_s": max(1.0, seconds - self._beside_s), "tokens": None, **job["extend"]}
        made = extend(
            job["model"], job["target"], text=Path(job["text"]).read_text("utf-8"), out=out,
            measure=False, on_progress=self._say, **options,
        )  # fmt: skip
        took = time.monotonic() - started
        self._beside_s = 1.5 + took - made.seconds
        return {
            "adapter": str(made.adapter),
            "tokens": made.tokens,
            "steps": made.steps,
            "seconds": made.seconds,
            "total_s": took,
            "tokens_per_s": made.tokens / max(made.seconds, 1e-9),
            "loss": made.loss,
            "text_tokens": made.text_tokens,
            "machine": made.machine + attention(job["model"]),
            "held_out": [look.model_dump() for look in made.held_out],
            "recipe": made.recipe.model_dump(),
        }

    def _say(self, progress: FinetuneProgress) -> None:
        # Whatever loading took: what is trained by then is kept, and the process ends in time.
        if time.time() > self._until:
            raise KeyboardInterrupt
        if time.time() - self._said_at > 2:
            self._said_at = time.time()
            print(
                f"{progress.done:5.1%} step {progress.step:,}, {progress.tokens:,} tokens, "
                f"{progress.tokens_per_s:,.0f} tokens/s, loss {progress.loss:.3f}"
            )


def attention(model: str) -> str:
    """How a GPU attends: where it is one by one, its kernel was found wrong or is not there."""
    if not torch.cuda.is_available():
        return ""
    info = ModelInfo.from_gguf(model)
    return f", attention {fast_way(info.n_head, info.n_head_kv, info.head_dim).__name__}"


def sweep(job: Row, training: Training, folder: Path, until: float) -> Row:
    """Train the small model in one way, and measure it on the processor."""
    out = folder / job["name"].replace(" ", "-")
    trained = training.train(job, out, until - time.time())
    prose = Path(job["unseen"]).read_text("utf-8")
    found = measure_tiny(
        prose, trained["recipe"]["method"], [Path(trained["adapter"])], job["texts"]
    )
    shutil.rmtree(out)
    said = (
        f"{trained['tokens_per_s']:,.0f} tokens/s, {trained['tokens']:,} tokens; at 4,096: "
        f"{found['4096']['exact']:.0%} exact, {found['4096']['nats']:.2f} nats"
    )
    return {**trained, **found, "whole": True, "said": said}


def train(job: Row, training: Training, folder: Path, seconds: float) -> Row:
    """Train in one way, and put the adapter where it is kept, also when the time was too short."""
    out = folder / job["name"].replace(" ", "-")
    try:
        row = training.train(job, out, seconds)
    finally:
        for adapter in out.glob("*.lora.gguf"):
            shutil.copyfile(adapter, job["to"])
    last = row["held_out"][-1] if row["held_out"] else {"answers": 0.0, "prose": 0.0}
    said = (
        f"{row['tokens']:,} tokens in {row['seconds']:.0f} s, {row['tokens_per_s']:,.0f} tokens/s "
        f"on {row['machine']}; held out: answers {last['answers']:.3f}, prose {last['prose']:.3f}"
    )
    return {**row, "whole": True, "said": said}


def measure(job: Row) -> Iterator[Row]:
    """Read with a model in one way; each figure is a row, so that an end loses none."""
    target = job["target"]
    opened = dict(job["open"])
    if opened.get("method") == "none":
        target = min(target, ModelInfo.from_gguf(job["model"]).n_ctx_train)
    layers = -1 if supports_gpu_offload() else 0
    said = []
    with LongContextLLM(
        job["model"], target, reserve_output=0, n_gpu_layers=layers, **opened
    ) as llm:
        target = min(target, llm.target_ctx)
        for length in job["lengths"]:
            if length > target:
                continue
            started = time.monotonic()
            n_facts = max(1, min(20, length // 96))
            facts = [
                fact
                for seed in range(job["texts"])
                for fact in recall(llm, length, n_facts=n_facts, seed=seed).facts
            ]
            row = {
                "what": "recall", "length": length, "n_facts": len(facts),
                "exact": float(np.mean([fact.exact for fact in facts])),
                "nats": float(np.mean([fact.nats for fact in facts])),
                "nats_by_fifth": [by_fifth(facts, part) for part in range(5)],
                "seconds": time.monotonic() - started, "layers_on_gpu": layers,
            }  # fmt: skip
            said.append(f"{length:,}: {row['exact']:.0%}, {row['nats']:.2f} nats")
            yield row
        short = min(2048, llm.info.n_ctx_train - 32)
        for name, length, times in (("short", short, 4), ("long", target, job["texts"])):
            marks = sorted({mark for mark in (*job["lengths"], length) if mark <= length})
            stride = min(_STRIDE, marks[0] // 2)
            read = [
                perplexity(llm, length, marks=marks, stride=stride, seed=seed)
                for seed in range(times)
            ]
            by_mark = {
                mark: exp(float(np.mean([np.log(r.points[at].perplexity) for r in read])))
                for at, mark in enumerate(marks)
            }
            said.append(f"{name} perplexity {by_mark[length]:.2f}")
            yield {"what": f"{name} perplexity", "length": length, "by_mark": by_mark}
        right, n = asked(llm)
        said.append(f"questions {right} of {n}")
        yield {"what": "questions", "right": right, "n": n}
    yield {"what": "all", "whole": True, "said": "; ".join(said)}


def by_fifth(facts: list[FactScore], part: int) -> float | None:
    nats = [fact.nats for fact in facts if min(4, int(5 * fact.depth)) == part]
    return float(np.mean(nats)) if nats else None


def rows_of(job: Row, left: int, training: Training, folder: Path, until: float) -> Iterator[Row]:
    if job["job"] == "sweep":
        yield sweep(job, training, folder, until)
    elif job["job"] == "train":
        yield train(job, training, folder, (until - time.time()) / left)
    else:
        yield from measure(job)


def main() -> None:
    # What a shell starts in the background ignores interrupts, and so would we.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, number = Path(sys.argv[1]), sys.argv[2]
    work = json.loads((folder / "jobs.json").read_text())
    until: float = work["until"]
    jobs: list[Row] = work["jobs"]
    training = Training(until)
    with (folder / f"{number}.rows").open("a") as rows:

        def keep(row: Row) -> None:
            rows.write(json.dumps(row) + "\n")
            rows.flush()

        for at, job in enumerate(jobs):
            if until - time.time() < _LEAST_S[job["job"]]:
                break
            try:
                os.close(os.open(folder / f"{at}.claim", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            about = {key: job[key] for key in ("job", "name", "way", "seed") if key in job}
            print(job["name"])
            try:
                for row in rows_of(job, len(jobs) - at, training, folder, until):
                    keep({**about, **row})
            except KeyboardInterrupt:
                keep({**about, "failed": "its time was over", "said": "its time was over"})
                break
            except Exception as error:  # whatever it is, the next job may do
                said = f"{type(error).__name__}: {error}"[:400]
                keep({**about, "failed": said, "said": said})


if __name__ == "__main__":
    main()
