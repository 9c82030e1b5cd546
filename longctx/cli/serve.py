"""``longctx serve``: the model over HTTP, as OpenAI's and Anthropic's clients expect it."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer
from pydantic import ValidationError

from longctx.cli.opening import opens_model
from longctx.cli.output import errors
from longctx.cli.sampling import takes_sampling
from longctx.cli.served import Named, Opening
from longctx.errors import RequestError
from longctx.types import first_problem

if TYPE_CHECKING:
    from longctx.server import ModelPool, ServedModel, ServerSettings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SAMPLING = (
    "Requests say how their answers are drawn. What they leave out is as the options of sampling "
    "say, else as the model's file has it, else a temperature of 1, as servers have it elsewhere."
)


@opens_model
@partial(takes_sampling, note=_SAMPLING)
def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[NAME=]MODEL]...",
            help="A GGUF file, hf:OWNER/REPO[:QUANTIZATION], or ollama:NAME. Several are each "
            "opened at its first request, by their NAMEs, or those of their files. Default: the "
            "demo model.",
        ),
    ] = None,
    max_models: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most models open at once; the least recently used are closed. Default: as many "
            "as fit.",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Serve the model of another server, such as http://gpu:8000/v1, in place of a "
            "file; a MODEL is then its name there."
        ),
    ] = None,
    base_key: Annotated[
        str | None,
        typer.Option(envvar="LONGCTX_BASE_KEY", help="The API key of that server. Default: none."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="LONGCTX_API_KEY", help="The key that clients must send. Default: none."
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name to answer to. Default: all, or on loopback its own names."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            help="An origin whose pages may ask, such as https://chat.example.org or "
            "app://obsidian.md; `vscode-webview://*` is all of a scheme. Default: none but its own."
        ),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option(help="The name that clients give. Default: the model's own.")
    ] = None,
    strict_model: Annotated[
        bool, typer.Option("--strict-model", help="Refuse requests for a model of another name.")
    ] = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of an answer whose request names no bound. Default: to its end, or "
            "to that of the window.",
        ),
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
    reranker: Annotated[
        str | None,
        typer.Option(
            help="Also serve /v1/rerank: the folder or name of a CrossEncoder of "
            "sentence-transformers. Default: none."
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Largest request, in bytes.")] = 32 * 2**20,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what llama.cpp says.")
    ] = False,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Serve a model over HTTP with OpenAI's and Anthropic's APIs, and a page to chat on.

    Clients share the model: their answers are written side by side, and each conversation's cached
    tokens are found by its beginning. Example: `longctx serve model.gguf --target-ctx 32768`
    """
    from longctx.model_info import format_bytes
    from longctx.planner.memory_limit import resolve_memory_limit
    from longctx.server import ServerSettings, TextEmbedder, TextReranker
    from longctx.server import serve as run

    named = [Named.of(text) for text in models or ()]
    if len(named) > 1 and model_id is not None:
        raise RequestError("--model-id is of one model; write NAME=MODEL for each of several")
    names = tuple(allowed_host or ())
    if not names and host in _LOOPBACK:
        names = _LOOPBACK
    if host not in _LOOPBACK and not api_key:
        errors.print(
            f"[yellow]warning[/yellow]  {host} is reached from other machines, and no --api-key "
            "is asked of them"
        )
    settings = _checked(
        ServerSettings,
        model_id=model_id or (named[0].name if len(named) == 1 else None),
        strict_model=strict_model,
        api_key=api_key or None,
        allowed_hosts=names,
        cors=tuple(cors or ()),
        max_tokens=max_tokens,
        sampling=sampling,
        max_waiting=max_waiting,
        timeout_s=timeout,
        max_body_bytes=max_body,
        grace_s=grace,
    )
    # After its grace the server raises the signal again; the model is closed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    before = _held()
    vectors = TextEmbedder(embedder) if embedder is not None else None
    ranker = TextReranker(reranker) if reranker is not None else None
    n_bytes = max(0, _held() - before)  # torch and all
    if vectors is not None or ranker is not None:
        ids = " and ".join(each.id for each in (vectors, ranker) if each is not None)
        errors.print(f"beside the model {ids}: {format_bytes(n_bytes)} of memory", markup=False)
    if "memory_limit" in opening:  # it is for all
        opening["memory_limit"] = max(1, resolve_memory_limit(opening["memory_limit"])[0] - n_bytes)
    how = Opening(opening, verbose=verbose, base_url=base_url, base_key=base_key)
    served: ServedModel | ModelPool
    if len(named) > 1:
        served = how.several(named, max_models)
        errors.print(f"each opens at its first request: {', '.join(served.names)}", markup=False)
    else:
        served = how.one(named[0].model if named else None)
    with served:
        run(served, settings, vectors, ranker, host=host, port=port)


def _held() -> int:
    """Bytes of memory that the process has."""
    return int(psutil.Process().memory_info().rss)


def _checked(kind: type[ServerSettings], **given: Any) -> ServerSettings:
    """The settings, or what is wrong with one of them."""
    try:
        return kind(**given)
    except ValidationError as error:
        raise RequestError(first_problem(error, "the server")) from error
