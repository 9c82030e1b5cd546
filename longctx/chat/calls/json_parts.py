"""Parts of a call that are JSON by themselves, once they are whole."""

from __future__ import annotations

import json

from longctx.chat.calls.scan import NotJson
from longctx.surrogates import without_surrogates


def json_text(text: str) -> str:
    """A JSON string's characters.

    Raises:
        NotJson: it is no string.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotJson from error
    if not isinstance(value, str):
        raise NotJson
    return without_surrogates(value)


def object_text(text: str) -> str:
    """Arguments as an object's text; they may be quoted once more, or null.

    Raises:
        NotJson: they are no object.
    """
    try:
        value = json.loads(text)
        if isinstance(value, str):
            text, value = value, json.loads(value or "{}")
    except (ValueError, RecursionError) as error:
        raise NotJson from error
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise NotJson
    return text or "{}"
