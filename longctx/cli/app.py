"""Assembles the command and turns errors into exit statuses."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from longctx import __version__
from longctx.cli.ask import ask
from longctx.cli.calibrate import calibrate
from longctx.cli.chat import chat
from longctx.cli.demo import demo
from longctx.cli.doctor import doctor
from longctx.cli.eval import evaluate
from longctx.cli.export import export
from longctx.cli.finetune import finetune
from longctx.cli.help import HelpfulCommand
from longctx.cli.inspect import inspect
from longctx.cli.mcp import mcp
from longctx.cli.models import models
from longctx.cli.opening import in_options
from longctx.cli.output import errors
from longctx.cli.plan import plan
from longctx.cli.serve import serve
from longctx.cli.streams import standard_streams
from longctx.errors import LongCtxError

app = typer.Typer(
    name="longctx",
    help="Give local GGUF models the context window you ask for.\n\n"
    "Start with `longctx demo --quick`. Exit status: 0, 1 for an error (on stderr), 2 for wrong "
    "usage.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (
    demo, chat, ask, serve, mcp, models, inspect, plan, export, calibrate, finetune, doctor,
):  # fmt: skip
    app.command(cls=HelpfulCommand)(command)
for measure in evaluate.registered_commands:
    measure.cls = HelpfulCommand
app.add_typer(evaluate)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"longctx {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; the entry point of the ``longctx`` script."""
    # llama.cpp warns of every window past the training, which is what we are here for.
    logging.getLogger("longctx.llama_cpp").addHandler(logging.NullHandler())
    with standard_streams():
        try:
            app(arguments, prog_name="longctx")
        except LongCtxError as error:
            errors.print(f"[red]{type(error).__name__}[/red]: ", end="")
            errors.print(in_options(str(error)), markup=False, soft_wrap=True)
            sys.exit(1)
        except KeyboardInterrupt:
            errors.print("stopped")
            sys.exit(130)
