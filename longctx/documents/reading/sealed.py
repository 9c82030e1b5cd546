"""What signs, encrypts or keys a mail (OpenPGP, S/MIME): no text of it, and no attachment."""

from __future__ import annotations

import re

_SIGNATURE = "it is signed, and the signature was not checked"
_ENCRYPTED = (
    "a part of it is encrypted; open it in your mail program, and save what that shows as .txt"
)
_WRAPPED = (
    "a part of it is encrypted, or wrapped in its signature (S/MIME); open it in your mail "
    "program, and save what that shows as .txt"
)
_KEY = "a key is attached, which is no text"
_BY_TYPE = {
    "application/pgp-signature": _SIGNATURE,
    "application/pkcs7-signature": _SIGNATURE,
    "application/x-pkcs7-signature": _SIGNATURE,
    "application/pgp-encrypted": _ENCRYPTED,
    "application/pkcs7-mime": _WRAPPED,
    "application/x-pkcs7-mime": _WRAPPED,
    "application/pgp-keys": _KEY,
}
_BY_BEGINNING = {
    b"-----BEGIN PGP SIGNATURE-----": _SIGNATURE,
    b"-----BEGIN PGP MESSAGE-----": _ENCRYPTED,
    b"-----BEGIN PGP PUBLIC KEY BLOCK-----": _KEY,
}
# What is signed has no line that begins with a dash: it was escaped. So the first that does is the
# end, and a mail of nothing but beginnings is read through once.
_CLEAR_SIGNED = re.compile(
    r"^-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:\w[\w-]*: .*\r?\n)*\r?\n"
    r"(?P<text>(?:(?!-----).*\n)*)"
    r"-----BEGIN PGP SIGNATURE-----\r?\n(?:(?!-----).*\n)*-----END PGP SIGNATURE-----[ \t]*$",
    re.MULTILINE,
)
_ESCAPED = re.compile(r"^- ", re.MULTILINE)


def seal(media_type: str, data: bytes) -> str | None:
    """What a part of a mail is, in words for a note, where it seals others; None where it is a
    part like any other.

    Args:
        media_type: as the mail says.
        data: of the part, decoded.
    """
    if (known := _BY_TYPE.get(media_type)) is not None:
        return known
    head = data.lstrip()[:64]
    return next((what for mark, what in _BY_BEGINNING.items() if head.startswith(mark)), None)


def without_signature(text: str) -> tuple[str, str | None]:
    """A text as it was before it was signed, and what is to be noted; None where it was not."""
    found = _CLEAR_SIGNED.sub(lambda match: _ESCAPED.sub("", match["text"]), text)
    return found, _SIGNATURE if found != text else None
