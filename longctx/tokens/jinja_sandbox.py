"""Jinja as transformers runs chat templates, in a sandbox that ends.

A template comes with the model's file, so it is somebody else's code. Jinja's sandbox keeps
it from reaching Python; the meter here keeps it from running or growing without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError as JinjaError
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from longctx.errors import TemplateError

MAX_STEPS = 500_000
"""Loop turns and calls that one rendering may take; a thousand messages take some 10^4."""
MAX_CHARACTERS = 64 * 1024 * 1024
"""Length of the longest string that a template may build."""
MAX_EXPONENT = 1024

_steps: ContextVar[list[int]] = ContextVar("_steps")


def compile_template(source: str) -> Callable[[Mapping[str, Any]], str]:
    """Compile a chat template.

    Args:
        source: Jinja text, as in the GGUF's ``tokenizer.chat_template``.

    Returns:
        A function from the template's variables to the rendered text. It raises
        TemplateError with the template's own message where the template refuses or fails.

    Raises:
        TemplateError: the text is no Jinja template.
    """
    try:
        template = _ENVIRONMENT.from_string(source)
    except (JinjaError, RecursionError, SyntaxError, ValueError) as error:
        raise TemplateError(
            f"the model's chat template is no valid Jinja ({error}); pass another template"
        ) from error

    def render(variables: Mapping[str, Any]) -> str:
        token = _steps.set([0])
        try:
            return template.render(**variables)
        except TemplateError:
            raise
        except Exception as error:  # a template can raise whatever its expressions raise
            raise TemplateError(
                f"the model's chat template fails on these messages: {error} "
                f"({type(error).__name__}); change the messages or pass another template"
            ) from error
        finally:
            _steps.reset(token)

    return render


def _step() -> None:
    steps = _steps.get()
    steps[0] += 1
    if steps[0] > MAX_STEPS:
        raise TemplateError(
            f"the chat template took more than {MAX_STEPS} steps; it does not seem to end: "
            "use another template"
        )


def _check_size(n_characters: int) -> None:
    if n_characters > MAX_CHARACTERS:
        raise TemplateError(
            f"the chat template builds a text of {n_characters} characters; "
            f"at most {MAX_CHARACTERS} are allowed: send less, or use another template"
        )


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


class _Meter(NodeTransformer):
    """Rewrites loops and ``~`` so that they count."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_metered", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        items = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(items, "_joined", [], [], None, None, lineno=node.lineno)


class _GenerationTag(Extension):
    """``{% generation %}…{% endgeneration %}`` marks the assistant's text; it renders as is."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "+"})
    concat = staticmethod(_joined)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Meter().visit(tree)
        return tree

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _step()
        for value in args:
            if isinstance(value, int):  # ljust, zfill and their like
                _check_size(value)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (isinstance(right, int | float) and right <= MAX_EXPONENT):
            raise TemplateError(f"the chat template raises a number to the power of {right}")
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            _check_size(len(left) + len(right))
        if operator == "*":
            for items, times in ((left, right), (right, left)):
                if isinstance(items, str | list | tuple) and isinstance(times, int):
                    _check_size(len(items) * times)
        return super().call_binop(context, operator, left, right)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML, which models were not trained on."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: Any) -> NoReturn:
    raise TemplateError(f"the model's chat template refuses these messages: {message}")


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _make_environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, "jinja2.ext.loopcontrols"],
    )
    environment.filters.update(tojson=_to_json, _metered=_metered, _joined=_joined)
    del environment.filters["center"]  # pads to any width
    environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
    return environment


_ENVIRONMENT = _make_environment()
