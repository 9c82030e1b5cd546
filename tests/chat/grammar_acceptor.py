"""Asks llama.cpp's own sampler whether a grammar lets a text through."""

from __future__ import annotations

import ctypes

import numpy as np
from llama_cpp import llama_cpp as lib

from longctx._native import Model, Sampler
from longctx.sampling import Sampling


def accepts(model: Model, grammar: str, text: str) -> bool:
    """Whether ``text``, and then the end of the answer, satisfies ``grammar``.

    Raises:
        BackendError: llama.cpp refuses the grammar.
    """
    sampler = Sampler(model, Sampling(), grammar=grammar)
    rules = lib.llama_sampler_chain_get(sampler.handle, 0)
    for token in [*model.encode(text), model.eos]:
        if not _allows(rules, token):
            return False
        lib.llama_sampler_accept(rules, token)
    return True


def _allows(rules: object, token: int) -> bool:
    data = (lib.llama_token_data * 1)(lib.llama_token_data(token, 0.0, 0.0))
    pointer = ctypes.cast(data, ctypes.POINTER(lib.llama_token_data))
    candidates = lib.llama_token_data_array(data=pointer, size=1, selected=-1, sorted=False)
    lib.llama_sampler_apply(rules, ctypes.byref(candidates))
    return bool(np.isfinite(data[0].logit))
