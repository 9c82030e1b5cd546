"""Options that several commands have, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

Command = Callable[..., None]


def option(
    name: str, kind: Any, text: str, default: Any = None, *, flag: str = "", **more: Any
) -> inspect.Parameter:
    """An option of a command line.

    Args:
        name: of the parameter, and with dashes of the option.
        kind: of its value.
        text: what ``--help`` says.
        default: of its value.
        flag: the option, where it is called otherwise.
        more: arguments of ``typer.Option``.
    """
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(*filter(None, [flag]), help=text, **more)],
    )


def taking(
    command: Command, collected: str, options: Mapping[str, inspect.Parameter], note: str = ""
) -> Command:
    """Give a command these options; it gets those that are not None in one dict.

    Args:
        command: a function that typer reads.
        collected: the parameter that gets the dict.
        options: by the keys that they have in it.
        note: said at the end of the command's help.
    """

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        found = {key: given.pop(option.name) for key, option in options.items()}
        command(**given, **{collected: {k: v for k, v in found.items() if v is not None}})

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != collected]
    wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
        [*parameters, *options.values()]
    )
    wrapper.__annotations__ = {}
    wrapper.__doc__ = "\n\n".join(filter(None, (inspect.cleandoc(command.__doc__ or ""), note)))
    return wrapper
