"""The bytes of a file to its text, by the readers of :mod:`longctx.documents`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from longctx.documents.document import Document
from longctx.documents.load import load_document
from longctx.errors import DocumentError, MissingExtraError
from longctx.server.errors import ApiError

_NO_PART_OF_A_NAME = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 60  # characters, of up to four bytes, where a file system takes 255


def read_file(name: str, data: bytes) -> Document:
    """Read a file that was sent.

    Args:
        name: what its owner calls it; it helps to tell what it is, and is never a path here.
        data: its bytes.

    Raises:
        ApiError: 400, it holds no text that can be read; 501, a package to read it with is not
            installed.
    """
    with tempfile.TemporaryDirectory(prefix="longctx-") as folder:
        path = Path(folder) / safe_name(name)
        path.write_bytes(data)
        try:
            return load_document(path)
        except MissingExtraError as error:
            raise ApiError(501, str(error), code="missing_extra") from error
        except DocumentError as error:
            said = str(error).replace(str(path), name).replace(path.name, name)
            raise ApiError(400, said, code="unreadable_file") from error


def safe_name(name: str) -> str:
    """A name that leads nowhere; its end, which says what the file is, stays.

    Examples:
        >>> safe_name("../../etc/passwd.PDF")
        'file_.._etc_passwd.PDF'
    """
    return "file" + _NO_PART_OF_A_NAME.sub("_", name.lstrip("."))[-_LONGEST_NAME:]
