"""Text that is read as it is written."""

from __future__ import annotations

from longctx.documents.reading.content import Content, Source
from longctx.documents.reading.encoding import decode


def read(source: Source) -> Content:
    """The text, decoded."""
    decoded = decode(source.data, source.name, source.encoding)
    return Content(decoded.text, encoding=decoded.encoding, notes=decoded.notes)
