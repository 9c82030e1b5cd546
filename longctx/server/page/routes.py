"""The page, and what it alone asks for."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from typing_extensions import TypedDict

from longctx.server.connection import while_connected
from longctx.server.errors import ApiError
from longctx.server.page.assets import NAMES, POLICY, asset
from longctx.server.page.files import FileStore, FileText
from longctx.server.page.markdown import Rendered, render
from longctx.server.page.reading import read_file
from longctx.server.requests import Closed
from longctx.server.served import ServedModel
from longctx.server.service import Service
from longctx.server.side_thread import SideThread

_READ_AT_ONCE = 2
_LONGEST_TEXT = 200_000  # characters of Markdown; the page shows what is longer as it is
_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


class MarkdownRequest(Closed):
    """``POST /page/markdown``."""

    text: str = Field(max_length=_LONGEST_TEXT)


class FileDocument(TypedDict):
    """A file that was read; ``n_tokens`` are those of its text."""

    id: str
    name: str
    media_type: str
    n_tokens: int
    n_pages: int | None
    notes: list[str]
    text: str


class Dropped(TypedDict):
    """A file that is kept no more."""

    id: str


def file_readers(*, max_waiting: int, timeout_s: float) -> SideThread:
    """The threads in which files are read."""
    return SideThread(
        max_waiting=max_waiting,
        timeout_s=timeout_s,
        n_threads=_READ_AT_ONCE,
        remedy="give a smaller file",
    )


def page_routes(service: Service, readers: SideThread) -> APIRouter:
    """Routes that run no model."""
    router = APIRouter()
    settings = service.settings
    kept = FileStore(settings.max_files, settings.max_files_bytes, settings.files_minutes)

    @router.get("/", response_class=HTMLResponse)
    def show_page() -> HTMLResponse:
        """A page to chat on."""
        text, _ = asset("page.html")
        return HTMLResponse(text, headers={**_HEADERS, "Content-Security-Policy": POLICY})

    @router.get("/page/{name}", include_in_schema=False)
    def part(name: str) -> Response:
        """One of the files that the page is made of."""
        if name not in NAMES:
            raise ApiError(404, f"the page has no file {name!r:.100}", code="not_found")
        text, kind = asset(name)
        return Response(text, media_type=kind, headers=_HEADERS)

    @router.post("/page/markdown")
    async def markdown(body: MarkdownRequest) -> Rendered:
        """Markdown as HTML that is safe to show."""
        return await asyncio.to_thread(render, body.text)

    @router.post("/page/files", openapi_extra={"requestBody": {"content": _BYTES}})
    async def add_file(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=255)],
        model: str | None = None,
    ) -> FileDocument:
        """Read a file, whose bytes are the body, and keep its text for some minutes."""
        read = partial(read_file, name, await request.body())
        document = await while_connected(request, readers.answer(lambda: readers.run(read)))

        def count(llm: ServedModel) -> int:
            return len(llm.tokenize(document.text))

        # Reading a file is no use of a model, which may have to be opened for this.
        file = FileText.of(name, document, await service.using(request, model, count))
        file_id = kept.keep(file)
        asyncio.get_running_loop().call_later(settings.files_minutes * 60, kept.expire)
        return _document(file_id, file)

    @router.get("/page/files/{file_id}")
    async def file(file_id: str) -> FileDocument:
        """The text of a file that is kept."""
        return _document(file_id, kept.find(file_id))

    @router.delete("/page/files/{file_id}")
    async def drop_file(file_id: str) -> Dropped:
        """Keep it no more."""
        kept.drop(file_id)
        return {"id": file_id}

    return router


def _document(file_id: str, file: FileText) -> FileDocument:
    return {
        "id": file_id,
        "name": file.name,
        "media_type": file.media_type,
        "n_tokens": file.n_tokens,
        "n_pages": file.n_pages,
        "notes": list(file.notes),
        "text": file.text,
    }
