"""The text of a Word document (DOCX and its kin)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from longctx.documents.reading import html, plain, rtf
from longctx.documents.reading.content import Content, Source, TextBuilder, counted
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.package import Package, main_part
from longctx.documents.reading.word_body import Body, R
from longctx.documents.reading.word_numbering import Numbering
from longctx.documents.reading.word_styles import Styles, W
from longctx.errors import DocumentError

_MAX_DEPTH = 4


def read(source: Source) -> Content:
    """Read a Word document in its order, as one reads it with its changes accepted.

    List numbers are text ("4.2 Risk"), and so are equations. Footnotes, endnotes and comments
    stand behind the paragraph that they belong to, headers at the front, footers at the end, each
    in brackets that say so. Deleted and hidden text is left out, and counted in the notes, as are
    pictures and charts. Pages are those that Word recorded when it last laid the document out,
    else those of breaks that its author set. Nothing is fetched or executed.

    Raises:
        DocumentError: it is encrypted, malformed, holds no text, or unpacks to too much.
        MissingExtraError: lxml is not installed.
    """
    remedy = "open it in a word processor and save it again, or save its text as .txt"
    with malformed(source, "a malformed DOCX", remedy):
        content = _read(source, 0)
    if not content.text.strip():
        raise DocumentError(
            f"{source.name} holds no text: it is empty, or its content is images; "
            "run OCR on it first, or leave it out"
        )
    return content


def _read(source: Source, depth: int) -> Content:
    package = Package(source)
    part = main_part(package, "word/document.xml")
    styles = Styles(_roots(package, part, "styles"))
    numbering = Numbering(_roots(package, part, "numbering"))
    builder = TextBuilder(source.name)
    root = package.xml(part)
    notes_of = {
        kind: {
            note.get(f"{W}id", ""): note
            for notes in _roots(package, part, f"{kind}s")
            for note in notes
        }
        for kind in ("footnote", "endnote", "comment")
    }
    embedded = {
        relation: (lambda chunk=chunk: _embedded(package, chunk, source, depth))
        for relation, (kind, chunk) in package.related(part).items()
        if kind == "aFChunk" and chunk in package.names
    }
    body = Body(builder, styles, numbering, notes_of, embedded, source.name)
    headers, footers = _margins(package, part, root, body)
    for header in headers:
        builder.block(f"[header: {header}]")
    body.write(root)
    for footer in footers:
        builder.block(f"[footer: {footer}]")
    for note in _left_out(body):
        builder.note(note)
    metadata = package.properties()
    content = builder.content(title=body.title or metadata.get("title"), metadata=metadata)
    return content if content.pages and len(content.pages) > 1 else replace(content, pages=())


def _roots(package: Package, part: str, kind: str) -> Iterator[Any]:
    return (package.xml(found) for found in package.parts_of(part, kind))


def _margins(package: Package, part: str, root: Any, body: Body) -> tuple[list[str], list[str]]:
    """The texts of headers and of footers that a section uses, each once."""
    used = {
        element.get(f"{R}id") for element in root.iter(f"{W}headerReference", f"{W}footerReference")
    }
    found: dict[str, list[str]] = {"header": [], "footer": []}
    for relation, (kind, member) in package.related(part).items():
        if kind in found and relation in used and member in package.names:
            text = body.plain(package.xml(member))
            if text and text not in found[kind]:
                found[kind].append(text)
    return found["header"], found["footer"]


def _embedded(package: Package, part: str, source: Source, depth: int) -> Content | None:
    """A chunk in another format (``w:altChunk``); None if nothing reads it."""
    suffix = part.rpartition(".")[2].lower()
    inner = Source(package.read(part), f"{source.name} ({part})")
    readers = {"htm": html.read, "html": html.read, "xhtml": html.read, "rtf": rtf.read,
               "txt": plain.read}  # fmt: skip
    if suffix in ("docx", "docm", "dotx") and depth < _MAX_DEPTH:
        return _read(inner, depth + 1)
    return readers[suffix](inner) if suffix in readers else None


def _left_out(body: Body) -> Iterator[str]:
    """What the document has that its text has not."""
    n = body.left_out
    for kind, singular, plural, verb in (
        ("deleted", "deleted passage", "deleted passages", "left out"),
        ("hidden", "hidden passage", "hidden passages", "left out"),
        ("picture", "picture", "pictures", "not read"),
        ("symbol", "symbol of a font", "symbols of a font", "not read"),
        ("chart", "chart or diagram", "charts or diagrams", "not read"),
        ("embedded", "embedded file", "embedded files", "not read"),
        ("faint", "place", "places", "that no reader sees (white or tiny) marked [not visible: …]"),
    ):
        if n[kind]:
            yield f"{counted(n[kind], singular, plural)} {verb}"
