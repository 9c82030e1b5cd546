"""DOCX files that python-docx writes, and packages that nobody should."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx
import pytest
from docx.enum.text import WD_BREAK
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls

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


def xml(text: str):
    """An element in the namespaces of Word."""
    head, _, rest = text.partition(">")
    space = nsdecls("w", "m", "r")
    end = "/>" if head.endswith("/") else ">"
    return parse_xml(f"{head.rstrip('/')} {space}{end}{rest}")


def add_part(document, kind: str, text: str) -> None:
    """A part beside the document, such as its footnotes."""
    part = docx.opc.part.Part(
        docx.opc.packuri.PackURI(f"/word/{kind}.xml"),
        f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}+xml",
        f"<w:{kind} {nsdecls('w')}>{text}</w:{kind}>".encode(),
        document.part.package,
    )
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    document.part.relate_to(part, f"{base}/{kind}")


def note(kind: str, number: int, text: str, more: str = "") -> str:
    """A footnote, an endnote or a comment."""
    run = f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
    return f'<w:{kind} w:id="{number}" {more}>{run}</w:{kind}>'


def test_notes_stand_behind_their_paragraph(tmp_path):
    """Footnotes, endnotes and comments, each said to be one; the sentence itself stays whole."""
    document = docx.Document()
    paragraph = document.add_paragraph("Risk passes")
    for kind in ("footnote", "endnote", "comment"):
        paragraph.add_run()._r.append(xml(f'<w:{kind}Reference w:id="2"/>'))
    paragraph.add_run(" on delivery.")
    document.add_paragraph("Law.")
    add_part(document, "footnotes", note("footnote", 2, "Or before."))
    add_part(document, "endnotes", note("endnote", 2, "See Hull."))
    add_part(document, "comments", note("comment", 2, "Really?", 'w:author="Ann"'))
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == (
        "Risk passes on delivery.\n[footnote: Or before.]\n[endnote: See Hull.]\n"
        "[comment by Ann: Really?]\n\nLaw."
    )
    assert loaded.notes == ()


def test_headers_and_footers(tmp_path):
    """At the front and at the end, each once."""
    document = docx.Document()
    document.add_paragraph("Body.")
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.sections[0].footer.paragraphs[0].text = "Draft 3"
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "[header: Confidential]\n\nBody.\n\n[footer: Draft 3]"


NUMBERING = """<w:abstractNum w:abstractNumId="90">{levels}</w:abstractNum>
<w:num w:numId="90"><w:abstractNumId w:val="90"/></w:num>
<w:num w:numId="91"><w:abstractNumId w:val="90"/>
  <w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>"""
LEVELS = (("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)"), ("upperRoman", "%4)"),
          ("bullet", "o"))  # fmt: skip


def with_lists(document) -> None:
    """Adds the lists 90 and 91."""
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="{style}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
        for i, (style, text) in enumerate(LEVELS)
    )
    root = document.part.numbering_part.element
    for element in xml(f"<w:numbering>{NUMBERING.format(levels=levels)}</w:numbering>"):
        root.append(element)


def numbered(document, text: str, level: int, list_id: int = 90, style: str | None = None) -> None:
    """A paragraph of a list."""
    properties = document.add_paragraph(text, style=style)._p.get_or_add_pPr()
    properties.append(
        xml(f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>')
    )


def test_list_numbers_are_text(tmp_path):
    """Counted as Word counts: nested, restarted below a new number, continued by another list."""
    document = docx.Document()
    with_lists(document)
    for level, text in enumerate(["Price", "Net", "if paid", "in May", "cash"]):
        numbered(document, text, level)
    numbered(document, "or June", 3)
    numbered(document, "Gross", 1)
    numbered(document, "Law", 0, style="Heading 1")
    numbered(document, "Sweden", 1)
    numbered(document, "Other", 0, list_id=91)
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text.split("\n\n") == [
        "1. Price", "1.1 Net", "(a) if paid", "I) in May", "• cash", "II) or June", "1.2 Gross",
        "2. Law", "2.1 Sweden", "7. Other",
    ]  # fmt: skip
    assert loaded.headings_at(loaded.text.index("Sweden")) == ("2. Law",)


def test_the_number_of_a_heading_comes_from_its_style(tmp_path):
    """As contracts have it: "4.2" is in the style, not in the paragraph."""
    document = docx.Document()
    with_lists(document)
    for name, level in (("Heading 1", 0), ("Heading 2", 1)):
        properties = document.styles[name].element.get_or_add_pPr()
        properties.append(xml(f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="90"/></w:numPr>'))
    for title in ("One", "Two"):
        document.add_heading(title, 1)
    document.add_heading("Risk", 2)
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert [section.title for section in loaded.sections] == ["1. One", "2. Two", "2.1 Risk"]


def test_headings_of_any_name(tmp_path):
    """A style based on a heading, and one with an outline level."""
    document = docx.Document()
    own = document.styles.add_style("Clause", 1)
    own.base_style = document.styles["Heading 2"]
    outlined = document.styles.add_style("Kapitel", 1)
    outlined.element.get_or_add_pPr().append(xml('<w:outlineLvl w:val="0"/>'))
    document.add_paragraph("First", style="Kapitel")
    document.add_paragraph("Second", style="Clause")
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert [(s.title, s.level) for s in loaded.sections] == [("First", 1), ("Second", 2)]


EQUATION = (
    "<m:oMath><m:r><m:t>x=</m:t></m:r><m:f><m:num><m:r><m:t>-b±</m:t></m:r>"
    "<m:rad><m:radPr><m:degHide m:val='1'/></m:radPr><m:deg/><m:e><m:sSup><m:e><m:r><m:t>b</m:t>"
    "</m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup><m:r><m:t>-4ac</m:t></m:r></m:e>"
    "</m:rad></m:num><m:den><m:r><m:t>2a</m:t></m:r></m:den></m:f></m:oMath>"
)


def test_equations_are_text(tmp_path):
    """In a line, with parentheses where a fraction needs them."""
    document = docx.Document()
    document.add_paragraph("So ")._p.append(xml(EQUATION))
    text = load_document(save(document, tmp_path / "a.docx")).text
    assert text == "So x=(-b±√(b^2-4ac))/2a"


def test_breaks_that_the_author_set(tmp_path):
    """Pages where Word recorded no layout; where it did, its own breaks count, and once."""
    document = docx.Document()
    document.add_paragraph("one").add_run().add_break(WD_BREAK.PAGE)
    document.add_paragraph("two")
    document.add_paragraph("three").paragraph_format.page_break_before = True
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "one\n\ntwo\n\nthree"
    assert [loaded.page_at(loaded.text.index(word)) for word in ("one", "two", "three")] == [
        1,
        2,
        3,
    ]
    document.paragraphs[1].runs[0]._r.insert(0, OxmlElement("w:lastRenderedPageBreak"))
    loaded = load_document(save(document, tmp_path / "b.docx"))
    assert len(loaded.pages) == 2


def test_what_stays_out_is_counted(tmp_path):
    """Deleted and hidden text, and pictures."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "png")
    document = docx.Document()
    paragraph = document.add_paragraph("Seen.")
    for words in ("one", "two"):
        paragraph._p.append(xml(f"<w:del><w:r><w:delText>{words}</w:delText></w:r></w:del>"))
    paragraph.add_run("unseen").font.hidden = True
    document.add_picture(io.BytesIO(picture.getvalue()))
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "Seen."
    assert loaded.notes == (
        "2 deleted passages left out", "1 hidden passage left out", "1 picture not read",
    )  # fmt: skip


def test_strict_open_xml(contract):
    """The other form of ISO 29500 says the same in other namespaces."""
    before = load_document(contract).text
    names = (
        (b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
         b"http://purl.oclc.org/ooxml/wordprocessingml/main"),
        (b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
         b"http://purl.oclc.org/ooxml/officeDocument/relationships"),
    )  # fmt: skip

    def strict(data: bytes) -> bytes:
        for one, other in names:
            data = data.replace(one, other)
        return data

    for member in zipfile.ZipFile(contract).namelist():
        rewrite(contract, member, strict)
    document = load_document(contract)
    assert document.text == before
    assert document.headings_at(document.text.index("Sweden")) == ("Risk", "Law")


@pytest.mark.parametrize(
    ("name", "data", "text", "notes"),
    [
        ("a.html", b"<h1>Annex</h1><p>Ships.</p>", "Annex\n\nShips.", ()),
        ("a.rtf", rb"{\rtf1 Ships.}", "Ships.", ()),
        ("a.bin", b"?", "", ("1 embedded file not read",)),
    ],
)
def test_chunks_in_other_formats(tmp_path, name, data, text, notes):
    """What a program pasted in as HTML or RTF (w:altChunk) is read where it stands."""
    document = docx.Document()
    document.add_paragraph("Before.")
    part = docx.opc.part.Part(
        docx.opc.packuri.PackURI(f"/word/{name}"), "text/html", data, document.part.package
    )
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = document.part.relate_to(part, f"{base}/aFChunk")
    document.paragraphs[0]._p.addnext(xml(f'<w:altChunk r:id="{relation}"/>'))
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == "\n\n".join(filter(None, ["Before.", text]))
    assert loaded.notes == notes


def test_merged_cells_and_repeated_headers(tmp_path):
    """Spans are written out, empty cells keep their columns, the header is known."""
    document = docx.Document()
    table = document.add_table(rows=4, cols=3)
    cells = [["part", "price", ""], ["", "net", "gross"], ["blade", "1", "2"], ["hub", "", "3"]]
    for row, texts in zip(table.rows, cells, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(0, 0).merge(table.cell(1, 0))
    for row in table.rows[:2]:
        row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    loaded = load_document(save(document, tmp_path / "a.docx"))
    assert loaded.text == ("part | price | price\npart | net | gross\nblade | 1 | 2\nhub |  | 3")
    assert loaded.header_at(loaded.text.index("hub")) == (
        "part | price | price\npart | net | gross\n"
    )


def test_macros_and_templates(contract, read):
    """The same package under other names and types."""

    def typed(data: bytes) -> bytes:
        return data.replace(
            b"openxmlformats-officedocument.wordprocessingml.document.main+xml",
            b"ms-word.document.macroEnabled.main+xml",
        )

    rewrite(contract, "[Content_Types].xml", typed)
    for name in ("a.docm", "a.dotx"):
        assert read(name, contract.read_bytes()).title == "Contract"


FIELD = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{}</w:ffData></w:fldChar></w:r>'


@pytest.mark.parametrize(
    ("runs", "text", "notes"),
    [
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:t> yes</w:t></w:r>', "✓ yes", ()),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0A8"/><w:t> no</w:t></w:r>', "☐ no", ()),
        ('<w:r><w:sym w:font="Symbol" w:char="F061"/><w:t>=5</w:t></w:r>', "\u03b1=5", ()),
        ('<w:r><w:sym w:font="Symbol" w:char="F0B3"/><w:t> 5</w:t></w:r>', "≥ 5", ()),
        ('<w:r><w:sym w:font="MS Gothic" w:char="2612"/></w:r>', "☒", ()),
        ('<w:r><w:sym w:font="Webdings" w:char="F0FC"/><w:sym w:char="q"/><w:t>a</w:t></w:r>', "a",
         ("2 symbols of a font not read",)),
        (FIELD.format("<w:checkBox><w:default w:val='0'/><w:checked/></w:checkBox>"), "☑", ()),
        (FIELD.format("<w:checkBox><w:default w:val='0'/></w:checkBox>"), "☐", ()),
        (FIELD.format("<w:checkBox><w:checked w:val='0'/></w:checkBox>"), "☐", ()),
        (FIELD.format('<w:ddList><w:result w:val="1"/><w:listEntry w:val="A"/>'
                      '<w:listEntry w:val="B"/></w:ddList>'), "B", ()),
        (FIELD.format('<w:ddList><w:listEntry w:val="A"/></w:ddList>'), "A", ()),
        (FIELD.format('<w:ddList><w:result w:val="7"/></w:ddList>') + "<w:r><w:t>x</w:t></w:r>",
         "x", ()),
    ],
)  # fmt: skip
def test_symbols_and_boxes_of_forms_are_characters(tmp_path, runs, text, notes):
    """A tick in a form is what it says; one that no text is known for is counted."""
    document = docx.Document()
    document.add_paragraph()._p.extend(parse_xml(f"<w:p {nsdecls('w')}>{runs}</w:p>"))
    document = load_document(save(document, tmp_path / "a.docx"))
    assert (document.text, document.notes) == (text, notes)


MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"
BOX = (
    f"<w:r><mc:AlternateContent xmlns:mc='{MC}'><mc:Choice Requires='wps'>"
    "<w:drawing><w:txbxContent>{0}</w:txbxContent></w:drawing></mc:Choice>"
    "<mc:Fallback><w:pict><w:txbxContent>{0}</w:txbxContent></w:pict></mc:Fallback>"
    "</mc:AlternateContent></w:r>"
)


def test_a_text_box_is_read_once_and_apart(tmp_path):
    """Wherever it hangs, with a content control in it, too; its words are not the next ones'."""
    inner = "<w:sdt><w:sdtContent><w:p><w:r><w:t>Room 7</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    paragraph = f"<w:p {nsdecls('w')}>{BOX.format(inner)}<w:r><w:t>Draft</w:t></w:r></w:p>"
    document = docx.Document()
    document.add_paragraph()._p.extend(parse_xml(paragraph))
    document.add_table(rows=1, cols=1).cell(0, 0).paragraphs[0]._p.extend(parse_xml(paragraph))
    document.sections[0].header.paragraphs[0]._p.extend(parse_xml(paragraph))
    text = load_document(save(document, tmp_path / "a.docx")).text
    assert text.split("\n\n") == ["[header: Room 7 Draft]", "Room 7\nDraft", "Room 7 Draft"]
