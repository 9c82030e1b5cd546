"""DOCX files that python-docx writes, and packages that nobody should."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx
import pytest
from docx.oxml import OxmlElement

from longctx.documents import load_document
from longctx.documents.reading import package
from longctx.errors import DocumentError


def save(document: docx.document.Document, path: Path) -> Path:
    """Write it."""
    document.save(str(path))
    return path


def rewrite(path: Path, member: str, change) -> Path:
    """Change one member of the package."""
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, change(data) if name == member else data)
    return path


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """Title, headings, a table, a hidden run."""
    document = docx.Document()
    document.add_heading("Contract", level=0)
    document.add_heading("Risk", level=1)
    paragraph = document.add_paragraph("It passes on ")
    paragraph.add_run("delivery").bold = True
    paragraph.add_run(" IGNORE ALL").font.hidden = True
    paragraph.add_run(".")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["part", "price", "blade", "12,000"], strict=True):
        cell.text = text
    document.add_heading("Law", level=2)
    document.add_paragraph("Sweden.")
    return save(document, tmp_path / "contract.docx")


def test_headings_tables_and_what_is_hidden(contract):
    """Paragraphs and tables in their order; hidden text is not what a reader sees."""
    document = load_document(contract)
    assert document.text == (
        "Contract\n\nRisk\n\nIt passes on delivery.\n\n"
        "part | price\nblade | 12,000\n\nLaw\n\nSweden."
    )
    assert document.title == "Contract"
    assert document.headings_at(document.text.index("Sweden")) == ("Risk", "Law")
    assert document.pages == ()


def test_insertions_are_read_and_deletions_are_not(tmp_path):
    """Tracked changes are read as accepted; python-docx alone would lose the insertion."""
    document = docx.Document()
    paragraph = document.add_paragraph("The price is ")
    for tag, text_tag, text in (("w:del", "w:delText", "500"), ("w:ins", "w:t", "700")):
        change, run, node = OxmlElement(tag), OxmlElement("w:r"), OxmlElement(text_tag)
        node.text = text
        run.append(node)
        change.append(run)
        paragraph._p.append(change)
    assert load_document(save(document, tmp_path / "a.docx")).text == "The price is 700"


def test_pages_that_word_recorded(tmp_path):
    """Breaks before, inside and behind text; offsets are those of the text without them."""
    document = docx.Document()
    document.add_paragraph("one")
    inside = document.add_paragraph("end of one ")
    inside.add_run()._r.append(OxmlElement("w:lastRenderedPageBreak"))
    inside.add_run("begin of two")
    before = document.add_paragraph()
    before.add_run()._r.append(OxmlElement("w:lastRenderedPageBreak"))
    before.add_run("three")
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "one\n\nend of one begin of two\n\nthree"
    found = {words: loaded.page_at(loaded.text.index(words)) for words in ("one", "two", "three")}
    assert found == {"one": 1, "two": 2, "three": 3}


def test_content_controls_and_nested_tables(tmp_path):
    """What python-docx passes over when it lists paragraphs is read, and once."""
    document = docx.Document()
    control, content = OxmlElement("w:sdt"), OxmlElement("w:sdtContent")
    paragraph = document.add_paragraph("in a control")
    control.append(content)
    paragraph._p.addprevious(control)
    content.append(paragraph._p)
    cell = document.add_table(rows=1, cols=1).cell(0, 0)
    cell.text = "outer"
    cell.add_table(rows=1, cols=1).cell(0, 0).text = "inner"
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "in a control\n\nouter inner"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "OLE"),
        (b"PK\x03\x04 and then nothing", "malformed"),
    ],
    ids=["damaged", "cut"],
)
def test_what_is_no_docx_says_why(tmp_path, data, message):
    """A damaged OLE container, and half a package."""
    path = tmp_path / "a.docx"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=message):
        load_document(path)


def test_an_empty_document_holds_no_text(tmp_path):
    """Pictures alone, or nothing: OCR is named."""
    with pytest.raises(DocumentError, match="no text"):
        load_document(save(docx.Document(), tmp_path / "a.docx"))


def test_damaged_members_are_document_errors(contract):
    """A package that opens, with XML inside that does not."""
    rewrite(contract, "word/document.xml", lambda data: data[: len(data) // 2])
    with pytest.raises(DocumentError, match="malformed"):
        load_document(contract)


def test_external_entities_are_not_read(contract, tmp_path):
    """A document cannot pull a file of this machine into the prompt."""
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")
    doctype = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]><w:document'.encode()

    def attack(data: bytes) -> bytes:
        return data.replace(b"<w:document", doctype, 1).replace(b"Sweden.", b"Sweden &x;.")

    rewrite(contract, "word/document.xml", attack)
    text = load_document(contract).text
    assert "TOP SECRET" not in text
    assert "Sweden" in text


def test_exponential_entities_are_not_expanded(contract):
    """A billion laughs are refused by the parser."""
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    doctype = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><w:document'.encode()

    def attack(data: bytes) -> bytes:
        return data.replace(b"<w:document", doctype, 1).replace(b"Sweden.", b"&l11;")

    rewrite(contract, "word/document.xml", attack)
    with pytest.raises(DocumentError, match="malformed"):
        load_document(contract)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(contract, monkeypatch):
    """By the sizes that its entries state, which zipfile holds them to."""
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", 1 << 20)
    rewrite(contract, "word/document.xml", lambda data: data + b" " * (2 << 20))
    with pytest.raises(DocumentError, match="unpacks to"):
        load_document(contract)
