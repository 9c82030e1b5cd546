"""Questions over documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from typing_extensions import Self, Unpack

from longctx import arguments
from longctx.arguments import whole
from longctx.documents.answer import Answer, Hit
from longctx.documents.answer_stream import AnswerStream
from longctx.documents.answered import Answered
from longctx.documents.asking import Asking
from longctx.documents.choice import Strategy, check_strategy
from longctx.documents.document import Document
from longctx.documents.entry import Entry
from longctx.documents.filters import Where, picks
from longctx.documents.folder import AddedFolder, load_folder
from longctx.documents.holdings import Holdings, once
from longctx.documents.inquirer import Inquirer, NotFound
from longctx.documents.inquiry import Inquiry
from longctx.documents.library import Library
from longctx.documents.options import ASK_OPTIONS, AskOptions
from longctx.documents.question import Question
from longctx.documents.report import describe
from longctx.documents.reranking import as_reranker
from longctx.documents.search import Search, hit
from longctx.documents.sources import (
    SOURCE_OPTIONS,
    SourceOptions,
    incoming,
    incoming_folder,
)
from longctx.errors import DocumentError, RequestError
from longctx.options import SAMPLING_OPTIONS, SamplingOptions, check_names
from longctx.protocols import ChatModel, ComposingModel
from longctx.sampling import Sampling
from longctx.search.embedders import as_embedder
from longctx.types import Message, ProgressCallback

Order = Literal["document", "edges"]


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
        reranker: what looks at the best 50 chunks again: a sentence-transformers ``CrossEncoder``,
            its name or folder, a :class:`~longctx.documents.reranking.Reranker`, or a function
            from a question and texts to numbers; None is none. It takes a pass of a model for
            each chunk.
        instructions: how to answer, in plain words, for every question. They stand behind the
            documents, so that changing them reads nothing again.
        not_found: what to do where the search finds nothing that the question could be about:
            ``"auto"`` says so, without asking the model, where the search is made anyway
            (``"retrieve"``), and where documents stand whole and most words of a question for a
            fact are in none of them; ``"say"`` searches under every strategy, for that alone;
            ``"ask"`` asks the model all the same. ``Answer.grounded`` is False in each case. With a
            ``response_schema`` the model is always asked.
        min_relevance: what the search must come to, from 0 to 1 (``Answer.relevance``). None is a
            measured limit for the packaged embedder and English texts; others have none.
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
        path: a file to keep the documents in, with all that was made of them: another process
            that opens it reads, cuts and embeds nothing again. Threads and processes may share
            it, and see each other's changes at their next question. None is memory.

    Raises:
        RequestError: an argument is none of these.
        DocumentError: ``path`` is a file of another kind, damaged, or cannot be written.

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
        reranker: Any = None,
        instructions: str | None = None,
        not_found: NotFound = "auto",
        min_relevance: float | None = None,
        budget_tokens: int | None = None,
        order: Order = "document",
        compose: int | None = None,
        path: str | Path | None = None,
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
        arguments.one_of("not_found", not_found, get_args(NotFound))
        if min_relevance is not None:
            min_relevance = arguments.real("min_relevance", min_relevance, least=0, most=1)
        if instructions is not None:
            instructions = arguments.plain_text("instructions", instructions)
        self.instructions = instructions
        self.not_found = not_found
        self.path = None if path is None else arguments.path("path", path)
        embedder = as_embedder(embedder)
        self._library = Library(llm.count, embedder, self.path)
        self._search = Search(self._library, embedder, as_reranker(reranker), min_relevance)
        self._answered = Answered()

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order in which they stand in the window."""
        return tuple(entry.document for entry in self._library.holdings().entries)

    def add(self, source: str | Path | Document, **options: Unpack[SourceOptions]) -> Document:
        """Add a document behind those already there.

        The same document again changes nothing. Its text may be that of another one: then the
        window has it once (``PackingReport.repeats``).

        Args:
            source: a path, a :class:`Document`, or, with ``doc_id``, a text.
            options: see :class:`longctx.documents.sources.SourceOptions`.

        Returns:
            The document as it was added.

        Raises:
            DocumentError: it cannot be read, holds no text, or its name is already taken.
            RequestError: an option is unknown, its metadata cannot be kept on disk, or the model
                can compile nothing.
            UnsupportedModelError: the text of this model cannot be compressed.
            MissingExtraError: it needs a package of the extra ``rag``.
        """
        return self._put(source, options, replace=False)

    def update(self, source: str | Path | Document, **options: Unpack[SourceOptions]) -> Document:
        """Put a document in the place of the one with its name, or, of a file, of what was read
        from it before; one that is new is added.

        It keeps its place and its mark, so that everything before it stays prefilled, and only
        those of its parts are embedded that are new.

        Arguments, result and errors as :meth:`add`.
        """
        return self._put(source, options, replace=True)

    def add_folder(
        self,
        path: str | Path,
        *,
        encoding: str | None = None,
        password: str | None = None,
        compile: float | None = None,
    ) -> AddedFolder:
        """Add every document below a folder, in the order of their paths, or none; those that
        are there already, and have changed, are updated.

        They are named by their paths from there, so that two ``__init__.py`` live side by side.

        Args:
            path: of the folder.
            encoding: of its text files, see :func:`load_document`.
            password: of those of its files that have one.
            compile: as of :meth:`add`.

        Returns:
            What was added, replaced, and unchanged, and what was skipped and why (see
            :func:`load_folder`).

        Raises:
            DocumentError: it holds no document that can be read, or a name is already taken.
            RequestError, UnsupportedModelError: they cannot be compiled.
        """
        self._check_compile(compile)
        loaded = load_folder(path, encoding=encoding, password=password)
        put = self._library.put(incoming_folder(Path(path), loaded, compile), replace=True)
        return AddedFolder(put.added, put.replaced, put.unchanged, loaded.skipped)

    def remove(self, *doc_ids: str) -> None:
        """Take documents out, all of them or none. The others keep their marks.

        Args:
            doc_ids: their names.

        Raises:
            RequestError: one is not there.
        """
        self._library.remove(doc_ids)

    def close(self) -> None:
        """Let go of the file that the library is kept in, if it is; the model stays open."""
        self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _put(
        self, source: str | Path | Document, options: SourceOptions, *, replace: bool
    ) -> Document:
        check_names(options, SOURCE_OPTIONS, "of a document")
        one = incoming(source, **options)
        self._check_compile(one.document.compile)
        (document,) = self._library.put([one], replace=replace).documents
        return document

    def _check_compile(self, share: float | None) -> None:
        """Refuse now what would be refused at the first question."""
        if share is None:
            return
        if not isinstance(self.llm, ComposingModel):
            raise RequestError(
                f"a {type(self.llm).__name__} cannot compile documents; leave compile at None, or "
                "use a LongContextLLM over a local model"
            )
        self.llm.prompt([Message(role="user", content="Hello.")], compress=[("Hello.", share)])

    def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a question; only what the window does not hold yet is prefilled.

        The same question gets the same answer: what was answered greedily, or with a seed, is
        kept, and asked again only if the prompt differs.

        Args:
            question: in plain words.
            options: see :class:`longctx.documents.options.AskOptions`.

        Raises:
            DocumentError: there is no document.
            RequestError: one of ``doc_ids`` is not there, nothing is where ``where`` says, there is
                no question, or an option is unknown or out of its range.
            ContextOverflowError: what the strategy needs does not fit; it is raised before
                anything is prefilled, and nothing is cut.
            MissingExtraError: retrieval needs packages of the extra ``rag``.
        """
        return self._inquire(question, options).answer()

    def stream(self, question: str, **options: Unpack[AskOptions]) -> AnswerStream:
        """Answer a question piece by piece, its sources first.

        The documents are searched and counted at once, and what :meth:`ask` raises is raised here;
        but where they are read a window at a time, what does not fit is said behind the sources.
        """
        return AnswerStream(self._inquire(question, options))

    async def aask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """:meth:`ask`, in a thread beside the event loop; progress is told in that thread.

        Cancelling the task gives the answer up at its next token, and notes of parts at the next
        part.
        """
        stream: AnswerStream | None = None
        try:
            stream = await asyncio.to_thread(self.stream, question, **options)
            return await asyncio.to_thread(lambda: stream.answer)
        finally:
            if stream is not None:
                stream.close()

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        doc_ids: Sequence[str] | None = None,
        where: Where | None = None,
        on_search: ProgressCallback | None = None,
    ) -> tuple[Hit, ...]:
        """Find the parts of the documents that fit a query best, without asking the model.

        Args:
            query: in plain words.
            limit: how many at most.
            doc_ids: the documents to search; None is all of them.
            where: as in :class:`longctx.documents.options.AskOptions`.
            on_search: called while documents are embedded, with their tokens.

        Raises:
            DocumentError: there is no document.
            RequestError: as :meth:`ask`.
            MissingExtraError: it needs packages of the extra ``rag``.
        """
        limit = whole("limit", limit, least=1)
        entries, _ = once(_select(self._library.holdings(), doc_ids, where))
        query = arguments.words("the query", query)
        return tuple(map(hit, self._search.find(entries, query, on_search).found[:limit]))

    def _inquire(self, question: str, options: AskOptions) -> Inquiry:
        """Check a question, choose how to answer it, and lay out what will be read."""
        check_names(options, ASK_OPTIONS, "of ask()")
        holdings = self._library.holdings()
        entries = _select(holdings, options.get("doc_ids"), options.get("where"))
        said = (self.instructions, options.get("instructions"))
        asked = Question.of(question, options.get("history"), said)
        schema = options.get("response_schema")
        max_tokens = arguments.max_tokens(options.get("max_tokens"))
        sampling = cast(
            SamplingOptions, {n: value for n, value in options.items() if n in SAMPLING_OPTIONS}
        )
        Sampling.of(sampling)  # before anything is read
        asking = Asking(
            llm=self.llm,
            question=asked.text,
            query=asked.query,
            budget_tokens=self.budget_tokens or self.llm.target_ctx,
            reserved_tokens=self.llm.reserve_output if max_tokens is None else max_tokens,
            reserves_by_default=max_tokens is None,
            max_tokens=max_tokens,
            answered=self._answered,
            on_progress=options.get("on_progress"),
            sampling=sampling,
            response_schema=None if schema is None else arguments.json_schema(schema),
            thinking=options.get("thinking"),
            thinking_budget=options.get("thinking_budget"),
        )
        return Inquirer(
            holdings=holdings,
            search=self._search,
            strategy=self.strategy,
            edges=self.order == "edges",
            compose=self.compose,
            not_found=self.not_found,
            on_search=options.get("on_search"),
        ).inquire(asking, asked.asked, entries)


def _select(
    holdings: Holdings, doc_ids: Sequence[str] | None, where: Where | None
) -> tuple[Entry, ...]:
    if not holdings.entries:
        raise DocumentError("there is no document to ask; add one first: qa.add('file.txt')")
    entries = holdings.select(doc_ids)
    if where is None:
        return entries
    picked = picks(where)
    if chosen := tuple(entry for entry in entries if picked(entry.document)):
        return chosen
    raise RequestError(
        f"where={where!r:.80} fits none of {describe(entries)}; look at Document.metadata"
    )
