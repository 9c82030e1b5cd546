"""Time to first token from a snapshot in a new process, against prefilling the same prompt.

python benchmarks/resume.py [--prompts 2048 4096 7680] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import LongContextLLM


def first_token(n: int, cache_dir: str | None, threads: int) -> dict[str, Any]:
    """In this process: load the model, answer one token to a prompt of ``n`` tokens."""
    started = time.perf_counter()
    with LongContextLLM(
        None, 8192, cache_dir=cache_dir, n_threads=threads, reserve_output=16
    ) as llm:
        loaded_s = time.perf_counter() - started
        text = "\n\n".join(topics[name].strip() for name in sorted(topics))
        prompt = llm.detokenize(llm.tokenize(text[: n * 8])[:n])
        started = time.perf_counter()
        result = llm.generate(prompt, max_tokens=1)
        return {
            "load_s": loaded_s,
            "ttft_s": time.perf_counter() - started,
            "prefilled_tokens": result.usage.prefilled_tokens,
            "cached_tokens": result.usage.cached_tokens,
            "text": result.text,
        }


def in_new_process(n: int, cache_dir: str | None, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(n), "--threads", str(threads)]
    command += ["--cache-dir", cache_dir] if cache_dir else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[2048, 4096, 7680])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cache-dir", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(first_token(options.one, options.cache_dir, options.threads)))
        return
    print("| prompt | prefill | from the snapshot | ratio | file |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    rows = []
    for n in options.prompts:
        with tempfile.TemporaryDirectory() as folder:
            in_new_process(n, folder, options.threads)
            pairs = [
                (
                    in_new_process(n, None, options.threads),
                    in_new_process(n, folder, options.threads),
                )
                for _ in range(options.repeats)
            ]
            n_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*.session"))
        assert all(cold["text"] == warm["text"] for cold, warm in pairs)
        assert all(warm["prefilled_tokens"] <= 2 for _, warm in pairs), pairs
        rows.append({"tokens": n, "bytes": n_bytes, "pairs": pairs})
        cold = median(pair[0]["ttft_s"] for pair in pairs)
        warm = median(pair[1]["ttft_s"] for pair in pairs)
        print(
            f"| {n:,} | {cold:.1f} s | {warm * 1000:.0f} ms | {cold / warm:.0f} | "
            f"{n_bytes / 1e6:.0f} MB |",
            flush=True,
        )
    print("raw figures:", save("resume", {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
