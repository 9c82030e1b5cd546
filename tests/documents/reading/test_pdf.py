"""PDFs that fpdf2 writes, and PDFs that nobody should."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from fpdf import FPDF
from fpdf.enums import EncryptionMethod

from longctx.documents import load_document, load_folder
from longctx.documents.reading import pdf_process
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


FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
CATALOG = b"<</Type/Catalog/Pages 2 0 R%s>>"


def raw_pdf(
    contents: list[bytes], *, font: bytes = FONT, catalog: bytes = b"", page: bytes = b"",
    more: tuple[bytes, ...] = (),
) -> bytes:  # fmt: skip
    """A PDF with these content streams, byte for byte; ``more`` are objects from number 4 on."""
    first = 4 + len(more)
    kids = b" ".join(b"%d 0 R" % (first + 2 * i) for i in range(len(contents)))
    objects = [
        CATALOG % catalog,
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        font,
        *more,
    ]
    for i, content in enumerate(contents):
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R"
            b"/Resources<</Font<</F 3 0 R>>>>%s>>" % (first + 2 * i + 1, page)
        )
        packed = zlib.compress(content)
        objects.append(
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)
        )
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>startxref\n%d\n%%%%EOF"
        % (len(objects) + 1, table, len(objects) + 1, len(data))
    )


def shown(*lines: str) -> bytes:
    """A content stream that shows lines of text."""
    return b"BT /F 12 Tf 14 TL 50 700 Td %s ET" % b" T* ".join(
        b"(%s) Tj" % line.encode("latin-1") for line in lines
    )


FIELDS = (
    b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/TU(Your name)/V(Ada)/Rect[0 0 9 9]>>",
    b"<</Type/Annot/Subtype/Widget/FT/Tx/T(empty)/V()/Rect[0 0 9 9]>>",
    b"<</Type/Annot/Subtype/Widget/FT/Btn/T(agreed)/V/Yes/AS/Yes/Rect[0 0 9 9]"
    b"/AP<</N<</Yes 3 0 R/Off 3 0 R>>>>>>",
    b"<</Type/Annot/Subtype/Widget/FT/Btn/T(not)/V/Off/AS/Off/Rect[0 0 9 9]"
    b"/AP<</N<</Yes 3 0 R/Off 3 0 R>>>>>>",
    b"<</Type/Annot/Subtype/Text/T(Ann)/Contents(Too dear?)/Rect[0 0 9 9]>>",
    b"<</Type/Annot/Subtype/FreeText/Contents(Paid \\(May\\))/Rect[0 0 9 9]>>",
    b"<</Type/Annot/Subtype/Popup/Contents(Too dear?)/Rect[0 0 9 9]>>",
)


def filled_form(*lines: str) -> bytes:
    """A form with values, and with what people wrote beside them."""
    return raw_pdf(
        [shown(*lines)],
        catalog=b"/AcroForm<</Fields[4 0 R 5 0 R 6 0 R 7 0 R]/DR<</Font<</F 3 0 R>>>>>>",
        page=b"/Annots[4 0 R 5 0 R 6 0 R 7 0 R 8 0 R 9 0 R 10 0 R]",
        more=FIELDS,
    )


def test_forms_and_annotations_are_text(read):
    """Values by the names that people see; empty ones and unchecked boxes are none."""
    beside = "Your name: Ada\nagreed: yes\n[comment: Ann: Too dear?]\n[comment: Paid (May)]"
    assert read("a.pdf", filled_form("Order")).text == f"Order\n{beside}"
    # A form alone is no scan.
    assert read("b.pdf", filled_form("")).text == beside


def test_a_bad_page_costs_that_page(read, monkeypatch):
    """One that takes too long is left out by its number, and those around it are read."""
    monkeypatch.setattr(pdf_process, "PAGE_SECONDS", 4)
    for_ever = b"BT /F 9 Tf 9 9 Td %s ET" % (b"(hello world) Tj\n" * 1_500_000)
    document = read("a.pdf", raw_pdf([shown("One"), for_ever, shown("Three")]))
    assert document.text == "One\n\nThree"
    assert document.page_at(document.text.index("Three")) == 3
    assert document.notes == (
        "page 2 could not be read (it took longer than the limit of 4 seconds)",
    )


def test_a_broken_page_costs_itself(read):
    """Its object is no page."""
    data = raw_pdf([shown("One"), shown("Two"), shown("Three")])
    place = data.rindex(b"/Type/Page/", 0, data.index(b"8 0 obj"))
    broken = data[:place] + b"/Type/Nope/" + data[place + len(b"/Type/Page/") :]
    broken = broken.replace(b"/Contents 7 0 R", b"/Contents 99 0 R", 1)
    document = read("a.pdf", broken)
    assert document.page_at(document.text.index("Three")) == 3
    assert "page 2" in document.notes[0]


def test_hyphens_at_line_ends_are_undone(read):
    """By what the rest of the document writes; a page keeps its number."""
    document = read(
        "a.pdf",
        raw_pdf(
            [
                shown("An ef-", "ficient, well-", "known way to paper A-", "4 and 3-", "5 more."),
                shown("It is well-known, the ship is the -Hull-"),
            ]
        ),
    )
    assert document.text == (
        "An efficient, well-known way to paper A-4 and 3-\n5 more.\n\n"
        "It is well-known, the ship is the -Hull-"
    )
    assert document.page_at(document.text.index("It is")) == 2


def font_of(mapping: str) -> tuple[bytes, bytes]:
    """A font whose letters "a", "b", "c" stand for others."""
    lines = "".join(
        f"<{code:02x}> <{target.encode('utf-16-be', 'surrogatepass').hex()}>\n"
        for code, target in zip(b"abc", mapping, strict=True)
    )
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def\n"
        f"1 begincodespacerange <00> <ff> endcodespacerange\n3 beginbfchar\n{lines}endbfchar\n"
        "endcmap end end"
    ).encode()
    stream = b"<</Length %d>>stream\n%s\nendstream" % (len(cmap), cmap)
    return FONT[:-2] + b"/ToUnicode 4 0 R>>", stream


def test_ligatures_are_letters(read):
    """As a reader types them."""
    font, cmap = font_of("\ufb01\ufb00\ufb03")
    document = read("a.pdf", raw_pdf([shown("xa b c")], font=font, more=(cmap,)))
    assert document.text == "xfi ff ffi"


def test_garbage_is_found_out(read):
    """A font that maps to private characters, and glyph names in place of letters."""
    font, cmap = font_of("\ue001\ue002\ue003")
    garbage = shown("abcabcabcabcabcabc abcabcabcabc")
    with pytest.raises(DocumentError, match=r"garbage.*force-ocr"):
        read("a.pdf", raw_pdf([garbage], font=font, more=(cmap,)))
    names = shown(" ".join(f"/g{n}" for n in range(40)))
    document = read("b.pdf", raw_pdf([shown("Chapter one"), names, shown("12.50 .......... 480")]))
    assert document.text == "Chapter one\n\n12.50 .......... 480"
    assert "the text layer of page 2 is garbage" in document.notes[0]


def test_letters_that_a_font_does_not_name_are_garbage(read):
    """A font of numbered glyphs without a table shows words, and its text layer has others."""
    font = (
        b"<</Type/Font/Subtype/Type0/BaseFont/ABCDEF+X/Encoding/Identity-H/DescendantFonts[4 0 R]>>"
    )
    descendant = (
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/ABCDEF+X/DW 600"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>"
    )
    glyphs = "".join(f"{ord(c) - 29:04x}" for c in "The seller bears the risk until delivery.")
    content = b"BT /F 12 Tf 50 700 Td <%s> Tj ET" % glyphs.encode()
    with pytest.raises(DocumentError, match="garbage"):
        read("a.pdf", raw_pdf([content], font=font, more=(descendant,)))


@pytest.mark.parametrize("method", [EncryptionMethod.RC4, EncryptionMethod.AES_256])
def test_a_password_opens(tmp_path, method):
    """The right one; a wrong one says so."""
    options = {"owner_password": "o", "user_password": "Schlüssel", "encryption_method": method}
    path = write_pdf(tmp_path / "a.pdf", ["secret"], **options)
    assert load_document(path, password="Schlüssel").text == "secret"
    with pytest.raises(DocumentError, match="this password does not open it"):
        load_document(path, password="guess")


def test_a_stream_that_unpacks_to_much(read):
    """Two hundred megabytes of spaces in two hundred kilobytes are a page without text."""
    with pytest.raises(DocumentError, match=r"no text layer|limit"):
        read("a.pdf", raw_pdf([b" " * (200 << 20)]))


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in a virtual environment")
def test_what_reads_it_is_found_where_the_caller_found_it(tmp_path):
    """Packages on PYTHONPATH or in a user's own folder, which an isolated Python does not know."""
    path = write_pdf(tmp_path / "a.pdf", ["It passes on delivery."])
    python = Path(sys.base_prefix) / "bin" / "python3"
    said = f"from longctx.documents import load_document; print(load_document({str(path)!r}).text)"
    done = subprocess.run(
        [python, "-c", said],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "It passes on delivery.", done.stderr


def test_files_in_a_pdf_are_named(tmp_path):
    """They are not read, and not gone in silence."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica")
    pdf.cell(text="text")
    pdf.embed_file(bytes=b"a,b", basename="prices.csv")
    pdf.output(str(tmp_path / "a.pdf"))
    notes = load_document(tmp_path / "a.pdf").notes
    assert notes == ("1 file attached to it not read: prices.csv",)


def processes() -> set[int]:
    """Children of this process that are alive."""
    alive = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                alive.add(child.pid)
    return alive


@pytest.fixture
def started(monkeypatch):
    """The processes that were started for PDFs, one entry each."""
    found = []
    popen = subprocess.Popen

    def start(*args, **options):
        found.append(args)
        return popen(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    return found


def test_a_folder_is_read_by_one_process(tmp_path, started):
    """A file that is no PDF, or is locked, does not end it; when the folder is read, it is gone."""
    before = processes()
    for n in range(4):
        write_pdf(tmp_path / f"{n}.pdf", [f"text {n}", "more"])
    (tmp_path / "2b.pdf").write_bytes(b"%PDF-1.7 no more")
    write_pdf(tmp_path / "3b.pdf", ["secret"], owner_password="o", user_password="u")
    loaded = load_folder(tmp_path)
    assert [d.text for d in loaded.documents] == [f"text {n}\n\nmore" for n in range(4)]
    assert [s.path.name for s in loaded.skipped] == ["2b.pdf", "3b.pdf"]
    assert len(started) == 1
    assert processes() <= before
    load_document(tmp_path / "0.pdf")
    assert len(started) == 2


def test_a_process_that_holds_much_starts_one_all_the_same(tmp_path, started):
    """What this one holds is not what the other does."""
    held = bytearray(os.urandom(1024)) * (1200 * 1024)  # every page of it is written
    for n in range(3):
        write_pdf(tmp_path / f"{n}.pdf", [f"text {n}"])
    assert len(load_folder(tmp_path).documents) == 3
    assert len(started) == 1
    assert len(held) > 1 << 30
    del held


def test_a_folder_goes_on_behind_what_ends_a_process(tmp_path, started, monkeypatch):
    """A page that takes too long costs that page and two processes, and no other file."""
    monkeypatch.setattr(pdf_process, "PAGE_SECONDS", 4)
    for_ever = b"BT /F 9 Tf 9 9 Td %s ET" % (b"(hello world) Tj\n" * 1_500_000)
    write_pdf(tmp_path / "a.pdf", ["first"])
    (tmp_path / "b.pdf").write_bytes(raw_pdf([shown("One"), for_ever, shown("Three")]))
    write_pdf(tmp_path / "c.pdf", ["last"])
    texts = [document.text for document in load_folder(tmp_path).documents]
    assert texts == ["first", "One\n\nThree", "last"]
    assert len(started) == 2


def test_what_ended_a_used_process_is_tried_in_a_new_one(tmp_path, started):
    """Its memory may have been used up by the files before."""
    path = write_pdf(tmp_path / "a.pdf", ["text"])
    before = processes()
    with pdf_process.one_process():
        load_document(path)
        (pid,) = processes() - before
        process = psutil.Process(pid)
        process.kill()
        process.wait()
        assert load_document(path).text == "text"
    assert len(started) == 2
