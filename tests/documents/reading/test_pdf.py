"""PDFs that fpdf2 writes, and PDFs that nobody should."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from fpdf import FPDF
from fpdf.enums import EncryptionMethod

from longctx.documents import load_document
from longctx.errors import DocumentError


def write_pdf(path: Path, pages: list[str], **options: object) -> Path:
    """One page for each text, with a bookmark where a text has a title before a colon."""
    document = FPDF()
    if options:
        document.set_encryption(**options)
    for text in pages:
        document.add_page()
        document.set_font("Helvetica", size=12)
        title, colon, rest = text.partition(": ")
        if colon:
            document.start_section(title)
        if text:
            document.multi_cell(0, 6, f"{title}\n{rest}" if colon else text)
    document.output(str(path))
    return path


def test_pages_and_bookmarks_are_kept(tmp_path):
    """Every page is a span of the text; bookmarks are headings where their words stand."""
    path = write_pdf(tmp_path / "a.pdf", ["Cover", "Risk: It passes on delivery.", "Law: Sweden."])
    document = load_document(path)
    spans = [document.text[page.start : page.end] for page in document.pages]
    assert spans == ["Cover", "Risk\nIt passes on delivery.", "Law\nSweden."]
    assert [page.number for page in document.pages] == [1, 2, 3]
    offset = document.text.index("passes")
    assert document.page_at(offset) == 2
    assert document.headings_at(offset) == ("Risk",)
    assert document.headings_at(document.text.index("Sweden")) == ("Law",)
    assert (document.media_type, document.notes) == ("application/pdf", ())


def test_a_page_without_text_keeps_its_number(tmp_path):
    """The pages after it are numbered as in a viewer, and the note says which it is."""
    document = load_document(write_pdf(tmp_path / "a.pdf", ["one", "", "three"]))
    assert document.page_at(document.text.index("three")) == 3
    assert "page 2" in document.notes[0]


def test_five_hundred_pages(tmp_path):
    """Each fact is on the page that it was written to."""
    pages = [f"The code of room {n} is {n * 7919 % 9973}." for n in range(1, 501)]
    document = load_document(write_pdf(tmp_path / "long.pdf", pages))
    assert len(document.pages) == 500
    for n in (1, 250, 500):
        assert document.page_at(document.text.index(f"room {n} ")) == n


def test_scanned_pages_ask_for_ocr(tmp_path):
    """A PDF of pictures has no text layer."""
    from PIL import Image

    document = FPDF()
    for _ in range(3):
        document.add_page()
        document.image(Image.new("L", (40, 40), 200), x=10, y=10, w=50)
    document.output(str(tmp_path / "scan.pdf"))
    with pytest.raises(DocumentError, match=r"any of its 3 pages.*OCR"):
        load_document(tmp_path / "scan.pdf")


@pytest.mark.parametrize(
    "options",
    [
        {"owner_password": "o", "user_password": "u"},
        {
            "owner_password": "o",
            "user_password": "u",
            "encryption_method": EncryptionMethod.AES_256,
        },
    ],
    ids=["rc4", "aes"],
)
def test_encrypted_files_say_so(tmp_path, options):
    """A password is never guessed."""
    with pytest.raises(DocumentError, match="encrypted"):
        load_document(write_pdf(tmp_path / "a.pdf", ["secret"], **options))


def test_a_file_that_only_forbids_printing_is_read(tmp_path):
    """It opens without a password, in the old cipher and in the new, and so it opens."""
    for method in (EncryptionMethod.RC4, EncryptionMethod.AES_256):
        options = {"owner_password": "o", "encryption_method": method}
        path = write_pdf(tmp_path / "a.pdf", ["readable"], **options)
        assert load_document(path).text == "readable"


def cut(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        lambda data: b"%PDF-1.7\n" + b"\x00\xff" * 500,
        lambda data: data.replace(b"/Kids", b"/Kidz"),
        lambda data: b"%PDF-1.7\ntrailer<</Root 1 0 R>>\n1 0 obj<</Pages 1 0 R>>endobj",
    ],
    ids=["half", "noise", "no kids", "loop"],
)
def test_malformed_files_are_document_errors(tmp_path, damage):
    """Whatever the parser stumbles on, it is one of our errors."""
    path = write_pdf(tmp_path / "a.pdf", ["some text"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DocumentError, match=r"malformed|without pages"):
        load_document(path)


def test_more_text_than_any_window_is_refused(tmp_path, monkeypatch):
    """The text is bounded while it is read."""
    monkeypatch.setattr("longctx.documents.reading.limits.MAX_TEXT_CHARS", 100)
    with pytest.raises(DocumentError, match="100 characters"):
        load_document(write_pdf(tmp_path / "a.pdf", ["word " * 15] * 9))
