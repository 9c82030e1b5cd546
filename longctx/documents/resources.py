"""Documents from a server of the Model Context Protocol."""

from __future__ import annotations

import mimetypes
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from longctx import arguments
from longctx.documents.document import Document
from longctx.documents.load import load_document
from longctx.errors import DocumentError, LongCtxError, ToolError
from longctx.mcp import McpServer, RemoteResource


@dataclass(frozen=True)
class LoadedResources:
    """The documents of a server, and what became none, by its address, and why."""

    documents: tuple[Document, ...]
    skipped: tuple[tuple[str, str], ...]


def load_resources(server: McpServer, uris: Sequence[str] | None = None) -> LoadedResources:
    """Read a server's resources as documents, by what their bytes are; they are named by address.

    ``for document in load_resources(server).documents: qa.update(document)`` puts them in a
    library.

    Args:
        server: of :func:`longctx.agents.mcp`, or an :class:`longctx.mcp.McpServer`.
        uris: the addresses to read; None is all that it lists.

    Raises:
        RemoteError: the server broke off.
        DocumentError: it has none of these addresses.
        ToolError: it does not list what it has.
        RequestError: the addresses are no list of texts.
    """
    asked = None if uris is None else arguments.texts("uris", uris)
    listed = {resource.uri: resource for resource in server.resources()}
    if asked is not None:
        missing = [uri for uri in asked if uri not in listed]
        if missing:
            raise DocumentError(
                f"{server.name} has no resource {missing[0]!r}; resources() lists what it has"
            )
        listed = {uri: listed[uri] for uri in asked}
    documents: list[Document] = []
    skipped: list[tuple[str, str]] = []
    for resource in listed.values():
        try:
            documents.append(_document(server, resource))
        except (DocumentError, ToolError) as error:
            skipped.append((resource.uri, str(error)))
    return LoadedResources(tuple(documents), tuple(skipped))


def _document(server: McpServer, resource: RemoteResource) -> Document:
    data = server.read(resource.uri)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"resource{_suffix(resource)}"
        file.write_bytes(data)
        try:
            document = load_document(file, doc_id=resource.uri)
        except LongCtxError as error:
            told = str(error).replace(str(file), resource.uri)
            raise DocumentError(told) from error
    return document.model_copy(update={"source": resource.uri})


def _suffix(resource: RemoteResource) -> str:
    """What a file of this kind is called: its media type says so, or its address does."""
    kind = (resource.media_type or "").partition(";")[0].strip()
    return mimetypes.guess_extension(kind) or PurePosixPath(urlsplit(resource.uri).path).suffix
