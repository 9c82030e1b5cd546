"""Whatever a damaged file makes a reader stumble on, said as one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from longctx.documents.reading.content import Source
from longctx.errors import DocumentError, LongCtxError


@contextmanager
def malformed(source: Source, what: str, remedy: str) -> Iterator[None]:
    """Read a file inside of this.

    Parsers raise what they like for a damaged file: their own errors, those of zipfile and lxml,
    and whatever follows from a part that is not where it should be.

    Args:
        source: the file.
        what: it would be if it were whole, with its article: ``"a malformed EPUB"``.
        remedy: what may help.

    Raises:
        DocumentError: for any exception that is not ours already.
    """
    try:
        yield
    except LongCtxError:
        raise
    except Exception as error:
        raise DocumentError(
            f"{source.name} is {what} ({len(source.data):,} bytes; {type(error).__name__}: "
            f"{error}); {remedy}"
        ) from error
