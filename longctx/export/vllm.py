"""vLLM: ``--hf-overrides`` with ``rope_parameters`` and ``--max-model-len``."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

from longctx.export.result import Export
from longctx.export.rope_parameters import by_layer_type, rope_parameters
from longctx.export.served import Served, served
from longctx.planner import ContextPlan
from longctx.rope import Method

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes."""

REPOSITORY = "ORIGINAL_REPOSITORY"
"""Stands for the Hugging Face repository that the GGUF was made from, where none is given."""


def export_vllm(plan: ContextPlan, model: str | None) -> Export:
    """The command of ``vllm serve``, and its overrides of the model's configuration."""
    # Its "dynamic" is a fixed base, and not ours: at s it scales by s² - s + 1.
    methods: tuple[Method, ...] = ("none", "linear", "ntk", "ntk-by-parts", "yarn", "longrope")
    to_run = served(plan, "vLLM", methods, takes_adapters=True)
    overrides = _overrides(to_run)
    text = json.dumps(overrides, indent=2)
    flags = ["--max-model-len", str(plan.n_ctx)]
    if overrides:
        flags += ["--hf-overrides", json.dumps(overrides)]
    to_load, not_loaded = _adapters(to_run)
    flags += to_load
    quantized = plan.kv_type_k in ("q8_0", "q4_0")
    if plan.kv_type_k == "bf16":
        flags += ["--dtype", "bfloat16"]
    command = shlex.join(["vllm", "serve", model or REPOSITORY, *flags])
    return Export(
        engine="vllm",
        n_ctx=plan.n_ctx,
        method=to_run.method,
        scale=to_run.rope.scale,
        kv_type=None if quantized else plan.kv_type_k,
        text=text,
        command=command,
        files={},
        cannot=(*to_run.cannot, *not_loaded, *_lost(to_run, model)),
    )


def _adapters(to_run: Served) -> tuple[list[str], list[str]]:
    """Flags for the LoRA adapters that vLLM can load, and a sentence for each that it cannot."""
    modules, ranks, lost = [], [], []
    for adapter in to_run.adapters:
        folder = adapter.path.with_suffix(".peft")
        rank = _rank(folder)
        if rank is None:
            lost.append(
                f"The adapter {adapter}: vLLM loads none from a GGUF. Give it the folder "
                "of peft that it was converted from: --enable-lora --lora-modules NAME=FOLDER"
            )
        elif adapter.scale != 1:
            lost.append(f"The adapter {adapter}: vLLM knows no scale, so it is left out.")
        else:
            modules.append(f"{adapter.path.name.partition('.')[0]}={folder}")
            ranks.append(rank)
    if not modules:
        return [], lost
    most = next((each for each in _RANKS if each >= max(ranks)), max(ranks))
    flags = ["--enable-lora", "--max-lora-rank", str(most), "--lora-modules", *modules]
    names = ", ".join(module.partition("=")[0] for module in modules)
    lost.append(
        f"One adapter for all: vLLM runs it for requests that name it as their model ({names})."
    )
    return flags, lost


def _rank(folder: Path) -> int | None:
    """The rank of an adapter in peft's folder, as `longctx finetune` writes it beside a GGUF."""
    try:
        return int(json.loads((folder / "adapter_config.json").read_bytes())["r"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _overrides(to_run: Served) -> dict[str, Any]:
    parameters = rope_parameters(to_run)
    plan = to_run.plan
    if parameters is None:
        past = plan.n_ctx > plan.n_ctx_train
        return {"max_position_embeddings": plan.n_ctx} if past else {}
    found: dict[str, Any] = {}
    kind = parameters["rope_type"]
    if kind in ("linear", "yarn"):
        # It multiplies the window by the factor itself, and refuses a larger --max-model-len.
        trained = parameters.get("original_max_position_embeddings", plan.n_ctx_train)
        while trained * parameters["factor"] < plan.n_ctx:
            parameters["factor"] = math.nextafter(parameters["factor"], math.inf)
        if kind == "linear":
            found["max_position_embeddings"] = plan.n_ctx_train
    else:
        found["max_position_embeddings"] = plan.n_ctx
    if kind == "longrope":
        factor = parameters["attention_factor"]
        parameters |= {"short_mscale": factor, "long_mscale": factor}
    key = by_layer_type(to_run)
    return {**found, "rope_parameters": {key: parameters} if key else parameters}


def _lost(to_run: Served, model: str | None) -> list[str]:
    plan, lost = to_run.plan, []
    lost.append(
        "The GGUF's weights: vLLM serves the repository that they were quantised from"
        + ("." if model else f"; put its name in place of {REPOSITORY}.")
    )
    if plan.kv_type_k in ("q8_0", "q4_0"):
        lost.append(
            f"{plan.kv_type_k} keys and values: vLLM keeps them in the model's type; "
            "--kv-cache-dtype fp8 takes as much memory as q8_0, and is something else."
        )
    if plan.is_endless:
        lost.append(
            f"A window that slides over {plan.n_keep} attention sinks: prompt and answer beyond "
            "--max-model-len are refused."
        )
    if by_layer_type(to_run) and to_run.is_scaled:
        lost.append(
            "The sliding layers' RoPE: overrides replace rope_parameters as a whole, so copy "
            "sliding_attention from the repository's config.json beside full_attention."
        )
    if to_run.is_scaled and plan.info.rope_scaling is not None:
        lost.append(
            "This scaling by a formula: the model is scaled already, so it is given as longrope "
            "factors, which vLLM has for models of NEOX-style rotation only."
        )
    return lost
