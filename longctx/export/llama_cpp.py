"""What llama.cpp's own server, and those that wrap it, are told: one table of RoPE settings."""

from __future__ import annotations

import shlex

import numpy as np

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
    """llama.cpp's RoPE settings by the names of its flags; none where the file says it all.

    YaRN needs an explicit frequency scale: the type alone does nothing.
    """
    rope = to_run.rope
    original = {"yarn-orig-ctx": str(rope.original_ctx)}
    # Else the ramp of a file that does not name it goes by the window that is stated for it.
    kept = original if rope.ramp and states_window(to_run) else {}
    if not to_run.is_scaled:
        return kept
    settings = {"rope-freq-base": repr(rope.freq_base)}
    if to_run.method in ("ntk", "dynamic"):
        return {**settings, **kept}
    if to_run.method == "linear":
        return {"rope-scaling": "linear", **settings, "rope-freq-scale": repr(rope.freq_scale)}
    return {
        "rope-scaling": "yarn",
        **settings,
        "rope-freq-scale": repr(_reaching(to_run)),
        **original,
        "yarn-beta-fast": repr(rope.beta_fast),
        "yarn-beta-slow": repr(rope.beta_slow),
    }


def states_window(to_run: Served) -> bool:
    """Whether the file must be said to have been trained for the window: its server runs no
    slot beyond the trained one."""
    return to_run.n_ctx > to_run.info.n_ctx_train


def _reaching(to_run: Served) -> float:
    """The frequency scale of YaRN, less by a rounding error where that costs a token.

    llama.cpp takes the original window over the scale for the trained one, in single precision
    and rounded down: 1,023 of 1,024 tokens.
    """
    rope = to_run.rope
    smaller = float(np.nextafter(np.float32(rope.freq_scale), np.float32(0)))
    if (
        yarn_window(rope.original_ctx, rope.freq_scale)
        < to_run.n_ctx
        <= yarn_window(rope.original_ctx, smaller)
    ):
        return smaller
    return rope.freq_scale


def yarn_window(original_ctx: int, freq_scale: float) -> int:
    """Tokens that llama.cpp takes for the trained window under a YaRN of ours."""
    return int(np.float32(original_ctx) / np.float32(freq_scale))


def falls_short(to_run: Served) -> tuple[str, ...]:
    """That the server caps the window, where a file's numbers do not agree."""
    rope = to_run.rope
    if not to_run.is_scaled or to_run.method not in ("yarn", "ntk-by-parts"):
        return ()
    reached = yarn_window(rope.original_ctx, _reaching(to_run))
    if reached >= to_run.n_ctx:
        return ()
    return (
        f"{to_run.n_ctx:,} tokens: the file was scaled from {rope.original_ctx:,}, by less than "
        f"its window says, and llama.cpp's server caps YaRN at {reached:,}. Export method='ntk'.",
    )


def shifted_yarn(to_run: Served) -> tuple[str, ...]:
    """What sliding under YaRN does in llama.cpp, where the plan asks for it."""
    if not to_run.plan.is_endless or not to_run.rope.ramp:
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
    flags = ["-c", str(plan.n_ctx), "-np", "1"]
    if overrides := _overrides(to_run):
        # Of several flags of this name it takes the last.
        flags += ["--override-kv", ",".join(overrides)]
    for name, value in rope_settings(to_run).items():
        flags += [f"--{name}", value]
    if plan.kv_type_k != "f16":
        flags += ["-ctk", plan.kv_type_k, "-ctv", plan.kv_type_v]
    if plan.kv_type_v in ("q8_0", "q4_0"):
        flags += ["-fa", "on"]
    for adapter in to_run.adapters:
        scaled = adapter.scale != 1
        named = f"{adapter.path}:{adapter.scale!r}" if scaled else str(adapter.path)
        flags += ["--lora-scaled" if scaled else "--lora", named]
    if plan.is_endless:
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
        scale=to_run.rope.scale,
        kv_type=plan.kv_type_k,
        text=text,
        command=f"llama-server -m {shlex.quote(model or str(plan.info.path))} {text}",
        files={},
        cannot=(*to_run.cannot, *falls_short(to_run), *grows(to_run), *lost),
    )


def _overrides(to_run: Served) -> list[str]:
    """Metadata that stands in for the file's."""
    info, rope = to_run.info, to_run.rope
    scaling = f"{info.architecture}.rope.scaling"
    overrides = []
    if states_window(to_run):
        overrides.append(f"{info.architecture}.context_length=int:{to_run.n_ctx}")
        if info.rope_scaling is not None and info.rope_scaling.original_ctx is None:
            # Its default is the window; which of longrope's factors hold goes by it.
            overrides.append(f"{scaling}.original_context_length=int:{rope.original_ctx}")
    if to_run.method == "ntk-by-parts" and to_run.is_scaled:
        # YaRN without its temperature, which only metadata can cancel.
        factor = rope.attention_factor / rope.yarn_attention_factor
        overrides.append(f"{scaling}.attn_factor=float:{factor!r}")
    return overrides
