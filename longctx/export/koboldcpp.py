"""KoboldCpp: a frequency scale, a base, and metadata overrides for what else there is of RoPE."""

from __future__ import annotations

import shlex

from longctx.export.llama_cpp import LLAMA_CPP_METHODS, grows, shifted_yarn
from longctx.export.result import Export
from longctx.export.served import Served, served
from longctx.planner import ContextPlan

_CTX = range(256, 262_144 + 1)
_ANSWER = range(64, 8192 + 1)


def export_koboldcpp(plan: ContextPlan, model: str | None) -> Export:
    """Flags of ``koboldcpp``."""
    to_run = served(plan, "KoboldCpp", LLAMA_CPP_METHODS)
    flags = ["--contextsize", str(plan.n_ctx)]
    if plan.info.rope_type != "none":
        # Without it KoboldCpp chooses a base of its own as soon as the window is a larger one.
        flags += ["--ropeconfig", repr(to_run.rope.freq_scale), repr(to_run.rope.freq_base)]
    if overrides := _overrides(to_run):
        flags += ["--overridekv", ",".join(overrides)]
    if plan.kv_type_k != "f16":
        flags += ["--quantkv", plan.kv_type_k]
    if plan.reserve_output in _ANSWER:
        flags += ["--defaultgenamt", str(plan.reserve_output)]
    if plan.overflow == "error":
        flags.append("--noshift")
    text = shlex.join(flags)
    return Export(
        engine="koboldcpp",
        n_ctx=plan.n_ctx,
        method=to_run.method,
        scale=to_run.rope.scale,
        kv_type=plan.kv_type_k,
        text=text,
        command=f"koboldcpp --model {shlex.quote(model or str(plan.info.path))} {text}",
        files={},
        cannot=(*to_run.cannot, *grows(to_run), *_lost(plan), *shifted_yarn(to_run)),
    )


def _overrides(to_run: Served) -> list[str]:
    """Metadata that makes llama.cpp run the ramp; the frequency scale is given beside it."""
    if not to_run.is_scaled or to_run.method not in ("yarn", "ntk-by-parts", "linear"):
        return []
    rope, key = to_run.rope, f"{to_run.info.architecture}.rope.scaling"
    if to_run.method == "linear":
        # A file of another type would keep it.
        return [f"{key}.type=str:linear"] if to_run.info.rope_scaling else []
    overrides = [
        f"{key}.type=str:yarn",
        f"{key}.original_context_length=int:{rope.original_ctx}",
        f"{key}.yarn_beta_fast=float:{rope.beta_fast!r}",
        f"{key}.yarn_beta_slow=float:{rope.beta_slow!r}",
    ]
    if to_run.method == "ntk-by-parts":
        factor = rope.attention_factor / rope.yarn_attention_factor
        overrides.append(f"{key}.attn_factor=float:{factor!r}")
    return overrides


def _lost(plan: ContextPlan) -> list[str]:
    lost = []
    if plan.n_ctx not in _CTX:
        lost.append(f"{plan.n_ctx:,} tokens: KoboldCpp takes {_CTX[0]:,} to {_CTX[-1]:,}.")
    if plan.reserve_output not in _ANSWER:
        lost.append(
            f"{plan.reserve_output:,} tokens for an answer that names no length: KoboldCpp takes "
            f"{_ANSWER[0]:,} to {_ANSWER[-1]:,} there."
        )
    if plan.overflow == "error":
        lost.append(
            "Refusing what does not fit: KoboldCpp drops the oldest tokens of the prompt. Count "
            "before you ask (its /api/extra/tokencount)."
        )
    else:
        lost.append(
            f"{plan.n_keep} attention sinks: context shifting keeps only what a client sends as "
            "memory."
        )
    return lost
