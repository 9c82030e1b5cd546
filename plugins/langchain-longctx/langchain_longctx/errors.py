"""The error that both LangChain and longctx know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import ContextOverflowError as LangChainOverflow

from longctx import ContextOverflowError


class LongCtxOverflowError(ContextOverflowError, LangChainOverflow):
    """Prompt and answer do not fit the window; nothing was cut, nothing was computed.

    LangChain's middleware catches it as ``langchain_core.exceptions.ContextOverflowError``, and
    code written for longctx as its own. ``needed``, ``available`` and ``n_ctx`` are in tokens.
    """


@contextmanager
def in_langchains_words() -> Iterator[None]:
    """Raise longctx's overflow as the one that is LangChain's too."""
    try:
        yield
    except ContextOverflowError as error:
        raise LongCtxOverflowError(
            str(error), needed=error.needed, available=error.available, n_ctx=error.n_ctx
        ) from error
