"""What was planned for each device beside what llama.cpp took."""

from __future__ import annotations

from collections.abc import Iterable

from longctx._native import Buffer
from longctx.model_info import format_bytes
from longctx.planner import ContextPlan


def total_bytes(buffers: Iterable[Buffer]) -> int:
    """All of them."""
    return sum(buffer.n_bytes for buffer in buffers)


def compared(plan: ContextPlan, buffers: Iterable[Buffer]) -> str:
    """One line: what was planned and what was taken, of each device with layers and the host."""
    rest, said = list(buffers), list[str]()
    for place in plan.memory.places:
        there = [buffer for buffer in rest if buffer.memory == place.device]
        rest = [buffer for buffer in rest if buffer.memory != place.device]
        said.append(_beside(place.device, place.total_bytes, total_bytes(there)))
    planned = plan.memory.total_bytes - sum(place.total_bytes for place in plan.memory.places)
    planned -= plan.memory.checkpoints_bytes  # which are states, no buffers of llama.cpp
    said.append(_beside("the host", planned, total_bytes(rest)))
    return f"memory of {plan.info.name}: {'; '.join(said)}"


def _beside(where: str, planned: int, taken: int) -> str:
    return f"{where} {format_bytes(planned)} planned, {format_bytes(taken)} taken"
