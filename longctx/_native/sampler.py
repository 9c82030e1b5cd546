"""llama.cpp's samplers as one chain, in its own order; over all tokens, or some."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from longctx._native.bias import biased_tokens
from longctx._native.handle import NativeHandle
from longctx._native.library import lib, sample_now
from longctx._native.model import Model
from longctx.errors import BackendError
from longctx.sampling import Sampling

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""``llama_token_data``."""
_MOST_REMEMBERED = 2**20  # tokens; llama.cpp takes memory for all of them at once
_MIROSTAT_M = 100  # likeliest tokens that version 1 fits a line to, as llama.cpp does
_POSSIBLE = 1e-30
"""Less likely than the likeliest by this factor, a token's probability may be 0 in float32: of that
typical-p and mirostat 1 would take the logarithm, and XTC with a threshold of 0 would keep a token
that the grammar forbids, and no other, over which llama.cpp ends the process."""


class HasLogits(Protocol):
    """A context of llama.cpp, by whatever class."""

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_context *``."""

    def logits(self, n_rows: int = 1, *, row: int = -1) -> NDArray[np.float32]:
        """float32[n_rows, n_vocab] of the last batch; a single row is the last, or ``row``."""

    def likeliest(self, row: int) -> int | None:
        """The token whose logit in a row is largest; None where one is not a number."""


class Sampler:
    """A sampler chain; it remembers what was drawn, so use one for each answer.

    The order is llama.cpp's: bias, penalties, DRY, top-k, typical-p, top-p, min-p, XTC,
    temperature. Penalties and DRY see the prompt, as in its server.

    Args:
        model: whose tokens are drawn.
        sampling: how; without a seed one is drawn.
        history: the tokens before the answer.
        n_ahead: tokens that the answer may have; penalties look at no more than it and all of
            ``history``.

    Raises:
        RequestError: a bias is of a token that there is not.
    """

    def __init__(
        self,
        model: Model,
        sampling: Sampling,
        *,
        history: Sequence[int] = (),
        n_ahead: int = 0,
    ) -> None:
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        # DRY looks tokens up in the vocabulary.
        self._handle = NativeHandle(chain, lib.llama_sampler_free, model.handle)
        n_text = min(len(history) + n_ahead, _MOST_REMEMBERED)
        self._add_penalties(model, sampling, history, n_text)
        seed = random.getrandbits(32) if sampling.seed is None else sampling.seed
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
        elif sampling.mirostat:
            self._add(lib.llama_sampler_init_temp(sampling.temperature))
            tau, eta = sampling.mirostat_tau, sampling.mirostat_eta
            if sampling.mirostat == 1:
                self._add(lib.llama_sampler_init_min_p(_POSSIBLE, 2))
                self._add(
                    lib.llama_sampler_init_mirostat(model.n_vocab, seed, tau, eta, _MIROSTAT_M)
                )
            else:
                self._add(lib.llama_sampler_init_mirostat_v2(seed, tau, eta))
        else:
            self._add_choice(sampling, seed)
            self._add(lib.llama_sampler_init_temp(sampling.temperature))
            self._add(lib.llama_sampler_init_dist(seed))
        is_alone = lib.llama_sampler_chain_n(self._handle) == 1
        self._is_argmax = sampling.temperature <= 0 and is_alone

    def _add_penalties(
        self, model: Model, sampling: Sampling, history: Sequence[int], n_text: int
    ) -> None:
        """What changes logits, at temperature 0 too."""

        def remembering(sampler: Any, n: int) -> None:
            for token in history[-n:]:
                lib.llama_sampler_accept(sampler, token)
            self._add(sampler)

        def window(n: int) -> int:
            return n_text if n < 0 else min(n, n_text)

        if bias := biased_tokens(model, sampling.logit_bias):
            array = (lib.llama_logit_bias * len(bias))(*bias)
            self._add(lib.llama_sampler_init_logit_bias(model.n_vocab, len(bias), array))
        if sampling.penalises and (n := window(sampling.repeat_last_n)):
            remembering(
                lib.llama_sampler_init_penalties(
                    model.n_vocab,
                    n,
                    sampling.repeat_penalty,
                    sampling.frequency_penalty,
                    sampling.presence_penalty,
                ),
                n,
            )
        if sampling.is_dry and (n := window(sampling.dry_penalty_last_n)):
            texts = [text.encode() for text in sampling.dry_sequence_breakers]
            breakers = (ctypes.c_char_p * len(texts))(*texts)
            remembering(
                lib.llama_sampler_init_dry(
                    lib.llama_model_get_vocab(model.handle),
                    sampling.dry_multiplier,
                    sampling.dry_base,
                    min(sampling.dry_allowed_length, n_text),
                    n,
                    breakers,
                    len(breakers),
                ),
                n,
            )

    def _add_choice(self, sampling: Sampling, seed: int) -> None:
        """What narrows the choice; one token is always left."""
        if sampling.top_k:
            self._add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.typical_p < 1 or sampling.xtc_probability > 0:
            self._add(lib.llama_sampler_init_min_p(_POSSIBLE, 1))
        if sampling.typical_p < 1:
            self._add(lib.llama_sampler_init_typical(sampling.typical_p, 1))
        if sampling.top_p < 1:
            self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.xtc_probability > 0:
            self._add(
                lib.llama_sampler_init_xtc(
                    sampling.xtc_probability, sampling.xtc_threshold, 1, seed
                )
            )

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
            # The chain would write a candidate for each token of the vocabulary first, which takes
            # several times as long.
            token = context.likeliest(row) if self._is_argmax else None
            return int(sample_now(self.handle, context.handle, row)) if token is None else token
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
