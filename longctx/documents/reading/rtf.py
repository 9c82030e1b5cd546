"""Rich Text Format."""

from __future__ import annotations

import re

from longctx.documents.reading.content import Content, Source
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.rtf_notes import with_notes
from longctx.errors import DocumentError, MissingExtraError

_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")
_PICTURE = re.compile(rb"\{\\pict\b")


def read(source: Source) -> Content:
    """The text of an RTF file, with its footnotes, comments, text boxes, headers and footers in
    brackets; pictures in it are counted in a note.

    Raises:
        DocumentError: it is malformed, or holds no text.
        MissingExtraError: striprtf is not installed.
    """
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError as error:
        raise MissingExtraError(
            'to read RTF run `pip install "longctx-sdk[rag]"` (it needs striprtf)'
        ) from error
    match = _CODE_PAGE.search(source.data[:2048])
    code_page = source.encoding or (f"cp{match[1].decode()}" if match else "cp1252")
    with malformed(source, "malformed RTF", "open it in a word processor and save it again"):
        # RTF is ASCII; what is not is escaped, or dirt.
        rtf = source.data.decode("latin-1")

        def plain(part: str) -> str:
            text = str(rtf_to_text(part, encoding=code_page, errors="replace"))
            # A character beyond 65,535 is two escapes, and two halves so far.
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

        text = plain(with_notes(rtf, lambda inner: plain(rf"{{\rtf1 {inner}}}")))
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    if not text.strip():
        raise DocumentError(f"{source.name} holds no text; its content may be pictures")
    n = len(_PICTURE.findall(source.data))
    notes = (f"{n} {'picture' if n == 1 else 'pictures'} not read",) if n else ()
    return Content(text, encoding=code_page, notes=notes)
