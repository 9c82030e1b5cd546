"""Fine-tuning on a GPU, within a time that is kept whatever happens.

    python benchmarks/finetune_gpu.py text sweep train --model MODEL --seconds 300 --out OUT
    python benchmarks/finetune_gpu.py measure --model MODEL --seconds 180 --out OUT
    python benchmarks/finetune_gpu.py --table OUT/results.json

``text`` collects docstrings of all packages that lie here, ``sweep`` tries rank, learning rate and
mixture on the tests' small model, ``train`` teaches MODEL its window in several ways, ``measure``
reads with the adapters and without. Each stage has a share of the seconds that are left; its work
is done by processes that are interrupted when the share ends, and ended when they do not listen.
What was made by then is in OUT: results.json and the adapters. The same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import Pool, TimeoutError
from pathlib import Path
from typing import Any

from finetune import unseen_prose
from finetune_tables import tables

from longctx.finetune.prose import docstrings

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
JOBS = Path(__file__).with_name("finetune_jobs.py")
STAGES = {"text": 0.5, "sweep": 4.0, "train": 10.0, "measure": 6.0}
"""In their order, and the share of the seconds that each has beside those that follow it."""

RATES = (2e-3, 5e-3, 1.25e-2)
WAYS: dict[str, dict[str, Any]] = {
    "self-extend": {},
    "yarn, full length": {"method": "yarn", "full_length": True},
    "self-extend, full length": {"full_length": True},
    "yarn": {"method": "yarn"},
}
_GRACE_S = 8.0  # from the interrupt to the kill


def sweep_jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One seed of all before the next, so that an end at any time leaves whole tables."""
    tried: dict[str, dict[str, Any]] = {"defaults": {}}
    for rank in (16, 64, 4):
        for rate in RATES:
            tried[f"rank {rank}, rate {rate:g}"] = {"rank": rank, "learning_rate": rate}
    tried |= {way: changes for way, changes in WAYS.items() if changes}
    tried |= {f"recall {share:.0%}": {"recall_share": share} for share in (0.0, 0.5, 0.95)}
    tried |= {f"answers count {n}": {"answer_weight": n} for n in (1.5, 16.0)}
    tried |= {f"{n} tokens a step": {"step_tokens": n} for n in (2048, 65_536)}
    for seed in range(options.seeds):
        for way, changes in tried.items():
            if options.only and way not in options.only:
                continue
            name = f"{way}, seed {seed}"
            extend = {"tokens": options.sweep_tokens, "seed": seed, "step_tokens": 16_384}
            yield {
                "job": "sweep", "name": name, "way": way, "seed": seed, "model": str(TINY),
                "target": 4096, "text": str(options.work / "short.txt"), "texts": options.texts,
                "unseen": str(options.work / "unseen.txt"),
                "extend": {**extend, **changes, "device": options.device},
            }  # fmt: skip


def train_jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One after the other, so that each has the GPU; the adapters go to OUT."""
    for way in options.ways:
        yield {
            "job": "train", "name": way, "model": options.model, "target": options.target,
            "text": str(options.work / "text.txt"), "to": str(options.out / adapter_name(way)),
            "extend": {**WAYS[way], "device": options.device, **options.extend},
        }  # fmt: skip


def measure_jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The model as it is, under each map, and with each adapter that there is."""
    plain: dict[str, dict[str, Any]] = {
        "as it was": {"method": "none"},
        "self-extend, untrained": {"method": "self-extend", "window": "elastic"},
        "yarn, untrained": {"method": "yarn", "window": "fixed"},
    }
    adapters = [(way, options.out / adapter_name(way)) for way in WAYS]
    variants = {way: {"adapters": [str(path)]} for way, path in adapters if path.exists()}
    # What was trained first: the rest is known from other measurements.
    for name, changes in {**variants, **plain}.items():
        yield {
            "job": "measure", "name": name, "model": options.model, "target": options.target,
            "open": changes, "lengths": options.lengths, "texts": options.texts,
        }  # fmt: skip


def adapter_name(way: str) -> str:
    return way.replace(", ", "-").replace(" ", "-") + ".lora.gguf"


def collect_text(options: argparse.Namespace, until: float) -> dict[str, Any]:
    """Docstrings of the packages beside this Python, but for transformers', which are measured."""
    folders = {
        path.resolve()
        for place in map(Path, sys.path)
        if place.name in ("site-packages", "dist-packages") or place.name.startswith("python3")
        if place.is_dir()
        for path in sorted(place.iterdir())
        if path.is_dir() and path.name not in ("transformers", "site-packages", "__pycache__")
    }
    texts: list[str] = []
    jobs = [(str(folder), options.characters // 12) for folder in sorted(folders)]
    with Pool(options.workers) as pool:  # whose processes end with this block, done or not
        found = pool.imap_unordered(of_package, jobs)
        with suppress(StopIteration, TimeoutError):
            while True:
                texts.append(found.next(timeout=max(0.1, until - time.time())))
    texts = sorted(filter(None, texts), key=len)
    whole = "\n\n".join(texts)[: options.characters]
    (options.work / "text.txt").write_text(whole, "utf-8")
    short = "\n\n".join(text[: options.characters // 100] for text in texts)
    (options.work / "short.txt").write_text(short[:3_000_000], "utf-8")
    (options.work / "unseen.txt").write_text(unseen_prose(), "utf-8")
    return {"job": "text", "name": "text", "characters": len(whole), "packages": len(texts)}


def of_package(job: tuple[str, int]) -> str:
    text = "\n\n".join(docstrings(Path(job[0]), job[1]))
    return text.encode(errors="replace").decode()


def run_jobs(
    options: argparse.Namespace, jobs: list[dict[str, Any]], until: float, n_workers: int
) -> Iterator[dict[str, Any]]:
    """Let processes do jobs until a time; yields their rows as they come."""
    folder = Path(tempfile.mkdtemp(dir=options.work))
    (folder / "jobs.json").write_text(json.dumps({"until": until - _GRACE_S, "jobs": jobs}))
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}
    if n_workers > 1:
        environment["OMP_NUM_THREADS"] = "1"
    workers = []
    for n in range(min(n_workers, len(jobs))):
        with (folder / f"{n}.log").open("w") as log:
            command = [sys.executable, str(JOBS), str(folder), str(n)]
            workers.append(
                subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
            )
    seen = [0] * len(workers)
    said_at = time.time()
    try:
        while True:
            is_over = all(worker.poll() is not None for worker in workers)
            for n in range(len(workers)):
                path = folder / f"{n}.rows"
                rows = path.read_text().splitlines() if path.exists() else []
                yield from map(json.loads, rows[seen[n] :])
                seen[n] = len(rows)
            if is_over or time.time() > until - _GRACE_S:
                break
            if time.time() - said_at > options.say_every:
                said_at = time.time()
                for n in range(min(2, len(workers))):
                    lines = (folder / f"{n}.log").read_text().splitlines()
                    print(f"  {until - said_at:4.0f} s left | {lines[-1][:150] if lines else ''}")
            time.sleep(0.25)
    finally:
        end(workers)
    for n in range(len(workers)):
        path = folder / f"{n}.rows"
        yield from map(
            json.loads, path.read_text().splitlines()[seen[n] :] if path.exists() else []
        )
        if seen[n] == 0 and not path.exists():
            log_text = (folder / f"{n}.log").read_text()
            print(f"  worker {n} made nothing: {log_text[-600:]}", flush=True)


def end(workers: Iterable[subprocess.Popen[bytes]]) -> None:
    """Interrupt those that still run, and end those that do not stop for it."""
    running = [worker for worker in workers if worker.poll() is None]
    for worker in running:
        worker.send_signal(signal.SIGINT)
    kill_at = time.time() + _GRACE_S - 1
    while any(worker.poll() is None for worker in running) and time.time() < kill_at:
        time.sleep(0.1)
    for worker in running:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


class Results:
    """The rows, in a file that is whole at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = json.loads(path.read_text())["figures"]

    def add(self, row: dict[str, Any]) -> None:
        """Put a row behind the others, and write all."""
        self.rows.append(row)
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"machine": machine, "figures": self.rows}, indent=1) + "\n")
        part.replace(self.path)

    def has(self, job: dict[str, Any]) -> bool:
        """Whether a job was done, to its end."""
        found = [row for row in self.rows if (row["job"], row["name"]) == (job["job"], job["name"])]
        return any("whole" in row for row in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], default=[])
    parser.add_argument("--model", help="a GGUF; default: the demo's")
    parser.add_argument("--target", type=int, default=32_768)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, default=Path("build/finetune-gpu"))
    parser.add_argument("--work", type=Path, help="for text and checkpoints; default: OUT/work")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--measurers", type=int, default=3, help="processes that measure at once")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=3, help="recall is over as many")
    parser.add_argument("--only", nargs="+", help="ways of the sweep, by their names in its table")
    parser.add_argument("--sweep-tokens", type=int, default=2_000_000)
    parser.add_argument("--characters", type=int, default=40_000_000, help="of text, at most")
    parser.add_argument("--lengths", type=int, nargs="+", default=[8192, 16_384, 32_768])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS)[:3])
    parser.add_argument("--extend", type=json.loads, default={}, help="JSON, for extend() in train")
    parser.add_argument("--say-every", type=float, default=15.0)
    parser.add_argument("--table", type=Path, help="print what such a file holds, as Markdown")
    options = parser.parse_args()
    if options.table is not None:
        print(tables(json.loads(options.table.read_text())["figures"]))
        return
    ends_at = time.time() + options.seconds
    if options.model is None:
        from longctx.packaged_model import demo_model

        options.model = str(demo_model())
    options.work = options.work or options.out / "work"
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results(options.out / "results.json")
    stages = [stage for stage in STAGES if stage in options.stages]
    needs_text = {"sweep", "train"} & set(stages) and not (options.work / "unseen.txt").exists()
    if needs_text and "text" not in stages:
        stages.insert(0, "text")
    for n, stage in enumerate(stages):
        now = time.time()
        shares = [STAGES[each] for each in stages[n:]]
        until = now + (ends_at - now) * shares[0] / sum(shares)
        print(f"{stage}: {until - now:.0f} s at most", flush=True)
        if stage == "text":
            if not (options.work / "unseen.txt").exists():
                results.add(collect_text(options, until))
                print(f"  {results.rows[-1]}", flush=True)
            continue
        made = {"sweep": sweep_jobs, "train": train_jobs, "measure": measure_jobs}[stage](options)
        jobs = [job for job in made if not results.has(job)]
        n_workers = {"sweep": options.workers, "train": 1, "measure": options.measurers}[stage]
        for row in run_jobs(options, jobs, until, n_workers) if jobs else ():
            results.add(row)
            if row.get("whole") or "failed" in row:
                print(f"  {row['name']}: {row['said']}", flush=True)
        print(f"{stage}: took {time.time() - now:.0f} s", flush=True)


if __name__ == "__main__":
    main()
