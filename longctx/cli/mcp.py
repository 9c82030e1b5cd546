"""``longctx mcp``: documents for programs that speak the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from longctx.cli.ask import CompileOption, EncodingOption, PasswordOption, add_all
from longctx.cli.files import named_files
from longctx.cli.opening import ModelOption, opens_model
from longctx.cli.output import MaxTokensOption, ThinkingBudgetOption, ThinkingOption, errors
from longctx.cli.sampling import conversation_options, takes_sampling
from longctx.listening import listening_on

_HOST = "127.0.0.1"


@opens_model
@takes_sampling
def mcp(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Files, folders, patterns, or NAME=FILE."),
    ] = None,
    model: ModelOption = None,
    thinking: ThinkingOption = None,
    thinking_budget: ThinkingBudgetOption = None,
    strategy: Annotated[
        str, typer.Option(help="auto, whole, retrieve, map_reduce or refine.")
    ] = "auto",
    embedder: Annotated[
        str | None,
        typer.Option(
            help="A sentence-transformers model to search with. Default: the packaged one."
        ),
    ] = None,
    max_tokens: MaxTokensOption = None,
    encoding: EncodingOption = None,
    password: PasswordOption = None,
    compile_share: CompileOption = None,
    library: Annotated[
        Path | None,
        typer.Option(help="A file that keeps the documents, with what was made of them."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Serve http://127.0.0.1:PORT/mcp. Default: the standard streams, as programs "
            "that start this command want it.",
        ),
    ] = None,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Serve documents to an assistant over MCP: the tools ask, search and read.

    A model on this machine answers; only its answers leave the machine.
    Example, in an assistant's settings: `{"command": "longctx", "args": ["mcp", "notes/"]}`
    """
    from longctx.documents import DocumentQA
    from longctx.llm import LongContextLLM
    from longctx.mcp_server import library_server, serve_on

    if not files and library is None:
        raise typer.BadParameter("give at least one file or folder, or --library")
    with LongContextLLM(model, **opening) as llm:
        documents = DocumentQA(
            llm,
            strategy=strategy,  # type: ignore[arg-type]  # it checks the word
            embedder=embedder,
            path=library,
        )
        with documents:
            named = list(named_files(files or []))
            add_all(
                documents, named, encoding=encoding, password=password, compile_share=compile_share
            )
            options = conversation_options(llm.sampling_defaults, sampling)
            options |= {"thinking": thinking, "thinking_budget": thinking_budget}
            options |= {"max_tokens": max_tokens}
            server = library_server(documents, options=options)
            n = len(documents.documents)
            if port is None:
                errors.print(f"serving {n:,} documents over the standard streams")
                server.run()
            else:
                errors.print(f"will serve {n:,} documents at http://{_HOST}:{port}/mcp")
                with listening_on(_HOST, port, "give another --port"):
                    serve_on(server, _HOST, port)
