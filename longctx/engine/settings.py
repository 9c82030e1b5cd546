"""How an answer is drawn, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from longctx.grammar import Starts
from longctx.sampling import Sampling


@dataclass(frozen=True)
class GenerationSettings:
    """How an answer is drawn and where it ends, checked (:mod:`longctx.arguments`).

    ``max_tokens`` bounds it; the window is opened for all of them, or for ``n_expected``, and grows
    where it comes to more. ``guide`` makes what steers the answer, in the model's
    thread; None lets it write anything.
    """

    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_on_repetition: bool = True
    guide: Starts | None = None
    top_logprobs: int | None = None
    prompt_lookup: bool | None = False
    n_expected: int | None = None
