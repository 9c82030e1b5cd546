"""Training sequences as one row of tensors, one behind the other: nothing is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.finetune.attention import Blocks, Turned, begins
from longctx.finetune.mixture import TrainingSequence
from longctx.finetune.placement import Placement


@dataclass(frozen=True)
class Seen:
    """Which keys each block of queries sees.

    ``queries`` and ``keys`` are int32[blocks + 1], ``n_queries`` and ``n_keys`` the lengths of the
    blocks. Where keys move, ``index`` is int64[keys], the token of each key, and ``moved``
    float32[keys], by how many positions it is seen from where the token stood itself.
    """

    queries: Tensor
    keys: Tensor
    n_queries: tuple[int, ...]
    n_keys: tuple[int, ...]
    index: Tensor | None
    moved: Tensor | None

    def on(self, device: torch.device) -> Seen:
        """The same in a device's memory."""
        return replace(self, **_tensors_on(self, device))

    def blocks(self, inv_freq: Tensor) -> Blocks:
        """The blocks under these frequencies, float32[n_rot / 2]."""
        turned = None
        if self.index is not None and self.moved is not None:
            angles = self.moved[:, None, None] * inv_freq
            turned = Turned(self.index, angles.cos(), angles.sin())
        return Blocks(self.queries, self.keys, self.n_queries, self.n_keys, turned)


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model together.

    ``ids`` and ``positions`` are int64[n]. ``rows`` is int64[rows], the tokens whose next one is
    wanted, ``wanted`` int64[rows] what it is, and ``weights`` float32[rows] what it counts.
    """

    ids: Tensor
    positions: Tensor
    seen: Seen
    rows: Tensor
    wanted: Tensor
    weights: Tensor

    def on(self, device: torch.device) -> Batch:
        """The same in a device's memory; a GPU need not be waited for."""
        return replace(self, seen=self.seen.on(device), **_tensors_on(self, device))


def packed(sequences: Sequence[TrainingSequence]) -> Batch:
    """Put sequences one behind the other."""
    firsts = np.cumsum([0, *(len(each.ids) for each in sequences)])
    rows = [np.flatnonzero(each.weights[1:]) for each in sequences]
    return Batch(
        ids=_tensor([each.ids for each in sequences]),
        positions=_tensor([each.placement.own for each in sequences]),
        seen=seen_by([each.placement for each in sequences]),
        rows=_tensor([at + first for at, first in zip(rows, firsts[:-1], strict=True)]),
        wanted=_tensor([each.ids[1:][at] for each, at in zip(sequences, rows, strict=True)]),
        weights=_tensor([each.weights[1:][at] for each, at in zip(sequences, rows, strict=True)]),
    )


def seen_by(placements: Sequence[Placement]) -> Seen:
    """What the blocks of sequences see that lie one behind the other."""
    n_queries, n_keys = [], []
    index: list[NDArray[np.int64]] = []
    moved: list[NDArray[np.int64]] = []
    first = 0
    for placement in placements:
        for view in placement.views:
            n_queries.append(view.end - view.begin)
            n_keys.append(view.end)
            index.append(np.arange(first, first + view.end))
            moved.append(view.keys - placement.own[: view.end])
        first += len(placement.own)
    moves = any(np.any(each) for each in moved) or n_queries != n_keys
    return Seen(
        queries=_pinned(begins(tuple(n_queries))),
        keys=_pinned(begins(tuple(n_keys))),
        n_queries=tuple(n_queries),
        n_keys=tuple(n_keys),
        index=_tensor(index) if moves else None,
        moved=_tensor(moved, np.float32) if moves else None,
    )


def in_parts(
    sequences: Sequence[TrainingSequence], most_tokens: int
) -> Iterator[list[TrainingSequence]]:
    """Sequences in their order, as many at a time as together are so many tokens, or one."""
    part: list[TrainingSequence] = []
    n = 0
    for sequence in sequences:
        if part and n + len(sequence.ids) > most_tokens:
            yield part
            part, n = [], 0
        part.append(sequence)
        n += len(sequence.ids)
    if part:
        yield part


def _tensor(parts: Sequence[NDArray[Any]], dtype: Any = None) -> Tensor:
    return _pinned(torch.from_numpy(np.concatenate(parts, dtype=dtype)))


def _pinned(tensor: Tensor) -> Tensor:
    """The same where a GPU reads it by itself; from elsewhere, the processor waits for the copy."""
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def _tensors_on(found: Batch | Seen, device: torch.device) -> dict[str, Any]:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {
        name: value.to(device, non_blocking=True)
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
