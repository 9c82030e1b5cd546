"""Whether cached keys of a model can be turned to other positions, and which of their pairs."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.model_info.architectures import INDEXED, INTERLEAVED_MROPE, RopeType


def turning_obstacle(architecture: str, rope_type: RopeType) -> str | None:
    """Why no cached key of a model can be re-rotated; None if they can.

    What is said here is known from the file; what llama.cpp does with it is proved on the model
    itself before the first move.
    """
    if rope_type == "none":
        return "it has no RoPE"
    if architecture in INDEXED:
        return "its sparse attention keeps a second cache, for an indexer"
    return None


def still_pairs(
    architecture: str, rope_type: RopeType, sections: Sequence[int], n_rot: int
) -> tuple[int, ...]:
    """Pairs of a key's rotary dimensions that M-RoPE does not turn on text.

    Each pair follows one of four positions: time, height, width, and a fourth that llama.cpp leaves
    at 0. Of a text the first three are one, so all pairs but those of the fourth turn as NEOX's do.

    Args:
        architecture: whose pairs may be interleaved.
        rope_type: of the model.
        sections: how many pairs each position has (the file's ``rope.dimension_sections``).
        n_rot: dimensions that are rotated.
    """
    if rope_type != "mrope" or not sum(sections):
        return ()
    time, height, width, *_ = (*sections, 0, 0)
    total = sum(sections)
    of_fourth = []
    for pair in range(n_rot // 2):
        sector = pair % total
        if architecture in INTERLEAVED_MROPE:
            turns = sector < 3 * (time, height, width)[sector % 3]
        else:
            turns = sector < time + height + width
        if not turns:
            of_fourth.append(pair)
    return tuple(of_fourth)
