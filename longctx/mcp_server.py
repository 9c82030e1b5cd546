"""A library as a server of the Model Context Protocol, with ``ask``, ``search`` and ``read``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from longctx import __version__
from longctx.documents import Answer, Document, DocumentQA
from longctx.errors import LongCtxError, MissingExtraError
from longctx.types import Progress

try:  # at the top: the SDK looks up here what the tools' annotations name
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
except ImportError as error:
    raise MissingExtraError(
        "an MCP server needs the package mcp; install longctx-sdk[mcp]"
    ) from error

MAX_READ = 20_000
MAX_HITS = 20
_GRACE_S = 2
"""For requests under way when the server is to end; clients that only listen never hang up."""


def serve_on(server: MCPServer[None], host: str, port: int) -> None:
    """Serve over HTTP, at ``/mcp``, until Ctrl-C or SIGTERM.

    As ``server.run("streamable-http")``, but it does end, though clients listen.

    Args:
        server: what :func:`library_server` made.
        host: the address.
        port: of TCP.
    """
    import uvicorn

    app = server.streamable_http_app(host=host)
    uvicorn.run(app, host=host, port=port, log_level="error", timeout_graceful_shutdown=_GRACE_S)


def library_server(
    documents: DocumentQA, *, name: str = "longctx", options: Mapping[str, Any] | None = None
) -> MCPServer[None]:
    """Make a server of the official SDK; ``.run()`` serves it over the standard streams.

    Giving a request up, as clients do by a notification or by hanging up, gives its answer up.

    Args:
        documents: what it answers from; changes are seen by the next request.
        name: what it calls itself.
        options: of every answer, see :class:`longctx.documents.options.AskOptions`.
    """
    n = len(documents.documents)
    server: MCPServer[None] = MCPServer(
        name,
        version=__version__,
        log_level="ERROR",
        subscriptions=False,  # what it offers is always the same
        instructions=f"A library of {n:,} documents, on this machine. ask answers from them with "
        "quotations, search finds passages, read shows a document's text.",
    )
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=reads, structured_output=False)
    async def ask(
        question: Annotated[str, Field(description="In plain words.")], context: Context
    ) -> str:
        """Answer a question from the documents, with quotations that were checked."""
        loop = asyncio.get_running_loop()

        def told(progress: Progress) -> None:  # in the thread that reads
            done, total = progress.done_tokens, progress.total_tokens
            coming = context.report_progress(done, total, f"{done:,} of {total:,} tokens read")
            asyncio.run_coroutine_threadsafe(coming, loop)

        try:
            answer = await documents.aask(question, on_progress=told, **(options or {}))
        except LongCtxError as error:
            raise ToolError(str(error)) from error
        return _in_words(answer)

    @server.tool(annotations=reads, structured_output=False)
    async def search(
        query: Annotated[str, Field(description="In plain words.")],
        limit: Annotated[int, Field(ge=1, le=MAX_HITS)] = 5,
    ) -> str:
        """Find the passages that fit a query best, and where they stand."""
        try:
            hits = await asyncio.to_thread(documents.search, query, limit=limit)
        except LongCtxError as error:
            raise ToolError(str(error)) from error
        return "\n\n".join(
            f"{hit.doc_id}{_page(hit.page)}, characters {hit.start} to {hit.end}:\n{hit.text}"
            for hit in hits
        )

    @server.tool(annotations=reads, structured_output=False)
    async def read(
        document: Annotated[str | None, Field(description="Its name; else all names.")] = None,
        start: Annotated[int, Field(ge=0, description="The first character.")] = 0,
        n: Annotated[int, Field(ge=1, le=MAX_READ, description="How many.")] = 4000,
    ) -> str:
        """Show a document's text, or, without a name, list the documents."""
        known = {each.doc_id: each for each in documents.documents}
        if document is None:
            return "\n".join(map(_listed, known.values())) or "there are none"
        if document not in known:
            raise ToolError(f"there is no document {document!r}; read without a name lists them")
        text = known[document].text
        if start >= len(text):
            raise ToolError(f"start is {start}, and {document} has {len(text):,} characters")
        end = min(len(text), start + n)
        return f"[characters {start:,} to {end:,} of {len(text):,}]\n{text[start:end]}"

    return server


def _in_words(answer: Answer) -> str:
    lines = [answer.text]
    for citation in answer.citations:
        place = f"{citation.doc_id}{_page(citation.page)}: " if citation.doc_id else ""
        lines.append(f"- {place}“{citation.quote}” ({citation.verdict})")
    if answer.unfounded:
        lines.append(f"- NOT VERIFIED, in no document: {', '.join(answer.unfounded)}")
    elif answer.grounded is False and not answer.citations:
        lines.append("- nothing in the documents is near this question")
    return "\n".join(lines)


def _listed(document: Document) -> str:
    title = f" ({document.title})" if document.title else ""
    return f"{document.doc_id}{title}, {len(document.text):,} characters"


def _page(page: int | None) -> str:
    return f", page {page}" if page else ""
