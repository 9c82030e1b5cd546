"""An answer from documents while it is being written."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from longctx.closing import Closing
from longctx.documents.answer import Answer, AnswerChunk, Passage
from longctx.documents.inquiry import Inquiry
from longctx.errors import BackendError


class AnswerStream(Closing, Iterator[AnswerChunk]):
    """The sources, then the answer piece by piece; the last chunk carries the whole ``answer``.

    ``close()``, leaving a ``with`` block and any exception in between give the answer up.

    Args:
        inquiry: ready to be put to the model.

    Examples:
        >>> from longctx.documents import DocumentQA
        >>> from longctx.testing import ScriptedChatModel
        >>> qa = DocumentQA(ScriptedChatModel(["The seller does [D1]."]))
        >>> _ = qa.add("The seller bears the risk.", doc_id="contract")
        >>> with qa.stream("Who bears it?") as stream:
        ...     print([source.doc_id for source in stream.sources])
        ...     print("".join(chunk.text for chunk in stream))
        ['contract']
        The seller does [D1].
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._chunks: Generator[AnswerChunk] = inquiry.chunks()
        self._answer: Answer | None = None

    @property
    def sources(self) -> tuple[Passage, ...]:
        """What the model reads, also before anything was read."""
        return self._inquiry.sources

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> AnswerChunk:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise
        self._answer = chunk.answer or self._answer
        return chunk

    @property
    def answer(self) -> Answer:
        """The whole answer; what was not read yet is waited for.

        Raises:
            BackendError: the stream was closed before its end.
        """
        while self._answer is None and not self._inquiry.asking.is_closed:
            next(self)
        if self._answer is None:
            raise BackendError(
                "this answer was given up before its end; read the stream to its end, or ask again"
            )
        return self._answer

    def close(self) -> None:
        """Give up what has not been written yet. Idempotent, never waits, from any thread."""
        self._inquiry.asking.close()
