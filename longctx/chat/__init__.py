"""Conversations to prompts and answers back: chat templates, tools, and whose words are whose."""

from longctx.chat.chat_template import ChatTemplate, RenderedPrompt
from longctx.chat.encoder import PromptEncoder
from longctx.chat.expected import Expected, Hearing, expect_answer, expect_text
from longctx.chat.named_templates import CHATML, NAMED_TEMPLATES
from longctx.chat.prompt import EncodedPrompt
from longctx.chat.prompt_template import PromptTemplate, find_template
from longctx.chat.tool_calls import check_tools

__all__ = [
    "CHATML",
    "NAMED_TEMPLATES",
    "ChatTemplate",
    "EncodedPrompt",
    "Expected",
    "Hearing",
    "PromptEncoder",
    "PromptTemplate",
    "RenderedPrompt",
    "check_tools",
    "expect_answer",
    "expect_text",
    "find_template",
]
