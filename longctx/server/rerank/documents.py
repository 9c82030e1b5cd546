"""The documents of ``/v1/rerank``."""

from __future__ import annotations

from typing import Literal

from typing_extensions import NotRequired, TypedDict


class Repeated(TypedDict):
    """A text of the request."""

    text: str


class Ranked(TypedDict):
    """A text by its place in the request, and how well it answers."""

    index: int
    relevance_score: float
    document: NotRequired[Repeated]


class RerankUsage(TypedDict):
    """Tokens of the query with each text."""

    prompt_tokens: int
    total_tokens: int


class Ranking(TypedDict):
    """The best texts, best first."""

    id: str
    object: Literal["list"]
    model: str
    results: list[Ranked]
    usage: RerankUsage


class ScoredText(TypedDict):
    """The same in the shape of text-embeddings-inference."""

    index: int
    score: float
    text: NotRequired[str]
