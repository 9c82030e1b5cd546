"""Single values: a number within bounds, a text, a path, one of several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from longctx.errors import RequestError


def whole(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number, perhaps within bounds.

    Raises:
        RequestError: it is none, or outside of them.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    raise RequestError(f"{name} is {shown(value)}; use a whole number{_bounds(least, most)}")


def real(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number, perhaps within bounds.

    Raises:
        RequestError: it is none, or outside of them.
    """
    with suppress(OverflowError):
        if isinstance(value, Real) and not isinstance(value, bool):
            number = float(value)
            if (
                isfinite(number)
                and (least is None or number >= least)
                and (above is None or number > above)
                and (most is None or number <= most)
            ):
                return number
    raise RequestError(f"{name} is {shown(value)}; use a number{_bounds(least, most, above)}")


def seconds(name: str, value: Any) -> float:
    """A time above 0, in seconds.

    Raises:
        RequestError: it is none.
    """
    return real(name, value, above=0)


def one_of(name: str, value: Any, known: Collection[Any]) -> Any:
    """A value that is among the known ones.

    Raises:
        RequestError: it is not; the message names them.
    """
    if isinstance(value, str) and value in known:
        return value
    raise RequestError(f"{name} is {shown(value)}; use one of {', '.join(map(str, known))}")


def plain_text(name: str, value: Any) -> str:
    """A text.

    Raises:
        RequestError: it is something else, such as bytes.
    """
    if isinstance(value, str):
        return value
    hint = "decode its bytes first" if isinstance(value, bytes | bytearray) else "pass a str"
    raise RequestError(f"{name} is a {type(value).__name__}, not a text; {hint}")


def flag(name: str, value: Any) -> bool:
    """Yes or no.

    Raises:
        RequestError: it is neither True nor False.
    """
    if isinstance(value, bool):
        return value
    raise RequestError(f"{name} is {shown(value)}; use True or False")


def path(name: str, value: Any) -> Path:
    """A path.

    Raises:
        RequestError: it is neither a text nor a path, or has a NUL in it.
    """
    named = fspath(value) if isinstance(value, PathLike) else value
    if isinstance(named, str) and "\0" not in named:
        return Path(value)
    raise RequestError(f"{name} is {shown(value)}; pass a path, as a str or a Path")


def words(name: str, value: Any) -> str:
    """A text that says something.

    Raises:
        RequestError: it is none, or blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{name} is {shown(value)}; say something in plain words")
    return value


def texts(name: str, value: Any) -> list[str]:
    """Several texts.

    Raises:
        RequestError: it is one text, or holds something else.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping):
        return [plain_text(f"one of {name}", text) for text in value]
    raise RequestError(f"{name} is {shown(value)}; pass a list of texts")


def listener(name: str, value: Any) -> None:
    """What is called with something, or None.

    Raises:
        RequestError: it is neither.
    """
    if value is not None and not callable(value):
        raise RequestError(f"{name} is {shown(value)}; pass a function, or leave it out")


def _bounds(least: float | None, most: float | None, above: float | None = None) -> str:
    if above is not None:
        return f" above {above:,}" + ("" if most is None else f", at most {most:,}")
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    return "" if least is None else f", {least:,} or more"


def shown(value: Any) -> str:
    """A wrong value as a message has it: what it begins with, where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
