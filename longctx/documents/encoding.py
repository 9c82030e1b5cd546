"""Bytes to text: byte order marks first, then UTF-8, then detection."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from longctx.errors import DocumentError, MissingExtraError

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Text holds white space and hardly any other control character; a decoded binary is full of them.
_MAX_CONTROL_SHARE = 0.01
_ORDINARY_CONTROLS = frozenset("\t\n\r\f\x0b\x1b\x85")


def decode(data: bytes, path: Path) -> tuple[str, str]:
    """Decode a text file.

    A byte order mark decides; then valid UTF-8 is UTF-8; then charset-normalizer detects (it
    reads an encoding declared in the text, as HTML does, too). Line ends become ``\\n``.

    Args:
        data: the whole file.
        path: for messages.

    Returns:
        The text and the name of its encoding.

    Raises:
        DocumentError: it is binary, it contradicts its byte order mark, or its encoding cannot
            be detected.
        MissingExtraError: it is not UTF-8, and charset-normalizer is not installed.
    """
    text, encoding = _decode(data, path)
    if _is_binary(text):
        raise DocumentError(
            f"{path} is binary ({len(data)} bytes), not text; its name may be wrong, or it needs "
            "a tool of its own to turn it into text first"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decode(data: bytes, path: Path) -> tuple[str, str]:
    marked = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    try:
        encoding = marked or "utf-8"
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if marked:
            raise DocumentError(
                f"{path} begins with the byte order mark of {marked}, but is invalid at byte "
                f"{error.start} of {len(data)}: it is damaged or cut short. Save it again as UTF-8"
            ) from error
        invalid_at = error.start
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingExtraError(
            f"{path} is not UTF-8 (byte {invalid_at}); to detect its encoding run "
            '`pip install "longctx-sdk[rag]"`, or save it as UTF-8'
        ) from error
    best = from_bytes(data).best()
    if best is None:
        raise DocumentError(
            f"{path} is not UTF-8 (byte {invalid_at} of {len(data)}) and no other encoding fits: "
            "it is binary or damaged. Save it as UTF-8"
        )
    return str(best), best.encoding


def _is_binary(text: str) -> bool:
    if "\x00" in text:
        return True
    controls = sum(unicodedata.category(c) == "Cc" for c in text if c not in _ORDINARY_CONTROLS)
    return controls > _MAX_CONTROL_SHARE * len(text)
