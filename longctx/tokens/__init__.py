"""Exact counts: the model's tokenizer, its chat template, tools in prompts."""

from longctx.tokens.chat_template import ChatTemplate, RenderedPrompt
from longctx.tokens.text_stream import TextStream
from longctx.tokens.tokenizer import ModelTokenizer
from longctx.tokens.tool_prompt import parse_tool_calls, tool_grammar

__all__ = [
    "ChatTemplate",
    "ModelTokenizer",
    "RenderedPrompt",
    "TextStream",
    "parse_tool_calls",
    "tool_grammar",
]
