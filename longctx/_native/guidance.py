"""The vocabulary of a model as llguidance sees it."""

from __future__ import annotations

import ctypes
from typing import Any

from llguidance import LLTokenizer

from longctx._native.handle import NativeHandle
from longctx._native.library import lib
from longctx._native.model import Model, TokenAttr
from longctx.errors import UnsupportedModelError

_SPECIAL = b"\xff"
"""What marks a token to llguidance as no text. It stands in no UTF-8."""


def guidance_tokenizer(model: Model) -> tuple[LLTokenizer, NativeHandle]:
    """Read the whole vocabulary; some 0.2 s for 49,000 tokens.

    llguidance keeps llama.cpp's bare pointer to the vocabulary, and calls llama.cpp's tokenizer
    with it wherever a grammar leaves only one text. So the handle that comes with it must be held
    as long as the tokenizer is used.

    Returns:
        The tokenizer, and what keeps its vocabulary alive.

    Raises:
        UnsupportedModelError: the vocabulary has no token that ends an answer.
        BackendError: the model is closed.

    Source:
        ``llguidance.llamacpp``, which calls functions that llama-cpp-python is about to drop.
    """
    handle = model.handle
    ends = [token for token in range(model.n_vocab) if model.is_end(token)]
    if not ends:
        raise UnsupportedModelError(
            f"{model.path} has no token that ends an answer, so no grammar can end one; leave out "
            "response_schema and tools, or take a file whose metadata has "
            "tokenizer.ggml.eos_token_id"
        )
    from_llamacpp: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]  # no stub of it
    tokenizer: LLTokenizer = from_llamacpp(
        tokens=[_bytes_of(model, token) for token in range(model.n_vocab)],
        vocab_ptr=lib.llama_model_get_vocab(handle),
        tokenize_fptr=ctypes.cast(lib._lib.llama_tokenize, ctypes.c_void_p).value,
        eos_token=ends,
        slices=None,
    )
    return tokenizer, handle


def _bytes_of(model: Model, token: int) -> bytes:
    """The bytes of a token, marked where it is not for text.

    Of those that a model's maker added, ``<tool_call>`` and its like are not.
    """
    text, attr = model.decode_bytes([token], special=True), model.token_attr(token)
    is_tag = attr & TokenAttr.USER_DEFINED and text.startswith(b"<") and text.endswith(b">")
    return _SPECIAL + text if is_tag or attr & TokenAttr.CONTROL else text
