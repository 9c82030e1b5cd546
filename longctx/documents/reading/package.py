"""Documents that are packages: ZIP archives of XML, and the older OLE files."""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from longctx.documents.reading.content import Source
from longctx.documents.reading.limits import MAX_UNPACKED_BYTES
from longctx.errors import DocumentError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# ISO 29500 has a strict form, which differs in the names of its namespaces.
_STRICT = (
    (b"http://purl.oclc.org/ooxml/officeDocument/relationships",
     b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"),
    (b"http://purl.oclc.org/ooxml/officeDocument/math",
     b"http://schemas.openxmlformats.org/officeDocument/2006/math"),
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main",
     b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"),
    (b"http://purl.oclc.org/ooxml/presentationml/main",
     b"http://schemas.openxmlformats.org/presentationml/2006/main"),
    (b"http://purl.oclc.org/ooxml/spreadsheetml/main",
     b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (b"http://purl.oclc.org/ooxml/drawingml/", b"http://schemas.openxmlformats.org/drawingml/2006/"),
)  # fmt: skip


class Package:
    """The parts of a document that is a ZIP archive.

    Raises:
        DocumentError: it unpacks to too much.
    """

    def __init__(self, source: Source) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(source.data))
        self.names = frozenset(self._archive.namelist())
        # zipfile reads no more of a member than its entry states, so that an entry cannot lie.
        unpacked = sum(entry.file_size for entry in self._archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise DocumentError(
                f"{source.name} is {len(source.data):,} bytes and unpacks to {unpacked:,}, more "
                f"than the {MAX_UNPACKED_BYTES:,} that are read: a decompression bomb, or full of "
                "pictures; save its text as .txt"
            )

    def read(self, member: str) -> bytes:
        """The bytes of a part."""
        return self._archive.read(member)

    def xml(self, member: str) -> Any:
        """The root element of a part; entities are not resolved, nothing is fetched."""
        data = self.read(member)
        if b"http://purl.oclc.org/ooxml/" in data:
            for strict, transitional in _STRICT:
                data = data.replace(strict, transitional)
        return parse_xml(data)

    def related(self, member: str) -> dict[str, tuple[str, str]]:
        """The parts that a part names: relation id → (last word of its type, part).

        Parts outside the package (links) are left out.
        """
        folder, base = posixpath.split(member)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if rels not in self.names:
            return {}
        return {
            relation.get("Id", ""): (
                relation.get("Type", "").rsplit("/", 1)[-1],
                resolve(folder, relation.get("Target", "")),
            )
            for relation in self.xml(rels).iter("{*}Relationship")
            if relation.get("TargetMode") != "External"
        }

    def parts_of(self, member: str, kind: str) -> Iterator[str]:
        """The parts of a kind that a part names and that are there."""
        for found, part in self.related(member).values():
            if found == kind and part in self.names:
                yield part

    def properties(self) -> dict[str, str]:
        """Title, author and such of an Office document (Dublin Core)."""
        if "docProps/core.xml" not in self.names:
            return {}
        names = {"title": "title", "creator": "author", "subject": "subject",
                 "keywords": "keywords", "created": "created", "modified": "modified"}  # fmt: skip
        found = {}
        for element in self.xml("docProps/core.xml"):
            name = names.get(local_name(element))
            if name and element.text and element.text.strip():
                found[name] = element.text.strip()
        return found


def main_part(package: Package, *defaults: str) -> str:
    """The part that the package says is its document."""
    for part in package.parts_of("", "officeDocument"):
        return part
    for part in defaults:
        if part in package.names:
            return part
    raise DocumentError("the package names no document")


def resolve(folder: str, target: str) -> str:
    """A part's name from a reference to it that stands in a part of ``folder``."""
    if target.startswith("/"):
        return target[1:]
    return posixpath.normpath(posixpath.join(folder, unquote(target)))


def local_name(element: Any) -> str:
    """A tag without its namespace; empty for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def parse_xml(data: bytes) -> Any:
    """Parse XML that may be hostile."""
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingExtraError(
            'to read office documents run `pip install "longctx-sdk[rag]"` (it needs lxml)'
        ) from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)


def ole_streams(data: bytes) -> set[str]:
    """The names of the streams of an OLE file, in lower case; empty if it is damaged."""
    try:
        import olefile
    except ImportError as error:
        raise MissingExtraError(
            'to read Outlook and old office files run `pip install "longctx-sdk[rag]"` '
            "(it needs olefile)"
        ) from error
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            return {path[0].lower() for path in file.listdir()}
    except Exception:  # whatever a damaged directory makes it stumble on
        return set()


def unlocked(source: Source) -> Source:
    """An Office document out of its encryption; every other file as it is.

    Raises:
        DocumentError: there is no password, or a wrong one.
        MissingExtraError: msoffcrypto-tool is not installed.
    """
    if not source.data.startswith(OLE_MAGIC) or "encryptedpackage" not in ole_streams(source.data):
        return source
    if source.password is None:
        raise DocumentError(
            f"{source.name} is encrypted and asks for a password; pass password=, or save it "
            "without one"
        )
    try:
        import msoffcrypto
    except ImportError as error:
        raise MissingExtraError(
            'to open Office documents with a password run `pip install "longctx-sdk[rag]"` '
            "(it needs msoffcrypto-tool)"
        ) from error
    plain = io.BytesIO()
    try:
        file = msoffcrypto.OfficeFile(io.BytesIO(source.data))
        file.load_key(password=source.password)
        file.decrypt(plain)
    except Exception as error:  # its own exceptions, and those of what it parses
        raise DocumentError(
            f"{source.name} is encrypted, and this password does not open it "
            f"({type(error).__name__}: {error})"
        ) from error
    return replace(source, data=plain.getvalue(), password=None)
