"""Answers that llama.cpp's own tests expect to be read, out of its ``tests/test-chat.cpp``.

The file builds its cases by chains of calls on literals, ``tst.test("…").tools({…}).expect(…)``.
That much of C++ is read here; a chain that needs more is left out, and counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | //[^\n]* | /\*.*?\*/ )
  | R"(?P<mark>[^()\s]*)\((?P<raw>.*?)\)(?P=mark)"
  | "(?P<text>(?:[^"\\]|\\.)*)"
  | (?P<name>[A-Za-z_][\w:]*)
  | (?P<number>-?\d[\w.]*)
  | (?P<mark_only>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_TOOL = re.compile(r"static common_chat_tool (\w+)\s*(?=\{)")
_MESSAGE = re.compile(r"(?:static )?const common_chat_msg (\w+)\s*=\s*(?=\w)")
_TESTER = re.compile(r"auto (tst\w*) = peg_tester\((\"[^\"]+\"|\w+)")
_CASE = re.compile(r"\btst\w*\s*\.\s*(?=test\()")


@dataclass
class ChatCase:
    """What a model wrote, and what is to be read out of it."""

    template: str
    line: int
    text: str
    options: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def tools(self) -> list[dict[str, Any]]:
        """OpenAI-style definitions."""
        return [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": description,
                    "parameters": json.loads(parameters),
                },
            }
            for name, description, parameters in self.options.get("tools", [])
        ]


def read_cases(source: Path) -> tuple[list[ChatCase], int]:
    """The cases of ``test-chat.cpp``, and how many could not be read."""
    code = source.read_text(encoding="utf-8")
    names: dict[str, Any] = {"true": True, "false": False}
    for found in _TOOL.finditer(code):
        names[found[1]] = _Expression(code, found.end(), names).value()[:3]
    for found in _MESSAGE.finditer(code):
        names[found[1]] = _Expression(code, found.end(), names).value()
    testers = [(found.start(), found[1], found[2].strip('"')) for found in _TESTER.finditer(code)]
    cases, left_out = [], 0
    for found in _CASE.finditer(code):
        path = [p for at, name, p in testers if at < found.start()][-1]
        line = code.count("\n", 0, found.start()) + 1
        try:
            case = _case(code, found.end(), names, line)
        except (KeyError, ValueError, TypeError, IndexError):
            left_out += 1
            continue
        for template in _templates(code, found.start(), path):
            cases.append(_at(case, template))
    return cases, left_out


def _templates(code: str, at: int, path: str) -> list[str]:
    """The file, or those that the function or loop around is called with."""
    if path.endswith(".jinja"):
        return [Path(path).name]
    if path == "template_path":
        head = code[: code.index("test_lfm2_parser(tmpl")]
    else:
        head = code[: code.rindex(f"peg_tester({path}", 0, at)]
    return [Path(p).name for p in re.findall(r'"([^"]+\.jinja)"', head[head.rindex("for (") :])]


def _at(case: ChatCase, template: str) -> ChatCase:
    return ChatCase(**{**vars(case), "template": template})


def _case(code: str, at: int, names: dict[str, Any], line: int) -> ChatCase:
    """A chain of calls, up to ``run()``."""
    read = _Expression(code, at, names)
    case = ChatCase("", line, "")
    while True:
        method = read.next("name")
        arguments = read.arguments()
        if method == "run":
            return case
        if method == "test":
            case.text = arguments[0]
        elif method == "expect":
            case.content, case.reasoning, case.calls = arguments[0]
        elif method == "expect_content":
            case.content = arguments[0]
        elif method == "expect_reasoning":
            case.reasoning = arguments[0]
        elif method == "expect_tool_calls":
            case.calls = [(name, written) for name, written, *_ in arguments[0]]
        else:
            case.options[method] = arguments[0] if arguments else True
        read.mark(".")


def _message(
    content: str = "", reasoning: str = "", tool: str = "", written: str = "", call_id: str = ""
) -> tuple[str, str, list[tuple[str, str]]]:
    return content, reasoning, [(tool, written)] if tool or call_id else []


_FUNCTIONS: dict[str, Any] = {
    "simple_assist_msg": _message,
    "message_with_tool_calls": lambda tool, written: _message("", "", tool, written),
    "message_with_tool_calls_and_reasoning": lambda tool, written, why: _message(
        "", why, tool, written
    ),
    "message_with_reasoning_content_and_multiple_tool_calls": lambda why, said, calls: (
        said, why, [tuple(call) for call in calls],
    ),
    "message_with_content_and_tool_call": lambda said, tool, written: _message(
        said, "", tool, written
    ),
    "message_with_reasoning_and_tool_call": lambda why, tool, written: _message(
        "", why, tool, written
    ),
    "std::string": lambda text="": text,
}  # fmt: skip


class _Expression:
    """Literals, lists and the calls above, read from a place in the code."""

    def __init__(self, code: str, at: int, names: dict[str, Any]) -> None:
        self._tokens = self._scan(code, at)
        self._ahead: tuple[str, str] | None = None
        self._names = names

    @staticmethod
    def _scan(code: str, at: int) -> Iterator[tuple[str, str]]:
        while found := _TOKEN.match(code, at):
            at = found.end()
            if found["skip"] is not None:
                continue
            if found["raw"] is not None:
                yield "text", found["raw"]
            elif found["text"] is not None:
                yield "text", _unescape(found["text"])
            else:
                kind = str(found.lastgroup)
                yield kind, found[kind]

    def peek(self) -> tuple[str, str]:
        if self._ahead is None:
            self._ahead = next(self._tokens)
        return self._ahead

    def next(self, kind: str) -> str:
        found, value = self.peek()
        if found != kind:
            raise ValueError(f"{value!r} where a {kind} was expected")
        self._ahead = None
        return value

    def mark(self, mark: str) -> None:
        if self.next("mark_only") != mark:
            raise ValueError(f"{mark!r} was expected")

    def arguments(self) -> list[Any]:
        self.mark("(")
        return self._until(")")

    def _until(self, end: str) -> list[Any]:
        out = []
        while self.peek() != ("mark_only", end):
            out.append(self.value())
            if self.peek() == ("mark_only", ","):
                self.mark(",")
        self.mark(end)
        return out

    def value(self) -> Any:
        value = self._term()
        while self.peek() == ("mark_only", "+"):
            self.mark("+")
            value += self._term()
        return value

    def _term(self) -> Any:
        kind, value = self.peek()
        if kind == "text":
            out = ""
            while self.peek()[0] == "text":
                out += self.next("text")
            return out
        if (kind, value) == ("mark_only", "{"):
            self.mark("{")
            return self._until("}")
        if kind == "number":
            return self.next("number")
        name = self.next("name")
        if self.peek() == ("mark_only", "("):
            return _FUNCTIONS[name](*self.arguments())
        return name if name.startswith("COMMON_") else self._names[name]


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "xuU":
            return chr(int(escape[1:], 16))
        return _ESCAPES.get(escape, escape)

    text = re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", one, text, flags=re.DOTALL)
    # "\xe2\x96\x81" is UTF-8 written byte by byte.
    if any("\x80" <= c <= "\xff" for c in text):
        try:
            return text.encode("latin-1").decode()
        except (UnicodeEncodeError, UnicodeDecodeError):
            return text
    return text
