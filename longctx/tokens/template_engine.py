"""The sandbox that chat templates run in: Jinja as transformers sets it up."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError as JinjaError
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from longctx.errors import TemplateError


class _Generation(Extension):
    """transformers' ``{% generation %}`` block, which only marks training targets."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it as a plain class attribute

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the block's body as it is."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def compile_template(source: str) -> Any:
    """Compile a chat template.

    Raises:
        TemplateError: it is no Jinja.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    try:
        return environment.from_string(source)
    except JinjaError as error:
        raise TemplateError(
            f"the model's chat template is no valid Jinja ({error}); use another file of it"
        ) from error


def run_template(template: Any, **variables: Any) -> str:
    """Render.

    Raises:
        TemplateError: the template refuses the messages, or fails on them.
    """
    try:
        return str(template.render(**variables))
    except TemplateError:
        raise
    except Exception as error:  # a template may raise anything that Python can
        raise TemplateError(
            f"the model's chat template fails on these messages ({type(error).__name__}: {error}); "
            "check the roles and their order"
        ) from error


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    # Unlike Jinja's own, no HTML escapes: a model reads this, not a browser.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise TemplateError(f"the model's chat template refuses the messages: {message}")
