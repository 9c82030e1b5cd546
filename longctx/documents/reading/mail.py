"""Mail (EML, MHTML, mbox): its headers, its body, and what is attached to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser

from longctx.documents.reading import html
from longctx.documents.reading.attachments import Attachment, attach
from longctx.documents.reading.content import LINE, Content, Source, TextBuilder, counted
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.sealed import seal, without_signature
from longctx.errors import DocumentError

_BLANK = b" \t\r\n\f\v\xc2\xa0"  # no-break spaces in UTF-8 as well
# In a mailbox: a line with a sender and a time, at the front and behind a blank line; the same in
# the words of a mail is quoted.
_BEFORE_A_MAIL = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\d:\d\d[^\r\n]*\r?\n")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def read(source: Source) -> Content:
    """Read a mail: its text, plain where it is there in several forms and that is not blank, and
    HTML otherwise; then what is attached, each below its name, as far as it is in a format that is
    read. Of a mailbox (mbox) each mail is a section.

    Raises:
        DocumentError: it is malformed, or holds no text.
        MissingExtraError: its body is HTML, and selectolax is not installed.
    """
    mails = _mails(source.data)
    if len(mails) < 2:
        return _read(source)
    builder = TextBuilder(source.name)
    n_unread = 0
    for number, data in enumerate(mails, start=1):
        try:
            content = _read(replace(source, data=data))
        except DocumentError:
            n_unread += 1
            continue
        builder.block(content.title or f"mail {number}", level=1)
        builder.embed(content, below=1)
    if not builder.length:
        raise DocumentError(f"{source.name} is a mailbox of {len(mails)} mails that are none")
    if n_unread:
        builder.note(f"{counted(n_unread, 'mail')} not read")
    return builder.content()


def _mails(data: bytes) -> list[bytes]:
    """The mails of a mailbox, without what it writes before them; any other file as it is."""
    if not data.startswith(b"From "):
        return [data]
    mails = [mail for mail in _BEFORE_A_MAIL.split(data) if mail.strip()]
    return [_QUOTED_FROM.sub(rb"\1", mail) for mail in mails]


def _read(source: Source) -> Content:
    # The parser keeps most defects to itself, and not all.
    with malformed(source, "a malformed mail", "save its text as .txt"):
        message = BytesParser(policy=policy.default).parsebytes(source.data)
        headers = {name: _header(message, name) for name in _HEADERS}
        texts, attached = _sorted(message, is_whole=True)
        body = [content for part in texts if (content := _text(part, source)) is not None]
        attachments = [_attachment(part) for part in attached]
    if not (body or attachments or any(headers.values())):
        raise DocumentError(f"{source.name} is no mail: it has neither headers nor a body")
    return put_together(source, headers, body, attachments)


def put_together(
    source: Source,
    headers: dict[str, str],
    body: Sequence[Content],
    attachments: Iterable[Attachment],
) -> Content:
    """Headers a line each, then the body, then what is attached; what of that is not read, or
    signs or encrypts the mail, is told by a note."""
    builder = TextBuilder(source.name)
    for name, value in headers.items():
        if value:
            builder.block(f"{name}: {value}", gap=LINE)
    for content in body:
        builder.embed(content)
    others, sealed = _opened(attachments)
    for note in sealed:
        builder.note(note)
    attach(builder, source, others)
    metadata = {name.lower(): value for name, value in headers.items() if value}
    return replace(
        builder.content(title=headers["Subject"] or None, metadata=metadata),
        encoding=next((content.encoding for content in body if content.encoding), None),
    )


def _opened(attachments: Iterable[Attachment]) -> tuple[list[Attachment], list[str]]:
    """Attachments that are some, and what the others are for."""
    found, notes = [], dict[str, None]()
    for one in attachments:
        if (sealed := seal(one.media_type, one.data)) is None:
            found.append(one)
        else:
            notes[sealed] = None
    return found, list(notes)


def _attachment(part: Message) -> Attachment:
    name, kind = part.get_filename() or "", part.get_content_type()
    inner = part.get_payload()
    if kind == "message/rfc822":
        name = name or "a message.eml"
    if isinstance(inner, list):  # a mail, or reports about one
        mails = [one.as_bytes() for one in inner if isinstance(one, Message)]
        return Attachment(name, kind, b"\n".join(mails))
    payload = part.get_payload(decode=True)
    charset = _known(part.get_content_charset())
    return Attachment(name, kind, payload if isinstance(payload, bytes) else b"", charset)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message[name] or "").split())
    except Exception:  # a header that its parser cannot parse
        return ""


def _sorted(part: Message, *, is_whole: bool = False) -> tuple[list[Message], list[Message]]:
    """The parts of a mail that are its text, in their order, and those that are attached to it."""
    kind, inside = part.get_content_type(), part.get_payload()
    parts = [one for one in inside if isinstance(one, Message)] if isinstance(inside, list) else []
    if not kind.startswith("multipart/") or isinstance(inside, str):  # or it tells no parts apart
        is_text = kind in ("text/plain", "text/html") or kind.startswith("multipart/")
        is_named = part.get_filename() is not None and not is_whole
        is_attached = part.get_content_disposition() == "attachment"
        return ([part], []) if is_text and not (is_named or is_attached) else ([], [part])
    found = [(*_sorted(one), one) for one in parts]
    if kind == "multipart/related" and found:
        start = part.get_param("start")
        root = next((one for one in parts if start and one["Content-ID"] == start), parts[0])
        # The others are a page's pictures and styles.
        texts = next(texts for texts, _, one in found if one is root)
        attached = [
            one
            for _, others, of in found
            for one in others
            if of is root or one.get_content_disposition() == "attachment"
        ]
        return texts, attached
    if kind == "multipart/alternative":
        filled = [texts for texts, _, _ in found if not all(map(_is_blank, texts))]
        plain = [texts for texts in filled if all(map(_is_plain, texts))]
        # The last is the one that its sender would rather have seen.
        chosen = [*plain[:1], *reversed(filled), []][0]
        # Mail programs put files between the parts of a page.
        attached = [
            one for _, others, of in found if of.is_multipart() or not chosen for one in others
        ]
        return chosen, attached
    return (
        [text for texts, _, _ in found for text in texts],
        [one for _, others, _ in found for one in others],
    )


def _is_plain(part: Message) -> bool:
    return part.get_content_type() != "text/html"


def _is_blank(part: Message) -> bool:
    data = part.get_payload(decode=True)
    return not isinstance(data, bytes) or not data.strip(_BLANK)


def _text(part: Message, source: Source) -> Content | None:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or not data.strip():
        return None
    charset = part.get_content_charset()
    try:
        decoded = decode(data, source.name, source.encoding or _known(charset))
    except DocumentError:
        decoded = decode(data, source.name)  # what it declares is not so
    if part.get_content_type() == "text/html":
        content = html.visible_text(decoded.text, source.name)
        notes = (*decoded.notes, *content.notes)
        return replace(content, encoding=decoded.encoding, notes=notes)
    text, signed = without_signature(decoded.text)
    notes = (*decoded.notes, *([signed] if signed else []))
    return Content(text.strip("\n"), encoding=decoded.encoding, notes=notes)


def _known(charset: str | None) -> str | None:
    """What a mail declares, read as the web does."""
    if charset in (None, "us-ascii", "ascii"):
        return None
    return "cp1252" if charset in ("iso-8859-1", "latin1", "latin-1") else charset
