"""llama.cpp's samplers as one chain: grammar, top-p, temperature, seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from longctx._native.library import last_errors, lib
from longctx._native.model import Model
from longctx.errors import RequestError


class HasHandle(Protocol):
    """A context of llama.cpp, by whatever class."""

    @property
    def handle(self) -> Any:
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
    lib.llama_sampler_free(_grammar(model, grammar))


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
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if params.grammar is not None:
            lib.llama_sampler_chain_add(self._chain, _grammar(model, params.grammar))
        if params.temperature <= 0:
            lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_greedy())
        else:
            if params.top_p < 1:
                lib.llama_sampler_chain_add(
                    self._chain, lib.llama_sampler_init_top_p(params.top_p, 1)
                )
            lib.llama_sampler_chain_add(
                self._chain, lib.llama_sampler_init_temp(params.temperature)
            )
            lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_dist(params.seed))

    def sample(self, context: HasHandle, row: int = -1) -> int:
        """Draw the token that follows a row of the last batch; advance the grammar past it."""
        return int(lib.llama_sampler_sample(self._chain, context.handle, row))

    def close(self) -> None:
        """Free the chain. Idempotent."""
        if self._chain:
            lib.llama_sampler_free(self._chain)
            self._chain = None

    def __del__(self) -> None:
        if getattr(self, "_chain", None):
            self.close()
