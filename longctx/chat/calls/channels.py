"""Answers whose every part has a header: harmony (gpt-oss), and Muse, which is built like it.

``<|channel|>analysis<|message|>…<|end|><|start|>assistant to=functions.f<|channel|>commentary
<|constrain|>json<|message|>{…}<|call|>``: OpenAI's harmony response format. The prompt ends behind
``<|start|>assistant``, so an answer begins inside a header.
"""

from __future__ import annotations

import re

from longctx.chat.calls.answer_reader import AnswerFormat, AnswerReader, Reader
from longctx.chat.calls.events import (
    CallBegun,
    CallBroken,
    CallEnded,
    CallWritten,
    Said,
    Thought,
)
from longctx.chat.calls.feed import Wait
from longctx.chat.calls.format import ParametersBody
from longctx.chat.calls.reader import Tools
from longctx.chat.calls.scan import NotJson, scan_value

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|eom|>", "<|eot|>", "<|start|>")
_HEADER_MARKS = re.compile(r"<\|\w+\|>")
_TO = re.compile(r"\bto=(?:functions\.)?([\w.:/$-]+)")


class ChannelReader(Reader):
    """Reads one answer; see :class:`~longctx.chat.calls.answer_reader.AnswerReader`."""

    def __init__(self, style: AnswerFormat, tools: Tools) -> None:
        super().__init__()
        self._style = style
        self._tools = tools
        is_markup = isinstance(style.calls.body, ParametersBody)
        self._markup = style.calls.section if is_markup else ""

    def _read(self) -> Wait[None]:
        feed = self._feed
        while True:
            header: list[str] = []
            # A model that writes no header at all answers in words.
            if (yield from feed.stands(self._markup)) if self._markup else False:
                yield from self._call_in_markup()
            elif not (yield from self._begins_with_header()):
                yield from self._body("", "")
            elif (yield from feed.until([_MESSAGE], header.append)) is None:
                return
            else:
                feed.at += len(_MESSAGE)
                yield from self._body("".join(header), _to("".join(header)))
            if not (yield from self._next_part()):
                return

    def _begins_with_header(self) -> Wait[bool]:
        feed = self._feed
        for mark in ("<|channel|>", _MESSAGE, "to=", "<|start|>", "assistant"):
            if (yield from feed.stands(mark)):
                return True
        return False

    def _next_part(self) -> Wait[bool]:
        feed = self._feed
        while True:
            for mark in _ENDS:
                if (yield from feed.accept(mark)):
                    break
            else:
                yield from feed.skip_space()
                return bool((yield from feed.peek(1)))

    def _body(self, header: str, to: str) -> Wait[None]:
        channels = re.findall(r"<\|channel\|>\s*(\w+)", header)
        if to in self._tools:
            yield from self._call(to)
        elif to == "self" or (channels[-1:] == ["analysis"] and not to):
            yield from self._feed.until(_ENDS, lambda text: self._heard.append(Thought(text)))
        elif to in ("", "user", "assistant", "all"):
            yield from self._feed.until(_ENDS, lambda text: self._heard.append(Said(text)))
        else:  # a tool that nobody offered: python, browser; not the user's to read
            yield from self._feed.until(_ENDS, lambda _: None)

    def _call(self, name: str) -> Wait[None]:
        feed = self._feed
        yield from feed.skip_space()
        if isinstance(self._style.calls.body, ParametersBody):
            yield from self._call_in_markup()
            return
        self._heard.append(CallBegun(name))
        try:
            yield from scan_value(feed, lambda text: self._heard.append(CallWritten(text)))
        except NotJson:
            self._heard.append(CallBroken())
            return
        self._heard.append(CallEnded())
        yield from feed.until(_ENDS, lambda _: None)

    def _call_in_markup(self) -> Wait[None]:
        pieces: list[str] = []
        yield from self._feed.until(_ENDS, pieces.append)
        inner = AnswerReader(self._style, self._tools)
        self._heard += [*inner.push("".join(pieces)), *inner.end()]


def is_in_header(text: str) -> bool:
    """Whether an answer, as far as it is written, ends in a header."""
    opened = max(text.rfind(mark) for mark in ("<|channel|>", *_ENDS))
    if opened < 0:  # the prompt opened it, and the answer goes on there, or says something
        return text.strip() in ("", "assistant")
    return text.rfind(_MESSAGE) < opened


def _to(header: str) -> str:
    # The last: "commentary to=assistant<|channel|>final" is for the user.
    last = header.rsplit("<|channel|>", 1)
    found = _TO.findall(last[-1]) or (_TO.findall(header) if len(last) < 3 else [])
    to = found[-1] if found else ""
    return "" if to == "assistant" else _HEADER_MARKS.sub("", to)
