"""Exact tokens of text, and text of tokens."""

from longctx.tokens.fast import SERVED_PRE_TOKENIZERS, FastTokenizer
from longctx.tokens.text_stream import TextStream
from longctx.tokens.tokenizer import ModelTokenizer

__all__ = ["SERVED_PRE_TOKENIZERS", "FastTokenizer", "ModelTokenizer", "TextStream"]
