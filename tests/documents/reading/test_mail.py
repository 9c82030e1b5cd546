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
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="offer.pdf")
    document = read("a.eml", bytes(message))
    assert document.text == f"{HEADERS}\n\nGröße."
    assert document.title == "Risiko für Käufer"
    assert document.metadata["from"] == "Ada <ada@example.org>"
    (note,) = document.notes
    assert note.startswith("an attachment is not read: offer.pdf (application/pdf): ")


def part(kind: str, text: str, more: str = "") -> str:
    """A part of a mail."""
    return f"Content-Type: {kind}\r\n{more}\r\n{text}\r\n"


def several(kind: str, *parts: str) -> str:
    """Parts of a mail in one."""
    mark = f"=={len(''.join(parts))}=="
    within = "".join(f"--{mark}\r\n{one}" for one in parts)
    return part(f'multipart/{kind}; boundary="{mark}"', f"{within}--{mark}--")


PLAIN, HTML = part("text/plain", "plain"), part("text/html", "<p>page")
BLANK = part("text/plain; charset=utf-8", "\u00a0")
ATTACHED = "Content-Disposition: attachment; filename=a.txt\r\n"
FILE = part("text/plain", "file", ATTACHED)
READ = "Attachment: a.txt\n\nfile"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (several("alternative", PLAIN, HTML), "plain"),
        (several("alternative", BLANK, HTML), "page"),
        (several("alternative", BLANK, several("related", HTML, part("image/png", "x"))), "page"),
        (several("alternative", BLANK, FILE), READ),
        (several("mixed", HTML, part("text/plain", "footer")), "page\n\nfooter"),
        (several("mixed", part("text/plain", "footer"), HTML), "footer\n\npage"),
        (several("mixed", PLAIN, HTML, PLAIN, HTML), "plain\n\npage\n\nplain\n\npage"),
        (several("mixed", several("alternative", PLAIN, HTML), FILE, HTML),
         "plain\n\npage\n\n" + READ),
        (several("mixed", several("mixed", HTML, FILE), BLANK), f"page\n\n{READ}"),
        (several("signed", several("mixed", PLAIN, FILE), part("a/b", "")), f"plain\n\n{READ}"),
        (several("alternative", PLAIN, several("mixed", HTML, FILE, HTML)), f"plain\n\n{READ}"),
        (several('related; start="<r>"', FILE, part("text/html", "root", "Content-ID: <r>\r\n")),
         f"root\n\n{READ}"),
        (part("multipart/mixed", "no boundary"), "no boundary"),
        (part("text/plain; name=a.txt", "alone"), "alone"),
        (FILE, READ),
        (part("text/markdown", "# Title"), "Attachment: without a name\n\n# Title"),
    ],
)  # fmt: skip
def test_no_text_of_a_mail_is_lost(read, body, text):
    """Each part is its text or is attached; of alternatives one is read, and never a blank one."""
    document = read("a.eml", f"Subject: s\r\n{body}")
    assert document.text.rstrip() == f"Subject: s\n\n{text}"


def test_a_report_of_a_mail_server(read):
    """What it says for machines is no empty file."""
    status = part("message/delivery-status", "Reporting-MTA: dns; x\r\n\r\nAction: failed\r\n")
    document = read("a.eml", f"Subject: s\r\n{several('report', PLAIN, status)}")
    assert "plain" in document.text
    assert "Action: failed" in document.text
    assert document.notes == ()


def with_attachments(*files: tuple[str, str, bytes]) -> EmailMessage:
    """A mail with these: names, media types, data."""
    message = mail(plain="See below.\n")
    for name, media_type, data in files:
        maintype, subtype = media_type.split("/")
        message.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    return message


def test_attachments_are_read(read):
    """Each in its format, below its name, with its headings and tables; others are named."""
    document = read(
        "a.eml",
        bytes(
            with_attachments(
                ("notes.md", "application/octet-stream", b"# Risk\n\nIt passes."),
                ("prices.csv", "text/csv", "Größe;Preis\n7;480\n".encode("cp1252")),
                ("logo.png", "image/png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 60),
                ("page", "text/html", b"<p>Hello <b>you</b>"),
                ("empty.txt", "text/plain", b""),
            )
        ),
    )
    assert document.text == (
        f"{HEADERS}\n\nSee below.\n\nAttachment: notes.md\n\n# Risk\n\nIt passes.\n\n"
        "Attachment: prices.csv\n\nGröße;Preis\n7;480\n\n\nAttachment: page\n\nHello you"
    )
    at = document.text.index
    assert document.headings_at(at("It passes")) == ("Attachment: notes.md", "Risk")
    assert document.header_at(at("7;480")) == "Größe;Preis\n"
    assert document.notes[0].startswith("prices.csv: its encoding was guessed")
    assert document.notes[1].startswith("an attachment is not read: logo.png (image/png): ")
    assert "PNG image; run OCR" in document.notes[1]
    assert document.notes[2].endswith("empty.txt (text/plain): it is empty")


@pytest.mark.parametrize("name", [".", "..", "/", "//", "a/", "./", "../..", "\\", "...", " "])
def test_names_that_name_no_file(read, name):
    """They stop nothing: what is attached is read all the same."""
    more = f'Content-Disposition: attachment; filename="{name}"\r\n'
    body = several("mixed", PLAIN, part("text/plain", "file", more))
    document = read("a.eml", f"Subject: s\r\n{body}")
    assert document.text.rstrip().endswith("\n\nfile")
    assert document.notes == ()


def test_a_page_that_was_saved_whole(read):
    """Its pictures and styles are no attachments."""
    page = EmailMessage()
    page["Subject"] = "A page"
    page.set_content("<p>Seen.", subtype="html")
    page.add_related(b"p { color: red }", maintype="text", subtype="css", disposition="inline")
    document = read("a.mhtml", bytes(page))
    assert (document.text, document.notes) == ("Subject: A page\n\nSeen.", ())


def test_mails_in_mails_have_an_end(read):
    """So deep, so many, so large; what lies beyond is a note."""
    message = mail(plain="0")
    for depth in range(1, 6):
        outer = mail(plain=str(depth))
        outer.add_attachment(message)
        message = outer
    document = read("a.eml", bytes(message))
    assert [line for line in document.text.split("\n") if line.isdecimal()] == ["5", "4", "3", "2"]
    assert "a message.eml (message/rfc822): it lies too deep" in document.notes[0]
    many = with_attachments(*[(f"{n}.txt", "text/plain", b"x") for n in range(60)])
    document = read("b.eml", bytes(many))
    assert "Attachment: 49.txt" in document.text
    assert "Attachment: 50.txt" not in document.text
    assert len(document.notes) == 10


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
    assert document.notes == ("an attachment is not read: a.pdf: it is empty",)
    assert document.media_type == "application/vnd.ms-outlook"


def test_attachments_of_outlook(read):
    """As those of other mails."""
    folder = "__attach_version1.0_#00000000"
    document = read(
        "a.msg",
        outlook(
            property_of("0037", "Risk"),
            property_of("1000", "See below." + " And more." * 100),
            (f"{folder}/__substg1.0_3707001F", "a.html".encode("utf-16-le")),
            (f"{folder}/__substg1.0_37010102", b"<p>It passes." + b"<p>On delivery." * 400),
        ),
    )
    assert "\n\nAttachment: a.html\n\nIt passes.\n\nOn delivery." in document.text
    assert document.notes == ()


def test_outlook_in_html_or_rtf(read):
    """HTML is read; a body in compressed RTF is said to be missing."""
    page = ("__substg1.0_10130102", b"<p>Gr\xf6\xdfe")
    assert read("a.msg", outlook(property_of("0037", "b"), page)).text == "Subject: b\n\nGröße"
    notes = read("b.msg", outlook(property_of("0037", "b"))).notes
    assert notes == ("its body is in compressed RTF, which is not read",)


# Signed and encrypted

SIGNED = "it is signed, and the signature was not checked"
ARMOUR = "-----BEGIN PGP {0}-----\r\n\r\niQEzBAEB\r\n=abcd\r\n-----END PGP {0}-----\r\n"
CLEAR = (
    "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nThe price is 7.\r\n- - a dash\r\n"
    + ARMOUR.format("SIGNATURE")
)


@pytest.mark.parametrize(
    ("body", "text", "note"),
    [
        (several("signed", PLAIN, part("application/pgp-signature; name=signature.asc",
                 ARMOUR.format("SIGNATURE"))), "plain", SIGNED),
        (several("signed", several("mixed", PLAIN, FILE), part("application/pkcs7-signature",
                 "MIAGCSqGSIb3", "Content-Transfer-Encoding: base64\r\n")),
         f"plain\n\n{READ}", SIGNED),
        (several("mixed", PLAIN, part("application/octet-stream; name=a.asc",
                 ARMOUR.format("SIGNATURE"))), "plain", SIGNED),
        (part("text/plain", CLEAR), "The price is 7.\n- a dash", SIGNED),
        (part("text/plain", f"Before.\r\n{CLEAR}After."),
         "Before.\nThe price is 7.\n- a dash\n\nAfter.", SIGNED),
        (several("mixed", PLAIN, part("application/pgp-keys; name=key.asc",
                 ARMOUR.format("PUBLIC KEY BLOCK"))), "plain", "a key is attached"),
        (several("encrypted", part("application/pgp-encrypted", "Version: 1"),
                 part("application/octet-stream; name=encrypted.asc", ARMOUR.format("MESSAGE"))),
         "", "encrypted; open it in your mail program"),
        (part("application/pkcs7-mime; name=smime.p7m", "MIAGCSqGSIb3",
              "Content-Transfer-Encoding: base64\r\n"), "", "wrapped in its signature"),
    ],
)  # fmt: skip
def test_what_seals_a_mail_is_no_text(read, body, text, note):
    """Signatures, keys and ciphers are told by one note, whatever they are called."""
    document = read("a.eml", f"Subject: Hello\r\nMIME-Version: 1.0\r\n{body}".encode())
    assert document.text.replace("\r\n", "\n") == "Subject: Hello" + (f"\n\n{text}" if text else "")
    (said,) = document.notes
    assert note in said


def test_a_mail_about_signatures_is_read(read):
    """What only names them, or breaks off, is text."""
    broken = CLEAR[: CLEAR.index("=abcd")].replace("\r\n", "\n")
    for body in ("It says -----BEGIN PGP SIGNATURE----- there.", broken.strip()):
        assert body in read("a.eml", bytes(mail(plain=body))).text


def test_a_mail_of_nothing_but_beginnings_is_read_through_once(read):
    """A search from each of them to the end would take hours."""
    begun = CLEAR[: CLEAR.index("iQEz")].replace("\r\n", "\n").replace("- - a dash\n", "")
    data = f"Subject: Hello\n\n{begun * 5_000}".encode()
    assert read("a.eml", data).text.count("BEGIN PGP SIGNED") == 5_000


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_every_mail_of_a_mailbox_is_read(read, line_end):
    """Those behind one of several parts, too, each a section; its own "From " is quoted."""
    first = mail(plain="From here on\nit is 7.\n", html="<p>It is 7.")
    second = mail(plain="It is 8.\n")
    second.replace_header("Subject", "No")
    second.add_attachment(b"x,y\n1,2\n", maintype="text", subtype="csv", filename="a.csv")
    box = b""
    for number, one in enumerate((first, second, mail(plain="It is 9.\n"))):
        quoted = bytes(one).replace(b"\nFrom here", b"\n>From here")
        box += b"From ada@example.org Thu May  9 10:0%d:00 2024\n%s\n" % (number, quoted)
    document = read("a.mbox", box.replace(b"\n", line_end))
    places = [document.text.index(f"It is {n}.") for n in (8, 9)]
    assert "From here on\nit is 7." in document.text
    assert [document.headings_at(place)[0] for place in places] == ["No", "Risiko für Käufer"]
    assert "x,y\n1,2" in document.text
    assert document.notes == ()
    assert read("a.eml", b"From ada Thu May 9 10:00:00 2024\n" + bytes(second)).title == "No"
