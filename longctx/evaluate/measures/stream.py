"""Perplexity along a stream many times as long as its window, which slides or compresses."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from longctx.arguments import whole
from longctx.errors import RequestError
from longctx.evaluate.measures.perplexity import PerplexityResult, points_of
from longctx.evaluate.measures.result import Subject
from longctx.evaluate.prompts.texts import stretch, text_ids
from longctx.progress import Meter
from longctx.types import ProgressCallback

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM

_WINDOWS = 4


class StreamResult(PerplexityResult):
    """Perplexity of every stride of a stream. Lengths in tokens.

    ``n_keep`` attention sinks stayed at the window's beginning while ``dropped_tokens`` slid out,
    or ``compressed_tokens`` were thinned.
    """

    measure: ClassVar[str] = "stream"

    n_keep: int
    dropped_tokens: int
    compressed_tokens: int = 0

    @property
    def label(self) -> str:
        """The subject's, its window and its sinks."""
        sinks = f"{self.n_keep} sinks" + (", compressed" if self.compressed_tokens else "")
        return f"{self.subject.label}, window {self.subject.n_ctx:,}, {sinks}"


def stream(
    llm: LongContextLLM,
    length: int | None = None,
    *,
    stride: int = 512,
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> StreamResult:
    """Measure perplexity along a text that slides through the window.

    Flat is good: with attention sinks a model stays where its window put it, without them it
    breaks down as soon as the first tokens are gone (Xiao et al. 2024, figure 3).

    Args:
        llm: the model, opened with ``overflow="slide"`` or ``"compress"``.
        length: tokens of text; None is four windows.
        stride: tokens of each point.
        text: what to read; None is the Python reference.
        seed: draws where in the text the reading begins.
        on_progress: called after each batch.

    Raises:
        RequestError: the window neither slides nor compresses, or stride or length make no sense.
        DocumentError: the text is shorter than ``length``.
    """
    if not llm.plan.is_endless:
        raise RequestError(
            "a stream needs a window without end; open the model with overflow='slide', or with "
            "'compress'"
        )
    length = _WINDOWS * llm.target_ctx if length is None else whole("length", length, least=2)
    whole("stride", stride, least=2)
    ids = stretch(text_ids(llm, text), length, seed)
    meter = Meter(on_progress, length)
    begins = range(0, length, stride)
    scores = []
    with llm.session() as session:
        session.begin()
        for begin in begins:
            piece = ids[begin : begin + stride]
            scores.append(session.nll(piece, on_progress=meter.prompt(len(piece))))
        dropped_tokens, compressed = session.dropped_tokens, session.compressed_tokens
    return StreamResult(
        subject=Subject.of(llm),
        seed=seed,
        length=length,
        stride=stride,
        context=None,
        points=points_of([min(begin + stride, length) for begin in begins], scores),
        perplexity=exp(float(np.concatenate(scores).mean())),
        n_keep=llm.plan.n_keep,
        dropped_tokens=dropped_tokens,
        compressed_tokens=compressed,
    )
