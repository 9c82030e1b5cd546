"""What is read, and may be written, of the calls of every template that llama.cpp carries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from longctx._native import Model
from longctx.chat import PromptTemplate
from longctx.chat.calls import AnswerFormat, AnswerReader, ChannelReader, call_grammar
from longctx.chat.calls.answer_reader import ReadAnswer
from longctx.chat.calls.probe import PROBE_TOOLS, PROBED, rendered_calls
from longctx.errors import RequestError, TemplateError
from longctx.grammar import TokenTable
from longctx.tokens.special_tokens import SpecialTokens
from tests.support.llama_cpp_chat_cases import ChatCase

_LEFT_IN = "COMMON_REASONING_FORMAT_NONE"
ASK = {"role": "user", "content": "Hey there!\nI am a new user."}


def read(text: str, style: AnswerFormat, tools: dict[str, Any], head: str = "") -> ReadAnswer:
    """An answer as it comes whole; it must be the same character by character."""

    def heard(pieces: Sequence[str]) -> ReadAnswer:
        reader: Any = (
            ChannelReader(style, tools) if style.channels else AnswerReader(style, tools, head=head)
        )
        events = [event for piece in pieces for event in reader.push(piece)]
        return ReadAnswer().with_heard([*events, *reader.end()])

    whole = heard([text])
    assert heard(text) == whole, text
    return whole


def called(answer: ReadAnswer) -> list[tuple[str, Any]]:
    """(name, arguments) of each call."""
    return [(call.name, json.loads(call.arguments)) for call in answer.calls]


@dataclass(frozen=True)
class Family:
    """A template, and how its models answer."""

    path: Path

    @cached_property
    def template(self) -> PromptTemplate:
        """Of the file."""
        return PromptTemplate(self.path.read_text(encoding="utf-8"), bos="<BOS>", eos="<EOS>")

    @property
    def style(self) -> AnswerFormat:
        """What was found out."""
        return self.template.answers

    def rendered(self) -> tuple[str, str]:
        """One call, and two, in the template's own words; "" where it writes none."""

        def render(messages: Any, tools: Any, prompted: bool) -> str:
            return self.template.render(messages, tools, add_generation_prompt=prompted)

        text_arguments = self.template.traits.text_arguments
        found = rendered_calls(render, text_arguments, self.style.wrapping)
        one, two = found[0] if found else ("", "")
        head = "".join(mark for mark in self.style.heads if not one.startswith(mark))
        return head + one if one else "", head + two if two else ""

    def reads(self, n: int) -> bool | None:
        """Whether so many calls of its own come back; None where it writes none."""
        text = self.rendered()[n - 1]
        return called(read(text, self.style, PROBE_TOOLS)) == list(PROBED[:n]) if text else None

    def reads_case(self, case: ChatCase) -> tuple[bool, ReadAnswer]:
        """Whether the words, the reasoning and the calls that llama.cpp expects come back."""
        options = {"enable_thinking": bool(case.options.get("enable_thinking", True))}
        try:
            prompt = self.template.render([ASK], case.tools or None, options=options)
        except TemplateError:
            prompt = ""
        tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in case.tools}
        answer = read(case.text, self.style, tools, self.style.head(prompt))
        wanted = [(name, _loaded(arguments)) for name, arguments in case.calls]
        is_right = called(answer) == wanted and self._same_words(case, answer, tools)
        return is_right, answer

    def _same_words(self, case: ChatCase, answer: ReadAnswer, tools: dict[str, Any]) -> bool:
        """White space at the edges aside. Where llama.cpp is told to leave reasoning in the words,
        it is read out of them; and what it counts of the mark to the reasoning is left out."""
        words, reasoning = case.content, case.reasoning
        if case.options.get("reasoning_format", _LEFT_IN) == _LEFT_IN and not reasoning:
            again = read(words, self.style, tools)
            words, reasoning = again.text, again.reasoning
        if self.style.thinking is not None:
            reasoning = reasoning.removeprefix(self.style.thinking[0].strip())
        pairs = ((answer.text, words), (answer.reasoning, reasoning))
        return all(mine.strip() == theirs.strip() for mine, theirs in pairs)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def may_write(
    family: Family, model: Model, tokens: TokenTable, special: SpecialTokens, n: int
) -> bool | None:
    """Whether so many of its own calls are what the grammar lets through."""
    text, style = family.rendered()[n - 1], family.style
    if not text:
        return None
    shape = style.headed or style.in_header or style.calls
    text = text.removesuffix("<|call|>")
    end = (shape.section_end if shape.section.strip() else shape.closing).strip()
    # Behind the last mark stands what ends the message.
    text = text[: text.rindex(end) + len(end)] if end else text
    head = shape.section if shape.section.strip() else shape.opening
    text = head[: len(head) - len(head.lstrip())] + text.strip()
    grammar = call_grammar(shape, PROBE_TOOLS, special.partition)
    matcher = grammar.start(tokens)
    try:
        for token in model.encode(text, parse_special=True):
            matcher.accept(token)
    except RequestError:
        return False
    return matcher.is_accepting or matcher.has_ended


def counted(results: Sequence[bool | None]) -> Counter[bool | None]:
    """How many are true, false, and not to be had."""
    return Counter(results)
