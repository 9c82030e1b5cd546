"""How a chat template writes answers, found out by rendering known ones.

A known call and a known pair of calls show what stands around names, arguments and each parameter,
and between two calls; what is derived is checked by reading them back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from longctx.chat.calls.answer_reader import AnswerFormat, read_answer
from longctx.chat.calls.families import FIRST, LAST, family_of, thinking_of
from longctx.chat.calls.feed import shared_start
from longctx.chat.calls.format import (
    BARE,
    CALL_ID,
    KEY,
    NUMBER,
    Body,
    BracesBody,
    CallFormat,
    NamedBody,
    ObjectBody,
    ParametersBody,
    PythonBody,
)
from longctx.errors import TemplateError

PlainMessage = dict[str, Any]
Render = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None, bool], str]
"""(messages, tools, add_generation_prompt) to text; raises TemplateError as the template does."""

_NAMES = "qza_tool", "qzb_tool"
_KEYS = "qzc_key", "qzd_key", "qze_key"
_TEXT, _NUMBER, _TEXT_2 = "Qzf value", 4711, "Qzg value"
_IDS = "qzh000001", "qzi000002"
_WORDS = "Qzj words."


def _tool(name: str) -> PlainMessage:
    properties = {
        _KEYS[0]: {"type": "string", "description": "Text."},
        _KEYS[1]: {"type": "integer", "description": "A number."},
        _KEYS[2]: {"type": "string", "description": "Text."},
    }
    parameters = {"type": "object", "properties": properties, "required": list(_KEYS)}
    function = {"name": name, "description": "A probe.", "parameters": parameters}
    return {"type": "function", "function": function}


_TOOLS = [_tool(name) for name in _NAMES]
PROBE_TOOLS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in _TOOLS}
_ASK: PlainMessage = {"role": "user", "content": "Qzk question."}
_ARGUMENTS = {_KEYS[0]: _TEXT, _KEYS[1]: _NUMBER, _KEYS[2]: _TEXT_2}
PROBED = tuple((name, _ARGUMENTS) for name in _NAMES)
"""The calls that are rendered."""


def probe_answers(render: Render, source: str, *, text_arguments: bool) -> AnswerFormat:
    """Find out how a template writes answers.

    Args:
        render: the template.
        source: its Jinja text, for what no rendering shows.
        text_arguments: whether it wants arguments as JSON text.
    """
    family = family_of(source, FIRST)
    if family is not None:
        return family
    shown = "".join(_try(render, [_ASK, message], True) for message in _thoughtful())
    style = AnswerFormat(thinking=thinking_of(source + shown))
    style = replace(style, wrapping=(*_wrapping(render, style), *_tag_of(style.thinking)))
    for answer in rendered_calls(render, text_arguments, style.wrapping):
        for calls in _derived(*answer):
            found = replace(style, calls=calls)
            if _reads(found, *answer):
                return found
    fallback = family_of(source, LAST)
    return replace(style, calls=BARE if fallback is None else fallback.calls)


def _thoughtful() -> list[PlainMessage]:
    answer = {"role": "assistant", "content": _WORDS}
    return [{**answer, key: "Qzl thought."} for key in ("reasoning_content", "reasoning")]


def _try(
    render: Render, messages: Sequence[PlainMessage], prompted: bool, tools: Any = None
) -> str:
    try:
        return render(messages, tools, prompted)
    except TemplateError:
        return ""


def _wrapping(render: Render, style: AnswerFormat) -> tuple[str, ...]:
    """Marks between the head of the assistant's message and its words."""
    prompt = _try(render, [_ASK], True)
    text = _try(render, [_ASK, {"role": "assistant", "content": _WORDS}], False)
    head = _before_tag(text, _n_shared(prompt, text))
    before, words, after = text[head:].partition(_WORDS)
    if not prompt or not words or _ASK["content"] in before:
        return ()
    thinking = "".join(style.thinking or ())
    marks = [mark for mark in _MARK.findall(before) if mark not in thinking]
    if not marks:
        return ()
    # Kimi K3 ends its marks with one of their own, which stands behind other words, too.
    joint = ["<|sep|>"] if any(mark.endswith("<|sep|>") for mark in marks) else []
    return (*marks, *_MARK.findall(after), *joint)


def _tag_of(thinking: tuple[str, str] | None) -> tuple[str, ...]:
    """The tag that a mark of reasoning has a word behind (Gemma 4); some write it once more."""
    found = re.match(r"<\|?\w+\|?>(?=\w+$)", thinking[0]) if thinking else None
    return (found[0],) if found else ()


_MARK = re.compile(r"<\|?[\w/:.-]+\|?>(?:\w+<\|\w+\|>)?|\[/?[A-Z_]{3,}\]")


def rendered_calls(
    render: Render, text_arguments: bool, wrapping: Sequence[str]
) -> list[tuple[str, str]]:
    """The text of (one call, two calls) as a template writes them; "" where it refuses them.

    Once with ids of calls and once without, where either is rendered at all; the calls are those
    of :data:`PROBED`.
    """

    def answer(n: int, with_id: bool) -> PlainMessage:
        calls = []
        for name, call_id in zip(_NAMES[:n], _IDS, strict=False):
            arguments: Any = json.dumps(_ARGUMENTS) if text_arguments else _ARGUMENTS
            call: PlainMessage = {
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            calls.append({"id": call_id, **call} if with_id else call)
        return {"role": "assistant", "content": "", "tool_calls": calls}

    words = _try(render, [_ASK, {"role": "assistant", "content": _WORDS}], False, _TOOLS)
    out = []
    for with_id in (True, False):
        texts = [_try(render, [_ASK, answer(n, with_id)], False, _TOOLS) for n in (1, 2)]
        start = texts[0].rfind(_ASK["content"])
        if _NAMES[0] not in texts[0][start:]:
            continue
        prompt = _try(render, [_ASK], True, _TOOLS)
        head = _before_tag(texts[0], max(_n_shared(texts[0], words), _n_shared(texts[0], prompt)))
        tail = _n_shared(texts[0][::-1], words[::-1])
        head = _behind(texts[0], head, wrapping)
        one = _to_tag(texts[0], head, tail)
        two = _to_tag(texts[1], head, tail) if _NAMES[1] in texts[1][start:] else ""
        out.append((one, two))
    return out


def _behind(text: str, at: int, marks: Sequence[str]) -> int:
    """The same place, behind any of the marks that stand there."""
    while mark := next((mark for mark in marks if text.startswith(mark, at)), ""):
        at += len(mark)
    return at


def _before_tag(text: str, at: int) -> int:
    """The same place, or where the tag begins that it stands in."""
    start = max(text.rfind("<", 0, at), text.rfind("[", 0, at))
    inside = start >= 0 and not re.search(r"[>\]\s]", text[start:at])
    return start if inside else at


def _to_tag(text: str, head: int, tail: int) -> str:
    """The text less what is the same at both ends, to where a tag ends."""
    end = len(text) - tail
    found = re.compile(r"<[^<>\s]*$").search(text, head, end)
    if found:
        end = text.find(">", end) + 1 or end
    return text[head:end]


def _reads(style: AnswerFormat, one: str, two: str) -> bool:
    """Whether what was rendered comes back."""
    for n, text in ((1, one), (2, two)):
        read = read_answer(text, style, PROBE_TOOLS)
        calls = [(call.name, json.loads(call.arguments)) for call in read.calls]
        if text and calls != list(PROBED[:n]):
            return False
    return True


def _derived(one: str, two: str) -> list[CallFormat]:
    """Formats that a rendered call, and a pair where templates take one, may have."""
    text = two or one
    names = [text.find(name) for name in _NAMES[: 2 if two else 1]]
    out = []
    for derive in (_object, _named, _parameters, _python, _braces):
        found = derive(text, names)
        if found is not None:
            out.append(replace(found, many=bool(two)))
    return out


def _marks(body: Body, prefix: str, mid: str | None, suffix: str) -> CallFormat:
    """Cut what stands before, between and behind two calls into the marks of each and of all.

    Args:
        body: of a call.
        prefix: before the first.
        mid: between the two; None where only one was rendered.
        suffix: behind the last.
    """
    if mid is None:
        return CallFormat(body, opening=prefix, closing=suffix)
    closing = _whole_tags(mid[: _n_shared(suffix, mid)]).rstrip()
    closing = closing if closing.strip() else ""
    rest = mid[len(closing) :]
    opening = _suffix(prefix, rest)
    section = prefix[: len(prefix) - len(opening)]
    return CallFormat(
        body,
        opening=opening,
        closing=closing,
        between=rest[: len(rest) - len(opening)],
        section=section,
        section_end=_section_end(section, suffix[len(closing) :]),
    )


def _section_end(section: str, text: str) -> str:
    """What closes a section, without what ends the message behind it."""
    if not section.strip():
        return ""
    for name in re.findall(r"<([\w:.-]+)>", section):
        if (end := f"</{name}>") in text:
            return text[: text.index(end) + len(end)]
    return text


def _suffix(a: str, b: str) -> str:
    """What two texts end with, from where a tag begins; "" for white space alone."""
    n = _n_shared(a[::-1], b[::-1])
    shared = a[len(a) - n :] if n else ""
    if ">" in shared.partition("<")[0]:
        shared = shared[shared.index(">") + 1 :]
    return shared if shared.strip() else ""


def _n_shared(a: str, b: str) -> int:
    return len(shared_start(a, b))


def _whole_tags(text: str) -> str:
    """Without a tag at the end that is only begun."""
    start = text.rfind("<")
    return text[:start] if start >= 0 and ">" not in text[start:] else text


def _object(text: str, names: Sequence[int]) -> CallFormat | None:
    spans = [_object_around(text, at) for at in names]
    if any(span is None for span in spans):
        return None
    (start, end, body), *rest = [span for span in spans if span is not None]
    mid = text[end : rest[0][0]] if rest else None
    last = rest[0][1] if rest else end
    return _marks(body, text[:start], mid, text[last:])


def _object_around(text: str, at: int) -> tuple[int, int, ObjectBody] | None:
    """The JSON object that a name stands in together with its arguments."""
    start = at
    while (start := text.rfind("{", 0, start)) >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            continue
        if end <= at or not isinstance(value, dict):
            continue
        names = [key for key, item in value.items() if item in _NAMES]
        arguments = [key for key, item in value.items() if item in (_ARGUMENTS, _AS_TEXT)]
        ids = [key for key, item in value.items() if key not in names and _is_id(item)]
        if not arguments:
            continue
        if arguments[0] in _NAMES:
            return start, end, ObjectBody(name="", arguments="")
        if names:
            call_id = ids[0] if ids else ""
            first = next(iter(value)) == call_id
            return start, end, ObjectBody(names[0], arguments[0], call_id, first)
    return None


_AS_TEXT = json.dumps(_ARGUMENTS)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and (value in _IDS or value.isdigit())


def _named(text: str, names: Sequence[int]) -> CallFormat | None:
    spans = []
    for at, name in zip(names, _NAMES, strict=False):
        start = text.find("{", at)
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            return None
        if value != _ARGUMENTS:
            return None
        spans.append((at, text[at + len(name) : start], end))
    at, separator, end = spans[0]
    separator = _without_ids(separator)
    prefix, mid, suffix = text[:at], None, text[spans[-1][2] :]
    if len(spans) > 1:
        mid = text[end : spans[1][0]]
        number = _number(separator, _without_ids(spans[1][1]))
        if number is not None:
            separator = number
    prefix, suffix = _without_ids(prefix), _without_ids(suffix)
    mid = None if mid is None else _without_ids(mid)
    return _marks(NamedBody(separator), prefix, mid, suffix)


def _without_ids(text: str) -> str:
    for call_id in _IDS:
        text = text.replace(call_id, CALL_ID)
    return text


def _number(first: str, second: str) -> str | None:
    """The separator with a placeholder for the call's number; None where none stands in it."""
    a, b = (re.split(r"(\d+)", text) for text in (first, second))
    if first == second or len(a) != len(b):
        return None
    for i in range(1, len(a), 2):
        if a[i] != b[i] and int(b[i]) == int(a[i]) + 1:
            return "".join([*a[:i], NUMBER, *a[i + 1 :]])
    return None


def _parameters(text: str, names: Sequence[int]) -> CallFormat | None:
    spans = []
    values = (_TEXT, str(_NUMBER), _TEXT_2)
    for at, name in zip(names, _NAMES, strict=False):
        edges, here = [at + len(name)], at + len(name)
        for word in (word for pair in zip(_KEYS, values, strict=True) for word in pair):
            found = text.find(word, here)
            if found < 0:
                return None
            here = found + len(word)
            edges += [found, here]
        gaps = [text[edges[i] : edges[i + 1]] for i in range(0, len(edges) - 1, 2)]
        spans.append((at, gaps, here))
    at, (named, of_text, after_1, of_json, after_2, _), end = spans[0]
    after_1, after_2 = after_1.replace(_KEYS[0], KEY), after_2.replace(_KEYS[1], KEY)
    if after_1 != after_2 or "<" not in after_1:
        return None
    opening = _suffix(named, after_1)
    closing = after_1[: len(after_1) - len(opening)]
    named = named[: len(named) - len(opening)]
    if len(spans) > 1 and (number := _number(named, spans[1][1][0][: len(named)])):
        named = number
    body = ParametersBody(named, opening, of_text, of_json, closing)
    skipped = len(closing.replace(KEY, _KEYS[2]))
    mid = text[end + skipped : spans[1][0]] if len(spans) > 1 else None
    return _marks(body, text[:at], mid, text[spans[-1][2] + skipped :])


def _python(text: str, names: Sequence[int]) -> CallFormat | None:
    ends = []
    for at, name in zip(names, _NAMES, strict=False):
        if not text.startswith(f"({_KEYS[0]}=", at + len(name)):
            return None
        ends.append(text.index(")", at) + 1)
    mid = text[ends[0] : names[1]] if len(names) > 1 else None
    return _marks(PythonBody(), text[: names[0]], mid, text[ends[-1] :])


def _braces(text: str, names: Sequence[int]) -> CallFormat | None:
    ends, quote = [], ""
    for at, name in zip(names, _NAMES, strict=False):
        head = f"{{{_KEYS[0]}:"
        if not text.startswith(head, at + len(name)):
            return None
        start = at + len(name) + len(head)
        quote = text[start : text.index(_TEXT, start)]
        ends.append(text.index("}", start) + 1)
    if not quote:
        return None
    mid = text[ends[0] : names[1]] if len(names) > 1 else None
    return _marks(BracesBody(quote), text[: names[0]], mid, text[ends[-1] :])
