"""The vocabulary of a model as llguidance sees it."""

from __future__ import annotations

from llguidance import LLTokenizer

from longctx._native.handle import NativeHandle
from longctx._native.library import lib
from longctx._native.model import Model
from longctx.errors import BackendError, UnsupportedModelError


def guidance_tokenizer(model: Model) -> tuple[LLTokenizer, NativeHandle]:
    """Read the whole vocabulary; 0.3 s for 49,000 tokens.

    llguidance keeps llama.cpp's bare pointer to the vocabulary, and calls llama.cpp's tokenizer
    with it wherever a grammar leaves only one text. So the handle that comes with it must be held
    as long as the tokenizer is used.

    Returns:
        The tokenizer, and what keeps its vocabulary alive.

    Raises:
        UnsupportedModelError: the vocabulary has no token that ends an answer.
        BackendError: the model is closed, or a token is longer than 16 KiB.
    """
    # Here, for the module imports llama_cpp by itself and must not do so before we have.
    from llguidance.llamacpp import lltokenizer_from_vocab

    handle = model.handle
    ends = [token for token in range(model.n_vocab) if model.is_end(token)]
    if not ends:
        raise UnsupportedModelError(
            f"{model.path} has no token that ends an answer, so no grammar can end one; leave out "
            "response_schema and tools, or take a file whose metadata has tokenizer.ggml."
            "eos_token_id"
        )
    try:
        tokenizer = lltokenizer_from_vocab(lib.llama_model_get_vocab(handle), eos_token=ends)
    except ValueError as error:
        raise BackendError(f"the vocabulary of {model.path} cannot be read: {error}") from error
    return tokenizer, handle
