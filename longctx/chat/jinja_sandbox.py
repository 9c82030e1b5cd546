"""Jinja as transformers runs chat templates, in a sandbox that ends.

A template comes with the model's file, so it is somebody else's code. Jinja's sandbox keeps
it from reaching Python; the meter here keeps it from running or growing without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError as JinjaError
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from longctx.chat.jinja_rewrite import rewrite
from longctx.chat.named_templates import PASS_ANOTHER
from longctx.chat.replay import RECORDER, Recorder, TrackedNamespace
from longctx.chat.seen_values import NotRecordableError
from longctx.chat.turns import Turns, indices
from longctx.errors import TemplateError

MAX_EXPONENT = 1024


@dataclass(frozen=True)
class Limits:
    """What one rendering may take.

    ``steps`` are loop turns and calls (a thousand messages take some 10^4), ``characters`` the
    length of the longest string that is built.
    """

    steps: int = 500_000
    characters: int = 64 * 1024 * 1024


FULL_LIMITS = Limits()
_limits: ContextVar[Limits] = ContextVar("_limits", default=FULL_LIMITS)
_steps: ContextVar[Iterator[int]] = ContextVar("_steps")


class Render(Protocol):
    """A compiled template."""

    def __call__(
        self, variables: Mapping[str, Any], limits: Limits, recorder: Recorder | None = None, /
    ) -> str:
        """The text.

        Args:
            variables: of the template.
            limits: of this rendering.
            recorder: of it, which replays turns; None runs the template as it stands.

        Raises:
            TemplateError: with the template's own message, where it refuses or fails; with a
                recorder also where it takes the messages for a list of Python's.
            NotRecordableError: with a recorder, where the template is none that can be recorded.
        """


def compile_template(source: str) -> Render:
    """Compile a chat template.

    Args:
        source: Jinja text, as in the GGUF's ``tokenizer.chat_template``.

    Raises:
        TemplateError: the text is no Jinja template.
    """
    try:
        template = _ENVIRONMENT.from_string(rewrite(_ENVIRONMENT.parse(source)))
    except (JinjaError, RecursionError, SyntaxError, ValueError) as error:
        raise TemplateError(
            f"the chat template is no valid Jinja ({error}); {PASS_ANOTHER}"
        ) from error

    def render(
        variables: Mapping[str, Any], limits: Limits, recorder: Recorder | None = None, /
    ) -> str:
        steps, allowed = _steps.set(count(1)), _limits.set(limits)
        recording = RECORDER.set(recorder)
        try:
            if recorder is not None:
                shown = {**variables, "messages": recorder.turns}
                return _record(template.generate(shown), recorder)
            return template.render(**variables)
        except (TemplateError, NotRecordableError):
            raise
        except Exception as error:  # a template can raise whatever its expressions raise
            raise TemplateError(
                f"the chat template fails on these messages: {error} ({type(error).__name__}); "
                f"change the messages, or {PASS_ANOTHER}"
            ) from error
        finally:
            _steps.reset(steps)
            _limits.reset(allowed)
            RECORDER.reset(recording)

    return render


def _record(pieces: Iterable[str], recorder: Recorder) -> str:
    size = 0
    for piece in pieces:
        size += len(piece)
        _check_size(size)
        recorder.parts.append(piece)
    return "".join(recorder.parts)


def variables_of(source: str) -> frozenset[str]:
    """Names that a template looks up and does not set itself; none where it is no Jinja."""
    try:
        return frozenset(find_undeclared_variables(_ENVIRONMENT.parse(source)))
    except (JinjaError, RecursionError, SyntaxError, ValueError):
        return frozenset()


def _step() -> None:
    allowed = _limits.get().steps
    if next(_steps.get()) > allowed:
        raise TemplateError(
            f"the chat template took more than {allowed} steps; it does not seem to end: "
            f"{PASS_ANOTHER}"
        )


def _check_size(n_characters: int) -> None:
    allowed = _limits.get().characters
    if n_characters > allowed:
        raise TemplateError(
            f"the chat template builds a text of {n_characters} characters; "
            f"at most {allowed} are allowed: send less, or {PASS_ANOTHER}"
        )


def _turns(items: Any, site: int, outside: Mapping[str, Any]) -> Iterator[Any]:
    recorder = RECORDER.get()
    return _metered(items if recorder is None else recorder.begin(site, items, outside))


def _must_render(loop: LoopContext, site: int) -> bool:
    recorder = RECORDER.get()
    return recorder is None or recorder.must_render(site, loop)


def _end(site: int) -> str:
    if (recorder := RECORDER.get()) is not None:
        recorder.end(site)
    return ""


def _of_length(value: Any) -> Any:
    if (recorder := RECORDER.get()) is not None:
        recorder.reads_length()
    return value


def _metered(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step()
        yield item


def _joined(items: Iterable[Any]) -> str:
    parts, size = [], 0
    for item in items:
        part = str(item)
        size += len(part)
        _check_size(size)
        parts.append(part)
    return "".join(parts)


class _GenerationTag(Extension):
    """``{% generation %}…{% endgeneration %}`` marks the assistant's text; it renders as is."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Lists that a template makes may grow, and be used up (Kimi K2); each step counts."""
        if attr in ("append", "pop") and isinstance(obj, list):
            _not_in_a_turn()  # who else sees that list?
            return True
        return super().is_safe_attribute(obj, attr, value)

    intercepted_binops = frozenset({"*", "**", "+"})
    concat = staticmethod(_joined)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _step()
        for value in args:
            if isinstance(value, int):  # ljust, zfill and their like
                _check_size(value)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (isinstance(right, int | float) and right <= MAX_EXPONENT):
            raise TemplateError(
                f"the chat template raises a number to the power of {right}; {PASS_ANOTHER}"
            )
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            _check_size(len(left) + len(right))
        if operator == "*":
            for items, times in ((left, right), (right, left)):
                if isinstance(items, str | list | tuple) and isinstance(times, int):
                    _check_size(len(items) * times)
        return super().call_binop(context, operator, left, right)


_MARKS = re.compile(r"\\ud801\\ud(?:e[0-9a-f]{2}|f[0-3][0-9a-f])")
"""Linear A as JSON escapes it: the guard's marks must stay what they are, to be taken out again."""


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML, which models were not trained on."""
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )
    return _MARKS.sub(lambda found: json.loads(f'"{found[0]}"'), text) if ensure_ascii else text


def _listed(value: Any) -> Any:
    """What map() and select() give is written as the list that it stands for."""
    if isinstance(value, Iterator | Turns):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _raise_exception(message: Any) -> NoReturn:
    raise TemplateError(
        f"the chat template refuses these messages: {message}. Change them, or {PASS_ANOTHER}"
    )


def _not_in_a_turn() -> None:
    recorder = RECORDER.get()
    if recorder is not None and recorder.is_in_turn:
        raise NotRecordableError


def _strftime_now(pattern: str) -> str:
    _not_in_a_turn()
    return datetime.now().strftime(pattern)


def _make_environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, "jinja2.ext.loopcontrols"],
    )
    environment.filters.update(
        tojson=_to_json, _metered=_metered, _joined=_joined, _indices=indices, _turns=_turns,
        _must_render=_must_render, _end=_end, _of_length=_of_length,
    )  # fmt: skip
    del environment.filters["center"]  # pads to any width
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=_strftime_now, namespace=TrackedNamespace
    )
    return environment


_ENVIRONMENT = _make_environment()
