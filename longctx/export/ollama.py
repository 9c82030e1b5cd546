"""Ollama: a Modelfile, and an environment.

Its Modelfile lost ``rope_frequency_base`` and ``rope_frequency_scale`` in 2024. Since it runs
models through llama-server, which it starts with its own environment, llama.cpp's variables
``LLAMA_ARG_…`` reach the model. It never opens a window beyond the trained one that the file
states, so a larger one needs a copy of the file that states it.
"""

from __future__ import annotations

import re
import shlex

from longctx.export.llama_cpp import (
    CUT_ANSWERS,
    falls_short,
    grows,
    rope_settings,
    shifted_yarn,
    states_window,
)
from longctx.export.result import Export
from longctx.export.served import Served, served
from longctx.planner import ContextPlan, KvType

_VARIABLES = {
    "rope-scaling": "LLAMA_ARG_ROPE_SCALING_TYPE",
    "rope-freq-base": "LLAMA_ARG_ROPE_FREQ_BASE",
    "rope-freq-scale": "LLAMA_ARG_ROPE_FREQ_SCALE",
    "yarn-orig-ctx": "LLAMA_ARG_YARN_ORIG_CTX",
    "yarn-beta-fast": "LLAMA_ARG_YARN_BETA_FAST",
    "yarn-beta-slow": "LLAMA_ARG_YARN_BETA_SLOW",
}


def export_ollama(plan: ContextPlan, model: str | None) -> Export:
    """A Modelfile, and the environment of ``ollama serve``."""
    # A metadata override has no variable, so NTK-by-parts cannot be said.
    to_run = served(
        plan, "Ollama", ("none", "linear", "ntk", "dynamic", "yarn"), takes_adapters=True
    )
    gguf = model or str(plan.info.path)
    name = re.sub(r"[^a-z0-9._]+", "-", plan.info.name.lower()).strip("-.") or "model"
    lines = []
    source = gguf
    if states_window(to_run):
        source = f"./{name}-{plan.n_ctx}.gguf"
        key = f"{plan.info.architecture}.context_length"
        lines = [
            f"cp {shlex.quote(gguf)} {shlex.quote(source)}",
            f"gguf-set-metadata --force {shlex.quote(source)} {key} {plan.n_ctx}",
        ]
    kv_type: KvType = plan.kv_type_k if plan.kv_type_k != "bf16" else "f16"
    variables = {_VARIABLES[key]: value for key, value in rope_settings(to_run).items()}
    if kv_type != "f16":
        variables |= {"OLLAMA_KV_CACHE_TYPE": kv_type, "OLLAMA_FLASH_ATTENTION": "1"}
    serve = " ".join([*(f"{key}={value}" for key, value in variables.items()), "ollama serve &"])
    modelfile = _modelfile(to_run, source)
    return Export(
        engine="ollama",
        n_ctx=plan.n_ctx,
        method=to_run.method,
        scale=to_run.rope.scale,
        kv_type=kv_type,
        text=modelfile,
        command="\n".join([*lines, serve, f"ollama create {name} -f Modelfile"]),
        files={"Modelfile": modelfile},
        cannot=(*to_run.cannot, *grows(to_run), *_lost(to_run, bool(variables))),
    )


def _modelfile(to_run: Served, source: str) -> str:
    plan = to_run.plan
    adapters = [f"ADAPTER {adapter.path}" for adapter in to_run.adapters if adapter.scale == 1]
    parameters = {"num_ctx": plan.n_ctx}
    if plan.reserve_output:
        parameters["num_predict"] = plan.reserve_output
    if plan.is_endless:
        parameters["num_keep"] = plan.n_keep
    lines = [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    return "\n".join([f"FROM {source}", *adapters, *lines]) + "\n"


def _lost(to_run: Served, has_variables: bool) -> list[str]:
    plan, lost = to_run.plan, list(falls_short(to_run))
    lost += [
        f"The adapter {adapter}: a Modelfile has no scale, so it is left out."
        for adapter in to_run.adapters
        if adapter.scale not in (0, 1)
    ]
    if has_variables:
        lost.append(
            "Settings of one model: a Modelfile knows neither RoPE nor the cache's type, so they "
            "stand in the environment of `ollama serve` and hold for every model that it runs. "
            "RoPE needs a version that runs models by llama-server (2026); an older one ignores it."
        )
    if states_window(to_run):
        lost.append(
            f"A window past the {plan.n_ctx_train:,} tokens that the file states: Ollama cuts "
            "num_ctx down to them, so a copy of the file that states "
            f"{plan.n_ctx:,} is made with gguf-set-metadata (pip install gguf)."
        )
    if plan.kv_type_k == "bf16":
        lost.append("bf16 keys and values: Ollama has f16, q8_0 and q4_0; f16 it is.")
    if plan.overflow == "error":
        lost.append(
            "Refusing what does not fit: Ollama drops the oldest messages, unless a request says "
            '"truncate": false and "shift": false.'
        )
        lost.append(CUT_ANSWERS)
    else:
        lost.append(
            "Attention sinks by message: num_keep counts the first tokens, and a prompt that is "
            "too long loses whole messages."
        )
    return [*lost, *shifted_yarn(to_run)]
