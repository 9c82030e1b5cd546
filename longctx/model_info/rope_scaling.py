"""How a model's file scales its RoPE already."""

from __future__ import annotations

from typing import Literal

from longctx.errors import ModelFileError
from longctx.model_info.keys import ArchitectureKeys
from longctx.types import Frozen


class RopeScaling(Frozen):
    """What the file already applies to its RoPE; ours composes with it.

    ``factor`` is s as the model was trained (1 where only ``frequency_factors`` say it),
    ``original_ctx`` the window in tokens before that, where the file names it. ``attn_factor``
    and the YaRN betas are None where the file leaves llama.cpp's defaults.
    """

    type: Literal["linear", "yarn", "longrope", "frequency-factors"]
    factor: float = 1.0
    original_ctx: int | None = None
    attn_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None

    def __str__(self) -> str:
        text = self.type + (f" x{self.factor:g}" if self.factor != 1 else "")
        return text + (f" from {self.original_ctx:,} tokens" if self.original_ctx else "")


def read_rope_scaling(keys: ArchitectureKeys) -> RopeScaling | None:
    """What the file scales its RoPE by; None where it does not.

    Raises:
        ModelFileError: it names a scaling that llama.cpp does not know, or an impossible factor.
    """
    kind = keys.text("rope.scaling.type", "linear")
    if kind not in ("none", "linear", "yarn", "longrope"):
        raise ModelFileError(
            f"{keys.header.path} names a RoPE scaling {kind[:60]!r}; llama.cpp knows none, linear, "
            "yarn and longrope, and aborts over others. Convert the model again"
        )
    factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 0.0))
    factors = {name for name in keys.header.tensors if name.startswith("rope_f")}
    if kind == "none" or (kind == "linear" and factor in (0.0, 1.0)):
        if not factors:
            return None
        kind = "frequency-factors"
    if not 0 <= factor < 1e6:
        raise ModelFileError(
            f"{keys.header.path} scales its RoPE by {factor:g}: it is damaged. Download it again"
        )
    return RopeScaling(
        type=kind,  # type: ignore[arg-type]  # checked above
        factor=1.0 if kind == "frequency-factors" else factor or 1.0,
        original_ctx=keys.integer("rope.scaling.original_context_length", 0) or None,
        attn_factor=_optional(keys, "rope.scaling.attn_factor"),
        beta_fast=_optional(keys, "rope.scaling.yarn_beta_fast"),
        beta_slow=_optional(keys, "rope.scaling.yarn_beta_slow"),
    )


def _optional(keys: ArchitectureKeys, key: str) -> float | None:
    return keys.number(key, 0.0) if key in keys else None
