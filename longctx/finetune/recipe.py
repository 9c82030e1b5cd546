"""How a model is fine-tuned: all that decides what comes out, but the model and the text."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from longctx.types import Frozen

FinetuneMethod: TypeAlias = Literal["self-extend", "yarn", "ntk"]
Measuring: TypeAlias = bool | Literal["only"]

RANK = 32
SEQUENCE_TOKENS = 1024
RECALL_SHARE = 0.8
SHORT_SHARE = 0.25
ANSWER_WEIGHT = 4.0
SEQUENCES_A_STEP = 4
GPU_SEQUENCE_TOKENS, GPU_STEP_TOKENS = 8192, 32_768
"""On a GPU, which fewer do not fill."""


class Recipe(Frozen):
    """How a model is fine-tuned. Lengths in tokens.

    Attributes:
        method: the map of positions that is trained, and that inference will run.
        target_ctx: the window.
        sequence_tokens: of one training sequence.
        skip: whether a sequence stands for a longer text by skipped positions (PoSE); without,
            it is as long as the window.
        max_chunks: into which a sequence is cut at most.
        step_tokens: after so many, in whole sequences, the weights move.
        rank: of the LoRA matrices.
        learning_rate: AdamW's, at its peak.
        recall_share: of the sequences that ask for something stated before.
        short_share: of the sequences whose positions nothing moves.
        short_tokens: how long these are.
        answer_weight: what a token of an answer counts, where one of prose counts 1.
        tokens: to train on; None trains as long as the time allows.
        seed: draws sequences and first weights.
    """

    method: FinetuneMethod
    target_ctx: int = Field(gt=0)
    sequence_tokens: int = Field(gt=1)
    skip: bool = True
    max_chunks: int = Field(default=4, ge=2)
    step_tokens: int = Field(gt=0)
    rank: int = Field(default=RANK, ge=1)
    learning_rate: float = Field(gt=0)
    recall_share: float = Field(default=RECALL_SHARE, ge=0, le=1)
    short_share: float = Field(default=SHORT_SHARE, ge=0, le=1)
    short_tokens: int = Field(gt=1)
    answer_weight: float = Field(default=ANSWER_WEIGHT, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)


def usual_learning_rate(n_embd: int) -> float:
    """By width: 5e-3 at 160, which the small model was measured with (docs/finetuning.md), and 2e-4
    at 4,096, with which LoRA is used on large ones."""
    return 0.8 / n_embd
