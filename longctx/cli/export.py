"""``longctx export``: a plan as another engine's flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from longctx.cli.opening import ModelArgument, planned, plans_window
from longctx.cli.output import errors, out, print_json
from longctx.errors import RequestError
from longctx.files import write_whole


@plans_window
def export(
    model: ModelArgument,
    to: Annotated[str, typer.Option(help="llama-server, ollama, koboldcpp, vllm or transformers.")],
    load: Annotated[
        str | None,
        typer.Option(help="What the engine loads, such as a repository. Default: the GGUF."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Write the files here, such as the Modelfile.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    planning: dict[str, Any],
) -> None:
    """Print a plan as another engine's command, and what that engine cannot do.

    A calibration of the model is included. Example:
    `longctx export model.gguf --target-ctx 32768 --to llama-server`
    """
    from longctx.export import export_plan

    plan = planned(model, planning)
    found = export_plan(plan, to, model=load)
    if folder is not None:
        _write(found.files, folder)
    if as_json:
        print_json(found)
        return
    if folder is None:
        for name, content in found.files.items():
            out.print(f"[dim]# {escape(name)}[/dim]")
            out.print(content, markup=False, soft_wrap=True)
    out.print(found.command, markup=False, soft_wrap=True)
    for label, lines in (("warning", plan.warnings), ("lost", found.cannot)):
        for line in lines:
            errors.print(f"[yellow]{label:>7}[/yellow]  {escape(line)}", soft_wrap=True)


def _write(files: dict[str, str], folder: Path) -> None:
    try:
        for name, content in files.items():
            write_whole(folder / name, content.encode(), parents=True)
    except OSError as error:
        raise RequestError(
            f"nothing can be written to {folder} ({error}); give another folder"
        ) from (error)
