"""What a question over documents returns."""

from __future__ import annotations

from longctx.types import Frozen, Usage


class Citation(Frozen):
    """What an answer quotes or claims from a document, and where that stands.

    ``mark`` is the source that the answer names behind it, such as ``D1`` or ``D1.4``; None if
    it names none. Verified: ``quote`` is ``document.text[start:end]``, white space aside, in the
    document that the mark names, or, without a mark, in the first document that holds it.

    Not verified: ``quote`` is as the answer has it. If it stands in another document than the
    mark says, ``doc_id``, ``start``, ``end`` and ``page`` point there; if it stands in none,
    ``doc_id`` is the document that the mark names (None if it names none) and the others are
    None. ``page`` and ``heading`` are None, too, for documents without them.
    """

    quote: str
    verified: bool
    mark: str | None = None
    doc_id: str | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None
    heading: str | None = None


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


class PackingReport(Frozen):
    """What was in the window for an answer, in tokens, and why.

    ``documents`` and ``passages`` (empty where documents stood whole) were read; ``left_out``
    was not. ``prompt_tokens`` is all that was in the window, in the fullest one if there were
    several ``calls`` of the model: documents and ``other_tokens`` (system prompt, chat template,
    question). ``prompt_tokens + reserved_tokens + free_tokens`` is ``budget_tokens``, of
    ``target_ctx``; ``reserved_tokens`` was kept for the answer.
    """

    strategy: str
    reason: str
    documents: tuple[DocumentTokens, ...]
    passages: tuple[Passage, ...] = ()
    left_out: tuple[DocumentTokens, ...] = ()
    calls: int = 1
    prompt_tokens: int
    other_tokens: int
    reserved_tokens: int
    free_tokens: int
    budget_tokens: int
    target_ctx: int

    def __str__(self) -> str:
        rows = [(f"in   {d.doc_id}", d.tokens) for d in self.documents]
        rows += [(f"out  {d.doc_id}", d.tokens) for d in self.left_out]
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
        return f"strategy {self.strategy}: {self.reason}{calls}\n{table}"


class Answer(Frozen):
    """An answer from documents.

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
