"""What an answer says: its quotations and sentences, and the marks behind them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import regex

# Words that part from others by spaces: a straight quotation mark opens before one, never behind.
_LETTER = r"[[\p{L}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]]"
_INSIDE = r"(?:(?!\n[^\S\n]*\n)[^{}])+?"
_PAIRS = [
    (rf'(?<!{_LETTER})["＂](?=\S)', r'(?<=\S)["＂”](?!\p{L})', '"＂'),
    (r"“", r'[”"“]', "“”"),
    (r"„", r'[“”"]', "„“”"),
    (rf"(?<!{_LETTER})”(?=\S)", r"”", "“”"),
    (r"«", r"»", "«»"),
    (r"»", r"«", "«»"),
    (r"「", r"」", "「」"),
    (r"『", r"』", "『』"),
    (r"‹", r"›", "‹›"),
    # Apostrophes are no marks: behind the last one stands no letter.
    (rf"(?<!{_LETTER})‘", rf"’(?!{_LETTER})", "‘"),
    (rf"(?<![{_LETTER}'])'(?=\S)", rf"(?<=\S)'(?![{_LETTER}'])", '"'),
]
_QUOTED = regex.compile(
    "|".join(
        f"{opening}(?P<words>{_INSIDE.replace('{}', regex.escape(barred))}){closing}"
        for opening, closing, barred in _PAIRS
    ),
    regex.VERSION1,
)
_NAME = r"D\d+(?:\.\d+)?"
_LIST = rf"[\[【]\s*{_NAME}(?:\s*(?:[,;、，&]|and)?\s*{_NAME})*\s*[\]】]"
_MARKS = regex.compile(rf"{_LIST}(?:[,;\s]*{_LIST})*")
_BEFORE_MARKS = regex.compile(rf"\s*{_MARKS.pattern}")
_MARK = regex.compile(_NAME)
# The second set: full stop, exclamation and question mark of Chinese and Japanese. A mark
# behind the stop belongs to the sentence before it.
_SENTENCE_END = regex.compile(
    r"(?<=[.!?])\s+(?![\[【]D\d)|(?<=[\u3002\uff01\uff1f])(?!\s*[\[【]D\d)"
    r"|(?<=[\]】])\s+(?=[^\W\d_a-z])|\n+"
)
_JSON = regex.compile(r"\s*(?:```(?:json)?\s*)?(?P<json>[\[{].*[\]}])\s*(?:```)?\s*", regex.DOTALL)
_KEY = regex.compile(r"\s*:")
_BEFORE_KEY = regex.compile(r"[{,]\s*$")


@dataclass(frozen=True)
class Spoken:
    """Words of an answer, and the sources that it names behind them."""

    words: str
    marks: tuple[str, ...]
    is_quotation: bool


def spoken_in(answer: str, names: Collection[str] = ()) -> list[Spoken]:
    """Take an answer apart.

    In an answer that is JSON, each text among its values is a quotation, or holds some; its keys
    are none.

    Args:
        answer: the model's text.
        names: in quotation marks these are no quotations.

    Returns:
        Quotations, then the sentences that have none.
    """
    match = _JSON.fullmatch(answer)
    if match:
        try:
            value = json.loads(match["json"])
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list):
            return [one for text in _texts(value) for one in _of_value(text, names)]
    return _of_prose(answer, names)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _of_value(text: str, names: Collection[str]) -> list[Spoken]:
    if text.strip() in names or _MARKS.fullmatch(text.strip()) or _MARK.fullmatch(text.strip()):
        return []
    if quoted := [one for one in _of_prose(text, names) if one.is_quotation]:
        return quoted
    return [_spoken(text, _marks_in(text), is_quotation=True)]


def _of_prose(answer: str, names: Collection[str]) -> list[Spoken]:
    quoted = [match for match in _QUOTED.finditer(answer) if not _is_key(match)]
    quoted = [match for match in quoted if match["words"].strip() not in names]
    found = []
    for i, match in enumerate(quoted):
        until = quoted[i + 1].start() if i + 1 < len(quoted) else len(answer)
        marks = _marks_in(answer[match.end() : _sentence_end(answer, match.end(), until)])
        found.append(_spoken(match["words"], marks, is_quotation=True))
    for start, end in _sentences(answer):
        if not any(match.start() < end and start < match.end() for match in quoted):
            sentence = answer[start:end]
            found.append(_spoken(sentence, _marks_in(sentence), is_quotation=False))
    return [one for one in found if any(map(str.isalnum, one.words))]


def _spoken(text: str, marks: tuple[str, ...], *, is_quotation: bool) -> Spoken:
    words = _BEFORE_MARKS.sub("", text).strip()
    return Spoken(words, marks or _marks_in(text), is_quotation)


def _is_key(match: regex.Match[str]) -> bool:
    """Whether it is the name of a value in JSON."""
    text = match.string
    return bool(_KEY.match(text, match.end()) and _BEFORE_KEY.search(text[: match.start()]))


def _marks_in(text: str) -> tuple[str, ...]:
    """The first marks that stand together."""
    match = _MARKS.search(text)
    return tuple(dict.fromkeys(_MARK.findall(match[0]))) if match else ()


def _sentence_end(answer: str, start: int, end: int) -> int:
    match = _SENTENCE_END.search(answer, start, end)
    return match.start() if match else end


def _sentences(answer: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _SENTENCE_END.finditer(answer):
        yield start, match.start()
        start = match.end()
    yield start, len(answer)
