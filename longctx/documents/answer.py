"""What a question over documents returns."""

from __future__ import annotations

from longctx.types import Frozen, Usage


class Citation(Frozen):
    """A quotation in an answer, and where it stands.

    Verified: ``quote`` is ``document.text[start:end]`` of the first document and place that hold
    it, white space aside. Not verified: no document that was in the window holds it; ``quote``
    is as the answer has it, and ``doc_id``, ``start``, ``end`` and ``page`` are None. ``page``
    is None, too, for documents without pages.
    """

    quote: str
    verified: bool
    doc_id: str | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None


class DocumentTokens(Frozen):
    """A document's tokens, its markers included, counted by itself."""

    doc_id: str
    tokens: int


class PackingReport(Frozen):
    """What was in the window for an answer, in tokens, and why.

    ``prompt_tokens`` is all that was in the window: ``documents`` and ``other_tokens`` (system
    prompt, chat template, question). ``prompt_tokens + reserved_tokens + free_tokens`` is
    ``target_ctx``; ``reserved_tokens`` was kept for the answer.
    """

    strategy: str
    reason: str
    documents: tuple[DocumentTokens, ...]
    left_out: tuple[DocumentTokens, ...] = ()
    prompt_tokens: int
    other_tokens: int
    reserved_tokens: int
    free_tokens: int
    target_ctx: int

    def __str__(self) -> str:
        rows = [(f"in   {d.doc_id}", d.tokens) for d in self.documents]
        rows += [(f"out  {d.doc_id}", d.tokens) for d in self.left_out]
        rows += [
            ("instructions and question", self.other_tokens),
            ("reserved for the answer", self.reserved_tokens),
            ("free", self.free_tokens),
            ("target_ctx", self.target_ctx),
        ]
        width = max(len(name) for name, _ in rows)
        table = "\n".join(f"{name:<{width}} {tokens:>9,}" for name, tokens in rows)
        return f"strategy {self.strategy}: {self.reason}\n{table}"


class Answer(Frozen):
    """An answer from documents.

    ``usage.prefilled_tokens`` shows what the question cost: after the first question on the
    same documents it is little more than the question itself.
    """

    text: str
    strategy: str
    citations: tuple[Citation, ...]
    report: PackingReport
    usage: Usage
