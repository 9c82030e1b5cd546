"""What a question over documents returns."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import computed_field

from longctx.types import Frozen, Usage

_MOST_ROWS = 20

CitationStatus: TypeAlias = Literal["verified", "elsewhere", "near", "absent"]
"""What became of a quotation: it stands where the answer says, in another document than that,
nearly so, or in none."""


class Citation(Frozen):
    """What an answer quotes or claims from a document, and where that stands.

    ``mark`` is the source that the answer names behind it, such as ``D1`` or ``D1.4``; None if
    it names none. A quotation behind which several stand is a citation of each.

    ``status`` is

    - ``"verified"``: ``quote`` is ``document.text[start:end]``, in the document that the mark
      names, or, without a mark, in the first document that holds it. The answer has the same
      words, numbers and symbols, whole; white space, the kinds of quotation marks, apostrophes
      and dashes, ligatures, hyphens at the end of lines and the case of the first letter may
      differ.
    - ``"elsewhere"``: the words stand so, but in another document than the mark says; ``doc_id``,
      ``start`` and ``end`` point there.
    - ``"near"``: no document has these words, and one, at ``start`` to ``end``, all but
      ``differs_in`` of them (0: capitals or symbols differ).
    - ``"absent"``: no document has them. ``doc_id`` is the one that the mark names, if any.

    But where it is verified, ``quote`` is as the answer has it. What does not apply is None, so
    are ``page`` and ``heading`` for documents without them.
    """

    quote: str
    status: CitationStatus
    mark: str | None = None
    doc_id: str | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None
    heading: str | None = None
    differs_in: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def verified(self) -> bool:
        """Whether it stands where the answer says."""
        return self.status == "verified"

    @property
    def verdict(self) -> str:
        """The status in words."""
        if self.status == "near":
            if not self.differs_in:
                return "NOT VERIFIED: it stands there but for capitals or symbols"
            words = "word" if self.differs_in == 1 else "words"
            return f"NOT VERIFIED: what stands there differs in {self.differs_in} {words}"
        return {
            "verified": "verified",
            "elsewhere": "NOT VERIFIED: it stands there, and not where the answer says",
            "absent": "NOT VERIFIED: these words stand in no document",
        }[self.status]


class DocumentTokens(Frozen):
    """A document's tokens, its markers included, counted by itself.

    Where only passages of it were in the window: the sum of theirs, or of what was left out.
    """

    doc_id: str
    tokens: int


class Passage(Frozen):
    """A span of a document in the window: ``text[start:end]``.

    ``tokens`` are those of its chunks and of its markers, each counted by itself.
    """

    mark: str
    doc_id: str
    start: int
    end: int
    page: int | None
    tokens: int


class Repeat(Frozen):
    """A document that is the same text as another one, which stands for both."""

    doc_id: str
    same_as: str


class CompiledDocument(Frozen):
    """A document that stood compressed in the window: each layer and head kept a ``share`` of the
    cells of these ``tokens``, all but its first and last ones."""

    doc_id: str
    share: float
    tokens: int


class PackingReport(Frozen):
    """What was in the window for an answer, in tokens, and why.

    ``documents`` and ``passages`` (empty where documents stood whole) were read; ``left_out``
    was not, and ``repeats`` had not to be; ``compiled`` are those documents of which not all was
    in the cache. ``prompt_tokens`` is all that was in the window, in the
    fullest one if there were several ``calls`` of the model: documents and ``other_tokens``
    (system prompt, chat template, question). ``prompt_tokens + reserved_tokens + free_tokens`` is
    ``budget_tokens``, of ``target_ctx``; ``reserved_tokens`` was kept for the answer. ``notes``
    say what may have gone wrong in the search, such as documents in a language that the embedder
    does not know, and which documents were to be compiled and stood whole.
    """

    strategy: str
    reason: str
    documents: tuple[DocumentTokens, ...]
    passages: tuple[Passage, ...] = ()
    left_out: tuple[DocumentTokens, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    compiled: tuple[CompiledDocument, ...] = ()
    calls: int = 1
    prompt_tokens: int
    other_tokens: int
    reserved_tokens: int
    free_tokens: int
    budget_tokens: int
    target_ctx: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [(f"in   {d.doc_id}", d.tokens) for d in self.documents]
        out = [(f"out  {d.doc_id}", d.tokens) for d in self.left_out]
        if len(out) > _MOST_ROWS:
            rest = sum(tokens for _, tokens in out[_MOST_ROWS:])
            out[_MOST_ROWS:] = [(f"out  {len(out) - _MOST_ROWS:,} others", rest)]
        rows += out
        rows += [
            ("instructions and question", self.other_tokens),
            ("reserved for the answer", self.reserved_tokens),
            ("free", self.free_tokens),
            ("budget", self.budget_tokens),
            ("target_ctx", self.target_ctx),
        ]
        width = max(len(name) for name, _ in rows)
        table = "\n".join(f"{name:<{width}} {tokens:>9,}" for name, tokens in rows)
        calls = f" ({self.calls} calls; figures of the fullest window)" if self.calls > 1 else ""
        same = [f"{r.doc_id} is the same text as {r.same_as}" for r in self.repeats]
        if len(same) > _MOST_ROWS:
            same[_MOST_ROWS:] = [f"{len(same) - _MOST_ROWS:,} others are in there twice, too"]
        table += "".join(f"\n{line}, and stands once" for line in same)
        table += "".join(
            f"\n{c.doc_id} is compiled: {c.share:.0%} of the cells of {c.tokens:,} tokens"
            for c in self.compiled
        )
        notes = "".join(f"\nnote: {note}" for note in self.notes)
        return f"strategy {self.strategy}: {self.reason}{calls}\n{table}{notes}"


class Hit(Frozen):
    """A part of a document that a search found: ``text`` is ``document.text[start:end]``.

    Hits come by ``score``, which is the reranker's, or else the sum of reciprocal ranks by meaning
    and by words. ``similarity`` is the cosine of the embeddings of query and text.
    """

    doc_id: str
    start: int
    end: int
    text: str
    page: int | None = None
    heading: str | None = None
    score: float
    similarity: float


class Answer(Frozen):
    """An answer from documents.

    ``grounded`` says whether the documents bear it out, as far as that was checked: True if it
    has citations and each is verified; False if one is not, or a figure or a name in it is
    ``unfounded``, or the search found nothing that the question could be about; None if it quotes
    and claims nothing that could be checked. ``unfounded`` are figures and names that stand
    neither in what was read nor in the question; what the model worked out, such as a sum, is one.
    ``relevance`` is how near the search came to the question, from 0 to 1 (the best sentence's
    cosine); None where nothing was searched, or there is no scale for the embedder.

    ``usage.prefilled_tokens`` shows what the question cost: after the first question on the
    same documents it is little more than the question itself. ``reasoning`` is what the model
    thought before it answered, where it tells.
    """

    text: str
    strategy: str
    citations: tuple[Citation, ...]
    report: PackingReport
    usage: Usage
    reasoning: str = ""
    grounded: bool | None = None
    unfounded: tuple[str, ...] = ()
    relevance: float | None = None


class AnswerChunk(Frozen):
    """A piece of an answer that is being written.

    The first has the ``sources``, which are what the model reads: passages, or whole documents.
    The last has the ``answer``, with its citations; those between have some of its ``text`` or of
    its ``reasoning``.
    """

    text: str = ""
    reasoning: str = ""
    sources: tuple[Passage, ...] = ()
    answer: Answer | None = None
