"""EPUB: the pages of a book in the order in which it is read."""

from __future__ import annotations

import posixpath
from typing import Any

from longctx.documents.reading import html
from longctx.documents.reading.content import Content, Source, TextBuilder
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.package import Package, local_name, parse_xml, resolve
from longctx.errors import DocumentError

# Fonts are obfuscated in books that anyone can read.
_OBFUSCATED = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def read(source: Source) -> Content:
    """Read a book, its chapters as HTML is read.

    Raises:
        DocumentError: it is encrypted, malformed, or holds no text.
        MissingExtraError: selectolax or lxml is not installed.
    """
    with malformed(source, "a malformed EPUB", "convert it anew, or save its text as .txt"):
        return _read(source)


def _read(source: Source) -> Content:
    package = Package(source)
    _check_open(package, source)
    container = parse_xml(package.read("META-INF/container.xml"))
    opf = next(container.iter("{*}rootfile")).get("full-path", "")
    root = package.xml(opf)
    folder = posixpath.dirname(opf)
    items = {item.get("id", ""): item for item in root.iter("{*}item")}
    builder = TextBuilder(source.name)
    for reference in root.iter("{*}itemref"):
        item = items.get(reference.get("idref", ""))
        if item is None or "html" not in item.get("media-type", "html"):
            continue
        member = resolve(folder, item.get("href", "").partition("#")[0])
        if member not in package.names:
            builder.note(f"the chapter {member} is missing in the file")
            continue
        decoded = decode(package.read(member), f"{source.name} ({member})", stray_nulls=16)
        builder.embed(html.visible_text(decoded.text, member))
    if not builder.length:
        raise DocumentError(f"{source.name} holds no text: its pages are pictures; run OCR on it")
    metadata = _metadata(root)
    return builder.content(title=metadata.get("title"), metadata=metadata)


def _check_open(package: Package, source: Source) -> None:
    if "META-INF/encryption.xml" not in package.names:
        return
    root = package.xml("META-INF/encryption.xml")
    methods = {element.get("Algorithm", "") for element in root.iter("{*}EncryptionMethod")}
    if methods - set(_OBFUSCATED):
        raise DocumentError(
            f"{source.name} is encrypted (DRM), and only the shop's reader opens it"
        )


def _metadata(root: Any) -> dict[str, str]:
    names = {"title": "title", "creator": "author", "language": "language", "date": "date",
             "publisher": "publisher"}  # fmt: skip
    found: dict[str, str] = {}
    for element in root.iter("{http://purl.org/dc/elements/1.1/}*"):
        name, text = names.get(local_name(element)), (element.text or "").strip()
        if name and text:
            found.setdefault(name, text)
    return found
