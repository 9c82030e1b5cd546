"""llama.cpp's samplers as one chain: top-p, temperature, seed; over all tokens, or some."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from longctx._native.handle import NativeHandle
from longctx._native.library import lib
from longctx.errors import BackendError

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""``llama_token_data``."""


class HasLogits(Protocol):
    """A context of llama.cpp, by whatever class."""

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_context *``."""

    def logits(self, n_rows: int = 1, *, row: int = -1) -> NDArray[np.float32]:
        """float32[n_rows, n_vocab] of the last batch; a single row is the last, or ``row``."""


@dataclass(frozen=True)
class SamplerParams:
    """How the next token is drawn. ``temperature`` 0 is greedy; ``seed`` matters above 0."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Sampler:
    """A sampler chain; it holds the state of its random numbers, so use one for each answer."""

    def __init__(self, params: SamplerParams) -> None:
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._handle = NativeHandle(chain, lib.llama_sampler_free)
        if params.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
        else:
            if params.top_p < 1:
                self._add(lib.llama_sampler_init_top_p(params.top_p, 1))
            self._add(lib.llama_sampler_init_temp(params.temperature))
            self._add(lib.llama_sampler_init_dist(params.seed))

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_sampler *``.

        Raises:
            BackendError: it is closed.
        """
        if not self._handle.is_open:
            raise BackendError("this sampler is closed")
        return self._handle

    def _add(self, sampler: Any) -> None:
        """Put a sampler at the chain's end; the chain frees it."""
        lib.llama_sampler_chain_add(self._handle, sampler)

    def sample(
        self, context: HasLogits, row: int = -1, *, mask: NDArray[np.uint32] | None = None
    ) -> int:
        """Draw the token that follows a row of the last batch.

        Args:
            context: of the batch.
            row: of it.
            mask: uint32[(n_vocab + 31) // 32], the bits of the tokens that may be drawn; None is
                all. The logits in the context stay as they are.

        Raises:
            BackendError: the mask allows no token.
        """
        if mask is None:
            return int(lib.llama_sampler_sample(self.handle, context.handle, row))
        logits = context.logits(row=row)[0]
        bits = np.unpackbits(mask.view(np.uint8), count=logits.size, bitorder="little")
        allowed = np.flatnonzero(bits)
        # llama.cpp asserts that there is one, which ends the process.
        if not allowed.size:
            raise BackendError("no token of the vocabulary may follow, not even one that ends")
        return self._among(allowed, logits[allowed])

    def _among(self, tokens: NDArray[np.intp], logits: NDArray[np.float32]) -> int:
        candidates = np.zeros(tokens.size, _CANDIDATE)
        candidates["id"] = tokens
        # A softmax of infinities is no number, and what is then drawn is none of these.
        if not np.isfinite(logits).all():
            logits = np.nan_to_num(logits, nan=-1e30, posinf=1e30, neginf=-1e30)
        candidates["logit"] = logits
        array = lib.llama_token_data_array(
            data=candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data)),
            size=candidates.size,
            selected=-1,
            sorted=False,
        )
        lib.llama_sampler_apply(self.handle, ctypes.byref(array))
        # Samplers may sort and shorten the array; ``selected`` counts in what they made of it.
        if not 0 <= array.selected < array.size:
            raise BackendError("llama.cpp drew no token: the logits of the last batch are unusable")
        token = int(array.data[array.selected].id)
        lib.llama_sampler_accept(self.handle, token)
        return token

    def close(self) -> None:
        """Free the chain. Idempotent."""
        self._handle.close()
