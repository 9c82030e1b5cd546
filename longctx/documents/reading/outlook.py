"""Outlook's own mail files (MSG): OLE files whose streams are properties."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from longctx.documents.reading import html, mail
from longctx.documents.reading.attachments import Attachment
from longctx.documents.reading.content import Content, Source
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.malformed import malformed
from longctx.errors import DocumentError, MissingExtraError

# MAPI property tags ([MS-OXPROPS]); the stream's name ends with its type.
_SUBJECT, _SENDER, _SENDER_ADDRESS, _TO, _CC = "0037", "0C1A", "0C1F", "0E04", "0E03"
_BODY, _HTML, _HEADERS = "1000", "1013", "007D"
_NAMES = ("3707", "3704", "3001")
_DATA, _MIME = "3701", "370E"
_UNICODE, _STRING8, _BINARY = "001F", "001E", "0102"


def read(source: Source) -> Content:
    """Read sender, recipients, subject and body, then what is attached, each below its name, as
    far as it is in a format that is read.

    Raises:
        DocumentError: it is malformed, or holds no text.
        MissingExtraError: olefile is not installed.
    """
    try:
        import olefile
    except ImportError as error:
        raise MissingExtraError(
            'to read MSG run `pip install "longctx-sdk[rag]"` (it needs olefile)'
        ) from error
    remedy = "open it in Outlook and save it as .eml or .txt"
    with (
        malformed(source, "a malformed Outlook file", remedy),
        olefile.OleFileIO(io.BytesIO(source.data)) as file,
    ):
        return _read(file, source)


def _read(file: Any, source: Source) -> Content:
    def text(tag: str, folder: str = "") -> str:
        for kind in (_UNICODE, _STRING8):
            name = f"{folder}__substg1.0_{tag}{kind}"
            if file.exists(name):
                data = file.openstream(name).read()
                if kind == _UNICODE:
                    return str(data.decode("utf-16-le", "replace")).strip("\x00")
                return decode(data, source.name, source.encoding).text.strip("\x00")
        return ""

    sender, address = text(_SENDER), text(_SENDER_ADDRESS)
    headers = {
        "From": f"{sender} <{address}>" if "@" in address and address != sender else sender,
        "To": text(_TO),
        "Cc": text(_CC),
        "Date": _date(text(_HEADERS)),
        "Subject": text(_SUBJECT),
    }
    body = text(_BODY).replace("\r\n", "\n").strip("\n")
    content = Content(body) if body.strip() else None
    page = f"__substg1.0_{_HTML}{_BINARY}"
    if content is None and file.exists(page):
        decoded = decode(file.openstream(page).read(), source.name, source.encoding)
        found = html.visible_text(decoded.text, source.name)
        content = replace(found, encoding=decoded.encoding)
    if content is None and not any(headers.values()):
        raise DocumentError(f"{source.name} holds no text that is read")
    folders = {path[0] for path in file.listdir() if path[0].startswith("__attach")}
    attachments = []
    for folder in sorted(folders):
        name = next(filter(None, (text(tag, f"{folder}/") for tag in _NAMES)), "")
        stream = f"{folder}/__substg1.0_{_DATA}{_BINARY}"  # a message in it is a folder instead
        data = file.openstream(stream).read() if file.exists(stream) else b""
        attachments.append(Attachment(name, text(_MIME, f"{folder}/"), data))
    content_or_none = mail.put_together(source, headers, [content] if content else [], attachments)
    if content is None:
        return content_or_none.with_notes("its body is in compressed RTF, which is not read")
    return content_or_none


def _date(transport_headers: str) -> str:
    lines = transport_headers.splitlines()
    return next((line[5:].strip() for line in lines if line.lower().startswith("date:")), "")
