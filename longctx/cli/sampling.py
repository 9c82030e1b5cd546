"""The options of sampling, on every command that answers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from longctx.options import SamplingOptions, described
from longctx.sampling import CONVERSATION, RANGES

_NAMES = (*RANGES, "seed")  # a bias of tokens is no plain value
HELP = (
    "Without options of sampling, answers are drawn as the model's file says, else with "
    f"{', '.join(f'{name} {value:g}' for name, value in CONVERSATION.items())}. What is given is "
    "changed, and the rest stays; `--temperature 0` is greedy, and leaves the rest out."
)


def takes_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets those that are given as ``sampling``."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        options = {name: given.pop(name) for name in _NAMES}
        command(**given, sampling={k: v for k, v in options.items() if v is not None})

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "sampling"]
    wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it
        [*parameters, *map(_option, _NAMES)]
    )
    wrapper.__annotations__ = {}
    wrapper.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{HELP}"
    return wrapper


def conversation_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """How a command samples: as conversations are, and as it was told to.

    Args:
        defaults: of the model.
        given: on the command line.
    """
    return dict(given) if given.get("temperature") == 0 else {**defaults, **given}


def _option(name: str) -> inspect.Parameter:
    is_whole = name == "seed" or RANGES[name].is_whole
    text = described(SamplingOptions)[name].split("; by default")[0]
    option = typer.Option(help=f"{text[0].upper()}{text[1:]}.", rich_help_panel="Sampling")
    kind = int | None if is_whole else float | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )
