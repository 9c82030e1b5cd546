"""The options of sampling, on every command that answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from longctx.cli.taking import Command, option, taking
from longctx.options import SamplingOptions, described
from longctx.sampling import CONVERSATION, RANGES

_NAMES = (*RANGES, "seed")  # a bias of tokens is no plain value
_BREAKERS = "dry_sequence_breakers"
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}
HELP = (
    "Without options of sampling, answers are drawn as the model's file says, else with "
    f"{', '.join(f'{name} {value:g}' for name, value in CONVERSATION.items())}. What is given is "
    "changed, and the rest stays; `--temperature 0` is greedy, and leaves the rest out."
)


def takes_sampling(command: Command, note: str = HELP) -> Command:
    """Give a command these options; it gets those that are given as ``sampling``."""
    options = {name: _option(name) for name in _NAMES} | {_BREAKERS: _breakers()}
    return taking(command, "sampling", options, note)


def conversation_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """How a command samples: as conversations are, and as it was told to.

    Args:
        defaults: of the model.
        given: on the command line.
    """
    return dict(given) if given.get("temperature") == 0 else {**defaults, **given}


def _breakers() -> inspect.Parameter:
    """llama.cpp's option: given once for each text, with its escapes, and ``none``."""
    return option(
        _BREAKERS,
        list[str] | None,
        r"A text after which DRY starts again, such as `\n`; once for each, in place of "
        "llama.cpp's four. `none` is none.",
        flag="--dry-sequence-breaker",
        rich_help_panel="Sampling",
        callback=_unescaped,
    )


def _unescaped(texts: list[str] | None) -> list[str] | None:
    if not texts:
        return None
    while "none" in texts:
        texts = texts[texts.index("none") + 1 :]
    return [re.sub(r"\\[ntr\\]", lambda found: _ESCAPES[found[0]], text) for text in texts]


def _option(name: str) -> inspect.Parameter:
    is_whole = name == "seed" or RANGES[name].is_whole
    # The defaults that are described are the library's; commands have others, and say so.
    text = described(SamplingOptions)[name].split("; by default")[0].replace(", the default,", "")
    kind = int | None if is_whole else float | None
    return option(name, kind, f"{text[0].upper()}{text[1:]}.", rich_help_panel="Sampling")
