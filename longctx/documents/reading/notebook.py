"""Jupyter notebooks: their cells as Markdown, with what they printed."""

from __future__ import annotations

import json
import re
from typing import Any

from longctx.documents.reading.content import Content, Source, TextBuilder, counted
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.html import visible_text
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.markdown import first_title, markdown_sections

_OBJECT = re.compile(r"<[\w.]+ object(?: at 0x[0-9a-f]+)?>")


def read(source: Source) -> Content:
    """Cells in their order: Markdown as it is, code and outputs fenced.

    Raises:
        DocumentError: it is no notebook.
        MissingExtraError: an output is HTML alone, and selectolax is not installed.
    """
    decoded = decode(source.data, source.name, source.encoding)
    remedy = "open it in Jupyter and save it again, or export it as Markdown"
    with malformed(source, "a malformed notebook", remedy):
        notebook = json.loads(decoded.text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str(notebook.get("metadata", {}).get("language_info", {}).get("name", ""))
        builder = TextBuilder(source.name)
        n_pictures = sum(_write(builder, cell, language) for cell in cells)
    if n_pictures:
        builder.note(f"{counted(n_pictures, 'picture')} in outputs not read")
    text = builder.content().text
    sections = markdown_sections(text)
    return Content(
        text,
        title=first_title(sections),
        encoding=decoded.encoding,
        sections=sections,
        notes=(*decoded.notes, *builder.notes),
    )


def _write(builder: TextBuilder, cell: dict[str, Any], language: str) -> int:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell["cell_type"] != "code":
        builder.block(source)
        return 0
    if source.strip():
        builder.block(f"```{language}\n{source}\n```")
    n_pictures = 0
    for output in cell.get("outputs", ()):
        data = output.get("data", output)
        text = _joined(output.get("text", "")) or _shown(data)
        if not text and "traceback" in output:
            text = f"{output.get('ename')}: {output.get('evalue')}"
        if text.strip():
            builder.block(f"```output\n{text.rstrip()}\n```")
        n_pictures += any(str(kind).startswith("image/") for kind in data)
    return n_pictures


def _shown(data: dict[str, Any]) -> str:
    """The text of what a cell showed. Of an object that has another form than its name, such as
    ``display(Markdown(…))``, it is that form."""
    plain = _joined(data.get("text/plain", ""))
    if plain and not _OBJECT.fullmatch(plain.strip()):
        return plain
    for kind in ("text/markdown", "text/latex"):
        if text := _joined(data.get(kind, "")):
            return text
    if page := _joined(data.get("text/html", "")):
        return visible_text(page, "an output").text or plain
    if "application/json" in data:
        return json.dumps(data["application/json"], ensure_ascii=False, indent=1)
    return plain


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)
