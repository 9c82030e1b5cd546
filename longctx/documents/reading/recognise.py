"""What a file is, by its bytes; and for what is no document, what it is and what would help."""

from __future__ import annotations

import io
import json
import re
import zipfile

from longctx.documents.reading.package import OLE_MAGIC, ole_streams
from longctx.errors import DocumentError

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
PDF = "application/pdf"
RTF = "application/rtf"
HTML = "text/html"
MAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
OUTLOOK = "application/vnd.ms-outlook"
EPUB = "application/epub+zip"
WORD = f"{_OOXML}wordprocessingml.document"
SLIDES = f"{_OOXML}presentationml.presentation"
EXCEL = f"{_OOXML}spreadsheetml.sheet"
OLD_EXCEL = "application/vnd.ms-excel"

_OCR = "run OCR on it, for example `ocrmypdf` or `tesseract`, and pass the text"
_SPEECH = "transcribe it first, and pass the text"
_UNPACK = "unpack it and pass the files in it, or the folder"
# Files that hold no text for us: how they begin, what they are, what would help.
_OTHERS = (
    (b"\x89PNG", "a PNG image", _OCR),
    (b"\xff\xd8\xff", "a JPEG image", _OCR),
    (b"GIF8", "a GIF image", _OCR),
    (b"BM", "a BMP image", _OCR),
    (b"II*\x00", "a TIFF image", _OCR),
    (b"MM\x00*", "a TIFF image", _OCR),
    (b"8BPS", "a Photoshop image", _OCR),
    (b"ID3", "an MP3 recording", _SPEECH),
    (b"OggS", "an Ogg recording", _SPEECH),
    (b"fLaC", "a FLAC recording", _SPEECH),
    (b"\x1aE\xdf\xa3", "a Matroska video", _SPEECH),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"SQLite format 3\x00", "an SQLite database", "export the tables you need as CSV"),
    (b"PAR1", "a Parquet table", "export it as CSV"),
    (b"\x7fELF", "a program (ELF)", "pass its source code"),
    (b"MZ\x90\x00", "a program (Windows)", "pass its source code"),
    (b"\xca\xfe\xba\xbe", "compiled Java, or a program (Mach-O)", "pass its source code"),
    (b"%!PS", "PostScript", "turn it into PDF with `ps2pdf`"),
    (b"AT&TFORM", "a DjVu document", "turn it into PDF with `ddjvu -format=pdf`"),
    (b"GGUF", "a model", "pass it to LongContextLLM"),
)  # fmt: skip
_RIFF = {b"WEBP": ("a WebP image", _OCR), b"WAVE": ("a WAV recording", _SPEECH)}
_MAIL_HEADER = re.compile(
    rb"(?:From |(?:Received|Return-Path|Delivered-To|MIME-Version|Message-ID|From|To|Subject|Date"
    rb"|Content-Type|X-[\w-]+):[ \t])",
    re.IGNORECASE,
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HEAD = 4096


def recognise(data: bytes, name: object, *, text_too: bool) -> str | None:
    """The media type that the bytes show.

    Args:
        data: the whole file.
        name: for messages.
        text_too: look at text as well (HTML, mail, a notebook); its name does not say.

    Returns:
        None if they show none: then it is text, or nothing we know.

    Raises:
        DocumentError: it is a known kind of file that holds no text for us.
    """
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith(b"{\\rtf"):
        return RTF
    if data.startswith(b"PK\x03\x04"):
        return _in_zip(data, name)
    if data.startswith(OLE_MAGIC):
        return _in_ole(data, name)
    for magic, what, remedy in _OTHERS:
        # Two letters may begin a text, too; an image's header has nulls.
        if data.startswith(magic) and (len(magic) > 3 or b"\x00" in data[:64]):
            raise DocumentError(f"{name} is {what}; {remedy}")
    if data.startswith(b"RIFF") and data[8:12] in _RIFF:
        what, remedy = _RIFF[data[8:12]]
        raise DocumentError(f"{name} is {what}; {remedy}")
    if data[4:8] == b"ftyp":
        what, remedy = ("a HEIF image", _OCR) if data[8:10] == b"he" else ("a video", _SPEECH)
        raise DocumentError(f"{name} is {what}; {remedy}")
    return _in_text(data) if text_too else None


def _in_text(data: bytes) -> str | None:
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf")
    if _HTML_START.match(head):
        return HTML
    lines = head.splitlines()
    if len(lines) > 2 and all(_MAIL_HEADER.match(line) or line[:1] in b" \t" for line in lines[:3]):
        return MAIL if _MAIL_HEADER.match(lines[0]) else None
    if head.lstrip().startswith(b"{") and b'"nbformat"' in data:
        try:
            return NOTEBOOK if "cells" in json.loads(data) else None
        except (ValueError, RecursionError):
            return None
    return None


def _in_zip(data: bytes, name: object) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            declared = archive.read("mimetype")[:200].decode("ascii", "replace").strip() if (
                "mimetype" in names
            ) else ""  # fmt: skip
    except Exception as error:  # zipfile raises struct.error, NotImplementedError and others, too
        raise DocumentError(
            f"{name} is a malformed ZIP archive or office document ({len(data):,} bytes; "
            f"{type(error).__name__}: {error}); it is binary, damaged or cut short"
        ) from error
    if declared == EPUB:
        return EPUB
    for kind in ("text", "presentation", "spreadsheet"):
        if declared.startswith(_ODF + kind):
            return _ODF + kind
    for folder, media_type in (("word/", WORD), ("ppt/", SLIDES), ("xl/", EXCEL)):
        if any(member.startswith(folder) for member in names):
            if media_type == EXCEL and "xl/workbook.bin" in names:
                raise DocumentError(f"{name} is a binary Excel workbook (.xlsb); save it as .xlsx")
            return media_type
    if "META-INF/container.xml" in names:
        return EPUB
    if any(member.startswith("Index/") and member.endswith(".iwa") for member in names):
        raise DocumentError(
            f"{name} is a document of Apple's Pages, Numbers or Keynote (iWork); export it as PDF"
        )
    raise DocumentError(f"{name} is a ZIP archive (binary); {_UNPACK}")


def _in_ole(data: bytes, name: object) -> str:
    streams = ole_streams(data)
    if "__properties_version1.0" in streams:
        return OUTLOOK
    if streams & {"workbook", "book"}:
        return OLD_EXCEL
    if "worddocument" in streams:
        raise DocumentError(
            f"{name} is in the old .doc format of Word; open it in a word processor and save it as "
            ".docx, or run `soffice --convert-to docx` on it"
        )
    if "powerpoint document" in streams:
        raise DocumentError(
            f"{name} is in the old .ppt format of PowerPoint; save it as .pptx, or run "
            "`soffice --convert-to pptx` on it"
        )
    raise DocumentError(
        f"{name} is a binary OLE file of an unknown kind, or damaged; open it in its program and "
        "save it in a newer format"
    )
