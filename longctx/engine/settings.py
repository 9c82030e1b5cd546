"""How an answer is drawn, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from longctx.grammar import Starts


@dataclass(frozen=True)
class GenerationSettings:
    """How an answer is drawn and where it ends, checked (:mod:`longctx.arguments`).

    ``guide`` makes what steers the answer, in the model's thread; None lets it write anything.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    guide: Starts | None = None
    top_logprobs: int | None = None
    prompt_lookup: bool | None = False
