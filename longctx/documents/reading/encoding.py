"""Bytes to text: what is declared, then UTF-8, then a guess that is said to be one."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from longctx.documents.reading.content import counted
from longctx.documents.reading.invisible import note_of, told
from longctx.errors import DocumentError, MissingExtraError

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A declaration stands at the front: <?xml encoding="…"?>, <meta charset="…"> or content="…;
# charset=…", Python's and Emacs's "coding: …". WHATWG looks at the first 1,024 bytes.
_DECLARED = re.compile(
    rb"<\?xml[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)"
    rb"|<meta[^>]+?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)"
    rb"|^[ \t]*(?:#|//|/\*|;)[^\n]*?coding[:=][ \t]*([\w.-]+)",
    re.IGNORECASE | re.MULTILINE,
)
_DECLARATION_BYTES = 4096
# The Encoding Standard of the web: these labels mean the larger encoding that browsers use.
_AS_THE_WEB_DOES = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    # A page that could be read up to this declaration is not in UTF-16.
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
# Text with a flaw: a bad byte or two, or one in a hundred of the characters beyond ASCII.
_MAX_FLAWS = 2
_MAX_FLAW_SHARE = 0.01
# Text holds white space and hardly any other control character; a decoded binary is full of them.
_MAX_CONTROL_SHARE = 0.01
_ORDINARY_CONTROLS = frozenset("\t\n\r\f\x0b\x1b\x85")
# Code pages of old machines, and of languages that have better ones: chardet names them for want
# of anything better, at confidences below these.
_RARE = ("mac", "cp4", "cp7", "cp8", "cp10", "cp11", "cp0", "hp", "iso8859-3", "iso8859-10",
         "iso8859-13", "iso8859-14", "iso8859-16", "kz")  # fmt: skip
_UNSURE = 0.06
_SAMPLE_BYTES = 1 << 20
_LEAST_BYTES = 16  # of an alphabet that is told by its bytes


@dataclass(frozen=True)
class Decoded:
    """A text, the encoding it was in, and what was guessed about it."""

    text: str
    encoding: str
    notes: tuple[str, ...] = ()


def decode(
    data: bytes, name: object, encoding: str | None = None, *, stray_nulls: int = 0
) -> Decoded:
    """Decode a text file.

    In this order: ``encoding``; a byte order mark; what the text declares (HTML, XML, Python),
    read as the web does, so that ``iso-8859-1`` is windows-1252; UTF-16 without a mark; UTF-8;
    UTF-8 with a flaw; chardet's guess. Line ends become ``\\n``, and what was guessed or
    replaced is in ``notes``.

    Args:
        data: the whole file.
        name: for messages.
        encoding: what the caller knows; it is obeyed.
        stray_nulls: so many null characters are dirt, as the web has it; more are a binary.

    Raises:
        DocumentError: it is binary, it is not in ``encoding``, or nothing fits.
        MissingExtraError: it has to be guessed, and chardet is not installed.
    """
    decoded = _decode(data, name, encoding)
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    notes = decoded.notes
    if 0 < (nulls := text.count("\x00")) <= max(stray_nulls, len(text) // 1000):
        text = text.replace("\x00", "")
        notes = (*notes, f"{counted(nulls, 'null character')} left out")
    if _is_binary(text):
        raise DocumentError(
            f"{name} is binary ({len(data)} bytes), not text; its name may be wrong, or it needs "
            "a tool of its own to turn it into text first"
        )
    text, n_unseen = told(text)
    if n_unseen:
        notes = (*notes, note_of(n_unseen))
    return Decoded(text, decoded.encoding, notes)


def _decode(data: bytes, name: object, encoding: str | None) -> Decoded:
    if encoding is not None:
        return _obey(data, name, encoding)
    marked = next((label for bom, label in _BOMS if data.startswith(bom)), None)
    if marked:
        return _marked(data, name, marked)
    if (declared := _declared(data)) is not None:
        try:
            return Decoded(data.decode(declared), declared)
        except UnicodeDecodeError:
            pass  # a declaration can lie; UTF-8 does not look like UTF-8 by chance
    hidden = _unmarked_utf16(data) or _utf16_of_a_script(data) or _escaped(data)
    if hidden is not None:
        return hidden  # its bytes may all be ASCII, and so valid UTF-8
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        invalid_at = error.start
    flawed = _flawed_utf8(data)
    if flawed is not None:
        return flawed
    if declared is not None and declared != "utf-8":
        text = data.decode(declared, "replace")
        note = f"{_bad(text)} not valid in {declared}, which the file declares: replaced by \ufffd"
        return Decoded(text, declared, (note,))
    return _guess(data, name, invalid_at)


def _obey(data: bytes, name: object, encoding: str) -> Decoded:
    try:
        codec = codecs.lookup(encoding)
        text = data.decode(codec.name)
    except LookupError as error:
        raise DocumentError(
            f"there is no encoding {encoding!r}; names are those of Python, such as 'cp1252', "
            "'utf-16-le' or 'shift_jis'"
        ) from error
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{name} is not in {encoding}: byte {error.start} of {len(data)} is invalid; leave "
            "encoding= out to have it found"
        ) from error
    return Decoded(text.removeprefix("\ufeff"), codec.name)


def _marked(data: bytes, name: object, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        if _bad_count(text) > max(_MAX_FLAWS, _MAX_FLAW_SHARE * len(text)) or len(text) < 8:
            raise DocumentError(
                f"{name} begins with the byte order mark of {encoding}, but is invalid at byte "
                f"{error.start} of {len(data)}: it is damaged, or binary. Save it again as UTF-8"
            ) from error
        return Decoded(text, encoding, (f"{_bad(text)} not valid {encoding}: replaced by \ufffd",))


def _declared(data: bytes) -> str | None:
    match = _DECLARED.search(data[:_DECLARATION_BYTES])
    if match is None:
        return None
    try:
        name = codecs.lookup(next(group for group in match.groups() if group).decode()).name
        b"".decode(name)  # some codecs are no encodings of text
    except (LookupError, UnicodeDecodeError):
        return None
    return _AS_THE_WEB_DOES.get(name, name)


def _flawed_utf8(data: bytes) -> Decoded | None:
    """UTF-8 with a bad byte or a cut last character; None if it is no UTF-8 at all."""
    text = data.decode("utf-8", "replace")
    flaws = _bad_count(text)
    beyond_ascii = sum(not c.isascii() for c in text) - flaws
    # One byte of a legacy encoding in English is likelier that than a flaw in UTF-8.
    if not beyond_ascii or flaws > max(_MAX_FLAWS, _MAX_FLAW_SHARE * beyond_ascii):
        return None
    if flaws > beyond_ascii:
        return None
    return Decoded(text, "utf-8", (f"{_bad(text)} not valid UTF-8: replaced by \ufffd",))


def _unmarked_utf16(data: bytes) -> Decoded | None:
    """Text in UTF-16 or UTF-32 whose letters are mostly Latin has nulls in the same places."""
    sample = data[: 1 << 16]
    if b"\x00" not in sample:
        return None
    for encoding, width, low in (
        ("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1),
    ):  # fmt: skip
        columns = [sample[i::width] for i in range(width)]
        shares = [column.count(0) / max(1, len(column)) for column in columns]
        if shares[low] > 0.02 or any(s < 0.3 for i, s in enumerate(shares) if i != low):
            continue
        try:
            return Decoded(data.decode(encoding), encoding, (_guessed(encoding),))
        except UnicodeDecodeError:
            continue
    return None


def _utf16_of_a_script(data: bytes) -> Decoded | None:
    """Text in UTF-16 of an alphabet whose letters have a control character for a half of them, as
    Cyrillic and Arabic do: hardly any other letters are between."""
    sample = data[: (1 << 16) & ~1]
    if len(data) % 2 or len(sample) < _LEAST_BYTES:
        return None
    for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        ((block, n_block),) = Counter(sample[high::2]).most_common(1)
        if not 1 < block < 0x20 or n_block + sample[high::2].count(0) < 0.9 * len(sample) / 2:
            continue
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        kinds = Counter(unicodedata.category(c)[0] for c in text)
        are_words = any(map(str.isspace, text)) and kinds["L"] + kinds["M"] > len(text) / 2
        if are_words and not _is_binary(text):
            return Decoded(text, encoding, (_guessed(encoding),))
    return None


def _escaped(data: bytes) -> Decoded | None:
    """ISO 2022 of Japan and Korea: ASCII, with escapes that begin another alphabet."""
    for mark, encoding in ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_ext")):
        if mark in data:
            try:
                return Decoded(data.decode(encoding), encoding, (_guessed(encoding),))
            except UnicodeDecodeError:
                continue
    return None


def _guess(data: bytes, name: object, invalid_at: int) -> Decoded:
    try:
        import chardet
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is not UTF-8 (byte {invalid_at}); to detect its encoding run "
            '`pip install "longctx-sdk[rag]"`, pass encoding=, or save it as UTF-8'
        ) from error
    found = chardet.detect(data[:_SAMPLE_BYTES])
    confidence = float(found["confidence"] or 0)
    for encoding in _candidates(data, found["encoding"], confidence):
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if _is_binary(text):
            continue
        return Decoded(text, codecs.lookup(encoding).name, (_guessed(encoding),))
    raise DocumentError(
        f"{name} is not UTF-8 (byte {invalid_at} of {len(data)}) and no other encoding fits: "
        "it is binary or damaged. Save it as UTF-8, or pass encoding="
    )


def _guessed(encoding: str) -> str:
    label = codecs.lookup(encoding).name
    return f"its encoding was guessed to be {label}; if letters are wrong, pass encoding="


def _candidates(data: bytes, found: str | None, confidence: float) -> list[str]:
    if found is None:
        return ["cp1252"]
    name = codecs.lookup(found).name
    if not name.startswith("utf"):
        name = _AS_THE_WEB_DOES.get(name, name)
    if (name.startswith(_RARE) or confidence < _UNSURE) and _is_western(data):
        return ["cp1252", name]
    return [name, "cp1252"]


def _is_western(data: bytes) -> bool:
    """Whether windows-1252 makes words of it: its letters, and marks that stand beside words."""
    try:
        text = data[:_SAMPLE_BYTES].decode("cp1252")
    except UnicodeDecodeError:
        return False
    beyond = ordinary = 0
    for before, c, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if not c.isascii():
            beyond += 1
            inside = before.isascii() and before.isalpha() and after.isascii() and after.isalpha()
            ordinary += c in _WESTERN_LETTERS or (c in _WESTERN_MARKS and not inside)
    return ordinary >= 0.95 * beyond


# What French, Portuguese, Spanish, Italian, German, Dutch and the Nordic languages write.
_WESTERN_LETTERS = frozenset(
    "àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßþðÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜÝŸÞÐ’·\xad"
)
_WESTERN_MARKS = frozenset("«»„“”‘‚–—…•°§£€©®™¿¡ºª²³½¼¾±×´\xa0")


def _bad_count(text: str) -> int:
    return text.count("\ufffd")


def _bad(text: str) -> str:
    n = _bad_count(text)
    place = text.index("\ufffd")
    return f"{n} {'place' if n == 1 else 'places'} (the first at character {place}) " + (
        "is" if n == 1 else "are"
    )


def _is_binary(text: str) -> bool:
    if "\x00" in text:
        return True
    controls = sum(
        unicodedata.category(c) == "Cc" for c in text[:_SAMPLE_BYTES] if c not in _ORDINARY_CONTROLS
    )
    return controls > _MAX_CONTROL_SHARE * min(len(text), _SAMPLE_BYTES)
