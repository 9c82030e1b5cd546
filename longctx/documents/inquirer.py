"""How a question is answered: which strategy, and what will be read for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from longctx.documents.asking import Asking
from longctx.documents.choice import Strategy, choose
from longctx.documents.entry import Entry
from longctx.documents.holdings import Holdings, once
from longctx.documents.inquiry import Inquiry
from longctx.documents.layout import window
from longctx.documents.packing import best_at_edges
from longctx.documents.read_all import map_reduce, refine
from longctx.documents.rehearsal import saying_enough
from longctx.documents.report import describe
from longctx.documents.retrieve import retrieve
from longctx.documents.search import Search, SearchResult
from longctx.errors import MissingExtraError, RequestError
from longctx.prompt import Prompt
from longctx.types import ProgressCallback

NotFound: TypeAlias = Literal["auto", "say", "ask"]

_SEAM_TOKENS = 16
"""More than a document can lose when it is counted together with others, and not by itself."""
_READING_ALL = {"map_reduce": map_reduce, "refine": refine}
_LEAST_NOTE = 16
"""Tokens of the shortest note that ``map_reduce`` takes."""


@dataclass(frozen=True)
class Inquirer:
    """Lays questions out as a :class:`~longctx.documents.qa.DocumentQA` is told to."""

    holdings: Holdings
    search: Search
    strategy: Strategy
    edges: bool
    compose: int | None
    not_found: NotFound
    on_search: ProgressCallback | None

    def inquire(self, asking: Asking, question: str, entries: Sequence[Entry]) -> Inquiry:
        """Choose a strategy by exact counts, search where it needs that, and lay out the window.
        What is there twice is read once.

        Raises:
            ContextOverflowError: what the strategy needs does not fit.
        """
        entries, repeats = once(entries)
        everything = self._everything(asking, entries)
        if everything is not None:
            what, tokens = f"{describe(entries)}, the question and the answer", everything.n_tokens
        else:
            what = f"{describe(entries)} and the answer"
            tokens = sum(entry.tokens for entry in entries)
        needed = tokens + asking.reserved_tokens
        strategy, reason = choose(self.strategy, question, what, needed, asking.budget_tokens)
        searched = self._searched(asking, strategy, entries)
        inquiry = partial(
            Inquiry,
            asking,
            self.holdings,
            strategy,
            reason,
            searched=searched,
            repeats=repeats,
        )
        is_lost = searched is not None and not searched.is_there
        if is_lost and self.not_found != "ask" and asking.response_schema is None:
            return inquiry(blocks=(), is_answerable=False)
        blocks = [entry.block for entry in entries]
        if strategy in _READING_ALL:
            if strategy == "map_reduce" and asking.reserved_tokens < _LEAST_NOTE:
                raise RequestError(
                    f"max_tokens is {asking.reserved_tokens}, and map_reduce takes notes as long "
                    f"as the answer may be; give it {_LEAST_NOTE} or more, or another strategy"
                )
            read_all = _READING_ALL[strategy]
            run = partial(saying_enough, asking, lambda a: read_all(a, self.holdings, entries))
            return inquiry(blocks, read_all=run)
        if strategy == "retrieve":
            assert searched is not None  # it was searched
            ranked = [one.chunk for one in searched.found]
            prompt, blocks = saying_enough(
                asking, lambda a: retrieve(a, self.holdings, ranked, edges=self.edges)
            )
            return inquiry(blocks, prompt)
        assert everything is not None  # it was chosen by its count
        saying_enough(asking, partial(_check_fits, entries=entries, tokens=everything.n_tokens))
        if self.edges and len(blocks) > 2:
            searched = searched or self.search.find(entries, asking.query, self.on_search)
            ranked = [one.chunk for one in searched.found]
            blocks = best_at_edges(blocks, ranked)
            everything = asking.prompt(window(blocks, asking.question), blocks)
        return inquiry(blocks, everything, compose=self.compose)

    def _searched(
        self, asking: Asking, strategy: Strategy, entries: Sequence[Entry]
    ) -> SearchResult | None:
        """Search where the strategy needs it, or whether it is there at all is in doubt."""
        if strategy == "retrieve" or self.not_found == "say":
            return self.search.find(entries, asking.query, self.on_search)
        if (
            strategy == "whole"
            and self.not_found == "auto"
            and asking.response_schema is None
            and self.search.is_in_doubt(entries, asking.query)
        ):
            with suppress(MissingExtraError):  # nothing else of this question needs it
                return self.search.find(entries, asking.query, self.on_search)
        return None

    def _everything(self, asking: Asking, entries: Sequence[Entry]) -> Prompt | None:
        """The prompt with every document; None where it is not wanted, or surely too large."""
        alone = sum(entry.tokens - _SEAM_TOKENS for entry in entries)
        if self.strategy == "whole" or (self.strategy == "auto" and alone <= asking.room):
            blocks = [entry.block for entry in entries]
            return asking.prompt(window(blocks, asking.question), blocks)
        return None


def _check_fits(asking: Asking, entries: Sequence[Entry], tokens: int) -> None:
    needed = tokens + asking.reserved_tokens
    if needed <= asking.budget_tokens:
        return
    largest = sorted(entries, key=lambda entry: -entry.tokens)
    listed = ", ".join(f"{entry.doc_id!r} {entry.tokens}" for entry in largest[:10])
    more = f" and {len(largest) - 10} smaller ones" if len(largest) > 10 else ""
    raise asking.overflow(
        f"{describe(entries)} and the question are {needed - asking.budget_tokens} too many",
        needed,
        f"Tokens by document: {listed}{more}. Raise target_ctx (and budget_tokens) to at least "
        f"{needed}, lower max_tokens, ask fewer documents, or use strategy 'retrieve' or "
        "'map_reduce'.",
    )
