"""The GPU that is there: speed beside the processor's and llama_cpp.Llama's, growth, snapshots,
compression, agreement with the processor, and memory planned and taken.

Each section is a process of its own: what one loses, be it by an abort in a driver, the others
keep. On a machine without a GPU it compares the processor with itself. Nothing is downloaded.

    python benchmarks/gpu.py [--model model.gguf] [--sections speed,growth] [--prompt-tokens 4096]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # from anywhere, installed or not

from machine import save  # noqa: E402  # found by the line above

Figures = dict[str, Any]
LIMIT = "16GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a GGUF; default: the demo model")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--prompt-tokens", type=int, default=4096)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--lengths", default="1024,4096,8192", help="of growth, in tokens")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for a section")
    parser.add_argument("--name", default="gpu", help="of the file in benchmarks/results")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section:
        print("\n" + json.dumps(SECTIONS[options.section](options)))
        return
    figures: Figures = {}
    for section in options.sections.split(","):
        started = time.perf_counter()
        figures[section] = in_a_process(section, options.timeout)
        took = time.perf_counter() - started
        figures[section]["section_s"] = round(took, 2)
        for line in described(section, figures[section]):
            print(line, flush=True)
    print("| speed | ours | llama_cpp.Llama | ratio |\n| --- | --- | --- | --- |")
    for row in speed_rows(figures):
        print(row)
    asked = {**vars(options), "model": Path(options.model).name if options.model else None}
    print("raw figures:", save(options.name, {"options": asked, **figures}))


def in_a_process(section: str, timeout: float) -> Figures:
    """What a section printed last; or how it failed."""
    command = [sys.executable, str(HERE / "gpu.py"), *sys.argv[1:], "--section", section]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {timeout:g} s"}
    if done.returncode:
        return {"failed": f"exit {done.returncode}: {done.stderr.strip()[-600:]}"}
    try:
        found: Figures = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"failed": f"no figures: {done.stdout[-200:]!r} {done.stderr[-400:]!r}"}
    return found


def described(section: str, found: Figures) -> Iterator[str]:
    """Some lines for a terminal."""
    if "failed" in found:
        yield f"{section:<12} FAILED {found['failed']}"
        return
    for row in found.get("rows", [found]):
        shown = (f"{name} {value(each)}" for name, each in row.items() if name != "section_s")
        yield f"{section:<12} {', '.join(shown)}"


def value(each: Any) -> str:
    return f"{each:.4g}" if isinstance(each, float) else str(each)


def speed_rows(figures: Figures) -> Iterator[str]:
    for where in ("gpu", "cpu"):
        ours, theirs = (figures.get(f"{side}_{where}", {}) for side in ("ours", "theirs"))
        for what in ("prefill", "decode"):
            key = f"{what}_tokens_s"
            if key in ours and key in theirs:
                ratio = ours[key] / theirs[key]
                yield f"| {what} {where} | {ours[key]:.0f} | {theirs[key]:.0f} | {ratio:.3f} |"
    for side in ("ours", "theirs"):
        gpu, cpu = (figures.get(f"{side}_{where}", {}) for where in ("gpu", "cpu"))
        for what in ("prefill", "decode"):
            key = f"{what}_tokens_s"
            if key in gpu and key in cpu:
                yield f"| {what} {side}, GPU / CPU | {gpu[key] / cpu[key]:.2f} | | |"


# What is run in a process of its own


def model_path(options: argparse.Namespace) -> str:
    if options.model:
        return str(options.model)
    from longctx.packaged_model import demo_model, fast_copy

    return str(fast_copy(demo_model()))


def opened(options: argparse.Namespace, n_ctx: int, **more: Any) -> Any:
    from longctx import LongContextLLM

    more = {"kv_type": "f16", "memory_limit": LIMIT, "reserve_output": 16, **more}
    return LongContextLLM(model_path(options), n_ctx, **more)


def text_ids(llm: Any, n: int, offset: int = 0) -> list[int]:
    text = " ".join(topics[key] for key in sorted(topics))
    ids: list[int] = llm.tokenize(text[: 10 * (n + offset)])
    while len(ids) < n + offset:
        ids += ids
    return ids[offset : offset + n]


@contextmanager
def timed(into: Figures, name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into[name] = (time.perf_counter() - started) * 1000


def speeds(options: argparse.Namespace, ids: list[int], stream: Callable[..., Any]) -> Figures:
    """Medians of runs on texts that begin otherwise, so that none is found in a cache."""
    n, n_new = options.prompt_tokens, options.new_tokens
    for _ in stream(ids[-64:], 8):
        pass  # kernels are loaded, and the cache is opened
    prefill, decode, counts = [], [], []
    for run in range(options.runs):
        started = time.perf_counter()
        chunks = iter(stream(ids[run + 1 : run + 1 + n], n_new))
        next(chunks)
        first = time.perf_counter()
        counts.append(sum(1 for _ in chunks))
        decode.append(counts[-1] / (time.perf_counter() - first))
        prefill.append(n / (first - started))
    return {
        "prefill_tokens_s": median(prefill), "decode_tokens_s": median(decode),
        "raw_prefill": prefill, "raw_decode": decode, "decoded": counts,
    }  # fmt: skip


def ours(options: argparse.Namespace, n_gpu_layers: Any) -> Figures:
    n_ctx = options.prompt_tokens + options.new_tokens + 64
    with opened(options, n_ctx, n_gpu_layers=n_gpu_layers) as llm:
        ids = text_ids(llm, options.prompt_tokens + options.runs + 128)
        # Drafts would decode several tokens at once; theirs has none.
        found = speeds(
            options, ids, lambda ids, n: llm.stream(ids, max_tokens=n, prompt_lookup=False)
        )
        found["layers"] = f"{llm.plan.placement.gpu_layers}/{llm.plan.placement.n_layers}"
        return found


def theirs(options: argparse.Namespace, *, on_gpu: bool) -> Figures:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    import psutil
    from llama_cpp import Llama

    n_ctx = options.prompt_tokens + options.new_tokens + 320
    threads = psutil.cpu_count(logical=False)
    llm = Llama(
        model_path(options), n_ctx=n_ctx, n_gpu_layers=-1 if on_gpu else 0, n_threads=threads,
        n_threads_batch=threads, flash_attn=True, offload_kqv=on_gpu, op_offload=on_gpu,
        verbose=False,
    )  # fmt: skip
    text = " ".join(topics[key] for key in sorted(topics)).encode()
    ids = llm.tokenize(text, add_bos=False)[: options.prompt_tokens + options.runs + 128]

    def stream(prompt: list[int], n: int) -> Any:
        return llm.create_completion(prompt, max_tokens=n, temperature=0.0, stream=True)

    return speeds(options, ids, stream)


def growth(options: argparse.Namespace) -> Figures:
    """Cached keys re-rotated for twice the trained window, beside a prefill in that window."""
    from longctx import ModelInfo

    trained = ModelInfo.from_gguf(model_path(options)).n_ctx_train
    lengths = [min(int(n), trained) for n in options.lengths.split(",")]
    rows = []
    for n in dict.fromkeys(lengths):
        row: Figures = {"tokens": n}
        with opened(options, 2 * trained, method="ntk") as llm, llm.session() as session:
            ids = text_ids(llm, n)
            # The first growth proves on this model that keys turn as llama.cpp's do.
            with timed(row, "first_ms"), llm.session() as first:
                first.feed(ids[:64])
                first.grow(2 * trained)
            session.feed(ids)
            context = session.shared_context.context
            context.wait()
            with timed(row, "state_out_ms"):
                state = context.get_state(session.sequence)
            with timed(row, "state_in_ms"):
                context.set_state(state, session.sequence)
            before = session.rescale_s
            with timed(row, "grow_ms"):
                session.grow(2 * trained)
                session.next_logits()
            row["rescale_ms"] = (session.rescale_s - before) * 1000
            row["prefilled_again"] = session.prefilled_again
        with (
            opened(options, 2 * trained, method="ntk", window="fixed") as llm,
            llm.session() as fresh,
        ):
            fresh.feed(ids[:64])
            fresh.next_logits()
            fresh.truncate(0)
            with timed(row, "prefill_ms"):
                fresh.feed(ids)
                fresh.next_logits()
        row["ratio"] = row["prefill_ms"] / row["grow_ms"]
        rows.append(row)
    return {"rows": rows, "trained": trained}


def self_extend(options: argparse.Namespace) -> Figures:
    """A text of twice the trained window as it comes: what of it was moving positions."""
    from longctx import ModelInfo

    trained = min(8192, ModelInfo.from_gguf(model_path(options)).n_ctx_train)
    rows = []
    for n in (trained, 2 * trained):
        row: Figures = {"tokens": n}
        target = 4 * ModelInfo.from_gguf(model_path(options)).n_ctx_train
        with opened(options, target, method="self-extend") as llm, llm.session() as session:
            ids = text_ids(llm, n)
            with timed(row, "all_ms"):
                session.feed(ids)
                session.next_logits()
            row["moving_ms"] = session.rescale_s * 1000
            row["share"] = row["moving_ms"] / row["all_ms"]
            row["prefilled_again"] = session.prefilled_again
        rows.append(row)
    return {"rows": rows}


def snapshot(options: argparse.Namespace) -> Figures:
    n = options.prompt_tokens
    found: Figures = {"tokens": n}
    with opened(options, n + 512) as llm, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.session"
        with timed(found, "hash_ms"):
            assert llm.info.sha256  # the file's name in every snapshot, read once
        with llm.session() as session:
            session.feed(text_ids(llm, 64))
            session.next_logits()
            session.truncate(0)
            with timed(found, "prefill_ms"):
                session.feed(text_ids(llm, n))
                session.next_logits()
            expected = session.greedy(16)
            with timed(found, "save_ms"):
                session.save(path)
        found["mib"] = path.stat().st_size / 2**20
        with timed(found, "load_ms"):
            loaded = llm.load_session(path)
        found["same_tokens"] = loaded.greedy(16) == expected
        loaded.close()
    return found


def compression(options: argparse.Namespace) -> Figures:
    n = options.prompt_tokens
    found: Figures = {"tokens": n}
    with opened(options, n + 512) as llm, llm.session() as session:
        session.feed(text_ids(llm, n))
        session.next_logits()
        with timed(found, "compress_ms"):
            session.compress(0.5)
            session.next_logits()
        found["cells"] = session.n_tokens
        found["prefilled_again"] = session.prefilled_again
    return found


def agreement(options: argparse.Namespace) -> Figures:
    """The same text on both: logits, likelihoods, and greedy tokens."""
    import numpy as np

    seen = {}
    n = min(2048, options.prompt_tokens)
    for where, layers in (("gpu", "auto"), ("cpu", 0)):
        with opened(options, n + 512, n_gpu_layers=layers) as llm:
            ids = text_ids(llm, n)
            nats = llm.score(ids)
            with llm.session() as session:
                session.feed(ids)
                seen[where] = session.next_logits()[0].copy(), nats, session.greedy(64)
    (gpu, gpu_nats, gpu_ids), (cpu, cpu_nats, cpu_ids) = seen["gpu"], seen["cpu"]
    p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (cpu, gpu))
    return {
        "tokens": n,
        "largest_difference": float(np.abs(gpu - cpu).max()),
        "logits_std": float(cpu.std()),
        "kl_nats": float(np.sum(p * np.log(p / q))),
        "same_top": bool(gpu.argmax() == cpu.argmax()),
        "perplexity_gpu": float(np.exp(gpu_nats.mean())),
        "perplexity_cpu": float(np.exp(cpu_nats.mean())),
        "same_greedy_tokens": next(
            (i for i, (a, b) in enumerate(zip(gpu_ids, cpu_ids, strict=True)) if a != b), 64
        ),
    }


def memory(options: argparse.Namespace) -> Figures:
    """Planned, what llama.cpp says that it took, and what the device has less."""
    from longctx._native import list_devices

    def free() -> dict[str, int]:
        return {device.name: device.free_bytes for device in list_devices()}

    rows, before = [], free()
    for n_ctx in (8192, 32768):
        # Fixed, so that the whole window is allocated at once.
        with opened(options, n_ctx, window="fixed", method="ntk") as llm:
            llm.generate("Hi", max_tokens=2)
            after = free()
            for place in llm.plan.memory.places:
                taken = sum(b.n_bytes for b in llm.engine.buffers if b.memory == place.device)
                rows.append(
                    {
                        "device": place.device, "n_ctx": n_ctx,
                        "layers": f"{place.n_layers}/{llm.plan.placement.n_layers}",
                        "planned_mib": place.total_bytes / 2**20, "taken_mib": taken / 2**20,
                        "less_free_mib": (before[place.device] - after[place.device]) / 2**20,
                    }
                )  # fmt: skip
            reasons = [reason for reason in llm.plan.reasons if " layers " in reason]
            buffers = [vars(buffer) for buffer in llm.engine.buffers]
    return {"rows": rows, "reasons": reasons, "buffers": buffers}


def together(options: argparse.Namespace) -> Figures:
    """Sixteen short conversations at once, and one alone."""
    found: Figures = {}
    with opened(options, 8192) as llm:
        chats = [[{"role": "user", "content": f"Count from {i} on."}] for i in range(17)]
        llm.chat(chats[16], max_tokens=8)
        for n in (1, 16):
            started = time.perf_counter()
            answers = llm.chat_batch(chats[:n], max_tokens=64, prompt_lookup=False)
            written = sum(answer.usage.completion_tokens for answer in answers)
            found[f"tokens_s_{n}"] = written / (time.perf_counter() - started)
    return found


def devices(_options: argparse.Namespace) -> Figures:
    from longctx._native import build_id, list_devices

    rows = [device.model_dump() for device in list_devices()]
    return {"rows": rows, "build": build_id()}


SECTIONS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "devices": devices,
    "ours_gpu": lambda options: ours(options, "auto"),
    "theirs_gpu": lambda options: theirs(options, on_gpu=True),
    "ours_cpu": lambda options: ours(options, 0),
    "theirs_cpu": lambda options: theirs(options, on_gpu=False),
    "growth": growth,
    "self_extend": self_extend,
    "snapshot": snapshot,
    "compression": compression,
    "agreement": agreement,
    "memory": memory,
    "together": together,
}


if __name__ == "__main__":
    main()
