"""How a protocol writes an answer down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from longctx.server.errors import ApiError
from longctx.types import Chunk, Completion

Document = Mapping[str, Any]


class AnswerFormat(Protocol):
    """One answer in a protocol's words: whole, or as the frames of a stream."""

    def whole(self, result: Completion) -> Document:
        """The document of an answer that is not streamed."""

    def opening(self, n_prompt: int | None) -> Iterable[str]:
        """What stands before the first piece; the prompt's tokens are known where it is a
        conversation."""

    def piece(self, chunk: Chunk) -> Iterable[str]:
        """What was written next."""

    def ending(self, result: Completion) -> Iterable[str]:
        """What stands behind the last piece."""

    def failure(self, error: ApiError) -> Iterable[str]:
        """The end of an answer that breaks off: the status is sent, so this is an event."""


def frame(document: Document, name: str | None = None) -> str:
    """A server-sent event (WHATWG HTML, section 9.2), perhaps with a name."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, ensure_ascii=False)}\n\n"
