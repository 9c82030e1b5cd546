"""Mail: headers, the body that people read, and what is attached."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from longctx.errors import DocumentError
from tests.support.ole import ole_file


def mail(*, plain: str | None = None, html: str | None = None) -> EmailMessage:
    """A mail with a body, or two."""
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@example.org>", "bob@example.org"
    message["Subject"] = "Risiko für Käufer"
    if plain is not None:
        message.set_content(plain, charset="iso-8859-1")
    if html is not None and plain is not None:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    return message


HEADERS = "From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Risiko für Käufer"


def test_the_plain_body_is_preferred(read):
    """Headers are decoded; the same words in HTML are not read twice."""
    message = mail(plain="Größe.\n", html="<p>Gr&ouml;&szlig;e.")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="offer.pdf")
    document = read("a.eml", bytes(message))
    assert document.text == f"{HEADERS}\n\nGröße."
    assert document.title == "Risiko für Käufer"
    assert document.metadata["from"] == "Ada <ada@example.org>"
    assert document.notes == ("an attachment is not read: offer.pdf",)


def test_html_alone_is_read_as_html(read):
    """With its headings and tables."""
    document = read("a.eml", bytes(mail(html="<h1>Offer</h1><table><tr><td>a<td>1</table>")))
    assert document.text == f"{HEADERS}\n\nOffer\n\na | 1"
    assert document.headings_at(len(document.text) - 1) == ("Offer",)


@pytest.mark.parametrize(
    ("declared", "body", "text"),
    [
        ("iso-8859-1", b"\x93x\x94", "“x”"),
        ("utf-8", "Größe".encode("cp1252"), "Größe"),
        ("no-such", "Größe".encode(), "Größe"),
        ("us-ascii", "Größe".encode(), "Größe"),
    ],
)
def test_declared_alphabets(read, declared, body, text):
    """Read as the web does; a wrong one is found out."""
    head = f"From: a\r\nSubject: b\r\nContent-Type: text/plain; charset={declared}\r\n\r\n"
    assert read("a.eml", head.encode() + body).text == f"From: a\nSubject: b\n\n{text}"


def test_what_is_no_mail(read):
    """Nothing in it is a header or a body."""
    with pytest.raises(DocumentError, match="neither headers nor a body"):
        read("a.eml", b"\n")


def property_of(tag: str, text: str) -> tuple[str, bytes]:
    """A property of a message, in Unicode."""
    return f"__substg1.0_{tag}001F", text.encode("utf-16-le")


def outlook(*properties: tuple[str, bytes]) -> bytes:
    """A message of Outlook."""
    return ole_file({"__properties_version1.0": b"\x00" * 32, **dict(properties)})


def test_outlook(read):
    """The same, out of properties."""
    document = read(
        "a.msg",
        outlook(
            property_of("0C1A", "Ada"),
            property_of("0C1F", "ada@example.org"),
            property_of("0E04", "Bob"),
            property_of("0037", "Risk"),
            property_of("1000", "It passes\r\non delivery." + " And more." * 100),
            property_of("007D", "Received: x\r\nDate: Thu, 9 May 2024 10:00:00 +0200\r\n"),
            ("__attach_version1.0_#00000000/__substg1.0_3707001F", "a.pdf".encode("utf-16-le")),
        ),
    )
    assert document.text.startswith(
        "From: Ada <ada@example.org>\nTo: Bob\nDate: Thu, 9 May 2024 10:00:00 +0200\n"
        "Subject: Risk\n\nIt passes\non delivery. And more."
    )
    assert document.notes == ("an attachment is not read: a.pdf",)
    assert document.media_type == "application/vnd.ms-outlook"


def test_outlook_in_html_or_rtf(read):
    """HTML is read; a body in compressed RTF is said to be missing."""
    page = ("__substg1.0_10130102", b"<p>Gr\xf6\xdfe")
    assert read("a.msg", outlook(property_of("0037", "b"), page)).text == "Subject: b\n\nGröße"
    notes = read("b.msg", outlook(property_of("0037", "b"))).notes
    assert notes == ("its body is in compressed RTF, which is not read",)
