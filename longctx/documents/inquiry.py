"""One question from what is read to its answer, waited for or piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from longctx.documents.answer import Answer, AnswerChunk, Passage, Repeat
from longctx.documents.asking import AnswerPutOffError, Asking
from longctx.documents.citations import find_citations
from longctx.documents.compiled import compiled_documents
from longctx.documents.founded import unfounded
from longctx.documents.holdings import Holdings
from longctx.documents.layout import Block
from longctx.documents.report import packing_report, passages_of
from longctx.documents.search import SearchResult
from longctx.prompt import Prompt

NOT_FOUND = "This is not in the documents."


@dataclass(frozen=True)
class Inquiry:
    """A question that is ready to be put to the model.

    ``blocks`` are what will be read: in one ``prompt``, or, where there is none, by ``read_all``,
    which returns the answer and what was read. ``is_answerable`` is False where the search found
    nothing and the answer says so, in place of the model. ``compose`` is as in
    :class:`~longctx.documents.qa.DocumentQA`; ``repeats`` were asked, too, and are read as others.
    """

    asking: Asking
    holdings: Holdings
    strategy: str
    reason: str
    blocks: Sequence[Block]
    prompt: Prompt | None = None
    read_all: Callable[[], tuple[str, list[Block]]] | None = None
    searched: SearchResult | None = None
    compose: int | None = None
    repeats: Sequence[Repeat] = ()
    is_answerable: bool = True

    @property
    def sources(self) -> tuple[Passage, ...]:
        """What will be read."""
        return passages_of(self.holdings, self.blocks)

    def answer(self) -> Answer:
        """Ask the model, and wait."""
        if not self.is_answerable:
            return self._answer(NOT_FOUND, ())
        if self.prompt is not None:
            self._place(self.prompt)
            return self._answer(self.asking.chat(self.prompt, self.blocks), self.blocks)
        assert self.read_all is not None  # one of the two is there
        return self._answer(*self.read_all())

    def chunks(self) -> Generator[AnswerChunk]:
        """The sources, the answer piece by piece, and the whole of it with its citations.

        ``refine`` writes its answer in one piece: which of its drafts is the last is known then.
        """
        yield AnswerChunk(sources=self.sources)
        if not self.is_answerable or self.strategy == "refine":
            answer = self.answer()
            yield AnswerChunk(text=answer.text, reasoning=answer.reasoning)
            yield AnswerChunk(answer=answer)
            return
        prompt, blocks = self._last_prompt()
        written: list[str] = []
        for chunk in self.asking.stream(prompt, blocks):
            written.append(chunk.text)
            yield AnswerChunk(text=chunk.text, reasoning=chunk.reasoning)
        yield AnswerChunk(answer=self._answer("".join(written), self.asking.read))

    def _last_prompt(self) -> tuple[Prompt, Sequence[Block]]:
        """What the answer is to, and what of the documents stands in it; notes are taken."""
        if self.prompt is not None:
            self._place(self.prompt)
            return self.prompt, self.blocks
        assert self.read_all is not None  # one of the two is there
        self.asking.puts_off_answer = True
        try:
            self.read_all()
        except AnswerPutOffError as put_off:
            return put_off.prompt, put_off.blocks
        raise AssertionError("reading all ends with an answer")

    def _place(self, prompt: Prompt) -> None:
        """Bring what was prefilled alone to its place, where it is wanted so."""
        if self.asking.knows(prompt):
            return
        if self.compose is not None:
            self.asking.compose(prompt, self.blocks, recompute=self.compose)
        elif prompt.compressed:
            self.asking.compose(prompt, ())

    def _answer(self, text: str, blocks: Sequence[Block]) -> Answer:
        citations = find_citations(text, blocks)
        is_there = self.searched is None or self.searched.is_there
        new = unfounded(text, self.asking.question, (b.text for b in blocks)) if blocks else ()
        grounded = all(c.verified for c in citations) if citations else None
        grounded = False if new else grounded
        notes = self.searched.notes if self.searched else ()
        compiled, left_whole = compiled_documents(self.asking, self.prompt, blocks)
        return Answer(
            text=text,
            strategy=self.strategy,
            citations=citations,
            report=packing_report(
                self.asking,
                self.strategy,
                self.reason,
                self.holdings,
                blocks,
                (*notes, *left_whole),
                self.repeats,
                compiled,
            ),
            usage=self.asking.usage,
            reasoning=self.asking.reasoning,
            grounded=grounded if is_there or grounded else False,
            unfounded=new,
            relevance=self.searched.relevance if self.searched else None,
        )
