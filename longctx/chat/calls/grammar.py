"""Grammars of calls: a name that is there, arguments by its schema, in the family's own format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from longctx.chat.calls.format import (
    CALL_ID,
    HEADER,
    KEY,
    NAME,
    NUMBER,
    BracesBody,
    CallFormat,
    NamedBody,
    ObjectBody,
    ParametersBody,
    PythonBody,
)
from longctx.chat.calls.reader import Tools
from longctx.chat.calls.values import types_of
from longctx.errors import RequestError, ToolError
from longctx.grammar import Grammar, json_rule
from longctx.grammar.numbers import MAX_DIGITS, MAX_EXPONENT_DIGITS
from longctx.tokens.special_tokens import SpecialToken

Partition = Callable[[str], Sequence["str | SpecialToken"]]
"""Cuts a text at the vocabulary's special tokens."""

_ID_PATTERN = "/[a-zA-Z0-9]{9}/"
_PYTHON_TEXT = r"/'([^'\\\n]|\\[nrt'\"\\])*'/"
_JSON_MARK = re.compile(r'[{}]|, |: |"(?:[^"\\]|\\.)*"')
_WHOLE = f"-?(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})"
_FRACTION = f"(\\.[0-9]{{1,{MAX_DIGITS}}})?([eE][+-]?[0-9]{{1,{MAX_EXPONENT_DIGITS}}})?"
_NUMBER_PATTERN = "/[0-9]{1,3}/"
_HEADER_WORDS = "/[a-z ]{1,24}/"
_HEADER_MARKS = ("<|channel|>", "<|constrain|>")


def call_grammar(
    call_format: CallFormat,
    tools: Tools,
    partition: Partition,
    *,
    many: bool = True,
) -> Grammar:
    """The grammar of a section of calls, from its first mark to its last.

    Args:
        call_format: how the model writes them.
        tools: which may be called, at least one.
        partition: special tokens are no text to a grammar.
        many: whether several may follow each other.

    Raises:
        ToolError: a tool's parameters make no grammar.
    """
    return _Builder(call_format, tools, partition).grammar(many)


def or_mark(
    grammar: Grammar, mark: str, partition: Partition, *, resumes: str = "", speaks: str = ""
) -> Grammar:
    """The same grammar, or a mark by itself: of reasoning, which a model may begin with.

    Args:
        grammar: of the answer.
        mark: that it may be instead; "" is none.
        partition: special tokens are no text to a grammar.
        resumes: what may stand before the answer, where it follows reasoning.
        speaks: what must stand before it.
    """
    other = f" | {literal(mark, partition)}" if mark else ""
    before = f"({literal(resumes, partition)})? " if resumes else ""
    before += literal(speaks, partition)
    if not (other or before):
        return grammar
    name = "answer"
    while f"\n{name}:" in grammar.lark:  # it has a beginning already
        name += "_"
    lark = grammar.lark.replace("start:", f"start: {before} {name}{other}\n{name}:", 1)
    return replace(grammar, lark=lark)


def calls_or(calls: Grammar, answer: Grammar, speaks: str, partition: Partition) -> Grammar:
    """The grammar of calls, or of an answer in their place.

    Args:
        calls: of :func:`call_grammar`.
        answer: of a schema: the one rule ``start``.
        speaks: what must stand before an answer that is no call.
        partition: special tokens are no text to a grammar.
    """
    before = literal(speaks, partition)
    lark = calls.lark.replace("start:", "start: calls | held\ncalls:", 1)
    lark += answer.lark.replace("start:", f"held: {before}", 1)
    warnings = (*calls.warnings, *answer.warnings)
    return Grammar(lark, max(calls.levels, answer.levels), warnings)


def no_call_grammar(call_format: CallFormat, partition: Partition) -> Grammar:
    """The grammar of words in which no call begins.

    A small model copies the calls that it has made before; a mark that is a token of its own
    cannot be in text at all.
    """
    text = "/(?s:.*)/"
    if not call_format.begins:  # the whole answer would be the call
        text += " & ~/[ \\t\\r\\n]*\\{(?s:.*)/"
    elif not any(map(_is_control, partition(call_format.begins[0]))):
        pattern = re.escape(call_format.begins[0]).replace("/", "\\/")
        text += f" & ~/(?s:.*){pattern}(?s:.*)/"
    return Grammar(f"start: TEXT\nTEXT: {text}\n")


def literal(mark: str, partition: Partition) -> str:
    """A mark as a grammar has it: control tokens by their ids, the rest between quotes.

    Tokens that an answer shows, such as ``<tool_call>`` in many vocabularies, are text.
    """
    out = []
    for piece in re.split(f"([{NUMBER}{CALL_ID}{HEADER}])", mark):
        if piece == NUMBER:
            out.append(_NUMBER_PATTERN)
        elif piece == CALL_ID:
            out.append(_ID_PATTERN)
        elif piece == HEADER:
            either = " | ".join(literal(each, partition) for each in _HEADER_MARKS)
            out.append(f"(/ [a-z ]{{0,24}}/)? (({either}) {_HEADER_WORDS}?){{0,2}}")
        else:
            for part in partition(piece):
                if isinstance(part, SpecialToken) and part.is_control:
                    out.append(f"<[{part.id}]>")
                else:
                    out.append(_quoted(_text_of(part)))
    return " ".join(out)


class _Builder:
    """Collects the rules of one grammar."""

    def __init__(self, call_format: CallFormat, tools: Tools, partition: Partition) -> None:
        self._format = call_format
        self._tools = tools
        self._partition = partition
        self._rules: list[str] = []
        self._levels = 0
        self._warnings: list[str] = []

    def grammar(self, many: bool) -> Grammar:
        shape = self._format
        calls = " | ".join(self._call(i, name) for i, name in enumerate(self._tools))
        more = f" (({self._text(shape.between)}) call)*" if shape.between else " call*"
        several = more if many and shape.many else ""
        section = f"{self._text(shape.section)} call{several} {self._text(shape.section_end)}"
        rules = [f"start: {section.strip()}", f"call: {calls}", *self._rules]
        found = Grammar("\n".join(rules) + "\n", self._levels, tuple(self._warnings))
        try:
            found.check()
        except RequestError as error:
            names = ", ".join(self._tools)
            raise ToolError(f"the parameters of a tool ({names}) are unusable: {error}") from error
        return found

    def _call(self, i: int, name: str) -> str:
        """The rule of one tool's call; its name."""
        body, parameters = self._format.body, self._tools[name]
        match body:
            case ObjectBody():
                inner = self._object(body, name, parameters)
            case NamedBody():
                arguments = self._json(_closed(parameters))
                inner = f"{_quoted(name)} {self._text(body.separator)} {arguments}"
            case ParametersBody():
                inner = self._parameters(body, name, parameters)
            case PythonBody():
                pairs = [
                    (f"{_quoted(key + '=')} {self._python(schema, parameters)}", needed)
                    for key, schema, needed in _properties(parameters)
                ]
                inner = f"{_quoted(name + '(')} {self._listed(pairs)} {_quoted(')')}"
            case BracesBody():
                pairs = [
                    (f"{_quoted(key + ':')} {self._braces(schema, parameters, body.quote)}", needed)
                    for key, schema, needed in _properties(parameters)
                ]
                inner = f'{_quoted(name + "{")} {self._listed(pairs)} "}}"'
        shape = self._format
        rule = f"call_{i}"
        opening, closing = shape.opening.replace(NAME, name), self._text(shape.closing)
        self._rules.append(f"{rule}: {self._text(opening)} {inner} {closing}".rstrip())
        return rule

    def _object(self, body: ObjectBody, name: str, parameters: Any) -> str:
        arguments = self._json(_closed(parameters))
        if not body.name:
            return f'{self._marks("{" + json.dumps(name) + ": ")} {arguments} "}}"'
        call_id = (
            f'"\\"" {_ID_PATTERN} "\\""' if not body.id_first else f'"\\"" {_NUMBER_PATTERN} "\\""'
        )
        head, tail = "{", '"}"'
        before = ""
        if body.call_id and body.id_first:
            before = f"{self._marks('{' + json.dumps(body.call_id) + ': ')} {call_id} "
            head = ", "
        elif body.call_id:
            tail = f'{self._marks(", " + json.dumps(body.call_id) + ": ")} {call_id} "}}"'
        start = f"{head}{json.dumps(body.name)}: {json.dumps(name)}, {json.dumps(body.arguments)}: "
        return f"{before}{self._marks(start)} {arguments} {tail}"

    def _marks(self, start: str) -> str:
        """Pieces of JSON that are always the same.

        A bare object may stand beside an answer that is one, too (:func:`calls_or`). A lexer that
        has begun a longer mark does not turn back, so these are cut as JSON's own grammar is.
        """
        marks = [start] if self._format.begins else _JSON_MARK.findall(start)
        return " ".join(map(_quoted, marks))

    def _parameters(self, body: ParametersBody, name: str, parameters: Any) -> str:
        parts = [_quoted(name), self._text(body.named)]
        for key, schema, needed in _properties(parameters):
            kinds = types_of(schema, parameters)
            closing = body.closing.replace(KEY, key)
            ways = []
            if not kinds or "string" in kinds:
                ways.append(f"{self._text(body.of_text)} {self._until(closing, schema)}")
            if not kinds or kinds - {"string"}:
                value = self._json(_rooted(_without_strings(schema), parameters))
                ways.append(f"{self._text(body.of_json)} {value} {self._text(closing)}")
            one = f"{self._text(body.opening)} {_quoted(key)} ({' | '.join(ways)})"
            parts.append(one if needed else f"({one})?")
        return " ".join(filter(None, parts))

    def _until(self, closing: str, schema: Any) -> str:
        """Text up to a mark, the mark included."""
        if isinstance(schema, Mapping) and isinstance(schema.get("enum"), list):
            words = [word for word in schema["enum"] if isinstance(word, str)]
            return f"({' | '.join(map(_quoted, words))}) {self._text(closing)}"
        rule = f"text_{len(self._rules)}"
        shown = "".join(
            takewhile(
                bool, ("" if _is_control(p) else _text_of(p) for p in self._partition(closing))
            )
        )
        if shown:
            self._rules.append(f"{rule}[suffix={_quoted(shown)}]: /(?s:.*)/")
            return f"{rule} {self._text(closing[len(shown) :])}".strip()
        self._rules.append(f"{rule}: /(?s:.*)/")
        return f"{rule} {self._text(closing)}"

    def _python(self, schema: Any, root: Any) -> str:
        """A value as JSON has it, or free text as Python prints it."""
        value = self._json(schema)
        kinds = types_of(schema, root)
        free = not (isinstance(schema, Mapping) and {"enum", "const", "pattern"} & schema.keys())
        return f"({value} | {_PYTHON_TEXT})" if free and kinds == {"string"} else value

    def _braces(self, schema: Any, root: Any, quote: str) -> str:
        """A value as Gemma 4 writes it, by its type."""
        text = f"{self._text(quote)} /(?s:[^<]*)/ {self._text(quote)}"
        if not any(rule.startswith("braces_value:") for rule in self._rules):
            key = "/[a-zA-Z_][a-zA-Z0-9_]*/"
            pair = f'{key} ":" braces_value'
            self._rules += [
                f"braces_text: {text}",
                'braces_value: braces_text | braces_number | "true" | "false" | "null" '
                "| braces_list | braces_object",
                f"braces_number: /{_WHOLE}{_FRACTION}/",
                'braces_list: "[" (braces_value ("," braces_value)*)? "]"',
                f'braces_object: "{{" ({pair} ("," {pair})*)? "}}"',
            ]
        ways = {
            "string": "braces_text", "number": "braces_number", "integer": f"/{_WHOLE}/",
            "boolean": '"true" | "false"', "null": '"null"', "array": "braces_list",
            "object": "braces_object",
        }  # fmt: skip
        kinds = types_of(schema, root)
        if kinds == {"string"} and isinstance(schema, Mapping) and schema.get("enum"):
            words = " | ".join(_quoted(str(word)) for word in schema["enum"])
            return f"{self._text(quote)} ({words}) {self._text(quote)}"
        if kinds and not kinds - {"integer", "number", "boolean", "null"}:
            return self._json(schema)  # written as JSON has them
        found = [ways[kind] for kind in sorted(kinds) if kind in ways]
        return f"({' | '.join(found)})" if found else "braces_value"

    def _listed(self, pairs: Sequence[tuple[str, bool]]) -> str:
        """Pairs in their order with commas between; who is not needed may be left out."""
        comma = '", "' if isinstance(self._format.body, PythonBody) else '","'
        # rest_i: what may follow once something stands before, from pair i on.
        n = len(self._rules)
        rest = ""
        first = ""
        for i in range(len(pairs) - 1, -1, -1):
            pair, needed = pairs[i]
            with_comma, alone = f"{comma} {pair} {rest}".strip(), f"{pair} {rest}".strip()
            self._rules.append(f"list_{n}_{i}: {with_comma}")
            first = f"({alone})" if needed else (f"({alone} | {first})" if first else f"({alone})?")
            rest = (
                f"list_{n}_{i}"
                if needed
                else f"(list_{n}_{i} | {rest})"
                if rest
                else (f"list_{n}_{i}?")
            )
        return first

    def _json(self, schema: Any) -> str:
        """A rule for a JSON value; its name."""
        usable = schema if isinstance(schema, Mapping) else {}
        try:
            rule = json_rule(usable)
        except RequestError as error:
            names = ", ".join(self._tools)
            raise ToolError(f"the parameters of a tool ({names}) are unusable: {error}") from error
        self._levels += rule.levels
        self._warnings += rule.warnings
        name = f"json_{len(self._rules)}"
        self._rules.append(f"{name}: {rule.text}")
        return name

    def _text(self, mark: str) -> str:
        return literal(mark, self._partition)


def _is_control(part: str | SpecialToken) -> bool:
    return isinstance(part, SpecialToken) and part.is_control


def _text_of(part: str | SpecialToken) -> str:
    return part if isinstance(part, str) else part.text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _properties(parameters: Any) -> list[tuple[str, Any, bool]]:
    """(name, schema, whether it is required) of each argument, in the schema's order."""
    if not isinstance(parameters, Mapping):
        return []
    properties = parameters.get("properties")
    needed = parameters.get("required") or ()
    pairs = dict(properties) if isinstance(properties, Mapping) else {}
    for name in needed:  # one that properties lack may be anything
        pairs.setdefault(name, {})
    return [(name, _rooted(schema, parameters), name in needed) for name, schema in pairs.items()]


def _rooted(schema: Any, root: Any) -> Any:
    """A part of a schema by itself, with what its references point to."""
    if not isinstance(schema, Mapping):
        return {}
    definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
    return {**definitions, **schema}


def _closed(parameters: Any) -> Any:
    """The same without arguments that a tool does not list; {} where it lists none."""
    if not isinstance(parameters, Mapping) or "properties" not in parameters:
        return parameters
    if {"additionalProperties", "patternProperties", "unevaluatedProperties"} & parameters.keys():
        return parameters
    combined = {"allOf", "anyOf", "oneOf", "$ref", "if"} & parameters.keys()
    return parameters if combined else {**parameters, "additionalProperties": False}


def _without_strings(schema: Any) -> Any:
    """The same without text, which is written in its own way."""
    if not isinstance(schema, Mapping):
        return {}
    out = dict(schema)
    if isinstance(out.get("type"), list):
        out["type"] = [kind for kind in out["type"] if kind != "string"]
    if isinstance(out.get("enum"), list):
        out["enum"] = [value for value in out["enum"] if not isinstance(value, str)]
    for key in ("anyOf", "oneOf"):
        if isinstance(out.get(key), list):
            out[key] = [
                part for part in out[key]
                if not (isinstance(part, Mapping) and part.get("type") == "string")
            ]  # fmt: skip
    return out
