"""Tables of PDFs: between rulings, in aligned columns, and what only looks like one."""

from __future__ import annotations

import pytest
from fpdf import FPDF

from longctx.documents import Document, load_document
from longctx.documents.chunks import chunks_of
from longctx.documents.reading.pdf_tables import Ruling, Word, tables_of
from tests.documents.reading.test_pdf import font_of, raw_pdf, shown

ROWS = [["City", "2023", "2024"], ["Hull", "1,204", "1,377"], ["York", "", "88"], ["Ely", "5", "9"]]


def tables(document: Document) -> list[list[list[str]]]:
    """Rows of cells."""
    return [
        [line.split(" | ") for line in document.text[t.start : t.end].split("\n")]
        for t in document.tables
    ]


def ruled(path, rows, n=1):
    """A PDF with a table of so many times these rows between lines of text."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    pdf.multi_cell(0, 6, "Ships by city.", new_x="LMARGIN", new_y="NEXT")
    with pdf.table([rows[0], *rows[1:] * n]):
        pass
    pdf.multi_cell(0, 6, "That is all.")
    pdf.output(str(path))
    return load_document(path)


def test_a_ruled_table(tmp_path):
    """Cells keep their columns, empty ones too; the text around it stays around it."""
    document = ruled(tmp_path / "a.pdf", ROWS)
    assert tables(document) == [ROWS]
    assert document.text.startswith("Ships by city.\nCity | 2023 | 2024\nHull | 1,204 | 1,377\n")
    assert document.text.endswith("Ely | 5 | 9\nThat is all.")
    assert document.header_at(document.text.index("York")) == "City | 2023 | 2024\n"
    assert [(page.start, page.end) for page in document.pages] == [(0, len(document.text))]


def test_a_long_table_repeats_its_header(tmp_path):
    """In each chunk of it, and on each page of it."""
    document = ruled(tmp_path / "a.pdf", ROWS, n=60)
    assert len(document.pages) > 2
    of_rows = [c for c in chunks_of(document, lambda text: len(text.split())) if "Hull" in c.text]
    assert len(of_rows) > 3
    assert all("City | 2023 | 2024" in chunk.searchable for chunk in of_rows)


def test_cells_that_span(tmp_path):
    """Repeat their text in each column and row, so that a row can be read by itself."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    with pdf.table(num_heading_rows=2) as table:
        row = table.row()
        row.cell("Ships", colspan=2)
        row.cell("Port", rowspan=2)
        for values in (["old", "new"], ["1", "2", "Hull"], ["3", "4", "York"]):
            table.row(values)
    pdf.output(str(tmp_path / "a.pdf"))
    rows = tables(load_document(tmp_path / "a.pdf"))[0]
    assert rows == [
        ["Ships", "Ships", "Port"],
        ["old", "new", "Port"],
        ["1", "2", "Hull"],
        ["3", "4", "York"],
    ]


def words(*lines: tuple[float, list[tuple[float, str]]]) -> list[Word]:
    """Words by their heights and left edges, five points a letter, ten high."""
    return [
        Word(text, left, left + 5 * len(text), height, height + 10, i, i)
        for height, texts in lines
        for i, (left, text) in enumerate(texts)
    ]


def rows_of(*lines: list[tuple[float, str]]) -> list[list[list[str]]]:
    """The tables of lines of words, from the top, without rulings."""
    placed = [(700 - 14.0 * i, line) for i, line in enumerate(lines)]
    return [table.rows for table in tables_of(words(*placed), [], [])]


def test_aligned_columns():
    """White space parts them, by its place and not by its width."""
    assert rows_of(
        [(100, "2023"), (200, "2024")],
        [(0, "Hull"), (100, "7"), (200, "1,377")],
        [(0, "York"), (200, "88")],
        [(0, "King's"), (32, "Lynn"), (110, "5"), (215, "9")],
    ) == [[["", "2023", "2024"], ["Hull", "7", "1,377"], ["York", "", "88"],
           ["King's Lynn", "5", "9"]]]  # fmt: skip


def placed(*texts: tuple[float, float, str]) -> bytes:
    """A content stream that shows texts at places."""
    return b" ".join(
        b"BT /F 10 Tf %d %d Td (%s) Tj ET" % (x, y, text.encode()) for x, y, text in texts
    )


@pytest.mark.parametrize(
    ("mapping", "symbols"),
    [
        ("\U0001d400\U0001f600x", "\U0001d400 \U0001f600"),
        ("\ud835\udc00x", "? ?"),  # halves that make no character
        ("\ufb01\u20acx", "fi \u20ac"),
    ],
    ids=["two units", "lone surrogates", "one unit"],
)
def test_characters_of_any_width_shift_nothing(read, mapping, symbols):
    """Tables and what is not seen are found by UTF-16 units; all text around them stays."""
    rows = [["Name", "2023", "2024"], ["Hull", "1234", "5678"], ["York", "a", "88"]]
    table = [
        (50 + 90 * i, 680 - 14 * r, v) for r, row in enumerate(rows) for i, v in enumerate(row)
    ]
    content = placed((50, 740, "a b a"), (50, 720, "Before."), *table, (50, 600, "After."))
    content += b" 1 g " + placed((50, 580, "unseen")) + b" 0 g " + placed((50, 560, "End."))
    font, cmap = font_of(mapping)
    document = read("a.pdf", raw_pdf([content], font=font, more=(cmap,)))
    wide = symbols.split(" ")[0]
    assert document.text == (
        f"{symbols} {wide}\nBefore.\nName | 2023 | 2024\nHull | 1234 | 5678\nYork | {wide} | 88\n"
        "After.\n[not visible: unseen]\nEnd."
    ).replace("Name", f"N{wide}me")


def test_what_is_no_table():
    """Prose in two columns, a list with its marks, two lines, numbers without a name (a chart)."""
    prose = [(0, "the seller bears all"), (200, "until delivery to them")]
    assert rows_of(*[prose] * 8) == []
    assert rows_of(*[[(0, f"{n}."), (40, "a point of the list")] for n in range(8)]) == []
    assert rows_of([(0, "Hull"), (100, "7")], [(0, "York"), (100, "8")]) == []
    assert rows_of(*[[(0, "10"), (100, "20"), (200, "30")]] * 5) == []


@pytest.mark.parametrize("n", [60, 700, 3000])
def test_a_drawing_costs_no_page(read, n):
    """Its lines make a grid as fine as graph paper; the text over it is read all the same."""
    step = 500 / n
    lines = b"".join(
        b"50 %.2f m 550 %.2f l S %.2f 50 m %.2f 550 l S " % (at, at, at, at)
        for at in (50 + step * i for i in range(n))
    )
    document = read("a.pdf", raw_pdf([lines + b" 1 g " + shown("Plan of the ground", "floor")]))
    assert (document.tables, len(document.pages)) == ((), 1)
    assert "Plan of the ground" in document.text
    assert not [note for note in document.notes if "could not be read" in note]


@pytest.mark.parametrize("n_lines", [3, 4])
@pytest.mark.parametrize("beside", [["North"], ["North", "South"], ["North", "of the", "river"]])
def test_a_cell_beside_several_lines_keeps_its_words(n_lines, beside):
    """However it is aligned to them: no word of a table is lost, or in two rows."""
    top, low = 680, 680 - 12 * (n_lines - 1)
    for shift in range(-5, 6):
        middle = (top + low) / 2 + shift
        cell = [(middle + 6 * (len(beside) - 1) - 12 * i, [(80, t)]) for i, t in enumerate(beside)]
        values = [(top - 12 * i, [(180, f"1{i}"), (280, f"2{i}")]) for i in range(n_lines)]
        of_page = words((700, [(80, "Region"), (180, "Cost"), (280, "Price")]), *cell, *values)
        across = [Ruling(y, 70, 380) for y in (712, 696, low - 12)]
        down = [Ruling(x, low - 12, 712) for x in (70, 170, 270, 380)]
        (table,) = tables_of(of_page, across, down)
        assert sorted(word.text for word in table.words) == sorted(word.text for word in of_page)
        shown = [word for row in table.rows for text in row for word in text.split()]
        assert sorted(shown) == sorted(w for word in of_page for w in word.text.split())
        if len(beside) < n_lines:
            assert [row[1:] for row in table.rows[1:]] == [
                [f"1{i}", f"2{i}"] for i in range(n_lines)
            ]


def test_frames_around_prose_are_no_table():
    """Nor is a chart, whose grid parts no columns."""
    across = [Ruling(height, 0, 300) for height in (0, 100, 200, 300)]
    down = [Ruling(place, 0, 300) for place in (0, 150, 300)]
    sides = [down[0], down[2]]
    lines = [(50.0 + 100 * i, [(20.0, "a"), (60.0, "word"), (120.0, "here")]) for i in range(3)]
    assert tables_of(words(*lines), across, sides) == []
    spread = [(50.0 + 100 * i, [(20.0, f"name{i}"), (220.0, "7")]) for i in range(3)]
    assert [t.rows[0] for t in tables_of(words(*spread), across, down)] == [["name2", "7"]]
