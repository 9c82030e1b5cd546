"""longctx's errors as those that ``llm`` shows without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import llm


class LongCtxModelError(llm.ModelError, click.ClickException):
    """longctx refused or failed; its own error, with the numbers, is the ``__cause__``.

    Also one of click's, so that commands which let it pass (``llm chat``) end with its message.
    """


@contextmanager
def in_llms_words() -> Iterator[None]:
    """Raise longctx's errors as ``llm``'s."""
    from longctx import LongCtxError

    try:
        yield
    except LongCtxError as error:
        raise LongCtxModelError(str(error)) from error
