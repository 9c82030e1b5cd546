"""What llama.cpp's own server, and those that wrap it, are told: one table of RoPE settings."""

from __future__ import annotations

import shlex

from longctx.export.result import Export
from longctx.export.served import Served, served
from longctx.planner import ContextPlan
from longctx.rope import Method

LLAMA_CPP_METHODS: tuple[Method, ...] = (
    "none",
    "linear",
    "ntk",
    "dynamic",
    "ntk-by-parts",
    "yarn",
)

CUT_ANSWERS = (
    "Refusing what does not fit: the prompt alone is checked, and an answer that reaches the "
    "window's end is cut there (finish_reason 'length')."
)


def rope_settings(to_run: Served) -> dict[str, str]:
    """llama.cpp's RoPE settings by the names of its flags; none where nothing is scaled.

    YaRN needs an explicit frequency scale: the type alone does nothing.
    """
    rope = to_run.rope
    if not to_run.is_scaled:
        return {}
    settings = {"rope-freq-base": repr(rope.freq_base)}
    if to_run.method in ("ntk", "dynamic"):
        return settings
    settings["rope-freq-scale"] = repr(rope.freq_scale)
    if to_run.method == "linear":
        return {"rope-scaling": "linear", **settings}
    return {
        "rope-scaling": "yarn",
        **settings,
        "yarn-orig-ctx": str(rope.original_ctx),
        "yarn-beta-fast": repr(rope.beta_fast),
        "yarn-beta-slow": repr(rope.beta_slow),
    }


def shifted_yarn(to_run: Served) -> tuple[str, ...]:
    """What sliding under YaRN does in llama.cpp, where the plan asks for it."""
    if not to_run.plan.slides or not to_run.rope.ramp:
        return ()
    return (
        f"Sliding under {to_run.method}: llama.cpp multiplies every key by the attention factor "
        f"({to_run.rope.yarn_attention_factor:.4g}) again at each shift, and the text decays. "
        "Export method='ntk' for a window that slides.",
    )


def grows(to_run: Served) -> tuple[str, ...]:
    """That a dynamic scale is a fixed one here."""
    if to_run.method != "dynamic" or not to_run.is_scaled:
        return ()
    return ("dynamic: the base is that of the whole window, and does not grow with the text.",)


def export_llama_server(plan: ContextPlan, model: str | None) -> Export:
    """Flags of ``llama-server``."""
    to_run = served(plan, "llama-server", LLAMA_CPP_METHODS, takes_adapters=True)
    rope = to_run.rope
    flags = ["-c", str(plan.n_ctx), "-np", "1"]
    for name, value in rope_settings(to_run).items():
        flags += [f"--{name}", value]
    if to_run.method == "ntk-by-parts" and to_run.is_scaled:
        # YaRN without its temperature, which only metadata can cancel.
        factor = rope.attention_factor / rope.yarn_attention_factor
        key = f"{plan.info.architecture}.rope.scaling.attn_factor"
        flags += ["--override-kv", f"{key}=float:{factor!r}"]
    if plan.kv_type_k != "f16":
        flags += ["-ctk", plan.kv_type_k, "-ctv", plan.kv_type_v]
    if plan.kv_type_v in ("q8_0", "q4_0"):
        flags += ["-fa", "on"]
    for adapter in plan.adapters:
        scaled = adapter.scale != 1
        named = f"{adapter.path}:{adapter.scale!r}" if scaled else str(adapter.path)
        flags += ["--lora-scaled" if scaled else "--lora", named]
    if plan.slides:
        # As many tokens of an answer as the window holds, for it would have no end.
        flags += ["--context-shift", "--keep", str(plan.n_keep), "-n", str(plan.n_ctx)]
        lost: tuple[str, ...] = (
            "Attention sinks by message: --keep counts the first tokens, wherever the system "
            "message ends; a prompt longer than the window is refused.",
            *shifted_yarn(to_run),
        )
    else:
        flags.append("--no-context-shift")
        lost = (CUT_ANSWERS,)
    text = shlex.join(flags)
    return Export(
        engine="llama-server",
        n_ctx=plan.n_ctx,
        method=to_run.method,
        scale=rope.scale,
        kv_type=plan.kv_type_k,
        text=text,
        command=f"llama-server -m {shlex.quote(model or str(plan.info.path))} {text}",
        files={},
        cannot=(*to_run.cannot, *grows(to_run), *lost),
    )
