"""Our prefill, decode and peak memory against ``llama_cpp.Llama`` with the same settings.

Each run is a process of its own, and the two sides alternate, so that a machine whose speed
drifts slows both. Ratios are ours / theirs of medians.

    python benchmarks/overhead.py [--runs 5] [--prompt-tokens 2048] [--new-tokens 64]
        [--billion --save-as overhead_billion]
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

N_CTX = 8192


def source_text(n_tokens: int) -> str:
    return " ".join(topics[key] for key in sorted(topics))[: n_tokens * 8]


def run_ours(n_prompt: int, n_new: int, threads: int, model: str) -> dict[str, float]:
    from longctx import LongContextLLM

    llm = LongContextLLM(model, N_CTX, n_threads=threads, kv_type="f16", memory_limit="8GiB")
    prompt = llm.detokenize(llm.tokenize(source_text(n_prompt))[:n_prompt])
    return measure(lambda text, n: llm.stream(text, max_tokens=n), prompt, n_new)


def run_theirs(n_prompt: int, n_new: int, threads: int, model: str) -> dict[str, float]:
    import os

    # The same wait policy for both sides, or theirs spins and the comparison is of that. And
    # nothing of longctx: what it imports is memory of ours alone.
    os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    from llama_cpp import Llama

    llm = Llama(
        model,
        n_ctx=N_CTX,
        n_threads=threads,
        n_threads_batch=threads,
        flash_attn=True,
        verbose=False,
    )
    ids = llm.tokenize(source_text(n_prompt).encode(), add_bos=False)[:n_prompt]
    prompt = llm.detokenize(ids).decode()
    return measure(
        lambda text, n: llm.create_completion(text, max_tokens=n, temperature=0.0, stream=True),
        prompt,
        n_new,
    )


def measure(stream, prompt: str, n_new: int) -> dict[str, float]:
    for _ in stream(prompt[:20], 2):
        pass  # ours opens its KV cache at the first call, theirs in the constructor
    started = time.perf_counter()
    chunks = stream(prompt, n_new)
    next(chunks)
    first = time.perf_counter()
    pieces = sum(1 for _ in chunks)
    ended = time.perf_counter()
    return {
        "prefill_s": first - started,
        "decode_s": ended - first,
        "chunks": pieces,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """The most memory that this process has had; ``ru_maxrss`` begins with its parent's."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=2048)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", help="a GGUF; default: the demo model")
    parser.add_argument(
        "--billion", action="store_true", help="a generated model, of batch.py: Q8_0, 1 GB"
    )
    parser.add_argument("--save-as", default="overhead", help="name of the results' file")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run = run_ours if options.side == "ours" else run_theirs
        threads, model = options.threads, options.model
        print(json.dumps(run(options.prompt_tokens, options.new_tokens, threads, model)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, options.model or str(generated_or_demo(options.billion, Path(folder))))


def generated_or_demo(is_generated: bool, folder: Path) -> Path:
    # Here, for the other side imports nothing of longctx.
    from batch import billion

    from longctx.packaged_model import demo_model, fast_copy

    return billion(folder) if is_generated else fast_copy(demo_model())


def compare(options: argparse.Namespace, model: str) -> None:
    """Run both sides by turns, and tell."""
    from machine import save

    runs: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    for number in range(options.runs):
        for side in runs:
            arguments = [sys.executable, __file__, "--side", side, "--model", model]
            for name in ("prompt-tokens", "new-tokens", "threads"):
                arguments += [f"--{name}", str(getattr(options, name.replace("-", "_")))]
            done = subprocess.run(arguments, capture_output=True, text=True, check=True)
            runs[side].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"run {number + 1} {side}: {runs[side][-1]}", flush=True)
    print("\n| ours / llama_cpp.Llama | ours | theirs | ratio | aim |")
    print("| --- | --- | --- | --- | --- |")
    for key, name, unit, aim in (
        ("prefill_s", "prefill speed", options.prompt_tokens, "≥ 0.98"),
        ("decode_s", "decode speed", options.new_tokens, "≥ 0.98"),
        ("peak_bytes", "peak memory", None, "≤ 1.02"),
    ):
        ours, theirs = (median(run[key] for run in runs[side]) for side in runs)
        if unit is None:
            row = f"{ours / 2**20:.0f} MiB | {theirs / 2**20:.0f} MiB | {ours / theirs:.3f}"
        else:
            row = f"{unit / ours:.1f} tok/s | {unit / theirs:.1f} tok/s | {theirs / ours:.3f}"
        print(f"| {name} | {row} | {aim} |")
    print(
        "raw figures:",
        save(
            options.save_as, {"options": {**vars(options), "model": Path(model).name}, "runs": runs}
        ),
    )


if __name__ == "__main__":
    main()
