"""``longctx models``: what lies on this machine already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.output import out, print_json
from longctx.errors import ModelFileError

if TYPE_CHECKING:
    from longctx.models import FoundModel


def models(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of your own to look through, too.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Limit, such as 6GiB. Default: what is free now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models on this machine: of Hugging Face, llama.cpp, Ollama, LM Studio and GPT4All.

    What stands first in a line is the name that every command takes; nothing is copied. The window
    is the largest that fits the memory, up to four times the trained one. Example:
    `longctx models ~/gguf`
    """
    from longctx.models import list_models

    for folder in folders or ():
        if not folder.exists():
            raise ModelFileError(f"there is no folder {folder}: check the path")
    found = list_models(folders or (), memory_limit=memory)
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    for place in dict.fromkeys(each.place for each in found):
        out.print(place, style="bold", markup=False)
        for each in (each for each in found if each.place == place):
            out.print(f"  {each.name}", markup=False, soft_wrap=True)
            style = "dim" if each.problem is None else "red"
            out.print(f"    {_described(each)}", markup=False, style=style, soft_wrap=True)
    if not found:
        out.print(
            "No models are in the caches of Hugging Face, llama.cpp, Ollama, LM Studio and "
            "GPT4All. Pass folders of your own, or get one: `longctx chat hf:OWNER/REPO`"
        )


def _described(model: FoundModel) -> str:
    from longctx.model_info import format_bytes

    if model.n_bytes is None:
        return f"cannot be opened: {model.problem}"
    fits = f"{model.largest_ctx:,} tokens fit" if model.largest_ctx else "does not fit the memory"
    return (
        f"{model.architecture}, {model.weights_type}, {format_bytes(model.n_bytes)}, trained on "
        f"{model.n_ctx_train:,} tokens; {fits}"
    )
