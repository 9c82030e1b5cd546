"""A batch: tokens of several sequences, where they stand, and which of them are followed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx._native.library import lib


@dataclass(frozen=True)
class Part:
    """What a batch has of one sequence: tokens at ``first_position`` and the positions after.

    The logits that follow the last ``n_outputs`` of them are kept.
    """

    tokens: Sequence[int] | NDArray[np.int32]
    first_position: int
    seq_id: int
    n_outputs: int = 1


class Batch:
    """A ``llama_batch`` whose arrays are numpy's, so that each is written at once.

    Args:
        n_most: tokens that it may have.

    Attributes:
        native: what llama.cpp takes; it points into the arrays here.
        output_rows: places in the batch of the tokens whose logits are kept, in order.
    """

    def __init__(self, n_most: int) -> None:
        self._tokens = np.zeros(n_most, np.int32)
        self._positions = np.zeros(n_most, np.int32)
        self._outputs = np.zeros(n_most, np.int8)
        self._sequences = np.zeros(n_most, np.int32)
        # Each token may stand in several sequences; here in one, so each list of them has one.
        self._n_sequences = np.ones(n_most, np.int32)
        first, step = self._sequences.ctypes.data, self._sequences.itemsize
        self._lists = np.arange(first, first + step * n_most, step, dtype=np.uintp)
        types: dict[str, Any] = dict(lib.llama_batch._fields_)
        pointers = {
            name: ctypes.cast(values.ctypes.data, types[name])
            for name, values in (
                ("token", self._tokens),
                ("pos", self._positions),
                ("n_seq_id", self._n_sequences),
                ("seq_id", self._lists),
                ("logits", self._outputs),
            )
        }
        self.native = lib.llama_batch(n_tokens=0, **pointers)
        self.output_rows: list[int] = []

    def fill(self, parts: Sequence[Part]) -> list[int]:
        """Let it be of these parts, one behind the other; the place of the last token of each."""
        tokens, positions, sequences = list[int](), list[int](), list[int]()
        rows, outputs = list[int](), list[int]()
        for part in parts:
            tokens.extend(part.tokens)
            end, n = len(tokens), len(part.tokens)
            positions.extend(range(part.first_position, part.first_position + n))
            sequences.extend([part.seq_id] * n)
            outputs.extend(range(end - part.n_outputs, end))
            rows.append(end - 1)
        n = self.native.n_tokens = len(tokens)
        # From lists, which is faster than a slice for each part where most have one token.
        self._tokens[:n] = tokens
        self._positions[:n] = positions
        self._sequences[:n] = sequences
        self._outputs[:n] = 0
        self._outputs[outputs] = 1
        self.output_rows = outputs
        return rows
