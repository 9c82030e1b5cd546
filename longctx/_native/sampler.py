"""llama.cpp's samplers as one chain, in its own order."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from typing import Any, Protocol

from longctx._native.bias import biased_tokens
from longctx._native.handle import NativeHandle
from longctx._native.library import last_errors, lib
from longctx._native.model import Model
from longctx.errors import BackendError, RequestError
from longctx.sampling import Sampling

_DRY_BREAKERS = b"\n", b":", b'"', b"*"  # llama.cpp's defaults
_MOST_REMEMBERED = 2**20  # tokens; llama.cpp takes memory for all of them at once
_POSSIBLE = 1e-30
"""Less likely than the likeliest by this factor, a token's probability may be 0 in float32: of that
typical-p would take the logarithm, and XTC with a threshold of 0 would keep a token that the
grammar forbids, and no other, over which llama.cpp ends the process."""


class HasHandle(Protocol):
    """A context of llama.cpp, by whatever class."""

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_context *``."""


def check_grammar(model: Model, grammar: str) -> None:
    """Parse a grammar whose root is ``root``, and forget it.

    Raises:
        RequestError: it is malformed.
    """
    NativeHandle(_grammar(model, grammar), lib.llama_sampler_free).close()


def _grammar(model: Model, grammar: str) -> Any:
    vocabulary = lib.llama_model_get_vocab(model.handle)
    sampler = lib.llama_sampler_init_grammar(vocabulary, grammar.encode(), b"root")
    if not sampler:
        raise RequestError(f"llama.cpp refuses the grammar: {last_errors()}")
    return sampler


class Sampler:
    """A sampler chain; it holds the grammar's state and what was drawn, so use one for each answer.

    The order is llama.cpp's: bias, penalties, DRY, top-k, typical-p, top-p, min-p, XTC,
    temperature. Penalties and DRY see the prompt, as in its server; the grammar does not.

    Args:
        model: whose tokens are drawn.
        sampling: how; without a seed one is drawn.
        grammar: that the answer is held to; its root is ``root``.
        history: the tokens before the answer.
        n_ahead: tokens that the answer may have; penalties look at no more than it and all of
            ``history``.

    Raises:
        RequestError: the grammar is malformed, or a bias is of a token that there is not.
    """

    def __init__(
        self,
        model: Model,
        sampling: Sampling,
        *,
        grammar: str | None = None,
        history: Sequence[int] = (),
        n_ahead: int = 0,
    ) -> None:
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        # The grammar looks tokens up in the vocabulary.
        self._handle = NativeHandle(chain, lib.llama_sampler_free, model.handle)
        if grammar is not None:
            self._add(_grammar(model, grammar))
        n_text = min(len(history) + n_ahead, _MOST_REMEMBERED)
        self._add_penalties(model, sampling, history, n_text)
        seed = random.getrandbits(32) if sampling.seed is None else sampling.seed
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
        elif sampling.mirostat:
            self._add(lib.llama_sampler_init_temp(sampling.temperature))
            tau, eta = sampling.mirostat_tau, sampling.mirostat_eta
            self._add(lib.llama_sampler_init_mirostat_v2(seed, tau, eta))
        else:
            self._add_choice(sampling, seed)
            self._add(lib.llama_sampler_init_temp(sampling.temperature))
            self._add(lib.llama_sampler_init_dist(seed))

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
            breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)
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

    def sample(self, context: HasHandle, row: int = -1) -> int:
        """Draw the token that follows a row of the last batch; advance the grammar past it, and
        remember it for the penalties."""
        return int(lib.llama_sampler_sample(self.handle, context.handle, row))

    def close(self) -> None:
        """Free the chain. Idempotent."""
        self._handle.close()
