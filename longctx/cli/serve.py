"""``longctx serve``: the model over HTTP, as OpenAI's and Anthropic's clients expect it."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from longctx.cli.opening import ModelOrDemo, opens_model
from longctx.cli.output import errors, show_plan

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@opens_model
def serve(
    model: ModelOrDemo = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="LONGCTX_API_KEY", help="What clients must send. Default: nothing."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name to answer for. Default: all, or on loopback its own names."),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option(help="The name that clients give. Default: the model's own.")
    ] = None,
    max_waiting: Annotated[
        int, typer.Option(min=0, help="Answers that may wait for the one under way.")
    ] = 16,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds for one answer, its wait included.")
    ] = 1800.0,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds for answers under way when the server stops.")
    ] = 30,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="Also serve /v1/embeddings: `packaged`, or a sentence-transformers model's folder "
            "or name. Default: none."
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Largest request, in bytes.")] = 32 * 2**20,
    *,
    opening: dict[str, Any],
) -> None:
    """Serve a model over HTTP with OpenAI's and Anthropic's APIs, and a page to chat on.

    Clients share the model: their answers are written side by side, and each conversation's cached
    tokens are found by its beginning. Example: `longctx serve model.gguf --target-ctx 32768`
    """
    from longctx.llm import LongContextLLM
    from longctx.server import ServerSettings, TextEmbedder
    from longctx.server import serve as run

    names = tuple(allowed_host or ())
    if not names and host in _LOOPBACK:
        names = _LOOPBACK
    if host not in _LOOPBACK and not api_key:
        errors.print(
            f"[yellow]warning[/yellow]  {host} is reached from other machines, and no --api-key "
            "is asked of them"
        )
    settings = ServerSettings(
        model_id=model_id,
        api_key=api_key or None,
        allowed_hosts=names,
        max_waiting=max_waiting,
        timeout_s=timeout,
        max_body_bytes=max_body,
        grace_s=grace,
    )
    # After its grace the server raises the signal again; the model is closed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    vectors = TextEmbedder(embedder) if embedder is not None else None
    with LongContextLLM(model, **opening) as llm:
        show_plan(llm.plan)
        run(llm, settings, vectors, host=host, port=port)
