"""What a fine-tuning says while it runs, and in the end."""

from __future__ import annotations

from pathlib import Path

from longctx.finetune.recipe import Recipe
from longctx.types import Frozen


class FinetuneProgress(Frozen):
    """How far training has come.

    ``loss`` is smoothed, in nats a token, with answers weighted; ``done`` is 0 to 1, ``eta_s`` what
    is left of training in seconds.
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    tokens_per_s: float
    done: float
    eta_s: float


class HeldOut(Frozen):
    """Sequences of a part of the text that is not trained on, behind so many tokens of training.

    ``answers`` are those of practice at the positions that are taught, ``prose`` is all other text;
    nats a token.
    """

    tokens: int
    answers: float
    prose: float


class Measured(Frozen):
    """A model before or after, on text and facts that were not trained on. Lengths in tokens.

    ``recall_nats`` and ``recall_exact`` are of facts in a text of the window's length, with those
    of each fifth of it in ``recall_by_depth`` (None where a fifth has none);
    ``perplexity_by_position`` is that of the tokens before each mark of such a text, and
    ``short_perplexity`` that of a text within the trained window.
    """

    length: int
    recall_nats: float
    recall_exact: float
    recall_by_depth: tuple[float | None, ...]
    perplexity_by_position: dict[int, float]
    perplexity: float
    short_length: int
    short_perplexity: float
    seconds: float


class FinetuneResult(Frozen):
    """What came out.

    ``adapter``, ``card`` and ``profile`` are the files; ``merged`` the model with the adapter in
    its weights, where it was asked for. ``before`` and ``after`` are None where nothing was
    measured. ``text_tokens`` is the length of the text that was trained on, ``machine`` where and
    in which type, and ``held_out`` what was learnt, and whether anything was learnt by heart.
    """

    adapter: Path
    card: Path
    profile: Path | None
    merged: Path | None
    recipe: Recipe
    steps: int
    tokens: int
    seconds: float
    loss: float
    text_tokens: int
    machine: str
    held_out: tuple[HeldOut, ...]
    before: Measured | None
    after: Measured | None

    def __repr__(self) -> str:
        head = (
            f"{self.adapter}: {self.recipe.method} to {self.recipe.target_ctx:,} tokens, trained "
            f"on {self.tokens:,} tokens in {self.steps:,} steps"
        )
        if self.before is None or self.after is None:
            return head
        return "\n".join([head, *(f"  {line}" for line in compared(self.before, self.after))])

    __str__ = __repr__


def compared(before: Measured, after: Measured) -> list[str]:
    """Before and after, a line each of what was measured."""
    return [
        f"recall at {after.length:,} tokens: {before.recall_exact:.0%} exact, "
        f"{before.recall_nats:.2f} nats → {after.recall_exact:.0%}, {after.recall_nats:.2f}",
        f"perplexity at {after.length:,} tokens: {before.perplexity:.2f} → {after.perplexity:.2f}",
        f"perplexity at {after.short_length:,} tokens: {before.short_perplexity:.2f} → "
        f"{after.short_perplexity:.2f}",
    ]
