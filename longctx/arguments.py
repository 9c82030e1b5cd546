"""What callers pass, checked where it comes in: one function a kind of value, one error for all.

Every public entry that takes such a value calls the function here, so a wrong one is a
:class:`~longctx.errors.RequestError` whoever takes it. Numpy's scalars are numbers; a bool is not.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from longctx.errors import RequestError, ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GREEDY_BELOW = 1e-5
"""Temperatures below this are greedy: divided by them, logits leave float32, and the softmax of
infinities is no number."""
MAX_TEMPERATURE = 100.0
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_N_SEEDS = 0xFFFFFFFF  # the last of 32 bits, which llama.cpp takes for "draw one"


def whole(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number, perhaps within bounds.

    Raises:
        RequestError: it is none, or outside of them.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    raise RequestError(f"{name} is {_shown(value)}; use a whole number{_bounds(least, most)}")


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
    raise RequestError(f"{name} is {_shown(value)}; use a number{_bounds(least, most, above)}")


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
    raise RequestError(f"{name} is {_shown(value)}; use one of {', '.join(map(str, known))}")


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
    raise RequestError(f"{name} is {_shown(value)}; use True or False")


def path(name: str, value: Any) -> Path:
    """A path.

    Raises:
        RequestError: it is neither a text nor a path.
    """
    if isinstance(value, str) or (isinstance(value, PathLike) and isinstance(fspath(value), str)):
        return Path(value)
    raise RequestError(f"{name} is {_shown(value)}; pass a path, as a str or a Path")


def words(name: str, value: Any) -> str:
    """A text that says something.

    Raises:
        RequestError: it is none, or blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{name} is {_shown(value)}; say something in plain words")
    return value


# An answer's options


def max_tokens(value: Any) -> int | None:
    """Most tokens of an answer: 0 or more; None, and -1 as llama.cpp has it, bound it by the window
    alone.

    Raises:
        RequestError: it is no such number.
    """
    if value is None:
        return None
    number = whole("max_tokens", value, least=-1)
    return None if number == -1 else number


def temperature(value: Any) -> float:
    """Of sampling, None the default: 0, greedy, up to 100; one too small for float32 is 0.

    Raises:
        RequestError: it is no such number.
    """
    found = 0.0 if value is None else real("temperature", value, least=0, most=MAX_TEMPERATURE)
    return found if found >= GREEDY_BELOW else 0.0


def seed(value: Any) -> int | None:
    """Of sampling: any whole number, as one of llama.cpp's; None draws one.

    llama.cpp draws a seed of its own for 4294967295, which -1 is in its 32 bits; here both are
    seeds like others, and repeat.

    Raises:
        RequestError: it is no whole number.
    """
    return None if value is None else whole("seed", value) % _N_SEEDS


def stop_strings(value: Any) -> tuple[str, ...]:
    """Strings that end an answer: one, several, or none.

    Raises:
        RequestError: one is empty or no text.
    """
    if value is None:
        return ()
    found = (value,) if isinstance(value, str) else value
    if isinstance(found, Collection) and not isinstance(found, Mapping | bytes | bytearray):
        stops = tuple(found)
        if all(isinstance(text, str) and text for text in stops):
            return stops
    raise RequestError(f"stop is {_shown(value)}; use a text, or a list of texts, none empty")


def top_logprobs(value: Any) -> int | None:
    """How many likely tokens to tell beside each: 0 (each token of the answer alone), or more.

    Raises:
        RequestError: it is no such number, nor None.
    """
    return None if value is None else whole("top_logprobs", value, least=0)


def prompt_lookup(value: Any) -> bool | None:
    """Whether to draft from the text so far: yes, no (None is no), or "auto".

    Returns:
        True or False; None where the clock decides.

    Raises:
        RequestError: it is something else.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value == "auto":
        return None
    raise RequestError(f"prompt_lookup is {_shown(value)}; use True, False or 'auto'")


def stop_on_repetition(value: Any) -> bool:
    """Whether an endless repetition ends an answer, None the default: yes.

    Raises:
        RequestError: it is neither true nor false.
    """
    return _unless_false("stop_on_repetition", value)


def parallel_tool_calls(value: Any) -> bool:
    """Whether an answer may have several calls, None the default: yes.

    Raises:
        RequestError: it is neither true nor false.
    """
    return _unless_false("parallel_tool_calls", value)


def _unless_false(name: str, value: Any) -> bool:
    return value is None or flag(name, value)


def json_schema(value: Any) -> dict[str, Any]:
    """A JSON schema, or that of a pydantic model.

    Raises:
        RequestError: it is neither.
    """
    if isinstance(value, type) and issubclass(value, BaseModel):
        try:
            return value.model_json_schema()
        except (PydanticUserError, RecursionError) as error:
            raise RequestError(
                f"response_schema: {value.__name__} has no JSON schema ({error}); pass one that "
                "you wrote, as a dict"
            ) from error
    if isinstance(value, dict):
        return value
    raise RequestError(
        f"response_schema is a {type(value).__name__}; "
        "pass a JSON schema as a dict, or a pydantic model class"
    )


def tools(value: Any) -> list[dict[str, Any]]:
    """Definitions of tools, completed.

    Args:
        value: a list of ``{"type": "function", "function": {"name", "description",
            "parameters"}}``; the inner object alone is accepted too.

    Returns:
        The same tools, each with a description and an object schema of parameters.

    Raises:
        ToolError: a definition is malformed, or two share a name.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise ToolError(f"tools must be a list of tool definitions, not {type(value).__name__}")
    out = [_check_tool(index, tool) for index, tool in enumerate(value)]
    names = [tool["function"]["name"] for tool in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ToolError(f"{len(twice)} tool names occur twice: {', '.join(twice)}; rename one")
    return out


def _check_tool(index: int, tool: Any) -> dict[str, Any]:
    where = f"tools[{index}]"
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        raise ToolError(
            f"{where} is no tool: pass {{'type': 'function', 'function': {{'name': …, "
            "'description': …, 'parameters': JSON schema}}"
        )
    name = function.get("name")
    if not (isinstance(name, str) and _TOOL_NAME.fullmatch(name)):
        raise ToolError(
            f"{where} has the name {name!r}; it needs 1 to 64 letters, digits, '_', '-' or '.'"
        )
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise ToolError(f"{where} ({name}): description must be text")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not (isinstance(parameters, Mapping) and parameters.get("type", "object") == "object"):
        raise ToolError(
            f"{where} ({name}): parameters must be a JSON schema of type 'object', "
            f"not {parameters!r:.80}"
        )
    try:
        json.dumps(parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"{where} ({name}): parameters are not JSON ({error})") from error
    return {
        "type": "function",
        "function": {
            **function,
            "description": description,
            "parameters": {"type": "object", "properties": {}, **parameters},
        },
    }


def tool_choice(choice: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Which tools an answer must call one of: none of them where it may do without.

    Args:
        choice: ``"auto"``, ``"none"``, ``"required"``, or one function in OpenAI's form.
        names: of the tools there are.

    Raises:
        ToolError: it is something else, or asks for a call where that tool is not there.
    """
    if isinstance(choice, str) and choice in ("auto", "none"):
        return ()
    if isinstance(choice, str) and choice == "required":
        if not names:
            raise ToolError("tool_choice is 'required' but no tools are given; pass tools=[…]")
        return tuple(names)
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if name is None or name not in names:
        raise ToolError(
            f"tool_choice is {_shown(choice)}; use 'auto', 'none', 'required' or "
            f"{{'type': 'function', 'function': {{'name': …}}}} with a tool you pass "
            f"({', '.join(names) or 'none'})"
        )
    return (name,)


# Tokens


def token_ids(ids: Any, n_vocab: int) -> NDArray[np.int32]:
    """Token ids of a vocabulary: int32[n].

    Args:
        ids: a list or another sequence of whole numbers, or an integer array of one dimension.
        n_vocab: size of the vocabulary.

    Raises:
        RequestError: they are something else (floats, bools, bytes, a text), or one lies outside
            the vocabulary. Nothing is rounded.
    """
    import numpy as np  # here, for `longctx --help` needs none

    if isinstance(ids, np.ndarray):
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise RequestError(
                f"token ids are an array of {ids.dtype}{list(ids.shape)}; pass integers in one "
                "dimension"
            )
        found = ids
    else:
        is_sequence = isinstance(ids, Sequence | array) and not isinstance(
            ids, str | bytes | bytearray | memoryview
        )
        if not is_sequence:
            raise RequestError(
                f"token ids are {_shown(ids)}, a {type(ids).__name__}; pass a list of whole "
                "numbers, or an integer array"
            )
        # By type: numpy would turn 1.9 into 1 and True among numbers into 1.
        for kind in set(map(type, ids)):
            if not issubclass(kind, Integral) or issubclass(kind, bool):
                wrong = next(token for token in ids if type(token) is kind)
                raise RequestError(
                    f"a token id is {_shown(wrong)}, a {kind.__name__}; token ids are whole numbers"
                )
        try:
            found = np.array(ids, dtype=np.int64)
        except OverflowError:
            found = np.array([n_vocab])  # past 64 bits, so outside any vocabulary
    if found.size and not (int(found.min()) >= 0 and int(found.max()) < n_vocab):
        raise RequestError(
            f"a token id lies outside the vocabulary (0 to {n_vocab - 1}); were the ids made by "
            "another model's tokenizer?"
        )
    return found.astype(np.int32)


def are_numbers(value: Any) -> bool:
    """Whether it is a list or an array of whole numbers, and not empty."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iu" and bool(value.size)
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    return is_list and bool(value) and all(isinstance(each, Integral) for each in value)


def texts(name: str, value: Any) -> list[str]:
    """Several texts.

    Raises:
        RequestError: it is one text, or holds something else.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping):
        return [plain_text(f"one of {name}", text) for text in value]
    raise RequestError(f"{name} is {_shown(value)}; pass a list of texts")


def _bounds(least: float | None, most: float | None, above: float | None = None) -> str:
    if above is not None:
        return f" above {above:,}" + ("" if most is None else f", at most {most:,}")
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    return "" if least is None else f", {least:,} or more"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
