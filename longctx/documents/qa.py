"""Questions over documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from typing_extensions import Unpack

from longctx import arguments
from longctx.arguments import whole
from longctx.documents.answer import Answer
from longctx.documents.asking import Asking
from longctx.documents.choice import Strategy, check_strategy, choose
from longctx.documents.citations import find_citations
from longctx.documents.document import Document
from longctx.documents.embedders import as_embedder
from longctx.documents.folder import LoadedFolder, load_folder
from longctx.documents.layout import Block, window
from longctx.documents.library import Entry, Library
from longctx.documents.load import load_document
from longctx.documents.packing import best_at_edges
from longctx.documents.read_all import map_reduce, refine
from longctx.documents.report import describe, packing_report
from longctx.documents.retrieve import retrieve
from longctx.errors import ContextOverflowError, DocumentError, RequestError
from longctx.options import SAMPLING_OPTIONS, SamplingOptions, check_names
from longctx.prompt import Prompt
from longctx.protocols import ChatModel, ComposingModel
from longctx.sampling import Sampling
from longctx.types import ProgressCallback

Order = Literal["document", "edges"]

_SEAM_TOKENS = 16
"""More than a document can lose when it is counted together with others, and not by itself."""


class DocumentQA:
    """Answers questions from documents in the window.

    Args:
        llm: a :class:`longctx.LongContextLLM`, or anything that satisfies ``ChatModel``.
        strategy: ``"whole"`` puts every document in the window, ``"retrieve"`` the passages that
            answer the question, ``"map_reduce"`` and ``"refine"`` read everything a window at a
            time. ``"auto"`` is ``"whole"`` where that fits; otherwise ``"map_reduce"`` for
            questions about everything ("Summarise …") and ``"retrieve"`` for others. Which and
            why is in ``Answer.report``.
        embedder: what retrieval searches with: a sentence-transformers model, its name or
            folder, a function from texts to vectors, an ``Embedder``; None is the packaged
            model. It is loaded at the first retrieval.
        budget_tokens: of one window, prompt and answer together; None is ``llm.target_ctx``. A
            smaller one costs less time, and small models answer better from it.
        order: ``"document"`` keeps the order of documents and text, so that their keys are
            reused; ``"edges"`` puts what fits the question best first and last, against "lost in
            the middle", and breaks that reuse.
        compose: None prefills the documents of a window together, as the model would have it. A
            number prefills each document once, alone, and places its cached keys wherever a
            question needs them, so that any subset of a library is in the window at once; so
            many tokens at its front are prefilled in place. It is an approximation, for the
            strategy ``"whole"``: docs/rag.md has what it costs and saves.

    Raises:
        RequestError: an argument is none of these.

    Examples:
        >>> from longctx.testing import ScriptedChatModel
        >>> qa = DocumentQA(ScriptedChatModel(['It says "the seller bears the risk" [D1].']))
        >>> _ = qa.add("Until delivery the seller bears the risk.", doc_id="contract")
        >>> qa.ask("Who bears the risk?").citations[0].start
        15
    """

    def __init__(
        self,
        llm: ChatModel,
        *,
        strategy: Strategy = "auto",
        embedder: Any = None,
        budget_tokens: int | None = None,
        order: Order = "document",
        compose: int | None = None,
    ) -> None:
        check_strategy(strategy)
        arguments.one_of("order", order, get_args(Order))
        if budget_tokens is not None:  # of at most target_ctx
            budget_tokens = whole("budget_tokens", budget_tokens, least=1, most=llm.target_ctx)
        self.llm = llm
        self.strategy = strategy
        self.budget_tokens = budget_tokens
        if compose is not None:
            compose = whole("compose", compose, least=0)
        if compose is not None and not isinstance(llm, ComposingModel):
            raise RequestError(
                f"a {type(llm).__name__} cannot place cached documents; leave compose at None, or "
                "use a LongContextLLM over a local model"
            )
        self.order = order
        self.compose = compose
        self._library = Library(llm.count, as_embedder(embedder))

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order in which they stand in the window."""
        return tuple(entry.document for entry in self._library.entries)

    def add(self, source: str | Path | Document, *, doc_id: str | None = None) -> Document:
        """Add a document behind those already there.

        Args:
            source: a path, a :class:`Document`, or, with ``doc_id``, a text.
            doc_id: the name of a text, or of a file given as ``Path`` (None: the file's name).

        Returns:
            The document as it was added.

        Raises:
            DocumentError: it cannot be read, holds no text, or its name is already taken.
            MissingExtraError: it needs a package of the extra ``rag``.
        """
        document = _as_document(source, doc_id)
        self._library.add(document)
        return document

    def add_folder(self, path: str | Path) -> LoadedFolder:
        """Add every document below a folder, in the order of their paths.

        Returns:
            What was added, and what was skipped and why (see :func:`load_folder`).

        Raises:
            DocumentError: it holds no document, or one's name is already taken.
            MissingExtraError: a file needs a package of the extra ``rag``.
        """
        loaded = load_folder(path)
        for document in loaded.documents:
            self._library.add(document)
        return loaded

    def ask(
        self,
        question: str,
        *,
        max_tokens: int | None = None,
        doc_ids: Sequence[str] | None = None,
        on_progress: ProgressCallback | None = None,
        thinking: bool | str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Answer:
        """Answer a question; only what the window does not hold yet is prefilled.

        Args:
            question: in plain words.
            max_tokens: most tokens of the answer; None lets it go to its end, or the budget's, and
                keeps the model's ``reserve_output`` free for it.
            doc_ids: the documents to answer from; None is all of them.
            on_progress: called after each prefilled batch, with the tokens of all calls that
                are known to come.
            thinking: as in :meth:`longctx.LongContextLLM.chat`; notes are thought over, too.
            sampling: see :class:`longctx.options.SamplingOptions`; notes are drawn so, too.

        Raises:
            DocumentError: there is no document.
            RequestError: one of ``doc_ids`` is not there, there is no question, or ``max_tokens``
                or an option of sampling is out of its range.
            ContextOverflowError: what the strategy needs does not fit; it is raised before
                anything is prefilled, and nothing is cut.
            MissingExtraError: retrieval needs packages of the extra ``rag``.
        """
        if not self._library.entries:
            raise DocumentError("there is no document to ask; add one first: qa.add('file.txt')")
        question = arguments.words("the question", question)
        max_tokens = arguments.max_tokens(max_tokens)
        check_names(sampling, SAMPLING_OPTIONS, "of ask()")
        Sampling.of(sampling)  # before anything is read
        entries = self._library.select(doc_ids)
        asking = Asking(
            llm=self.llm,
            question=question,
            budget_tokens=self.budget_tokens or self.llm.target_ctx,
            reserved_tokens=self.llm.reserve_output if max_tokens is None else max_tokens,
            max_tokens=max_tokens,
            on_progress=on_progress,
            sampling=sampling,
            thinking=thinking,
        )
        whole = self._whole(asking, entries)
        if whole is not None:
            what, tokens = f"{describe(entries)}, the question and the answer", whole.n_tokens
        else:
            what = f"{describe(entries)} and the answer"
            tokens = sum(entry.tokens for entry in entries)
        needed = tokens + asking.reserved_tokens
        strategy, reason = choose(self.strategy, question, what, needed, asking.budget_tokens)
        text, blocks = self._run(strategy, asking, entries, whole)
        return Answer(
            text=text,
            strategy=strategy,
            citations=find_citations(text, blocks),
            report=packing_report(asking, strategy, reason, self._library, blocks),
            usage=asking.usage,
            reasoning=asking.reasoning,
        )

    def _whole(self, asking: Asking, entries: Sequence[Entry]) -> Prompt | None:
        """The prompt with every document; None where it is not wanted, or surely too large."""
        alone = sum(entry.tokens - _SEAM_TOKENS for entry in entries)
        if self.strategy == "whole" or (self.strategy == "auto" and alone <= asking.room):
            return asking.prompt(window([entry.block for entry in entries], asking.question))
        return None

    def _run(
        self, strategy: Strategy, asking: Asking, entries: Sequence[Entry], whole: Prompt | None
    ) -> tuple[str, list[Block]]:
        if strategy == "retrieve":
            return retrieve(asking, self._library, entries, edges=self.order == "edges")
        if strategy == "map_reduce":
            return map_reduce(asking, self._library, entries)
        if strategy == "refine":
            return refine(asking, self._library, entries)
        assert whole is not None  # it was chosen by its count
        if whole.n_tokens > asking.room:
            raise _too_large(asking, entries, whole.n_tokens + asking.reserved_tokens)
        blocks = [entry.block for entry in entries]
        if self.order == "edges" and len(blocks) > 2:
            blocks = best_at_edges(blocks, self._library.ranked(entries, asking.question))
            whole = asking.prompt(window(blocks, asking.question))
        if self.compose is not None:
            asking.compose(whole, blocks, recompute=self.compose)
        return asking.chat(whole, blocks), blocks


def _too_large(asking: Asking, entries: Sequence[Entry], needed: int) -> ContextOverflowError:
    largest = sorted(entries, key=lambda entry: -entry.tokens)
    listed = ", ".join(f"{entry.doc_id!r} {entry.tokens}" for entry in largest[:10])
    more = f" and {len(largest) - 10} smaller ones" if len(largest) > 10 else ""
    return asking.overflow(
        f"{describe(entries)} and the question are {needed - asking.budget_tokens} too many",
        needed,
        f"Tokens by document: {listed}{more}. Raise target_ctx (and budget_tokens) to at least "
        f"{needed}, lower max_tokens, ask fewer documents, or use strategy 'retrieve' or "
        "'map_reduce'.",
    )


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
