"""What no rendering of a template shows: how some families write answers, each with its source."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from longctx.chat.calls.answer_reader import AnswerFormat
from longctx.chat.calls.format import (
    HEADER,
    HERMES,
    NAME,
    NUMBER,
    CallFormat,
    NamedBody,
    ObjectBody,
    ParametersBody,
    PythonBody,
)

_ATEM = CallFormat(
    ParametersBody(
        named='">',
        opening='\n<atem:parameter name="',
        of_text='">',
        of_json='">',
        closing="</atem:parameter>",
    ),
    opening='\n<atem:invoke name="',
    closing="\n</atem:invoke>",
    section="<atem:function_calls>",
    section_end="\n</atem:function_calls>",
)
_ATEM_HEADED = replace(
    _ATEM,
    opening=f" to={NAME}<|message|>{_ATEM.section}{_ATEM.opening}",
    closing=f"{_ATEM.closing}{_ATEM.section_end}",
    between="<|eom|><|start|>assistant",
    section="",
    section_end="",
)
_DEEPSEEK = CallFormat(
    NamedBody("\n```json\n"),
    opening="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    closing="\n```<｜tool▁call▁end｜>",
    between="\n",
    section="<｜tool▁calls▁begin｜>",
    section_end="<｜tool▁calls▁end｜>",
)
_KIMI = CallFormat(
    NamedBody(f":{NUMBER}<|tool_call_argument_begin|>"),
    opening="<|tool_call_begin|>functions.",
    closing="<|tool_call_end|>",
    section="<|tool_calls_section_begin|>",
    section_end="<|tool_calls_section_end|>",
)
_THINK = ("<think>", "</think>")

Family: TypeAlias = tuple[tuple[str, ...], AnswerFormat]

FIRST: tuple[Family, ...] = (
    # gpt-oss: OpenAI's "harmony response format"; calls have channels.
    (
        ("<|channel|>", "<|message|>", "<|start|>"),
        AnswerFormat(
            CallFormat(
                NamedBody(" <|constrain|>json<|message|>"),
                opening="<|channel|>commentary to=functions.",
                many=False,
            ),
            ("<|channel|>analysis<|message|>", "<|end|>"),
            channels=True,
            resumes="<|start|>assistant",
            speaks="<|channel|>final<|message|>",
            in_header=CallFormat(
                NamedBody(f"{HEADER}<|message|>"), opening="to=functions.", many=False
            ),
        ),
    ),
    # Muse: built like it, with calls as markup in a message to a tool.
    (
        ("<atem:function_calls>", "<|message|>"),
        AnswerFormat(
            _ATEM,
            (" to=self<|message|>", "<|eom|>"),
            channels=True,
            heads=(" to=",),
            resumes="<|start|>assistant",
            speaks=" to=user<|message|>",
            headed=_ATEM_HEADED,
        ),
    ),
    # Functionary 3.2: every part says whom it is for, words are for "all".
    (
        (">>>all",),
        AnswerFormat(
            CallFormat(NamedBody("\n"), opening=">>>"),
            wrapping=(">>>all",),
            heads=(">>>",),
        ),
    ),
    # Kimi K2: the id of a call is its name and number.
    (("<|tool_call_argument_begin|>",), AnswerFormat(_KIMI, _THINK)),
)
"""Families whose templates would mislead who derives from them."""

LAST: tuple[Family, ...] = (
    # Firefunction 2: its template wants its tools in a variable of its own.
    (
        ("functools[",),
        AnswerFormat(CallFormat(ObjectBody(), section="functools[", between=", ", section_end="]")),
    ),
    # Command R+: a fence behind "Action:", and the same example in its system message.
    (
        ("Action:", "tool_name", "```json"),
        AnswerFormat(
            CallFormat(
                ObjectBody("tool_name", "parameters"),
                section="Action:\n```json\n[\n    ",
                between=",\n    ",
                section_end="\n]\n```",
            )
        ),
    ),
    # GigaChat 3: a call is a message of another role, in the same answer.
    (
        ("function call<|role_sep|>",),
        AnswerFormat(
            CallFormat(
                ObjectBody(), opening="<|message_sep|>\n\nfunction call<|role_sep|>\n", many=False
            )
        ),
    ),
    # DeepSeek R1 and its distillates: some of their templates render no call.
    (("<｜tool▁calls▁begin｜>", "```json"), AnswerFormat(_DEEPSEEK, _THINK)),
    # LFM2 and 2.5: some of their templates leave calls out, and the mark of the list of tools.
    *(
        (
            (text,),
            AnswerFormat(
                CallFormat(
                    PythonBody(),
                    section="<|tool_call_start|>[",
                    between=", ",
                    section_end="]<|tool_call_end|>",
                ),
                _THINK,
            ),
        )
        for text in ("<|tool_call_start|>", "<|tool_list_start|>", '"List of tools: [')
    ),
    # SmolLM3: its template renders no calls.
    (("xml_tools", "<tool_call>"), AnswerFormat(HERMES, _THINK)),
    # Granite 3: a list behind a token.
    (
        ("<|tool_call|>", "<|start_of_role|>"),
        AnswerFormat(
            CallFormat(ObjectBody(), section="<|tool_call|>[", between=", ", section_end="]"),
            _THINK,
        ),
    ),
    # Phi-4-mini.
    (
        ("<|tool_call|>", "<|tool|>"),
        AnswerFormat(
            CallFormat(
                ObjectBody(),
                section="<|tool_call|>[",
                between=", ",
                section_end="]<|/tool_call|>",
            )
        ),
    ),
)
"""Families whose templates, or some of them, render no calls."""

_THINKING = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|think|>", "<|/think|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
)
"""Marks around reasoning: Qwen, DeepSeek and most others; Mistral; Cohere; Seed; MiniMax M3;
Hunyuan 3; Apertus; Gemma 4; Kimi K3; Apriel."""


def family_of(source: str, families: tuple[Family, ...]) -> AnswerFormat | None:
    """The first family whose texts all stand in a template's source."""
    for texts, style in families:
        if all(text in source for text in texts):
            return style
    return None


def thinking_of(text: str) -> tuple[str, str] | None:
    """The marks around reasoning that a template writes or looks for."""
    for opening, closing in _THINKING:
        if closing in text:
            return opening, closing
    return None
