"""Answers of every family of models: how they write calls, reasoning and words.

``format`` is the data, ``families`` and ``probe`` find a template's, ``answer_reader`` (and
``channels``) read an answer with it, ``grammar`` and ``guide`` hold one to it.
"""

from longctx.chat.calls.answer_reader import AnswerFormat, AnswerReader, Reader
from longctx.chat.calls.channels import ChannelReader
from longctx.chat.calls.events import (
    CallBegun,
    CallBroken,
    CallEnded,
    CallWritten,
    Heard,
    Said,
    Thought,
)
from longctx.chat.calls.format import BARE, CallFormat
from longctx.chat.calls.grammar import call_grammar, calls_or, literal, no_call_grammar, or_mark
from longctx.chat.calls.guide import AnswerGuide

__all__ = [
    "BARE",
    "AnswerFormat",
    "AnswerGuide",
    "AnswerReader",
    "CallBegun",
    "CallBroken",
    "CallEnded",
    "CallFormat",
    "CallWritten",
    "ChannelReader",
    "Heard",
    "Reader",
    "Said",
    "Thought",
    "call_grammar",
    "calls_or",
    "literal",
    "no_call_grammar",
    "or_mark",
]
