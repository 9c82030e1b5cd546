"""Files become documents, or a DocumentError that says what to do."""

import codecs
import os
import random
import sys
from pathlib import Path

import pytest

from longctx.documents import Document, load_document, load_folder
from longctx.errors import DocumentError, MissingExtraError

GERMAN = (
    "Der Käufer trägt die Gefahr erst mit der Übergabe der Sache. Größere Schäden müssen "
    "unverzüglich gemeldet werden; später eingehende Ansprüche können wir nicht prüfen.\n"
) * 4


def test_text_keeps_its_characters_and_gets_plain_line_ends(tmp_path):
    """Windows line ends become \\n; nothing else of a UTF-8 text changes."""
    path = tmp_path / "a.txt"
    path.write_bytes("Zürich 東京 🙂\r\nsecond\rthird".encode())
    document = load_document(path)
    assert document.text == "Zürich 東京 🙂\nsecond\nthird"
    assert (document.doc_id, document.source) == ("a.txt", str(path))
    assert (document.media_type, document.encoding) == ("text/plain", "utf-8")


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_marks_are_honoured_and_removed(tmp_path, bom, encoding):
    """A mark decides the encoding, and is not part of the text."""
    path = tmp_path / "a.txt"
    path.write_bytes(bom + "Ärger, Größe".encode(encoding))
    assert load_document(path).text == "Ärger, Größe"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le"])
def test_other_encodings_are_detected(tmp_path, encoding):
    """Text that is not UTF-8 and has no mark is read all the same."""
    path = tmp_path / "a.txt"
    path.write_bytes(GERMAN.encode(encoding))
    assert load_document(path).text == GERMAN


def test_encoding_declared_in_html_is_used(tmp_path):
    """Japanese in Shift JIS, said so in a meta element."""
    path = tmp_path / "a.html"
    page = (
        '<html><head><meta charset="shift_jis"></head><body><p>契約の解除について</p></body></html>'
    )
    path.write_bytes(page.encode("shift_jis"))
    assert load_document(path).text == "契約の解除について"


def test_invalid_utf8_is_detected_or_refused(tmp_path):
    """A stray byte in English text gives readable text, never a UnicodeDecodeError."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"The price is 20 \xa3 a unit, payable in advance. " * 5)
    assert "The price is 20 £ a unit" in load_document(path).text


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 8,
        bytes((i * 7919 + i * i) % 256 for i in range(4096)),
        b"plain\x00text with a null",
        b"PK\x03\x04" + random.Random(0).randbytes(2000),
        codecs.BOM_UTF16_LE + b"odd",
    ],
    ids=["png", "noise", "null", "zip", "half a UTF-16 character"],
)
def test_binary_is_refused(tmp_path, data):
    """Whatever its name says, a binary is no document."""
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=r"binary|UTF-8"):
        load_document(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.md", b" \n\t\n", "no text"),
        ("bom.txt", codecs.BOM_UTF8, "no text"),
        ("scripts.html", b"<html><script>alert(1)</script></html>", "shows no text"),
    ],
)
def test_what_is_no_document_says_why(tmp_path, name, data, message):
    """Each message names the trouble."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=message):
        load_document(path)


@pytest.mark.parametrize("path", ["nowhere.txt", "a\x00b.txt", "long" * 3000, "x\ny.txt", 7])
def test_paths_that_lead_nowhere(path):
    """A missing file, a path that cannot exist, a text taken for a path, no path at all."""
    with pytest.raises(DocumentError) as caught:
        load_document(path)
    assert len(str(caught.value)) < 600


def test_folder_and_device_are_refused(tmp_path):
    """A folder is no file, and a device would never end."""
    with pytest.raises(DocumentError, match="folder"):
        load_document(tmp_path)
    if os.path.exists("/dev/zero"):
        with pytest.raises(DocumentError, match="device"):
            load_document("/dev/zero")


@pytest.mark.parametrize(
    ("name", "data", "module"),
    [
        ("a.html", b"<p>x", "selectolax.lexbor"),
        ("a.txt", b"caf\xe9", "chardet"),
        ("a.rtf", rb"{\rtf1 x}", "striprtf.striprtf"),
        ("a.md", b"---\na: b\n---\n", "yaml"),
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "olefile"),
    ],
)
def test_missing_package_names_the_extra(tmp_path, monkeypatch, name, data, module):
    """Without the optional package the message says what to install."""
    path = tmp_path / name
    path.write_bytes(data)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"longctx-sdk\[rag\]"):
        load_document(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"doc_id": "", "text": "x"},
        {"doc_id": 3, "text": "x"},
        {"doc_id": "a", "text": "  "},
        {"doc_id": "a", "text": b"bytes"},
        {"doc_id": "a", "text": "lone \ud800"},
    ],
)
def test_document_refuses_nonsense(fields):
    """What cannot be cited or tokenised is no Document."""
    with pytest.raises(DocumentError):
        Document(**fields)


MARKDOWN = """Preamble
# One
text
```python
# not a heading
```
## Two ##
more
Three
-----
end
# Four
"""


def test_markdown_sections_cover_what_stands_under_each_heading(tmp_path):
    """Levels nest, a fence hides its #, an underline makes a heading, and offsets are exact."""
    path = tmp_path / "a.md"
    path.write_text(MARKDOWN)
    document = load_document(path)
    assert document.text == MARKDOWN
    assert document.title == "One"
    assert [(s.title, s.level) for s in document.sections] == [
        ("One", 1),
        ("Two", 2),
        ("Three", 2),
        ("Four", 1),
    ]
    spans = [document.text[s.start : s.end] for s in document.sections]
    assert spans[0].startswith("# One\n")
    assert spans[0].endswith("end\n")
    assert spans[1] == "## Two ##\nmore\n"
    assert spans[2] == "Three\n-----\nend\n"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Its bytes are read as UTF-8 where they can be; the document serves, in a folder too."""
    for name, shown in (("ф".encode(), "ф"), (b"latin-\xe9", "latin-\ufffd")):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".txt")
        Path(path).write_text("Some text.")
        document = load_document(path)
        assert document.doc_id == f"{shown}.txt"
        assert document.model_dump_json()
    assert {d.doc_id for d in load_folder(tmp_path).documents} == {"ф.txt", "latin-\ufffd.txt"}


@pytest.mark.parametrize("kind", [str, Path])
def test_only_what_may_be_a_text_is_said_to_be_one(kind: type[str] | type[Path]) -> None:
    """A str may be a text that was taken for a path; whoever passes a Path has one."""
    with pytest.raises(DocumentError, match="there is no file") as caught:
        load_document(kind("nowhere.txt"))
    assert ("doc_id=" in str(caught.value)) == (kind is str)
