"""Passages of a text that a model is to go on with word by word, as they stood there.

Pure: token ids and a seed in, questions and answers out.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from longctx.evaluate.prompts.random_numbers import generator

CUE = 16
COPIED = 32
_MODULES = ("argparse", "ast", "configparser", "inspect", "tarfile", "typing", "zipfile")


@dataclass(frozen=True)
class Question:
    """What is asked behind a text, what must follow, and where the answer stood: 0 to 1."""

    question: tuple[int, ...]
    answer: tuple[int, ...]
    depth: float


def build_copying(ids: Sequence[int], n_passages: int, *, seed: int) -> tuple[Question, ...]:
    """Draw passages, evenly spread over a text: their first words are the question.

    Args:
        ids: the text.
        n_passages: how many; passage i of n begins within part i of n.
        seed: draws where.
    """
    random, length, part = generator(seed), CUE + COPIED, len(ids) / n_passages
    questions = []
    for i in range(n_passages):
        spare = max(1, int(part) - length)
        begin = min(int(i * part) + int(random.integers(0, spare)), len(ids) - length)
        passage = tuple(int(each) for each in ids[begin : begin + length])
        questions.append(Question(passage[:CUE], passage[CUE:], begin / len(ids)))
    return tuple(questions)


def python_sources() -> str:
    """The source of some modules of the standard library, some 600 KB of code."""
    return "\n\n".join(inspect.getsource(importlib.import_module(name)) for name in _MODULES)
