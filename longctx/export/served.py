"""What is left of a plan where one window, scaled from the first token, serves all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from longctx.model_info import Adapter, ModelInfo
from longctx.planner import ContextPlan, ProfileParameters
from longctx.planner.context_plan import rope_for_window
from longctx.rope import Method, RopeConfig

_PREFERRED: tuple[Method, ...] = ("yarn", "ntk", "linear")
"""What stands in for a method that an engine lacks, best first (docs/elastic-window.md)."""


@dataclass(frozen=True)
class Served:
    """What an engine is to run, and what of the plan it does not.

    ``n_ctx`` in tokens; ``rope`` holds for all of them. ``adapters`` are those of the plan that
    belong to what is run.
    """

    plan: ContextPlan
    method: Method
    rope: RopeConfig
    adapters: tuple[Adapter, ...]
    cannot: tuple[str, ...]

    @property
    def info(self) -> ModelInfo:
        """The model."""
        return self.plan.info

    @property
    def n_ctx(self) -> int:
        """The window in tokens."""
        return self.plan.n_ctx

    @property
    def is_scaled(self) -> bool:
        """Whether anything is put on top of what the model's own files say."""
        return self.rope.scale > 1


def served(
    plan: ContextPlan, engine: str, methods: Collection[Method], *, takes_adapters: bool = False
) -> Served:
    """Take over what an engine can do, and say what it cannot.

    Args:
        plan: the plan.
        engine: its name, for sentences.
        methods: what it can express; another is replaced by the best measured one of them, or
            else by the first of yarn, ntk and linear.
        takes_adapters: whether the export names the plan's LoRA adapters itself.
    """
    if plan.method in methods:
        method, rope, cannot = plan.rope.method, plan.rope, []
        # Within the trained window a method scales nothing, and the RoPE says "none".
        method = method if plan.rope.scale > 1 else "none"
    else:
        method, parameters, why = _stand_in(plan, methods)
        rope = rope_for_window(plan.info, plan.n_ctx, method, parameters)
        cannot = [
            f"{_what(plan.method)}: {engine} has nothing like it. {method} with s = "
            f"{rope.scale:.4g} stands in, {why}."
        ]
    if plan.window == "elastic" and rope.scale > 1 and plan.n_ctx > plan.n_ctx_train:
        cannot.append(
            f"The elastic window: s = {rope.scale:.4g} holds from the first token on, so short "
            "texts pay for it too (on SmolLM2-135M 4 to 7 % of perplexity at s = 2, 13 to 15 % "
            "at s = 4). Ask for no larger a window than you need."
        )
    if plan.compresses:
        cannot.append(
            f"Compressing a full window: {engine} has nothing like it; what it does with one "
            "that is full stands in."
        )
    fitting = []
    for adapter in plan.adapters:
        if adapter.trained_for is None or plan.method in methods:
            fitting.append(adapter)
        else:
            cannot.append(
                f"The adapter {adapter.path.name}, which is left out: it was trained for "
                f"{adapter.trained_for}, and {method} runs here. `longctx finetune --method "
                f"{method}` trains one for it."
            )
    if fitting and not takes_adapters:
        names = ", ".join(map(str, fitting))
        cannot.append(f"LoRA adapters, which are not carried along: give {engine} {names}.")
    return Served(
        plan=plan, method=method, rope=rope, adapters=tuple(fitting), cannot=tuple(cannot)
    )


def _stand_in(
    plan: ContextPlan, methods: Collection[Method]
) -> tuple[Method, ProfileParameters, str]:
    profile = plan.profile
    rows = [
        row
        for row in (profile.results if profile else ())
        if row.method in methods and row.method != "none" and row.window <= plan.n_ctx
    ]
    if profile and rows:
        window = max(row.window for row in rows)
        best = min((row for row in rows if row.window == window), key=lambda row: row.loss)
        if best.method != "self-extend":  # it is in no engine's methods; the type does not know
            why = f"which a calibration measured as the next best at {window:,} tokens"
            return best.method, best.parameters, why
    method = next(method for method in _PREFERRED if method in methods)
    why = "which was not measured on this model: see `longctx calibrate`"
    return method, ProfileParameters(), why


def _what(method: str) -> str:
    if method == "self-extend":
        return "Self-Extend, which moves cached keys to coarser positions"
    return method
