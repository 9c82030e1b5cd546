"""Exact tokens: of text, and of conversations through a model's chat template."""

from longctx.tokens.chat_template import ChatTemplate, RenderedPrompt
from longctx.tokens.fast import SERVED_PRE_TOKENIZERS, FastTokenizer
from longctx.tokens.named_templates import CHATML, NAMED_TEMPLATES
from longctx.tokens.prompt import EncodedPrompt
from longctx.tokens.prompt_template import PromptTemplate, find_template
from longctx.tokens.text_stream import TextStream
from longctx.tokens.tokenizer import ModelTokenizer
from longctx.tokens.tool_calls import CallFormat, check_tools, parse_tool_calls
from longctx.tokens.tool_grammar import tool_grammar

__all__ = [
    "CHATML",
    "NAMED_TEMPLATES",
    "SERVED_PRE_TOKENIZERS",
    "CallFormat",
    "ChatTemplate",
    "EncodedPrompt",
    "FastTokenizer",
    "ModelTokenizer",
    "PromptTemplate",
    "RenderedPrompt",
    "TextStream",
    "check_tools",
    "find_template",
    "parse_tool_calls",
    "tool_grammar",
]
