"""How a protocol writes an answer down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import to_json

from longctx.server.errors import ApiError
from longctx.types import Chunk, Completion, Progress

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


class ChoicesFormat(Protocol):
    """Answers that are written side by side, by their places, in one document or stream."""

    def whole(self, results: Sequence[Completion]) -> Document | Sequence[Document]:
        """The document of answers that are not streamed, or one of each."""

    def opening(self, n_prompt: int | None) -> Iterable[str]:
        """What stands before the first piece."""

    def progress(self, progress: Progress) -> Iterable[str]:
        """How far the prefill has come."""

    def piece(self, index: int, chunk: Chunk) -> Iterable[str]:
        """What was written next of one."""

    def ending(self, index: int, result: Completion) -> Iterable[str]:
        """What stands behind the last piece of one."""

    def closing(self, results: Sequence[Completion]) -> Iterable[str]:
        """What stands behind all of them."""

    def failure(self, error: ApiError) -> Iterable[str]:
        """The end of answers that break off."""


@dataclass(frozen=True)
class OneAnswer:
    """The format of a protocol that has one answer to a request."""

    form: AnswerFormat

    def whole(self, results: Sequence[Completion]) -> Document:
        """Its document."""
        (result,) = results
        return self.form.whole(result)

    def opening(self, n_prompt: int | None) -> Iterable[str]:
        """Its beginning."""
        return self.form.opening(n_prompt)

    def progress(self, progress: Progress) -> Iterable[str]:
        """In a comment: the protocols that have one answer have no event for it."""
        return (comment(progress),)

    def piece(self, _index: int, chunk: Chunk) -> Iterable[str]:
        """A piece of it."""
        return self.form.piece(chunk)

    def ending(self, _index: int, result: Completion) -> Iterable[str]:
        """Its end."""
        return self.form.ending(result)

    def closing(self, _results: Sequence[Completion]) -> Iterable[str]:
        """Nothing: its end was told."""
        return ()

    def failure(self, error: ApiError) -> Iterable[str]:
        """How it breaks off."""
        return self.form.failure(error)


def comment(progress: Progress) -> str:
    """How far the prefill has come, where clients pass over it: ``: prefill 512/2048``."""
    return f": prefill {progress.done_tokens}/{progress.total_tokens}\n\n"


def frame(document: Document, name: str | None = None) -> str:
    """A server-sent event (WHATWG HTML, section 9.2), perhaps with a name."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {to_json(document).decode()}\n\n"
