"""vLLM: ``--hf-overrides`` with ``rope_parameters`` and ``--max-model-len``."""

from __future__ import annotations

import json
import math
import shlex
from typing import Any

from longctx.export.result import Export
from longctx.export.rope_parameters import by_layer_type, rope_parameters
from longctx.export.served import Served, served
from longctx.planner import ContextPlan

REPOSITORY = "ORIGINAL_REPOSITORY"
"""Stands for the Hugging Face repository that the GGUF was made from, where none is given."""


def export_vllm(plan: ContextPlan, model: str | None) -> Export:
    """The command of ``vllm serve``, and its overrides of the model's configuration."""
    # Its "dynamic" is a fixed base, and not ours: at s it scales by s² - s + 1.
    to_run = served(plan, "vLLM", ("none", "linear", "ntk", "ntk-by-parts", "yarn", "longrope"))
    overrides = _overrides(to_run)
    text = json.dumps(overrides, indent=2)
    flags = ["--max-model-len", str(plan.n_ctx)]
    if overrides:
        flags += ["--hf-overrides", json.dumps(overrides)]
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
        cannot=(*to_run.cannot, *_lost(to_run, model)),
    )


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
