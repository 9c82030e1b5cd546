"""llama.cpp's samplers as one chain: grammar, top-p, temperature, seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from longctx._native.handle import NativeHandle
from longctx._native.library import last_errors, lib
from longctx._native.model import Model
from longctx.errors import BackendError, RequestError


class HasHandle(Protocol):
    """A context of llama.cpp, by whatever class."""

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_context *``."""


@dataclass(frozen=True)
class SamplerParams:
    """How the next token is drawn. ``temperature`` 0 is greedy; ``seed`` matters above 0."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    grammar: str | None = None


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
    """A sampler chain; it holds the grammar's state, so use one for each answer.

    Raises:
        RequestError: the grammar is malformed.
    """

    def __init__(self, model: Model, params: SamplerParams) -> None:
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        # The grammar looks tokens up in the vocabulary.
        self._handle = NativeHandle(chain, lib.llama_sampler_free, model.handle)
        if params.grammar is not None:
            self._add(_grammar(model, params.grammar))
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

    def sample(self, context: HasHandle, row: int = -1) -> int:
        """Draw the token that follows a row of the last batch; advance the grammar past it."""
        return int(lib.llama_sampler_sample(self.handle, context.handle, row))

    def close(self) -> None:
        """Free the chain. Idempotent."""
        self._handle.close()
