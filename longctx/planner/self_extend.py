"""Group, block and start of Self-Extend for a model and a window."""

from __future__ import annotations

from longctx.errors import PlanError, UnsupportedModelError
from longctx.model_info import ModelInfo
from longctx.rope import SelfExtendConfig

_GROUP = 8


def choose_self_extend(info: ModelInfo, n_ctx: int) -> SelfExtendConfig:
    """Choose the parameters.

    A model's last quarter of positions is badly trained, so the text stays below three
    quarters of the trained window; blocks are a quarter of it. The group is 4·s, which on
    SmolLM2-135M found facts best (8 at twice the window, 16 at four times).

    Raises:
        UnsupportedModelError: the model's layers do not all see the whole window.
        PlanError: no group reaches the window.
    """
    if set(info.layer_kinds) != {"full"} or info.rope_type not in ("norm", "neox"):
        raise UnsupportedModelError(
            f"{info.name} ({info.architecture}) cannot be self-extended: every layer must see the "
            "whole window with an ordinary RoPE. Use method='ntk' or 'yarn'"
        )
    block = _GROUP
    while 8 * block <= info.n_ctx_train:
        block *= 2
    start = info.n_ctx_train * 3 // 4
    if start >= 2 * block:
        config = SelfExtendConfig(group=_GROUP, block=block, start=start)
        if config.max_tokens >= n_ctx:
            return config
    raise PlanError(
        f"Self-Extend does not reach {n_ctx:,} tokens from a trained window of "
        f"{info.n_ctx_train:,}; ask for less, or use method='yarn'"
    )
