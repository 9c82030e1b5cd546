"""What the cache room asks of a backend, so that another engine can stand in for llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from longctx._native import Part
from longctx.backends.threads import DecodeThreads
from longctx.model_info import ModelInfo
from longctx.planner import ContextPlan
from longctx.rope import RopeConfig


class KVContext(Protocol):
    """One KV cache of fixed size and RoPE; :class:`longctx._native.Context` documents each."""

    @property
    def handle(self) -> Any:
        """What a sampler reads the last logits from."""

    @property
    def n_ctx(self) -> int:
        """Cells that a sequence may take, as far as others leave them where it is unified."""

    @property
    def n_sequences(self) -> int:
        """Sequences that may stand in the cache; 1 where they cannot share cells."""

    @property
    def n_outputs(self) -> int:
        """Tokens of a batch whose logits can be read at once."""

    @property
    def is_unified(self) -> bool:
        """Whether sequences share cells; else a copied sequence is a copy of its cells."""

    @property
    def n_batch(self) -> int:
        """Tokens that one :meth:`decode` takes at most."""

    def decode(
        self,
        tokens: Sequence[int] | NDArray[np.int32],
        first_position: int,
        *,
        seq_id: int = 0,
        outputs: Literal["none", "last", "all"] = "last",
    ) -> None:
        """Run one batch at consecutive positions."""

    def decode_parts(self, parts: Sequence[Part]) -> list[int]:
        """Run one batch with tokens of several sequences; the row of the last logits of each."""

    def logits(self, n_rows: int = 1, *, row: int = -1) -> NDArray[np.float32]:
        """float32[n_rows, n_vocab] of the last batch; a single row is the last, or ``row``."""

    def likeliest(self, row: int) -> int | None:
        """The token whose logit in a row is largest; None where one is not a number."""

    def wait(self) -> None:
        """Come back when the last batch is computed."""

    def set_threads(self, n_threads: int) -> None:
        """Use another number of threads."""

    def remove(self, first_position: int, *, seq_id: int = 0) -> bool:
        """Drop what stands at ``first_position`` and behind; False if it cannot be done."""

    def copy_sequence(self, source: int, target: int) -> None:
        """Let ``target`` have all cells of ``source``, shared or copied."""

    def first_position(self, seq_id: int = 0) -> int:
        """Smallest position of a sequence; -1 when empty."""

    def last_position(self, seq_id: int = 0) -> int:
        """Largest position of a sequence; -1 when empty."""

    def get_state(self, seq_id: int = 0, *, partial: bool = False) -> NDArray[np.uint8]:
        """Copy keys, values and positions of a sequence out; ``partial`` those that slide, and
        recurrent states."""

    def set_state(
        self, state: NDArray[np.uint8], seq_id: int = 0, *, partial: bool = False
    ) -> None:
        """Put a state in place of a sequence."""

    def close(self) -> None:
        """Free the cache."""


class Backend(Protocol):
    """The weights of one model, and contexts over them for any window and RoPE."""

    @property
    def info(self) -> ModelInfo:
        """What the file says about itself."""

    @property
    def plan(self) -> ContextPlan:
        """The window that was planned."""

    @property
    def n_threads(self) -> int:
        """Threads of prefill, in llama.cpp."""

    @property
    def host_threads(self) -> int:
        """Threads of what is computed on cached keys here, wherever the model runs."""

    @property
    def decode_threads(self) -> DecodeThreads | None:
        """Chooses the threads of decode; None where the user did."""

    @property
    def holds_sequences(self) -> bool:
        """Whether a cache can hold several sequences at no cost but their cells."""

    @property
    def attends_on_cpu(self) -> bool:
        """Whether attention is the processor's work, for some layers at least."""

    def checkpoint(self) -> None:
        """Called before each batch of one text; raises where nobody waits for it any more."""

    def open(
        self,
        n_ctx: int,
        rope: RopeConfig,
        *,
        n_outputs: int,
        n_sequences: int = ...,
        unified: bool = True,
    ) -> KVContext:
        """Create a KV cache whose cells so many sequences share, or have as many each."""

    def close(self) -> None:
        """Free the weights."""
