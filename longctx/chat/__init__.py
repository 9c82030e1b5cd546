"""Conversations to prompts and answers back: chat templates, tools, and whose words are whose."""

from longctx.chat.chat_template import ChatTemplate, RenderedPrompt
from longctx.chat.named_templates import CHATML, NAMED_TEMPLATES
from longctx.chat.prompt import EncodedPrompt
from longctx.chat.prompt_template import PromptTemplate, find_template
from longctx.chat.tool_calls import CallFormat, check_tools, parse_tool_calls
from longctx.chat.tool_grammar import tool_grammar

__all__ = [
    "CHATML",
    "NAMED_TEMPLATES",
    "CallFormat",
    "ChatTemplate",
    "EncodedPrompt",
    "PromptTemplate",
    "RenderedPrompt",
    "check_tools",
    "find_template",
    "parse_tool_calls",
    "tool_grammar",
]
