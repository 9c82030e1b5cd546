"""Questions over documents."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from longctx.documents.answer import Answer, DocumentTokens, PackingReport
from longctx.documents.citations import find_citations
from longctx.documents.document import Document
from longctx.documents.layout import document_block, whole_window
from longctx.documents.load import load_document
from longctx.errors import ContextOverflowError, DocumentError
from longctx.protocols import ChatModel, Embedder
from longctx.types import ProgressCallback

Strategy: TypeAlias = Literal["auto", "whole", "retrieve", "map_reduce", "refine"]


class DocumentQA:
    """Answers questions from documents that stand whole in the window.

    Args:
        llm: a :class:`longctx.LongContextLLM`, or anything that satisfies ``ChatModel``.
        strategy: ``"whole"`` puts every document in the window; ``"auto"`` is ``"whole"`` for
            now. ``"retrieve"``, ``"map_reduce"`` and ``"refine"`` are not available yet.
        embedder: what ``"retrieve"`` will search with; ``"whole"`` needs none.

    Raises:
        DocumentError: the strategy is unknown or not available yet.

    Example:
        >>> from longctx.testing import ScriptedChatModel
        >>> qa = DocumentQA(ScriptedChatModel(['It says "the seller bears the risk".']))
        >>> _ = qa.add("Until delivery the seller bears the risk.", doc_id="contract")
        >>> qa.ask("Who bears the risk?").citations[0].start
        15
    """

    def __init__(
        self,
        llm: ChatModel,
        *,
        strategy: Strategy = "auto",
        embedder: Embedder | str | Path | None = None,
    ) -> None:
        if strategy not in get_args(Strategy):
            raise DocumentError(
                f"strategy is {strategy!r}; use one of {', '.join(get_args(Strategy))}"
            )
        if strategy not in ("auto", "whole"):
            raise DocumentError(
                f"strategy {strategy!r} is not available yet; use 'whole' (or 'auto'), which puts "
                "every document in the window"
            )
        self.llm = llm
        self.strategy = strategy
        self.embedder = embedder
        self._documents: dict[str, Document] = {}
        self._blocks: dict[str, str] = {}
        self._tokens: dict[str, int] = {}

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order in which they stand in the window."""
        return tuple(self._documents.values())

    def add(self, source: str | Path | Document, *, doc_id: str | None = None) -> Document:
        """Add a document behind those already there.

        Args:
            source: a path, a :class:`Document`, or, with ``doc_id``, a text.
            doc_id: the name of a text, or of a file given as ``Path`` (None: the file's name).

        Returns:
            What was added.

        Raises:
            DocumentError: it cannot be read, or the name is taken.
            MissingExtraError: it needs a package of the extra ``rag``.
        """
        document = _as_document(source, doc_id)
        if document.doc_id in self._documents:
            raise DocumentError(
                f"there is already a document named {document.doc_id!r}; give this one another "
                "doc_id (for a file: add(Path(...), doc_id='...'))"
            )
        block = document_block(document)
        self._tokens[document.doc_id] = self.llm.count(block)
        self._blocks[document.doc_id] = block
        self._documents[document.doc_id] = document
        return document

    def ask(
        self,
        question: str,
        *,
        max_tokens: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Answer:
        """Answer a question; only what the window does not hold yet is prefilled.

        Args:
            question: in plain words.
            max_tokens: room for the answer; None is the model's ``reserve_output``.
            on_progress: called after each prefilled batch.

        Raises:
            DocumentError: no document, no question, or a ``max_tokens`` below 1.
            ContextOverflowError: documents, question and answer do not fit; it is raised before
                anything is prefilled, and nothing is cut.
        """
        if not self._documents:
            raise DocumentError("there is no document to ask; add one first: qa.add('file.txt')")
        if not isinstance(question, str) or not question.strip():
            raise DocumentError("the question is empty; ask something in plain words")
        if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
            raise DocumentError(f"max_tokens is {max_tokens!r}; use 1 or more, or None")
        messages = whole_window(list(self._blocks.values()), question)
        report = self._pack(self.llm.count(messages), max_tokens)
        completion = self.llm.chat(messages, max_tokens=max_tokens, on_progress=on_progress)
        return Answer(
            text=completion.text,
            strategy=report.strategy,
            citations=find_citations(completion.text, self.documents),
            report=report,
            usage=completion.usage,
        )

    def _pack(self, prompt_tokens: int, max_tokens: int | None) -> PackingReport:
        reserved = self.llm.reserve_output if max_tokens is None else max_tokens
        target = self.llm.target_ctx
        sizes = tuple(DocumentTokens(doc_id=n, tokens=t) for n, t in self._tokens.items())
        free = target - prompt_tokens - reserved
        if free < 0:
            largest = sorted(sizes, key=lambda size: -size.tokens)
            listed = ", ".join(f"{size.doc_id!r} {size.tokens}" for size in largest[:10])
            more = f" and {len(largest) - 10} smaller ones" if len(largest) > 10 else ""
            raise ContextOverflowError(
                f"{_documents(sizes)} and the question are {prompt_tokens} tokens, {reserved} are "
                f"reserved for the answer, and target_ctx is {target}: {-free} too many. Tokens "
                f"by document: {listed}{more}. Construct the model with target_ctx of at least "
                f"{target - free}, lower max_tokens, or ask fewer documents. Nothing was cut.",
                needed=prompt_tokens + reserved,
                available=target,
                n_ctx=target,
            )
        return PackingReport(
            strategy="whole",
            reason=f"{_documents(sizes)}, the question and the answer fit target_ctx",
            documents=sizes,
            prompt_tokens=prompt_tokens,
            other_tokens=prompt_tokens - sum(size.tokens for size in sizes),
            reserved_tokens=reserved,
            free_tokens=free,
            target_ctx=target,
        )


def _documents(sizes: tuple[DocumentTokens, ...]) -> str:
    return "1 document" if len(sizes) == 1 else f"{len(sizes)} documents"


def _as_document(source: str | Path | Document, doc_id: str | None) -> Document:
    if isinstance(source, Document):
        return source if doc_id is None else Document(**{**dict(source), "doc_id": doc_id})
    if isinstance(source, Path) or (isinstance(source, str) and doc_id is None):
        return load_document(source, doc_id=doc_id)
    if isinstance(source, str) and doc_id is not None:
        if _is_file(source):
            raise DocumentError(
                f"{source!r} with a doc_id would be taken as the text itself, but it is a file; "
                "pass Path(...) for the file, or Document(...) for the text"
            )
        return Document(doc_id=doc_id, text=source)
    raise DocumentError(
        f"a document is a path, a Document, or a text with doc_id=, not a {type(source).__name__}"
    )


def _is_file(text: str) -> bool:
    try:
        return len(text) < 1000 and Path(text).is_file()
    except (OSError, ValueError):
        return False
