"""longctx in ``llm``: local GGUF models with the window you ask for.

Registers the model ``longctx`` on the packaged GGUF, ``longctx/NAME`` for each file that
``llm longctx add`` noted, the commands ``llm longctx …`` and the fragment loader ``longctx:``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
import llm

# Before any plugin loads llama.cpp: where two threads spin at its barriers, decoding stands still.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from llm_longctx.commands import longctx_commands
from llm_longctx.errors import LongCtxModelError
from llm_longctx.fragments import load_fragments
from llm_longctx.models import AsyncLongCtx, LongCtx
from llm_longctx.named_models import NamedModels
from llm_longctx.options import LongCtxOptions

__all__ = ["AsyncLongCtx", "LongCtx", "LongCtxModelError", "LongCtxOptions"]


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """The packaged model, and the files with a name."""
    register(LongCtx("longctx"), AsyncLongCtx("longctx"))
    for name, path in NamedModels().all().items():
        model_id = f"longctx/{name}"
        register(LongCtx(model_id, path), AsyncLongCtx(model_id, path))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """``llm longctx …``."""
    cli.add_command(longctx_commands)


@llm.hookimpl
def register_fragment_loaders(register: Callable[[str, Callable[[str], Any]], None]) -> None:
    """``llm -f longctx:PATH``."""
    register("longctx", load_fragments)
