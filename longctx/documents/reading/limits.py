"""How much a file may hold: a small one can claim, or unpack to, more than the memory has."""

from __future__ import annotations

from longctx.errors import DocumentError

MAX_FILE_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 512 << 20
MAX_TEXT_CHARS = 64_000_000
"""Some 16 million tokens of English: more than any window."""
MAX_HTML_CHARS = 64_000_000
"""The parsed page takes some twenty times as many bytes."""
MAX_CELLS = 20_000_000
"""Of one sheet, empty ones between others included: they take memory, too."""
MAX_FOLDER_FILES = 20_000


def check_text(name: object, n_chars: int) -> None:
    """Refuse a text that has grown past ``MAX_TEXT_CHARS``.

    Raises:
        DocumentError: ``n_chars`` is more.
    """
    if n_chars > MAX_TEXT_CHARS:
        raise DocumentError(
            f"{name} holds more than {MAX_TEXT_CHARS:,} characters of text, which no window takes "
            "in and which is the mark of a decompression bomb; split it, or extract what you need"
        )
