"""Mail (EML, MHTML): its headers, its body, and what is attached to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser

from longctx.documents.reading import html
from longctx.documents.reading.attachments import Attachment, attach
from longctx.documents.reading.content import LINE, Content, Source, TextBuilder
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.malformed import malformed
from longctx.errors import DocumentError

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def read(source: Source) -> Content:
    """Read a mail: the plain body where there is one, else the HTML; then what is attached, each
    below its name, as far as it is in a format that is read.

    Raises:
        DocumentError: it is malformed, or holds no text.
        MissingExtraError: its body is HTML, and selectolax is not installed.
    """
    # The parser keeps most defects to itself, and not all.
    with malformed(source, "a malformed mail", "save its text as .txt"):
        message = BytesParser(policy=policy.default).parsebytes(source.data)
        headers = {name: _header(message, name) for name in _HEADERS}
        body = _body(message, source)
        attachments = [*_attachments(message)]
    if body is None and not any(headers.values()):
        raise DocumentError(f"{source.name} is no mail: it has neither headers nor a body")
    return put_together(source, headers, body, attachments)


def put_together(
    source: Source,
    headers: dict[str, str],
    body: Content | None,
    attachments: Iterable[Attachment],
) -> Content:
    """Headers a line each, then the body, then what is attached; what of that is not read is
    named in a note."""
    builder = TextBuilder(source.name)
    for name, value in headers.items():
        if value:
            builder.block(f"{name}: {value}", gap=LINE)
    if body is not None:
        builder.embed(body)
    attach(builder, source, attachments)
    metadata = {name.lower(): value for name, value in headers.items() if value}
    return replace(
        builder.content(title=headers["Subject"] or None, metadata=metadata),
        encoding=body.encoding if body else None,
    )


def _attachments(message: EmailMessage) -> Iterator[Attachment]:
    # Of a page that was saved whole, these are its pictures and styles.
    is_page = message.get_content_type() == "multipart/related"
    for part in message.iter_attachments():
        if is_page and part.get_content_disposition() != "attachment":
            continue
        name, kind = part.get_filename() or "", part.get_content_type()
        if kind == "message/rfc822":
            inner = part.get_payload()
            forwarded = inner[0] if isinstance(inner, list) and inner else None
            data = forwarded.as_bytes() if isinstance(forwarded, Message) else b""
            yield Attachment(name or "a message.eml", kind, data)
            continue
        payload = part.get_payload(decode=True)
        charset = _known(part.get_content_charset())
        yield Attachment(name, kind, payload if isinstance(payload, bytes) else b"", charset)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message[name] or "").split())
    except Exception:  # a header that its parser cannot parse
        return ""


def _body(message: EmailMessage, source: Source) -> Content | None:
    part = message.get_body(preferencelist=("plain", "html", "related"))
    if part is None:
        return None
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or not data.strip():
        return None
    charset = part.get_content_charset()
    try:
        decoded = decode(data, source.name, source.encoding or _known(charset))
    except DocumentError:
        decoded = decode(data, source.name)  # what it declares is not so
    if part.get_content_subtype() == "html":
        content = html.visible_text(decoded.text, source.name)
        notes = (*decoded.notes, *content.notes)
        return replace(content, encoding=decoded.encoding, notes=notes)
    return Content(decoded.text.strip("\n"), encoding=decoded.encoding, notes=decoded.notes)


def _known(charset: str | None) -> str | None:
    """What a mail declares, read as the web does."""
    if charset in (None, "us-ascii", "ascii"):
        return None
    return "cp1252" if charset in ("iso-8859-1", "latin1", "latin-1") else charset
