"""What an answer is expected to be: what it is held to, and how it is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from longctx import arguments
from longctx.chat.calls import (
    AnswerFormat,
    AnswerGuide,
    AnswerReader,
    CallBegun,
    CallBroken,
    CallEnded,
    CallFormat,
    CallWritten,
    ChannelReader,
    Heard,
    Reader,
    Said,
    Thought,
    call_grammar,
    calls_or,
    literal,
    no_call_grammar,
    or_mark,
)
from longctx.chat.calls.reader import Tools
from longctx.chat.chat_template import ChatTemplate
from longctx.chat.tool_calls import check_tools, say_of_tool
from longctx.errors import RequestError, ToolError
from longctx.grammar import Grammar, Starts, json_grammar
from longctx.grammar.holdable import holdable
from longctx.options import ToolChoice
from longctx.types import Chunk, Message, SampledToken, ToolCall, ToolCallDelta, ToolSchema

logger = logging.getLogger("longctx")


@dataclass(frozen=True)
class Expected:
    """An answer that is asked for.

    Attributes:
        guide: starts what holds it, token by token; None leaves it free.
        hear: makes what reads it; None takes its text as it is.
    """

    guide: Starts | None = None
    hear: Callable[[], Hearing] | None = None


def expect_text(response_schema: Any) -> Expected:
    """Of plain text: held to a schema, or free.

    Raises:
        RequestError: the schema is no JSON schema, or makes no grammar.
    """
    grammar = schema_grammar(response_schema)
    return Expected(None if grammar is None else grammar.start)


def schema_grammar(response_schema: Any) -> Grammar | None:
    """The grammar of ``response_schema=``; what it cannot hold is logged.

    Raises:
        RequestError: the schema is no JSON schema, or makes no grammar.
    """
    if response_schema is None:
        return None
    grammar = json_grammar(arguments.json_schema(response_schema))
    for warning in grammar.warnings:
        logger.warning("response_schema: %s", warning)
    return grammar


def expect_answer(
    template: ChatTemplate,
    prompt: str,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema],
    choice: ToolChoice,
    response_schema: Any,
    *,
    many: bool = True,
    thinking_budget: Any = None,
) -> Expected:
    """Of a conversation.

    Args:
        template: of the model; it knows how answers are written.
        prompt: the rendered prompt, which may end inside reasoning.
        messages: the conversation, whose ids of calls no new one repeats.
        tools: what the model may call.
        choice: whether and what it must call.
        response_schema: what it must say where it calls nothing; None lets it say anything.
        many: whether it may call several tools, where its format can.
        thinking_budget: tokens of reasoning; None is no limit.

    Raises:
        ToolError: a tool is malformed, or ``choice`` asks for one that is not there.
        RequestError: the schema is no JSON schema, or makes no grammar.
    """
    offered = _parameters(tools)
    required = arguments.tool_choice(choice, tuple(offered))
    schema = schema_grammar(response_schema)
    style = template.answers
    head = style.head(prompt)
    callable_tools = {} if choice == "none" else offered
    used = {call.id for message in messages for call in message.tool_calls}
    plain = not callable_tools and style.thinking is None and not style.wrapping
    hear = (
        None
        if plain and not style.channels
        else partial(Hearing, style, callable_tools, head, frozenset(used), many=many)
    )
    if not many:  # the grammar has room for one then
        style = style.with_one_call
    if style.is_closed(prompt):  # reasoning was closed for it: it shall not begin again
        style = replace(style, thinking=None)
    guide = _guide(template, style, head, offered, choice, required, schema, thinking_budget)
    return Expected(guide, hear)


def _parameters(tools: Sequence[ToolSchema]) -> dict[str, Any]:
    """What calls are held to; of the rest of a schema the tool itself is the judge."""
    out = {}
    for function in (tool["function"] for tool in check_tools(tools)):
        name, parameters = function["name"], function["parameters"]
        try:
            found = holdable(parameters)
        except RequestError as error:
            raise ToolError(f"the parameters of the tool {name} are unusable: {error}") from error
        for note in found.notes:
            say_of_tool(name, note)
        out[name] = found.schema
    return out


def _guide(
    template: ChatTemplate,
    style: AnswerFormat,
    head: str,
    offered: Tools,
    choice: ToolChoice,
    required: Sequence[str] | None,
    schema: Grammar | None,
    thinking_budget: Any,
) -> Starts | None:
    thought: dict[str, Any] = {}
    if thinking_budget is not None:
        budget = arguments.whole("thinking_budget", thinking_budget, least=1)
        if style.thinking is not None:
            closing = literal(f"\n{style.thinking[1].strip()}", template.partition)
            thought = {"closing": Grammar(f"start: {closing}\n"), "budget": budget}
    forced, speaks = schema, style.speaks
    headed = style.headed or style.calls
    if required:  # of a call the schema says nothing
        tools = {name: offered[name] for name in required}
        forced = _calls(headed, tools, template, many=choice == "required")
        speaks = ""
    elif offered and choice == "none":
        forced = schema or no_call_grammar(style.calls, template.partition)
    elif offered and schema is not None:
        calls = _calls(headed, offered, template)
        says = speaks if style.thinking is not None else ""
        forced, speaks = calls_or(calls, schema, says, template.partition), ""
    if forced is not None:
        if style.thinking is None:
            return forced.start
        mark = "" if head else style.thinking[0].rstrip()
        after = or_mark(
            forced,
            "",
            template.partition,
            resumes=style.resumes,
            speaks=speaks,
        )
        first = or_mark(after, mark, template.partition)
        return partial(AnswerGuide, style=style, forced=first, after=after, head=head, **thought)
    if not offered:
        return partial(AnswerGuide, style=style, head=head, **thought) if thought else None
    held, also = (
        None if form is None else _calls(form.from_mark, offered, template)
        for form in (style.in_header or style.calls, style.also)
    )
    return partial(
        AnswerGuide,
        style=style,
        calls=held,
        also=also,
        names=tuple(offered),
        head=head,
        **thought,
    )


def _calls(form: CallFormat, tools: Tools, template: ChatTemplate, *, many: bool = True) -> Grammar:
    """The grammar of calls; what of the tools' schemas holds nothing is logged, once."""
    grammar = call_grammar(form, tools, template.partition, many=many)
    for warning in grammar.warnings:
        say_of_tool(", ".join(tools) if len(tools) < 4 else f"(one of {len(tools)})", warning)
    return grammar


class Hearing:
    """Takes the text of an answer and tells what it is; knows the message at the end.

    Args:
        style: how the model writes.
        tools: name to parameters of what it may call.
        head: what the prompt ends with of the answer.
        used: ids of calls that there are.
        many: whether a second call counts; a model that no grammar held may write one.
    """

    def __init__(
        self,
        style: AnswerFormat,
        tools: Tools,
        head: str,
        used: frozenset[str],
        *,
        many: bool = True,
    ) -> None:
        self._reader: Reader = (
            ChannelReader(style, tools) if style.channels else AnswerReader(style, tools, head=head)
        )
        self._used = set(used)
        self._many = many
        self._skips = False
        self._words: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[tuple[str, str, list[str]]] = []
        self._index = -1
        self._logprobs: list[SampledToken] = []
        self._thinks = bool(head) and head == (style.thinking or ("",))[0]
        self.n_reasoning = 0

    def push(self, chunk: Chunk) -> list[Chunk]:
        """Take a piece as it was written; what it tells, its likelihoods with the first."""
        out = self._chunks(self._reader.push(chunk.text))
        self.n_reasoning += self._thinks
        self._logprobs += chunk.logprobs
        return self._with_logprobs(out)

    def end(self, chunk: Chunk | None = None) -> list[Chunk]:
        """Nothing follows."""
        heard = [] if chunk is None else list(self._reader.push(chunk.text))
        self._logprobs += () if chunk is None else chunk.logprobs
        out = self._chunks([*heard, *self._reader.end()])
        if self._logprobs and not self._calls:
            out.append(Chunk())
        return self._with_logprobs(out)

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation."""
        calls = []
        for call_id, name, pieces in self._calls:
            arguments_ = json.loads("".join(pieces) or "{}")
            calls.append(ToolCall(id=call_id, name=name, arguments=arguments_))
        return Message(
            role="assistant",
            content="".join(self._words),
            reasoning="".join(self._thoughts),
            tool_calls=tuple(calls),
        )

    def _chunks(self, heard: Sequence[Heard]) -> list[Chunk]:
        return [chunk for event in heard if (chunk := self._chunk(event)) is not None]

    def _chunk(self, event: Heard) -> Chunk | None:
        self._thinks = isinstance(event, Thought)
        if isinstance(event, CallBegun):
            self._skips = bool(self._calls) and not self._many
        if self._skips and isinstance(event, CallBegun | CallWritten | CallBroken | CallEnded):
            return None
        match event:
            case Said(text):
                self._words.append(text)
                return Chunk(text=text)
            case Thought(text):
                self._thoughts.append(text)
                return Chunk(reasoning=text)
            case CallBegun(name, written_id):
                self._index += 1
                call_id = self._new_id(written_id)
                self._calls.append((call_id, name, []))
                delta = ToolCallDelta(index=self._index, id=call_id, name=name)
                return Chunk(tool_calls=(delta,))
            case CallWritten(text):
                self._calls[-1][2].append(text)
                return Chunk(tool_calls=(ToolCallDelta(index=self._index, arguments=text),))
            case CallBroken():
                self._calls.pop()
            case CallEnded():
                if not _is_object("".join(self._calls[-1][2])):
                    self._calls.pop()
        return None

    def _with_logprobs(self, out: list[Chunk]) -> list[Chunk]:
        """The likelihoods of tokens go with the first words behind them; calls have none."""
        if not out:
            return out
        logprobs, self._logprobs = tuple(self._logprobs), []
        if not logprobs or any(chunk.tool_calls for chunk in out):
            return out
        return [out[0].model_copy(update={"logprobs": logprobs}), *out[1:]]

    def _new_id(self, written: str) -> str:
        """The model's own where it wrote one that is new, else the next number."""
        n = len(self._used)
        call_id = written if written and not written.isdigit() else ""
        while not call_id or call_id in self._used:
            n += 1
            call_id = f"call_{n}"
        self._used.add(call_id)
        return call_id


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text or "{}"), dict)
    except (ValueError, RecursionError):
        return False
