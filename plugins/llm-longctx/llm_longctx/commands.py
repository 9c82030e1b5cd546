"""``llm longctx …``: files by name, and what is kept on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from llm_longctx.errors import in_llms_words
from llm_longctx.named_models import NamedModels, plugin_dir


@click.group(name="longctx")
def longctx_commands() -> None:
    """GGUF files as models with long windows"""


@longctx_commands.command(name="add")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
def add(name: str, path: Path) -> None:
    """Call the GGUF file at PATH longctx/NAME

    \b
        llm longctx add qwen ~/models/qwen2.5-7b-instruct-q4_k_m.gguf
        llm -m longctx/qwen 'Hello'
    """
    from longctx import ModelInfo

    with in_llms_words():
        info = ModelInfo.from_gguf(path.expanduser())
    NamedModels().add(name, path)
    click.echo(f"longctx/{name}: {info.architecture}, trained on {info.n_ctx_train:,} tokens")


@longctx_commands.command(name="list")
@click.option("as_json", "--json", is_flag=True, help="Print JSON")
def list_(as_json: bool) -> None:
    """List the files that have a name"""
    models = NamedModels().all()
    if as_json:
        click.echo(json.dumps(models))
        return
    for name, path in models.items():
        missing = "" if Path(path).exists() else "  (missing)"
        click.echo(f"longctx/{name}: {path}{missing}")
    if not models:
        click.echo("None yet: llm longctx add NAME PATH")


@longctx_commands.command(name="remove")
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME; the file stays"""
    NamedModels().remove(name)


@longctx_commands.command(name="cache")
@click.option("--clear", is_flag=True, help="Delete what is kept")
def cache(clear: bool) -> None:
    """Say how much of long conversations is kept on disk"""
    folder = plugin_dir() / "sessions"
    if clear and folder.exists():
        shutil.rmtree(folder)
    files = list(folder.rglob("*.session"))
    size = sum(file.stat().st_size for file in files)
    conversations = "conversation" if len(files) == 1 else "conversations"
    click.echo(f"{folder}: {len(files)} {conversations}, {size / 2**20:,.0f} MiB")
