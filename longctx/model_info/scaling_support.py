"""Which layers of a model a change of RoPE reaches, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from longctx.model_info.architectures import (
    INDEXED,
    SLIDING_LAYERS_FOLLOW_OUR_BASE,
)
from longctx.model_info.layers import Layer

ScalingSupport: TypeAlias = Literal["full", "global-layers", "none"]


def judge_scaling(
    architecture: str, layers: Sequence[Layer], window: int | None
) -> tuple[ScalingSupport, tuple[str, ...]]:
    """Say which layers scaling serves, and why.

    Args:
        architecture: the file's architecture.
        layers: what each layer keeps.
        window: tokens that the sliding layers see.

    Returns:
        The support and sentences about the layers: ``none`` where no layer that sees the whole
        window carries RoPE, ``global-layers`` where sliding layers keep their own frequencies.
    """
    whole = [layer for layer in layers if layer.kind in ("full", "mla")]
    sliding = [layer for layer in layers if layer.kind == "sliding"]
    recurrent = [layer for layer in layers if layer.kind == "recurrent" or layer.state_elements]
    notes = []
    if recurrent:
        notes.append(
            f"{len(recurrent)} of {len(layers)} layers keep a recurrent state of fixed size, which "
            "has no positions to scale; cutting a text back restores one that was kept on the way."
        )
    if sliding:
        notes.append(f"{len(sliding)} of {len(layers)} layers see only the last {window:,} tokens.")
    without_rope = sum(not layer.has_rope for layer in whole)
    if whole and without_rope:
        notes.append(
            f"{without_rope} of {len(whole)} layers that see the whole window carry no RoPE."
        )
    if any(layer.kind == "mla" for layer in layers):
        notes.append("Keys are compressed (MLA); their rotary part is re-rotated.")
    if architecture in INDEXED:
        notes.append("Sparse attention keeps an indexer cache that the memory estimate leaves out.")

    if not any(layer.has_rope for layer in whole):
        notes.append("No layer that sees the whole window has RoPE, so scaling has no effect.")
        return "none", tuple(notes)
    if sliding and architecture not in SLIDING_LAYERS_FOLLOW_OUR_BASE:
        notes.append("The sliding layers keep their own RoPE; scaling reaches the others.")
        return "global-layers", tuple(notes)
    return "full", tuple(notes)
