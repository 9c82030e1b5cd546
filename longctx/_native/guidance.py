"""The vocabulary of a model as llguidance sees it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longctx._native.handle import NativeHandle
from longctx._native.library import lib
from longctx._native.model import Model
from longctx.errors import UnsupportedModelError

if TYPE_CHECKING:
    from llguidance import LLTokenizer

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
        UnsupportedModelError: the vocabulary has no token that ends an answer, or is of a model
            that writes none.
        BackendError: the model is closed.

    Source:
        ``llguidance.llamacpp``, which calls functions that llama-cpp-python is about to drop.
    """
    from llguidance import LLTokenizer  # loaded when a grammar needs it, and not before

    handle = model.handle
    vocab = lib.llama_model_get_vocab(handle)
    ends = [t for t in range(model.n_vocab) if lib.llama_vocab_is_eog(vocab, t)]
    if not ends:
        raise UnsupportedModelError(
            f"{model.path} has no token that ends an answer, so no grammar can end one; leave out "
            "response_schema and tools, or take a file whose metadata has "
            "tokenizer.ggml.eos_token_id"
        )
    from_llamacpp: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]  # no stub of it
    try:
        tokenizer: LLTokenizer = from_llamacpp(
            tokens=list(_tokens(model, vocab)),
            vocab_ptr=vocab,
            tokenize_fptr=ctypes.cast(lib._lib.llama_tokenize, ctypes.c_void_p).value,
            eos_token=ends,
            slices=None,
        )
    except ValueError as error:  # of models that write nothing, such as BERT
        raise UnsupportedModelError(
            f"the vocabulary of {model.path} is none to write by: {error}; leave out "
            "response_schema and tools"
        ) from error
    return tokenizer, handle


def _tokens(model: Model, vocab: Any) -> Iterator[bytes]:
    """The text that an answer shows of each token; the name of one that it does not show, marked.

    What a model's maker added as text, such as ``<tool_call>`` in many vocabularies, is text.
    """
    size = 256
    buffer = ctypes.create_string_buffer(size)
    to_piece = lib.llama_token_to_piece  # a loop over up to 262,144 tokens
    for token in range(model.n_vocab):
        n = to_piece(vocab, token, buffer, size, 0, False)
        if n > 0:
            yield ctypes.string_at(buffer, n)
        elif n < 0:
            yield model.decode_bytes([token])
        else:
            yield _SPECIAL + model.decode_bytes([token], special=True)
