"""Answers in streams, apart from the cells of others, against answers among them.

Conversations of two turns are held at once, each about a text of its own; before that, some are
held that are only kept (``--kept``). Either way is a process of its own, and they alternate.
``cpu`` is the time of all threads, which other programs disturb less than the clock.

    python benchmarks/kv_streams.py [--talks 16] [--kept 0] [--characters 1200] [--window 16384]
        [--repeats 3] [--save-as kv_streams]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import LongContextLLM, demo_model
from longctx._native import quantize
from longctx.engine import kv_streams

WAYS = ("streams", "shared cells")


def talk(llm: LongContextLLM, text: str) -> None:
    """Two turns."""
    messages = [{"role": "user", "content": f"{text}\n\nWhat is this about?"}]
    first = llm.chat(messages, max_tokens=48)
    messages += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "Say it in other words."},
    ]
    llm.chat(messages, max_tokens=48)


def run(way: str, options: argparse.Namespace, model: str) -> dict[str, float]:
    """All conversations at once, in this process."""
    if way == "shared cells":
        kv_streams.WORTH_CELLS = sys.maxsize
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    n = options.characters
    texts = [text[i * n : (i + 1) * n] for i in range(options.kept + options.talks)]
    with LongContextLLM(model, options.window, n_threads=options.threads) as llm:
        llm.chat([{"role": "user", "content": "Say hello."}], max_tokens=4)
        for each in texts[: options.kept]:
            llm.chat([{"role": "user", "content": each}], max_tokens=1)
        cpu, clock = time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(options.talks) as pool:
            list(pool.map(lambda each: talk(llm, each), texts[options.kept :]))
        return {"cpu_s": time.process_time() - cpu, "seconds": time.perf_counter() - clock}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--talks", type=int, default=16)
    parser.add_argument("--characters", type=int, default=1200, help="of each text")
    parser.add_argument("--window", type=int, default=16_384)
    parser.add_argument("--kept", type=int, default=0, help="conversations held before")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--save-as", default="kv_streams", help="name of the results' file")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run(options.way, options, options.model)))
        return
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "demo.f16.gguf"
        quantize(demo_model(), model, "f16")
        for repeat in range(options.repeats):
            for way in WAYS:
                again = [sys.executable, *sys.argv, "--way", way, "--model", str(model)]
                done = subprocess.run(again, check=True, capture_output=True, text=True)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"repeat {repeat + 1}, {way}: {found[way][-1]}", flush=True)
    print("| answers in | cpu | clock |\n| --- | --- | --- |")
    for way, runs in found.items():
        cpu, clock = (median(each[name] for each in runs) for name in ("cpu_s", "seconds"))
        print(f"| {way} | {cpu:.1f} s | {clock:.1f} s |")
    told = {key: value for key, value in vars(options).items() if key not in ("way", "model")}
    print("raw figures:", save(options.save_as, {"options": told, "runs": found}))


if __name__ == "__main__":
    main()
