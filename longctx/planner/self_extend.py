"""Group, block and start of Self-Extend for a model and a window."""

from __future__ import annotations

from longctx.errors import PlanError, UnsupportedModelError
from longctx.model_info import ModelInfo
from longctx.planner.profile import ProfileParameters
from longctx.rope import SelfExtendConfig

_GROUP = 8


def self_extend_obstacle(
    info: ModelInfo, n_ctx: int = 0, parameters: ProfileParameters | None = None
) -> str | None:
    """Why a model's keys cannot share positions, or not up to a window; None if they can.

    Args:
        info: the model.
        n_ctx: the window in tokens; 0 asks about the model alone.
        parameters: those that are meant, if not the formula's.
    """
    if info.scaling_support == "none":
        return "no layer that sees the whole window has RoPE"
    if (obstacle := info.turning_obstacle) is not None:
        return obstacle
    if _block(info) < _GROUP or info.n_ctx_train * 3 // 4 < 2 * _block(info):
        return f"its trained window of {info.n_ctx_train:,} tokens is too short for blocks"
    reach = _config(info, parameters).max_tokens
    if reach < n_ctx:
        return f"a trained window of {info.n_ctx_train:,} tokens reaches {reach:,} with it"
    return None


def choose_self_extend(
    info: ModelInfo, n_ctx: int, parameters: ProfileParameters | None = None
) -> SelfExtendConfig:
    """Choose the configuration: the one given, or what the study found best.

    A model's last quarter of positions is badly trained, so the text stays below three
    quarters of the trained window. Blocks are a quarter of it, rounded down to a power of 2
    of groups of 8 (docs/elastic-window.md has the other groups and blocks).

    Raises:
        UnsupportedModelError: the model's keys cannot be moved.
        PlanError: blocks at one position each would not reach the window.
    """
    obstacle = self_extend_obstacle(info)
    if obstacle is not None:
        raise UnsupportedModelError(
            f"{info.name} ({info.architecture}) cannot be self-extended: {obstacle}. Use "
            "method='ntk' or 'yarn'"
        )
    config = _config(info, parameters)
    if config.max_tokens < n_ctx:
        raise PlanError(
            f"Self-Extend reaches {config.max_tokens:,} tokens from a trained window of "
            f"{info.n_ctx_train:,}, not {n_ctx:,}; ask for less, or use method='yarn'",
            largest_ctx=config.max_tokens,
        )
    return config


def _config(info: ModelInfo, parameters: ProfileParameters | None) -> SelfExtendConfig:
    given = parameters.self_extend if parameters else None
    return given or SelfExtendConfig(
        group=_GROUP, block=_block(info), start=info.n_ctx_train * 3 // 4
    )


def _block(info: ModelInfo) -> int:
    block = _GROUP
    while 8 * block <= info.n_ctx_train:
        block *= 2
    return block
