"""Values that a template reads and sets, as they are compared with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.runtime import Macro, Undefined

from longctx.chat.turns import Turns


class NotRecordableError(Exception):
    """The template does what no recording follows."""


class Mark:
    """Stands for a value that has no other."""


UNDEFINED, MISSING = Mark(), Mark()
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Of:
    """A value that stands for more than itself, by what it is."""

    kind: str
    what: Any


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are the same, and written the same: 1 is not True, nor 1.0."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is str:
        return bool(left == right)
    if kind is dict:
        return (
            len(left) == len(right)
            and all(map(same, left, right))
            and all(map(same, left.values(), right.values()))
        )
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(same, left, right))
    if kind is float:  # -0.0 is 0.0
        return repr(left) == repr(right)
    return bool(left == right)


def n_same(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many messages two conversations begin with alike."""
    n = 0
    for old, new in zip(left, right, strict=False):
        if not same(old, new):
            break
        n += 1
    return n


def seen(value: Any) -> Any:
    """A value as it is compared with another.

    Raises:
        NotRecordableError: it may change, or be more than it shows.
    """
    if isinstance(value, Undefined):
        return UNDEFINED
    if isinstance(value, Turns):
        return Of("turns", value.start)
    if isinstance(value, Macro):
        return Of("macro", value.name)
    if is_plain(value):
        return value
    raise NotRecordableError


def is_plain(value: Any) -> bool:
    """Whether a value is what JSON has, all through."""
    if type(value) in _PLAIN:
        return True
    if type(value) is dict:
        return all(type(key) in _PLAIN and is_plain(item) for key, item in value.items())
    return type(value) in (list, tuple) and all(map(is_plain, value))


def agree(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the same names have the same values."""
    return old.keys() == new.keys() and all(same(old[name], value) for name, value in new.items())
