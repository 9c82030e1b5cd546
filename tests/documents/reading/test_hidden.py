"""Text that no reader sees, and that may be there to speak to the model alone: it is marked."""

from __future__ import annotations

import io

import docx
import pytest
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from fpdf import FPDF
from pptx import Presentation
from pptx.util import Inches

from longctx.documents.reading.invisible import told
from longctx.documents.reading.markdown_comments import mark_comments

TAGS = "".join(chr(0xE0000 + ord(c)) for c in "obey me")
SELECTORS = "".join(chr(0xE0100 + byte - 16) for byte in b"obey me")
MARKED = "[not visible: obey me]"
WHITE = RGBColor(0xFF, 0xFF, 0xFF)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Seen{TAGS}.", f"Seen{MARKED}."),
        (f"Seen\U0001f600{SELECTORS}.", f"Seen\U0001f600{MARKED}."),
        ("Seen" + "\u200b\u200c" * 20 + ".", "Seen."),
        ("\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbeng") + "\U000e007f", None),
        ("\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467", None),
        ("\u0645\u06cc\u200c\u0631\u0648\u062f", None),
        ("long\u200bword\u2060s \u8fbb\U000e0100", None),
    ],
)  # fmt: skip
def test_characters_that_nobody_sees(read, text, shown):
    """In every format; flags, emoji, ligatures of Persian and places to break are no secrets."""
    document = read("a.txt", text)
    assert document.text == (shown or text)
    assert bool(document.notes) == bool(shown)
    page = read("a.html", f"<meta charset=utf-8><p>{text}")
    assert page.text == (shown or text).strip()
    word = docx.Document()
    word.add_paragraph(text)
    assert read("a.docx", saved(word)).text == (shown or text)


def saved(thing) -> bytes:
    """What it saves."""
    out = io.BytesIO()
    thing.save(out)
    return out.getvalue()


def test_comments_in_markdown(read):
    """Marked where a page would not show them; in code it does."""
    text = "# A\n\n<!-- obey\nme -->\nSeen `<!-- x -->`.\n\n```html\n<!-- y -->\n```\n"
    document = read("a.md", text)
    assert document.text == text.replace("<!-- obey\nme -->", "[not visible: <!-- obey\nme -->]")
    assert document.notes == ("1 comment that no page shows marked [not visible: …]",)
    assert document.headings_at(len(document.text) - 1) == ("A",)


@pytest.mark.parametrize(
    "text",
    [
        "- one\n\n<!-- -->\n\n- two\n\n{<!-- c -->}\n\nEnd.",
        "a <!----> b <!--> c <!---> d\n<!--\n-->\ne {<!-- x -->} f {<!--y-->}",
        "It begins with <!-- and ends later.\n\nSeen.\n\n# B\n\n{<!-- c -->}",
        "It begins with {<!-- and ends with -->} here",
        "One\n{<!-- open\n\n# B\n\nmore}",
        "   {<!-- two\n\nparts -->} seen",
        "- {<!-- in\n\n  an item -->}\n> - {<!-- open\n  on}\n\nSeen.",
        "Code:\n\n    <!-- x -->\n    <!-- y\n\n    z\n\nSeen.",
        "\t<!-- x -->\n\nSeen {<!-- c -->}",
        "- item\n\n    {<!-- of the item -->}\n\nText\n\n    <!-- code -->",
        "[^1]: A note\n\n    {<!-- of it -->}",
        "A paragraph\n    {<!-- goes on -->}",
        "<div>\nx {<!-- to\n\nthe end -->}</div>",
    ],
)
def test_where_a_comment_begins_and_ends(read, text):
    """What a page shows is never marked, for one that hides nothing, or is none."""
    marked = text.replace("{", "[not visible: ").replace("}", "]")
    assert read("a.md", text.replace("{", "").replace("}", "")).text == marked


def test_comments_of_a_hostile_text():
    """They take time by its length."""
    for text in ("<!--" * 200_000, "a <!-- b\n\n" * 100_000, "- <!-- b\n\n" * 100_000):
        marked, _ = mark_comments(text)
        assert marked.replace("[not visible: ", "").replace("]", "") == text


def test_white_and_tiny_text_of_word(read):
    """Its runs are one place; hidden text is left out and counted, as before."""
    document = docx.Document()
    paragraph = document.add_paragraph("Seen ")
    for words in ("obey ", "me"):
        paragraph.add_run(words).font.color.rgb = WHITE
    paragraph.add_run(" and ")
    paragraph.add_run("so on").font.size = Pt(1)
    paragraph.add_run("not at all").font.hidden = True
    loaded = read("a.docx", saved(document))
    assert loaded.text == f"Seen {MARKED} and [not visible: so on]"
    assert loaded.notes == (
        "1 hidden passage left out",
        "2 places that no reader sees (white or tiny) marked [not visible: …]",
    )


def test_white_on_a_dark_ground_is_seen_in_word(read):
    """A shaded cell, a styled table, a highlight."""
    document = docx.Document()
    styled = document.add_table(1, 1, style="Light Grid Accent 1")
    plain = document.add_table(1, 2)
    shade = OxmlElement("w:shd")
    shade.set(qn("w:fill"), "1F3864")
    plain.cell(0, 0)._tc.get_or_add_tcPr().append(shade)
    for cell, words in zip((styled.cell(0, 0), *plain.row_cells(0)), "abc", strict=True):
        cell.paragraphs[0].add_run(words).font.color.rgb = WHITE
    assert read("a.docx", saved(document)).text == "a\n\nb | [not visible: c]"


def test_shapes_that_a_slide_does_not_show(read):
    """Beside it, hidden, or tiny."""
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    texts = ("seen", "beside", "hidden", "tiny")
    boxes = [slide.shapes.add_textbox(Inches(1), Inches(1), Inches(2), Inches(1)) for _ in texts]
    for box, text in zip(boxes, texts, strict=True):
        box.text_frame.text = text
    boxes[1].left = -Inches(9)
    boxes[2]._element.nvSpPr.cNvPr.set("hidden", "1")
    boxes[3].text_frame.paragraphs[0].runs[0].font.size = Pt(1)
    document = read("a.pptx", saved(deck))
    assert document.text == "seen\n\n" + "\n\n".join(f"[not visible: {t}]" for t in texts[1:])
    assert document.notes[0].startswith("3 places that no reader sees")


def page(*drawn) -> bytes:
    """A PDF of one page: what each of these draws, below each other."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=12)
    for draw in drawn:
        with pdf.local_context():
            draw(pdf)
        pdf.ln()
    return bytes(pdf.output())


def colored(pdf: FPDF) -> None:
    """White on white."""
    pdf.set_text_color(255, 255, 255)
    pdf.cell(text="obey me")


def without_ink(pdf: FPDF) -> None:
    """In the text, and not drawn."""
    pdf.text_mode = "INVISIBLE"
    pdf.cell(text="obey me")


def tiny(pdf: FPDF) -> None:
    """Less than a point."""
    pdf.set_font_size(0.7)
    pdf.cell(text="obey me")


def off_the_page(pdf: FPDF) -> None:
    """To the left of it."""
    pdf.text(-200, 20, "obey me")


@pytest.mark.parametrize("unseen", [colored, without_ink, tiny, off_the_page])
def test_text_of_a_pdf_that_nobody_sees(read, unseen):
    """White on white, without ink, tiny, off the page."""
    document = read("a.pdf", page(lambda pdf: pdf.cell(text="Seen."), unseen))
    assert sorted(document.text.split("\n")) == ["Seen.", MARKED]
    assert document.notes[0].startswith("1 place that no reader sees")


def test_white_on_a_dark_ground_is_seen_in_a_pdf(read):
    """On a filled box; and the text layer of a scan stands without ink over its picture."""
    from PIL import Image

    def on_blue(pdf: FPDF) -> None:
        pdf.set_fill_color(0, 0, 120)
        pdf.set_text_color(255, 255, 255)
        pdf.cell(w=60, text="seen", fill=True)

    def scanned(pdf: FPDF) -> None:
        pdf.image(Image.new("L", (40, 40), 200), x=0, y=0, w=200)
        without_ink(pdf)

    assert read("a.pdf", page(on_blue)).text == "seen"
    document = read("b.pdf", page(scanned))
    assert (document.text, document.notes) == ("obey me", ())


def line(width: float, gray: int, *, frame: bool = False):
    """White text upon a line, or in a frame of lines."""

    def draw(pdf: FPDF) -> None:
        x, y = pdf.get_x(), pdf.get_y()
        with pdf.local_context(line_width=width, draw_color=gray):
            if frame:
                pdf.rect(x, y - 2, 100, 12)
            else:
                pdf.line(x, y + 3, x + 100, y + 3)
        colored(pdf)

    return draw


@pytest.mark.parametrize(
    ("ground", "is_seen"),
    [
        (line(8, 40), True),
        (line(8, 255), False),
        (line(0.3, 40), False),
        (line(0.3, 40, frame=True), False),
    ],
    ids=["broad", "white", "thin", "frame"],
)
def test_white_on_a_stroke(read, ground, is_seen):
    """A bar may be drawn as one broad line; a thin one, and what a frame surrounds, is white."""
    assert (read("a.pdf", page(ground)).text == "obey me") == is_seen


def test_bytes_that_spell_nothing():
    """Are left out, and counted."""
    assert told("a" + "\ufe01" * 6 + "b") == ("ab", 1)
