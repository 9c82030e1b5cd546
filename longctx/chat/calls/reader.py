"""Calls of tools, read out of an answer while it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from longctx.chat.calls.events import CallBegun, CallBroken, CallEnded, CallWritten, Heard
from longctx.chat.calls.feed import Feed, Wait, parts_of, shared_start
from longctx.chat.calls.format import (
    CALL_ID,
    KEY,
    NUMBER,
    BracesBody,
    CallFormat,
    NamedBody,
    ObjectBody,
    ParametersBody,
    PythonBody,
)
from longctx.chat.calls.json_parts import json_text, object_text
from longctx.chat.calls.nested import nested_value
from longctx.chat.calls.scan import NotJson, scan_braces, scan_python, scan_text, scan_value
from longctx.chat.calls.values import braces_value, python_value, schema_of, value_of
from longctx.surrogates import without_surrogates

Tools = Mapping[str, Any]
"""Name to parameters, a JSON schema, of the tools that were offered."""

_IDENTIFIER = re.compile(r"[\w.:/$-]+")
_ID = re.compile(r"[\w.:-]+")


class NoCall(Exception):
    """What looked like a call is none."""


class CallReader:
    """Reads a section of calls in one format.

    Args:
        call_format: how they are written.
        tools: a name that is none of these makes no call.
        tell: hears of calls as they come.
    """

    def __init__(
        self, call_format: CallFormat, tools: Tools, tell: Callable[[Heard], None]
    ) -> None:
        self._format = call_format
        self._tools = tools
        self._tell = tell
        self._has_begun = False

    def section(self, feed: Feed) -> Wait[int]:
        """Read from the mark where calls begin behind the last that follows on it.

        Returns:
            How many were read to their end.

        Raises:
            NoCall: the first is none. What was told of it is taken back (:class:`CallBroken`).
        """
        shape, n = self._format, 0
        if not (yield from feed.accept(shape.section)) and not shape.opening.strip():
            raise NoCall
        while True:
            before = feed.at
            if n and shape.between.strip():
                yield from feed.accept(shape.between)
            try:
                call_id = yield from self._opening(feed)
            except NoCall:
                feed.at = before
                break
            if n and not (shape.opening.strip() or (yield from self._may_begin(feed))):
                feed.at = before
                break
            try:
                yield from self._call(feed, call_id)
            except (NoCall, NotJson) as error:
                if self._has_begun:
                    self._tell(CallBroken())
                if n == 0:
                    raise NoCall from error
                feed.at = before
                break
            n += 1
            if not shape.many:
                break
        if n == 0:
            raise NoCall
        # Part by part: the mark may have caught what ends the message in the template.
        for part in parts_of(shape.section_end):
            if not (yield from feed.accept(part)):
                break
        return n

    def _opening(self, feed: Feed) -> Wait[str]:
        """Take the mark before a call, or the last tag of it; return the id that stood in it."""
        before, opening = feed.at, self._format.opening
        try:
            return (yield from self._separator(feed, opening))
        except NoCall:
            feed.at = before
            parts = parts_of(opening)
            if len(parts) < 2 or not (yield from feed.accept(parts[-1])):
                raise
            return ""

    def _may_begin(self, feed: Feed) -> Wait[bool]:
        """Whether a call without a mark of its own could begin here."""
        yield from feed.skip_space()
        char = yield from feed.peek(1)
        if isinstance(self._format.body, ObjectBody):
            return char == "{"
        return bool(char and _IDENTIFIER.match(char))

    def _call(self, feed: Feed, call_id: str) -> Wait[None]:
        body = self._format.body
        self._has_begun = False
        match body:
            case ObjectBody():
                yield from self._object(feed, body)
            case NamedBody():
                yield from self._named(feed, body, call_id)
            case ParametersBody():
                yield from self._parameters(feed, body)
            case PythonBody():
                yield from self._python(feed)
            case BracesBody():
                yield from self._braces(feed, body)
        # A mark that is missing at the end does not unmake a call that is whole.
        yield from feed.accept(self._format.closing)
        self._tell(CallEnded())

    # A JSON object

    def _object(self, feed: Feed, body: ObjectBody) -> Wait[None]:
        if not (yield from feed.accept("{")):
            raise NoCall
        name, call_id, held = "", "", ""
        begun = False
        while not (yield from feed.accept("}")):
            yield from feed.accept(",")
            key = json_text((yield from scan_text(feed)))
            if not (yield from feed.accept(":")):
                raise NoCall
            if not body.name and not begun:  # the name is the key of the arguments
                self._begin(key, "")
                begun = True
                yield from scan_value(feed, self._write)
            elif key in (body.arguments, *_SAME) and body.name:
                if name:
                    self._begin(name, call_id)
                    begun = True
                    yield from self._arguments(feed)
                else:
                    held = yield from scan_text(feed)
            else:
                text = yield from scan_text(feed)
                if key == body.name or (key == "name" and not name):
                    name = json_text(text)
                elif key == body.call_id and text.startswith('"'):
                    call_id = json_text(text)
        if not begun:
            self._begin(name, call_id)
            self._write(object_text(held or "{}"))

    def _arguments(self, feed: Feed) -> Wait[None]:
        """An object, or, as some models write it, its JSON text inside a string."""
        yield from feed.skip_space()
        if (yield from feed.peek(1)) == "{":
            yield from scan_value(feed, self._write)
        else:
            self._write(object_text((yield from scan_text(feed))))

    # A name and a JSON object

    def _named(self, feed: Feed, body: NamedBody, call_id: str) -> Wait[None]:
        name = yield from self._name(feed, _before_placeholder(body.separator))
        call_id = (yield from self._separator(feed, body.separator)) or call_id
        yield from feed.skip_space()
        # Of a tool without arguments some write none at all.
        if (yield from feed.peek(1)) != "{":
            if not (yield from feed.stands(self._format.closing or "\0")):
                raise NoCall
            self._begin(name, call_id)
            self._write("{}")
            return
        self._begin(name, call_id)
        yield from scan_value(feed, self._write)

    def _name(self, feed: Feed, *ends: str) -> Wait[str]:
        """The name of one of the tools, up to a mark or to where no name goes on."""
        yield from feed.skip_space()
        n = max(map(len, self._tools), default=0) + 1
        here = yield from feed.peek(n)
        # The longest: "get" may be a tool beside "get_time".
        for name in sorted(self._tools, key=len, reverse=True):
            if here.startswith(name):
                rest = here[len(name) :]
                if (
                    not rest
                    or not _IDENTIFIER.match(rest[0])
                    or any(end.strip() and end.strip()[0] == rest[0] for end in ends)
                ):
                    feed.at += len(name)
                    return name
        raise NoCall

    def _separator(self, feed: Feed, separator: str) -> Wait[str]:
        """Take a separator; return the id that stood in it."""
        call_id = ""
        for part in re.split(f"([{NUMBER}{CALL_ID}])", separator):
            if part == NUMBER:
                yield from _take(feed, re.compile(r"\d+"))
            elif part == CALL_ID:
                call_id = yield from _take(feed, _ID)
            elif not (yield from feed.accept(part)):
                raise NoCall
        return call_id

    # A name and parameters

    def _parameters(self, feed: Feed, body: ParametersBody) -> Wait[None]:
        named = body.named.strip()
        name = yield from self._name(feed, named or body.opening)
        yield from self._separator(feed, body.named)
        self._begin(name, "")
        n = 0
        closing = self._format.closing
        # The one first: an argument's mark may be what the other begins with (MiniMax M3).
        while not (closing.strip() and (yield from feed.stands(closing))):
            if not (yield from feed.accept(body.opening)):
                break
            key, is_text = yield from self._key(feed, body)
            text = yield from self._value(feed, body, key)
            parameters = self._tools[name]
            schema = schema_of(parameters, key)
            value = nested_value(text, body, schema, parameters)
            if value is None:
                value = value_of(text, schema, parameters, is_text=is_text)
            head = "{" if n == 0 else ", "
            self._write(f"{head}{json.dumps(key, ensure_ascii=False)}: {_json(value)}")
            n += 1
        if not (yield from feed.stands(self._format.closing)):
            raise NoCall
        self._write("}" if n else "{}")

    def _key(self, feed: Feed, body: ParametersBody) -> Wait[tuple[str, bool | None]]:
        """An argument's name, and whether its markup says that it is text."""
        of_text, of_json = body.of_text.strip(), body.of_json.strip()
        pieces: list[str] = []
        if of_text == of_json:
            head = parts_of(of_text)[0]
            if (yield from feed.until([head], pieces.append)) is None:
                raise NoCall
            if not (yield from feed.accept(of_text)):
                raise NoCall
            return "".join(pieces).strip(), None
        # They differ in an attribute, string="true" or type="number"; what is neither counts
        # by its end.
        same = shared_start(of_text, of_json)
        if (yield from feed.until([same], pieces.append)) is None:
            raise NoCall
        key = "".join(pieces).strip()
        if (yield from feed.accept(of_text)):
            return key, True
        end = _common_suffix(of_text, of_json)
        if (yield from feed.until([end], lambda _: None)) is None:
            raise NoCall
        yield from feed.accept(end)
        return key, False

    def _value(self, feed: Feed, body: ParametersBody, key: str) -> Wait[str]:
        """The text between the marks, less the line feeds that the template itself writes."""
        closing = body.closing.replace(KEY, key)
        mark = closing.strip()
        pieces: list[str] = []
        if (yield from feed.accept("<![CDATA[")):
            if (yield from feed.until(["]]>"], pieces.append)) is None:
                raise NoCall
            yield from feed.accept("]]>")
            if not (yield from feed.accept(mark)):
                raise NoCall
            return "".join(pieces)
        while (yield from feed.until([mark], pieces.append)) is not None:
            before = feed.at
            feed.at += len(mark)
            # Text may hold the mark as well: what follows the real one goes on with the call.
            if (
                (yield from feed.stands(body.opening))
                or (yield from feed.stands(self._format.closing))
                or not self._format.closing.strip()
            ):
                text = "".join(pieces)
                head = body.of_text[len(body.of_text.rstrip()) :]
                tail = closing[: len(closing) - len(closing.lstrip())]
                return text.removeprefix(head).removesuffix(tail)
            feed.at = before + 1
            pieces.append(mark[0])
        raise NoCall

    # Python, and braces

    def _python(self, feed: Feed) -> Wait[None]:
        name = yield from self._name(feed, "(")
        if not (yield from feed.accept("(")):
            raise NoCall
        self._begin(name, "")
        n = 0
        while not (yield from feed.accept(")")):
            yield from feed.accept(",")
            key: list[str] = []
            if (yield from feed.until(["="], key.append)) is None:
                raise NoCall
            yield from feed.accept("=")
            value = python_value((yield from scan_python(feed)))
            head = "{" if n == 0 else ", "
            self._write(f"{head}{json.dumps(''.join(key).strip())}: {_json(value)}")
            n += 1
        self._write("}" if n else "{}")

    def _braces(self, feed: Feed, body: BracesBody) -> Wait[None]:
        name = yield from self._name(feed, "{")
        yield from feed.skip_space()
        if (yield from feed.peek(1)) != "{":
            raise NoCall
        self._begin(name, "")
        text = yield from scan_braces(feed, body.quote)
        self._write(_json(braces_value(text, body.quote)))

    # Telling

    def _begin(self, name: str, call_id: str) -> None:
        if name not in self._tools:
            raise NoCall
        self._has_begun = True
        self._tell(CallBegun(name, call_id))

    def _write(self, text: str) -> None:
        # Of values that were read, and are written again as text.
        self._tell(CallWritten(without_surrogates(text)))


_SAME = ("arguments", "parameters")
"""Llama 3 is shown one and often writes the other."""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _take(feed: Feed, pattern: re.Pattern[str]) -> Wait[str]:
    """What a pattern of single characters matches here."""
    start = feed.at
    while True:
        found = pattern.match(feed.text, start)
        end = found.end() if found else start
        if end < len(feed.text) or feed.has_ended:
            feed.at = end
            if end == start:
                raise NoCall
            return feed.text[start:end]
        yield


def _before_placeholder(separator: str) -> str:
    return re.split(f"[{NUMBER}{CALL_ID}]", separator)[0]


def _common_suffix(a: str, b: str) -> str:
    return shared_start(a[::-1], b[::-1])[::-1]
