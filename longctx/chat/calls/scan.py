"""Where a value ends, while it comes: as JSON, as Python, or in braces with quotes of its own."""

from __future__ import annotations

from collections.abc import Callable

from longctx.chat.calls.feed import Feed, Wait

_DEEPEST = 500
"""Brackets inside brackets; what is deeper no JSON reader takes."""


class NotJson(Exception):
    """The text is no JSON from here on."""


def scan_value(feed: Feed, tell: Callable[[str], None]) -> Wait[None]:
    """Pass over one JSON value and tell its text, piece by piece.

    Brackets and strings are followed, what stands between them is not judged.

    Raises:
        NotJson: the text ends inside it, or no value begins here.
    """
    yield from feed.skip_space()
    depth, in_string, escaped = 0, False, False
    start = at = feed.at
    while True:
        while at < len(feed.text):
            char = feed.text[at]
            at += 1
            if in_string:
                if escaped:
                    escaped = False
                elif char == "\\":
                    escaped = True
                elif char == '"':
                    in_string = False
                else:
                    continue
            elif char == '"':
                in_string = True
            elif char in "[{":
                depth += 1
                if depth > _DEEPEST:
                    raise NotJson
            elif char in "]}":
                if not depth:
                    at -= 1  # of what is around it
                    break
                depth -= 1
            elif depth == 0 and (char in ",:" or char.isspace()):
                at -= 1
                break
            else:
                continue
            if depth == 0 and not in_string and char in '"]}':
                break
        else:
            if at > feed.at:
                tell(feed.text[feed.at : at])
            feed.at = at
            if feed.has_ended:
                if depth or in_string or at == start:
                    raise NotJson
                return
            yield
            continue
        if at == start:
            raise NotJson
        if at > feed.at:
            tell(feed.text[feed.at : at])
        feed.at = at
        return


def scan_text(feed: Feed) -> Wait[str]:
    """The text of one JSON value, whole.

    Raises:
        NotJson: as :func:`scan_value`.
    """
    pieces: list[str] = []
    yield from scan_value(feed, pieces.append)
    return "".join(pieces)


def scan_python(feed: Feed) -> Wait[str]:
    """A value as Python writes it, up to the comma or bracket behind it."""
    start = at = feed.at
    depth, quote = 0, ""
    while True:
        while at < len(feed.text):
            char = feed.text[at]
            if quote:
                if char == "\\":
                    if at + 1 == len(feed.text):
                        break  # what it escapes has not come yet
                    at += 1
                elif char == quote:
                    quote = ""
            elif char in "'\"":
                quote = char
            elif char in "([{":
                depth += 1
            elif depth and char in ")]}":
                depth -= 1
            elif not depth and char in ",)":
                feed.at = at
                return feed.text[start:at]
            at += 1
        if feed.has_ended:
            raise NotJson
        yield


def scan_braces(feed: Feed, quote: str) -> Wait[str]:
    """From one brace to the one that closes it, text between quotes passed over."""
    start, depth = feed.at, 0
    marks = ["{", "}", quote]
    while True:
        mark = yield from feed.until(marks, lambda _: None)
        if mark is None:
            raise NotJson
        feed.at += len(mark)
        if mark == quote:
            if (yield from feed.until([quote], lambda _: None)) is None:
                raise NotJson
            feed.at += len(quote)
        else:
            depth += 1 if mark == "{" else -1
            if depth == 0:
                return feed.text[start : feed.at]
