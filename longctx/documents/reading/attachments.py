"""Files in a file: what is attached to a mail, read as if it lay beside it."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath

from longctx.documents.reading.content import Content, Source, TextBuilder
from longctx.errors import DocumentError, MissingExtraError

_MOST = 50
_MAX_BYTES = 32 << 20
_MAX_DEPTH = 3
"""A mail in a mail in a mail."""


@dataclass(frozen=True)
class Attachment:
    """A file that is attached; its name, type and encoding are what the mail says."""

    name: str
    media_type: str
    data: bytes
    encoding: str | None = None


def attach(builder: TextBuilder, source: Source, attachments: Iterable[Attachment]) -> None:
    """Add the text of attachments, each below its name as a heading; the others become notes.

    Args:
        builder: of the mail.
        source: the mail.
        attachments: of it, in their order.
    """
    for number, one in enumerate(attachments):
        name = one.name or "without a name"
        try:
            if number >= _MOST:
                raise DocumentError(f"more than {_MOST} are attached")
            content = _read(source, one)
        except (DocumentError, MissingExtraError) as error:
            kind = f" ({one.media_type})" if one.media_type else ""
            builder.note(f"an attachment is not read: {name}{kind}: {error}")
            continue
        builder.block(f"Attachment: {name}", level=1)
        builder.embed(replace(content, notes=()), below=1)
        for note in content.notes:
            builder.note(f"{name}: {note}")


def _read(source: Source, one: Attachment) -> Content:
    if not one.data.strip():
        raise DocumentError("it is empty")
    if len(one.data) > _MAX_BYTES:
        raise DocumentError(f"{len(one.data):,} bytes, more than the {_MAX_BYTES:,} that are read")
    if source.depth >= _MAX_DEPTH or source.read_inner is None:
        raise DocumentError("it lies too deep, in a file in a file")
    path = PurePath(PurePath(one.name).name or "it")  # "." and "/" name nothing
    if not path.suffix:
        path = path.with_name(path.name + (mimetypes.guess_extension(one.media_type) or ""))
    inner = replace(
        source, data=one.data, name=path.name, encoding=one.encoding, depth=source.depth + 1
    )
    return source.read_inner(inner, path)
