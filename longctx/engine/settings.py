"""How an answer is drawn, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationSettings:
    """How an answer is drawn and where it ends, checked (:mod:`longctx.arguments`)."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None
    prompt_lookup: bool | None = False
