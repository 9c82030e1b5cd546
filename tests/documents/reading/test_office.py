"""Slides, sheets, OpenDocument, EPUB and RTF, made by the tests."""

from __future__ import annotations

import datetime
import io
import re
import zipfile

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from longctx.documents.reading import spreadsheet
from longctx.errors import DocumentError

BOX = (Inches(1), Inches(1), Inches(4), Inches(2))


def saved(thing) -> bytes:
    """What it saves."""
    out = io.BytesIO()
    thing.save(out)
    return out.getvalue()


@pytest.fixture
def deck():
    """Two slides: a title with text, groups, a table; a chart, notes."""
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(*BOX).text_frame.text = "in a group"
    slide.shapes.title.text = "Risk"
    slide.placeholders[1].text = "It passes\non delivery."
    table = slide.shapes.add_table(2, 3, *BOX).table
    for cell, text in zip(table.iter_cells(), ["part", "price", "", "hub", "", "7"], strict=True):
        cell.text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    data = CategoryChartData()
    data.categories = ["May", "June"]
    data.add_series("ships", (3, 5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *BOX, data)
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    return deck


def test_slides(read, deck):
    """Titles are headings, slides pages, tables tables; groups, charts and notes are read."""
    document = read("a.pptx", saved(deck))
    first, second = (document.text[page.start : page.end].strip() for page in document.pages)
    assert first == (
        "Risk\n\nIt passes\non delivery.\n\nin a group\n\npart | price | price\nhub |  | 7"
    )
    assert second == "Sales\n\n | ships\nMay | 3\nJune | 5\n\n[notes: Say it slowly.]"
    assert [section.title for section in document.sections] == ["Risk", "Sales"]
    assert document.header_at(document.text.index("hub")) == "part | price | price\n"
    assert document.notes == ()


def test_hidden_slides_and_pictures_are_said(read, deck):
    """They are in the file; a reader of the show does not see the one, we not the other."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "png")
    deck.slides[0].shapes.add_picture(picture, *BOX)
    deck.slides[1]._element.set("show", "0")
    notes = read("a.pptx", saved(deck)).notes
    assert notes == ("hidden in the show: slide 2", "1 picture not read")


def test_a_deck_of_pictures(read):
    """Says so, and names OCR."""
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[6])
    with pytest.raises(DocumentError, match="OCR"):
        read("a.pptx", saved(deck))


@pytest.fixture
def book():
    """Two sheets; numbers, dates, a formula, merged and empty cells."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    sheet.append(["part", "price", "paid"])
    sheet.append(["hub", 480_000, None])
    sheet.append(["blade", 0.5, True])
    sheet["A5"] = "2024"
    sheet.merge_cells("A5:A6")
    sheet["B5"], sheet["B6"] = 1, 2
    other = book.create_sheet("Dates")
    other["B2"], other["C2"] = "due", "on"
    other["B3"], other["C3"] = "May", datetime.date(2024, 5, 9)
    return book


def test_sheets(read, book):
    """A section a sheet; whole numbers are whole, a merged cell stands in each of its rows."""
    document = read("a.xlsx", saved(book))
    assert document.text == (
        "Prices\n\npart | price | paid\nhub | 480000 |\nblade | 0.5 | TRUE\n2024 | 1 |\n2024 | 2 |"
        "\n\nDates\n\ndue | on\nMay | 2024-05-09"
    )
    assert [section.title for section in document.sections] == ["Prices", "Dates"]
    assert document.header_at(document.text.index("blade")) == "part | price | paid\n"
    book["Dates"].sheet_state = "hidden"
    assert read("b.xlsx", saved(book)).notes == ("the sheet 'Dates' is hidden",)


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("0.0%", 0.075, "7.5%"),
        ("0%", -0.5, "-50%"),
        ("0.00", 2.675, "2.68"),
        ("#,##0", 1234567.5, "1,234,568"),
        ("#,##0.00", 0.5, "0.50"),
        ("#,###", 0, ""),
        ("0.0##", 1.25, "1.25"),
        ("000", 7, "007"),
        ('#,##0.00 "€"', 480_000, "480,000.00 €"),
        ("[$€-407]#,##0", -1200, "-€1,200"),
        ('"$"#,##0.00_);("$"#,##0.00)', -3.5, "($3.50)"),
        ('_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)', 0, "$-"),
        ('_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)', 12, "$12.00"),
        ("[Red]0.0;[Blue]-0.0", -1.25, "-1.3"),
        ('0.0,,"M"', 1_250_000, "1.3M"),
        ('0" kg"', 5, "5 kg"),
        ("General", 0.075, "0.075"),
        ("# ?/?", 0.5, "0.5"),
        ("0.00E+00", 1250, "1250"),
        ("[<1]0.0;0", 0.5, "0.5"),
        ("000-0000", 5551234, "5551234"),
        ('"n/a"', 7, "n/a"),
        ("#,##0.00", 1.898e27, "1,898,000,000,000,000,000,000,000,000.00"),
        ("0.00", -1e30, f"-1{'0' * 30}.00"),
        ("0.00", 1e31, "1e+31"),
        (f"0.{'0' * 28}", 1e30, f"1{'0' * 30}.{'0' * 28}"),
        ("0%%%%", 1e30, f"1{'0' * 38}%%%%"),
        ("0%%%%%", 7, "7"),
        ("0", 5e-324, "0"),
    ],
)
def test_numbers_stand_as_the_sheet_shows_them(read, code, value, text):
    """Percentages, decimals, currencies; in a format that is not known, as they are."""
    book = openpyxl.Workbook()
    book.active.append(["name", "value", "end"])
    book.active.append(["hub", value, "x"])
    book.active["B2"].number_format = code
    cells = read("a.xlsx", saved(book)).text.split("\n")[-1].split(" | ")
    assert cells == ["hub", text, "x"]


def test_formulas_have_what_they_last_gave(read):
    """In the format of their cell; dates are dates, and text stays text."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet["A1"], sheet["A2"], sheet["B1"] = "=1/8", "5%", datetime.date(2024, 5, 9)
    sheet["A1"].number_format, sheet["B1"].number_format = "0.0%", "d. mmm yyyy"
    sheet["A2"].number_format = "0.00"
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(book))) as old, zipfile.ZipFile(data, "w") as new:
        for name in old.namelist():
            given = old.read(name).replace(b"<f>1/8</f><v></v>", b"<f>1/8</f><v>0.125</v>")
            new.writestr(name, given.replace(b"<f>1/8</f><v />", b"<f>1/8</f><v>0.125</v>"))
    assert read("a.xlsx", data.getvalue()).text == "Sheet\n\n12.5% | 2024-05-09\n5% |"


def test_what_a_sheet_has_beside_its_cells(read):
    """Comments are text; charts, pictures and what is hidden are said."""
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["part", "price"], ["hub", 480], ["blade", 5]):
        sheet.append(row)
    sheet["B2"].comment = Comment("Too dear?", "Ann")
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    sheet.add_chart(chart, "D2")
    sheet.row_dimensions[3].hidden = True
    document = read("a.xlsx", saved(book))
    assert document.text.endswith("hub | 480\nblade | 5\n[comment at B2: Too dear?]")
    assert document.notes == (
        "rows or columns of the sheet 'Sheet' are hidden, and read",
        "1 chart not read",
    )


def test_text_boxes_of_sheets_are_read(read):
    """Also of a sheet that has nothing else."""
    book = openpyxl.Workbook()
    chart = BarChart()
    book.active.add_chart(chart, "D2")
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(book))) as old, zipfile.ZipFile(data, "w") as new:
        for name in old.namelist():
            given = old.read(name)
            if name == "xl/drawings/drawing1.xml":
                box = (
                    b'<x:txBody xmlns:x="x" xmlns:a="http://schemas.openxmlformats.org/drawingml/'
                    b'2006/main"><a:p><a:r><a:t>All in euros.</a:t></a:r></a:p></x:txBody>'
                )
                given = given.replace(b"<clientData", box + b"<clientData")
                assert box in given
            new.writestr(name, given)
    assert read("a.xlsx", data.getvalue()).text == "Sheet\n[text box: All in euros.]"


def test_a_sheet_that_would_fill_the_memory(read, monkeypatch):
    """Two cells far from each other have millions between them."""
    monkeypatch.setattr(spreadsheet, "MAX_CELLS", 1000)
    book = openpyxl.Workbook()
    book.active["A1"], book.active["ZZ900"] = 1, 2
    with pytest.raises(DocumentError, match="900 rows and 702 columns"):
        read("a.xlsx", saved(book))
    with pytest.raises(DocumentError, match="without any value"):
        read("b.xlsx", saved(openpyxl.Workbook()))


NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
        ("style", "style"),
    )
)  # fmt: skip


def opendocument(packed, kind: str, body: str, manifest: str = "", styles: str = "") -> bytes:
    """An OpenDocument file with this body."""
    return packed({
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "META-INF/manifest.xml": f"<m>{manifest}</m>",
        "content.xml": f"<office:document-content {NAMESPACES}><office:body>{body}</office:body>"
        "</office:document-content>",
        "meta.xml": f'<office:document-meta {NAMESPACES} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:creator>Ada</dc:creator></office:document-meta>",
        "styles.xml": f"<office:document-styles {NAMESPACES}>{styles}</office:document-styles>",
    })  # fmt: skip


ODT = """<office:text>
<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>
<text:h text:outline-level="2">Risk</text:h>
<text:p>It<text:s text:c="2"/>passes<text:note text:note-class="footnote"><text:note-citation>1
</text:note-citation><text:note-body><text:p>Or not.</text:p></text:note-body></text:note> on
<text:span>delivery</text:span>.</text:p>
<text:list><text:list-item><text:p>one</text:p></text:list-item>
<text:list-item><text:p>two</text:p></text:list-item></text:list>
<table:table><table:table-header-rows><table:table-row>
<table:table-cell><text:p>a</text:p></table:table-cell>
<table:table-cell table:number-columns-spanned="2"><text:p>b</text:p></table:table-cell>
<table:covered-table-cell/></table:table-row></table:table-header-rows>
<table:table-row><table:table-cell table:number-rows-spanned="2"><text:p>x</text:p>
</table:table-cell><table:table-cell/><table:table-cell><text:p>1</text:p></table:table-cell>
</table:table-row>
<table:table-row><table:covered-table-cell/><table:table-cell><text:p>2</text:p>
</table:table-cell><table:table-cell/></table:table-row></table:table>
</office:text>"""


def test_opendocument_text(read, packed):
    """Headings, notes, lists, and tables whose spans are written out."""
    document = read("a.odt", opendocument(packed, "text", ODT))
    assert document.text == (
        "Risk\n\nIt  passes on\ndelivery.\n[footnote: Or not.]\none\ntwo\n\n"
        "a | b | b\nx |  | 1\nx | 2"
    )
    assert [(s.title, s.level) for s in document.sections] == [("Risk", 2)]
    assert document.metadata == {"author": "Ada"}


ODS = """<office:spreadsheet><table:table table:name="Prices"><table:table-row>
<table:table-cell><text:p>part</text:p></table:table-cell>
<table:table-cell><text:p>price</text:p></table:table-cell>
<table:table-cell table:number-columns-repeated="16000"/></table:table-row>
<table:table-row table:number-rows-repeated="2"><table:table-cell><text:p>hub</text:p>
</table:table-cell><table:table-cell><text:p>5 %</text:p></table:table-cell></table:table-row>
<table:table-row table:number-rows-repeated="1048576"><table:table-cell/></table:table-row>
</table:table></office:spreadsheet>"""
ODP = """<office:presentation><draw:page><draw:frame><draw:text-box><text:p>One</text:p>
</draw:text-box></draw:frame></draw:page><draw:page><draw:frame><draw:image/></draw:frame>
<text:p>Two</text:p></draw:page></office:presentation>"""


def test_opendocument_sheets_and_slides(read, packed):
    """A sheet is a section whose repeated rows are written out, its edge not; slides are pages."""
    document = read("a.ods", opendocument(packed, "spreadsheet", ODS))
    assert document.text == "Prices\n\npart | price\nhub | 5 %\nhub | 5 %"
    document = read("a.odp", opendocument(packed, "presentation", ODP))
    assert document.text == "One\n\nTwo"
    assert document.page_at(document.text.index("Two")) == 2
    assert document.notes == ("1 picture not read",)


FRAME = (
    "<text:p><draw:frame><draw:text-box><text:p>Room 7</text:p></draw:text-box></draw:frame>Draft"
    "</text:p>"
)
PAGES = """<style:header-style/><style:header><text:p>Lease <text:span>1</text:span></text:p>
</style:header><style:footer><text:p>Ada</text:p></style:footer><style:header-first><text:p>Lease 1
</text:p></style:header-first>"""


def test_what_stands_beside_the_text_of_opendocument(read, packed):
    """Headers and footers once; a text box once and apart; comments on cells; tables in cells."""
    cell = f"<table:table-cell>{FRAME}<table:table><table:table-row><table:table-cell><text:p>in"
    cell += "</text:p></table:table-cell></table:table-row></table:table></table:table-cell>"
    body = f"<office:text>{FRAME}<table:table><table:table-row>{cell}</table:table-row>"
    body += "</table:table></office:text>"
    document = read("a.odt", opendocument(packed, "text", body, styles=PAGES))
    assert document.text.split("\n\n") == [
        "[header: Lease 1]", "Room 7\nDraft", "Room 7 Draft in", "[footer: Ada]",
    ]  # fmt: skip
    comment = (
        "<office:annotation><text:p>Too dear?</text:p></office:annotation><text:p>hub</text:p>"
    )
    sheet = ODS.replace("<text:p>hub</text:p>", comment)
    document = read("a.ods", opendocument(packed, "spreadsheet", sheet, styles=PAGES))
    assert document.text == ("Prices\n\npart | price\nhub | 5 %\nhub | 5 %\n[comment: Too dear?]")


def test_opendocument_that_is_closed_or_damaged(read, packed):
    """Encrypted, without its content, empty."""
    with pytest.raises(DocumentError, match="encrypted"):
        read("a.odt", opendocument(packed, "text", ODT, "<encryption-data/>"))
    with pytest.raises(DocumentError, match="malformed"):
        read("b.odt", packed({"mimetype": "application/vnd.oasis.opendocument.text"}))
    with pytest.raises(DocumentError, match="no text"):
        read("c.odt", opendocument(packed, "text", "<office:text/>"))


EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<c xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></c>',
    "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf">'
    '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Ships</dc:title>'
    "<dc:creator>Ada</dc:creator></metadata><manifest>"
    '<item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="b" href="text/b.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="p" href="p.png" media-type="image/png"/></manifest>'
    '<spine><itemref idref="b"/><itemref idref="p"/><itemref idref="a"/></spine></package>',
    "OEBPS/a b.xhtml": '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
    "<body><h1>End</h1><p>They sank.</p></body></html>",
    "OEBPS/text/b.xhtml": '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Begin</h1>'
    "<p>They sailed.</p></body></html>",
}


def test_books(read, packed):
    """Chapters in the order of reading, which is not that of the archive."""
    document = read("a.epub", packed(EPUB))
    assert document.text == "Begin\n\nThey sailed.\n\nEnd\n\nThey sank."
    assert (document.title, document.metadata["author"]) == ("Ships", "Ada")
    assert document.headings_at(document.text.index("sank")) == ("End",)


def test_books_that_only_a_shop_opens(read, packed):
    """DRM is said; obfuscated fonts are not DRM."""
    for method, closed in (("http://www.idpf.org/2008/embedding", False), ("aes", True)):
        methods = f'<e><EncryptionMethod Algorithm="{method}"/></e>'
        data = packed(EPUB | {"META-INF/encryption.xml": methods})
        if closed:
            with pytest.raises(DocumentError, match="DRM"):
                read("a.epub", data)
        else:
            assert "They sank." in read("a.epub", data).text


def test_rtf(read):
    """Letters of its code page and beyond; pictures are counted."""
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\pard Gr\'f6\'dfe \u26481?\u20140?\par "
        rb"Next {\b bold}.{\pict\pngblip 89504e47}}"
    )
    document = read("a.rtf", data)
    assert re.split(r"\n+", document.text) == ["Größe 東京", "Next bold."]
    assert document.notes == ("1 picture not read",)
    with pytest.raises(DocumentError, match="no text"):
        read("b.rtf", rb"{\rtf1 }")


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (rb"The seller{\footnote \pard\chftn  Not the \{buyer\}.\par} bears it.",
         "The seller[footnote: Not the {buyer}.] bears it."),
        (rb"A claim{\*\atnid B}{\*\atnauthor Bo}\chatn{\*\annotation{\*\atnref 1}Really?}.",
         "A claim[comment: Really?]."),
        # A section each for the first page and the others.
        (rb"{\header Lease\par}{\headerf Lease\par}{\footer Page {\field{\fldrslt 1}}}\pard Text.",
         "[header: Lease]\n[footer: Page 1]\nText."),
        # A drawn box, and the same for older programs.
        (rb"Text {\shp{\*\shpinst{\sp{\sn x}}{\shptxt Box 7}}{\shprslt{\*\do{\dptxbxtext Box 7}}}}",
         "Text\n[text box: Box 7]"),
        (rb"{\*\do\dptxbx{\dptxbxtext Old box}}Text", "[text box: Old box]\nText"),
        (rb"{\pict\bin3 }{}A{\footnote }B\\{\footnote a\}b}", "AB\\[footnote: a}b]"),
        (rb"A{\footnote \u26481?\u-10179?\u-8704?}\u-10179?\u-8704?", "A[footnote: 東😀]😀"),
        (rb"A{\shp{\*\shpinst nothing said}}{\footnote unended", "A[footnote: unended]"),
    ],
)  # fmt: skip
def test_what_stands_beside_the_text_of_rtf(read, rtf, text):
    """Footnotes, comments, running heads and text boxes, each once, in brackets."""
    document = read("a.rtf", rb"{\rtf1\ansi " + rtf + b"}")
    assert re.sub(r"\n+", "\n", document.text) == text
