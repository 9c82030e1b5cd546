"""transformers: a configuration, and the Python that loads a model with it."""

from __future__ import annotations

import json
from typing import Any, get_args

from longctx.export.result import Export
from longctx.export.rope_parameters import by_layer_type, rope_parameters
from longctx.export.served import Served, served
from longctx.export.vllm import REPOSITORY
from longctx.planner import ContextPlan
from longctx.rope import Method


def export_transformers(plan: ContextPlan, model: str | None) -> Export:
    """``rope_parameters`` and ``max_position_embeddings``, and a script that loads with them."""
    to_run = served(plan, "transformers", get_args(Method))
    config = _config(to_run)
    quantized = plan.kv_type_k in ("q8_0", "q4_0")
    return Export(
        engine="transformers",
        n_ctx=plan.n_ctx,
        method=to_run.method,
        scale=to_run.rope.scale,
        kv_type=None if quantized else plan.kv_type_k,
        text=json.dumps(config, indent=2),
        command="python load_model.py",
        files={"load_model.py": _script(to_run, config, model or REPOSITORY)},
        cannot=(*_of_dynamic(to_run), *_lost(to_run, model)),
    )


def _is_dynamic(to_run: Served) -> bool:
    return to_run.method == "dynamic" and to_run.is_scaled and to_run.info.rope_scaling is None


def _config(to_run: Served) -> dict[str, Any]:
    parameters = rope_parameters(to_run)
    if parameters is not None and _is_dynamic(to_run):
        # With factor 1 it is NTK-aware at (tokens so far / trained window), which must stay.
        parameters |= {
            "rope_type": "dynamic",
            "factor": 1.0,
            "rope_theta": to_run.info.rope_freq_base,
        }
        return {
            "max_position_embeddings": to_run.plan.n_ctx_train,
            "rope_parameters": _nested(to_run, parameters),
        }
    config: dict[str, Any] = {"max_position_embeddings": to_run.n_ctx}
    if parameters is not None:
        config["rope_parameters"] = _nested(to_run, parameters)
    return config


def _nested(to_run: Served, parameters: dict[str, Any]) -> dict[str, Any]:
    key = by_layer_type(to_run)
    return {key: parameters} if key else parameters


def _script(to_run: Served, config: dict[str, Any], repository: str) -> str:
    lines = [
        "from transformers import AutoConfig, AutoModelForCausalLM",
        "",
        f"repository = {repository!r}",
        "config = AutoConfig.from_pretrained(repository)",
        f"config.max_position_embeddings = {config['max_position_embeddings']}",
    ]
    if "rope_parameters" in config:
        # Names, numbers and lists: its JSON is Python, too.
        shown = json.dumps(config["rope_parameters"], indent=4)
        # Sliding layers keep theirs.
        change = (
            "config.rope_parameters |= " if by_layer_type(to_run) else "config.rope_parameters = "
        )
        lines.append(change + shown)
    lines.append(
        'model = AutoModelForCausalLM.from_pretrained(repository, config=config, dtype="auto")'
    )
    if not to_run.plan.is_endless:
        lines.append(f"model.generation_config.max_length = {to_run.n_ctx}")
    return "\n".join(lines) + "\n"


def _of_dynamic(to_run: Served) -> tuple[str, ...]:
    if not _is_dynamic(to_run):
        return to_run.cannot
    # It does grow with the text, so that this takes the place of what the others lose.
    return (
        "Re-rotating cached keys: the base grows with the text, but keys that are in the cache "
        "stay rotated under the smaller one.",
    )


def _lost(to_run: Served, model: str | None) -> list[str]:
    plan = to_run.plan
    lost = [
        "The GGUF's weights: transformers loads the repository that they were quantised from"
        + ("." if model else f"; put its name in place of {REPOSITORY}."),
    ]
    if plan.kv_type_k in ("q8_0", "q4_0"):
        lost.append(
            f"{plan.kv_type_k} keys and values: generate(cache_implementation='quantized') is its "
            "own way of keeping them in 8 or 4 bits."
        )
    if plan.is_endless:
        lost.append(
            f"A window that slides over {plan.n_keep} attention sinks: there is no such cache; the "
            "text grows until memory ends."
        )
    else:
        lost.append(
            "Refusing what does not fit: transformers goes past max_position_embeddings. Count "
            "before you generate."
        )
    return lost
