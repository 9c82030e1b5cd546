"""Bytes say what a file is; what is no document says what it is and what would help."""

from __future__ import annotations

import io
import zipfile

import docx
import msoffcrypto
import pytest
from msoffcrypto.format.ooxml import OOXMLFile

from longctx.errors import DocumentError
from tests.support.ole import ole_file


def word_bytes(text: str = "Some words.") -> bytes:
    """A DOCX."""
    document, out = docx.Document(), io.BytesIO()
    document.add_paragraph(text)
    document.save(out)
    return out.getvalue()


MAIL = b"Received: from a by b\r\nFrom: a@b.c\r\nSubject: Risk\r\n\r\nIt passes.\r\n"


@pytest.mark.parametrize(
    ("name", "data", "media_type", "text"),
    [
        ("letter", word_bytes(), "wordprocessingml.document", "Some words."),
        ("letter.doc", word_bytes(), "wordprocessingml.document", "Some words."),
        ("page.doc", b"<html><body><p>Hi", "text/html", "Hi"),
        ("table.xls", b"<!DOCTYPE html><table><tr><td>a<td>b", "text/html", "a | b"),
        ("letter.docx", rb"{\rtf1\ansi Hello \b world\b0.}", "application/rtf", "Hello world."),
        ("message", MAIL, "message/rfc822", "Subject: Risk\n\nIt passes."),
        ("notes", "Plain words, näive.".encode(), "text/plain", "Plain words, näive."),
        ("a.xyz", b"hello", "text/plain", "hello"),
        ("report.pdf", b"not a PDF at all", "text/plain", "not a PDF at all"),
        ("nb", b'{"cells": [{"cell_type": "markdown", "source": "# A"}], "nbformat": 4}',
         "application/x-ipynb+json", "# A"),
    ],
)  # fmt: skip
def test_a_file_is_what_its_bytes_are(read, name, data, media_type, text):
    """Without a suffix, or with a wrong one."""
    document = read(name, data)
    assert document.media_type.endswith(media_type)
    assert document.text.endswith(text)


def test_a_wrong_name_is_said(read):
    """So that nobody wonders; a text that is named as one is what its name says."""
    assert read("a.pdf", word_bytes()).notes == ("its name says PDF, its bytes say Word",)
    page = read("a.txt", b"<html><body>x")
    assert (page.media_type, page.text) == ("text/plain", "<html><body>x")


def test_types_are_what_they_are(read):
    """JSON is no source code, a log is text."""
    types = {"a.json": "application/json", "a.yaml": "application/yaml", "a.log": "text/plain",
             "a.ndjson": "application/x-ndjson", "a.tex": "text/x-tex"}  # fmt: skip
    assert {name: read(name, b"[1]").media_type for name in types} == types


def zipped(*names: str) -> bytes:
    """An archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "PNG image; run OCR"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "JPEG image; run OCR"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP image"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV recording; transcribe"),
        (b"\x00\x00\x00\x18ftypmp42\x00", "video; transcribe"),
        (b"\x1f\x8b\x08\x00\x00", "gzip; unpack"),
        (b"SQLite format 3\x00", "database; export"),
        (zipped("a.txt"), "ZIP archive .*unpack"),
        (zipped("xl/workbook.bin"), "save it as .xlsx"),
        (zipped("Index/Document.iwa"), "iWork.*export it as PDF"),
        (ole_file({"WordDocument": b"x" * 600}), r"old \.doc format of Word; .*\.docx"),
        (ole_file({"PowerPoint Document": b"x"}), r"old \.ppt format"),
        (ole_file({"Something": b"x"}), "OLE file of an unknown kind"),
        (b"%!PS-Adobe-3.0\n", "ps2pdf"),
    ],
)
def test_what_is_no_document_says_what_would_help(read, data, message):
    """Whatever it is called."""
    for name in ("file", "file.pdf", "file.txt"):
        with pytest.raises(DocumentError, match=message):
            read(name, data)


def test_a_word_document_with_a_password(read):
    """It opens with the password, and without it says so."""
    locked = io.BytesIO()
    OOXMLFile(io.BytesIO(word_bytes("The price is 700."))).encrypt("secret", locked)
    assert msoffcrypto.OfficeFile(io.BytesIO(locked.getvalue())).is_encrypted()
    document = read("a.docx", locked.getvalue(), password="secret")
    assert (document.text, document.notes) == ("The price is 700.", ())
    with pytest.raises(DocumentError, match="pass password="):
        read("a.docx", locked.getvalue())
    with pytest.raises(DocumentError, match="this password does not open it"):
        read("a.docx", locked.getvalue(), password="guess")
