"""A second look at what was found: models that read a question and a passage together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from longctx.documents.ranking import Found
from longctx.errors import RequestError
from longctx.search.sentence_models import load_sentence_model

RERANKED = 50
"""Chunks that are looked at again: each is a pass of the model."""


@runtime_checkable
class Reranker(Protocol):
    """How well passages answer a question."""

    def score(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        """One number for each passage; the higher, the better."""


RerankerLike: TypeAlias = Reranker | Callable[[str, list[str]], Any] | str | Path
"""A :class:`Reranker`, a sentence-transformers ``CrossEncoder``, its name or folder, or a function
from a question and passages to numbers."""


def as_reranker(reranker: Any) -> Reranker | None:
    """Turn what a user gives into a :class:`Reranker`; None is none.

    Raises:
        RequestError: it is none of a :data:`RerankerLike`.
    """
    if reranker is None or isinstance(reranker, Reranker):
        return reranker
    if isinstance(reranker, str | Path):
        return CrossEncoderReranker(reranker)
    if callable(getattr(reranker, "predict", None)):
        return CrossEncoderReranker(reranker)
    if callable(reranker):
        return _FunctionReranker(reranker)
    raise RequestError(
        f"a reranker is a CrossEncoder of sentence-transformers, its name or folder, an object "
        f"with score(question, passages), or such a function, not a {type(reranker).__name__}"
    )


class CrossEncoderReranker:
    """A sentence-transformers ``CrossEncoder``, loaded when it is first needed.

    Args:
        model: the model, its folder, or a name that sentence-transformers knows (which it may
            download).

    Raises:
        RequestError: the model cannot be loaded (at its first use).
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        """The model's own scores."""
        if isinstance(self._model, str | Path):
            self._model = load_cross_encoder(self._model)
        pairs = [(question, passage) for passage in passages]
        return list(self._model.predict(pairs, show_progress_bar=False))


class _FunctionReranker:
    def __init__(self, function: Callable[[str, list[str]], Any]) -> None:
        self._function = function

    def score(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        return list(self._function(question, list(passages)))


def reranked(reranker: Reranker, question: str, found: Sequence[Found]) -> list[Found]:
    """The best chunks in the reranker's order, with its scores; the others behind them.

    Raises:
        RequestError: the reranker did not return one finite number for each.
    """
    again, others = found[:RERANKED], found[RERANKED:]
    scores = scores_of(reranker, question, [one.chunk.searchable for one in again])
    best_first = np.argsort(-scores, kind="stable")
    return [replace(again[i], score=float(scores[i])) for i in best_first] + list(others)


def scores_of(reranker: Reranker, question: str, passages: Sequence[str]) -> NDArray[np.float64]:
    """One number for each passage.

    Raises:
        RequestError: the reranker did not return one finite number for each.
    """
    given = reranker.score(question, passages)
    try:
        scores = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RequestError(f"the reranker returned no numbers ({error})") from error
    if scores.shape != (len(passages),) or not np.isfinite(scores).all():
        raise RequestError(
            f"the reranker returned an array of shape {scores.shape} for {len(passages)} passages; "
            "it must return one finite number for each"
        )
    return scores


def load_cross_encoder(model: str | Path) -> Any:
    """Load a ``CrossEncoder`` of sentence-transformers on the CPU, without progress bars.

    Args:
        model: its folder, or a name that sentence-transformers knows (which it may download).

    Raises:
        RequestError: the model cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """
    return load_sentence_model(
        "CrossEncoder",
        model,
        role="a reranker",
        purpose="rerank passages",
        instead="the name or the folder of a CrossEncoder of sentence-transformers",
    )
