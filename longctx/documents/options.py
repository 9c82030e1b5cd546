"""What a question over documents may ask for: declared once, for every way to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longctx.documents.filters import Where
from longctx.options import SamplingOptions
from longctx.types import Messages, ProgressCallback


class AskOptions(SamplingOptions, total=False):
    """How a question is answered; what is left out or None is the default. Notes on parts of the
    documents are drawn as the answer is.

    Attributes:
        max_tokens: most tokens of the answer; by default it goes to its end, or the budget's, and
            the model's ``reserve_output`` is kept free for it.
        doc_ids: the documents to answer from; by default all of them.
        where: only documents with these values in their metadata or fields, as
            ``{"year": [2023, 2024]}``, or those for which a function of a document is true.
        history: the questions and answers before this one, as messages; a follow-up ("And after
            that?") is understood by them, and searched for with the last two of them.
        instructions: how to answer, in plain words; by default those of the ``DocumentQA`` alone.
        response_schema: a JSON schema or pydantic model that the answer must satisfy.
        thinking, thinking_budget: as in :meth:`longctx.LongContextLLM.chat`; notes are thought
            over, too.
        on_progress: called after each prefilled batch, with the tokens of all calls that are
            known to come.
        on_search: called while documents are embedded for a search, with their tokens.
    """

    max_tokens: int | None
    doc_ids: Sequence[str] | None
    where: Where | None
    history: Messages | None
    instructions: str | None
    response_schema: Any
    thinking: bool | str | None
    thinking_budget: int | None
    on_progress: ProgressCallback | None
    on_search: ProgressCallback | None


ASK_OPTIONS = frozenset(AskOptions.__annotations__)
