"""Training sequences: full, exact, and with other words than the measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from longctx._native import Model
from longctx.errors import DocumentError
from longctx.evaluate.prompts.texts import ADJECTIVES, NOUNS
from longctx.finetune.mixture import Mixture
from longctx.finetune.practice import KINDS, draw_exercises
from longctx.finetune.recipe import Recipe
from longctx.tokens import ModelTokenizer
from tests.finetune.small import MODEL, PROSE

N = 256


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[ModelTokenizer]:
    """The small model's, without its weights."""
    with closing(Model(MODEL, vocab_only=True)) as model:
        yield ModelTokenizer(model)


def mixture(tokenizer: ModelTokenizer, text: str = PROSE, **changes: Any) -> Mixture:
    """Under YaRN, where a place is a position."""
    recipe = Recipe(
        method="yarn",
        target_ctx=4096,
        sequence_tokens=N,
        short_tokens=N // 2,
        step_tokens=4 * N,
        learning_rate=1e-3,
        **changes,
    )
    bos = tokenizer.bos
    assert bos is not None
    return Mixture(recipe, None, tokenizer.encode(text), tokenizer, [bos])


def test_sequences_are_full_and_learn_the_answer(tokenizer: ModelTokenizer) -> None:
    """Of every kind: BOS, exactly so many tokens, answers heavier than prose, and stated before."""
    drawn = mixture(tokenizer, recall_share=1.0, short_share=0.0)
    for seed in range(40):
        sequence = drawn.draw(np.random.default_rng(seed))
        assert len(sequence.ids) == len(sequence.weights) == len(sequence.placement.own) == N
        assert sequence.ids[0] == tokenizer.bos
        assert set(np.unique(sequence.weights)) <= {0.0, 1.0, 4.0}
        at = np.flatnonzero(sequence.weights == 4)
        assert len(at) > 0
        first = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)[0]
        answer = tokenizer.decode_bytes(sequence.ids[first].tolist()).decode().strip()
        before = tokenizer.decode_bytes(sequence.ids[: first[0]].tolist()).decode()
        assert answer in before


def test_short_sequences_are_not_moved(tokenizer: ModelTokenizer) -> None:
    """A quarter by default; these stand where any short text does."""
    drawn = mixture(tokenizer)
    kinds = [drawn.draw(np.random.default_rng(seed)) for seed in range(200)]
    short = [sequence for sequence in kinds if sequence.kind == "short"]
    assert 30 < len(short) < 70
    for sequence in short:
        np.testing.assert_array_equal(sequence.placement.own, np.arange(N // 2))
    moved = [s.placement.own[-1] for s in kinds if s.kind != "short"]
    assert np.mean(np.array(moved) > N) > 0.8


def test_a_seed_draws_the_same_sequence_again(tokenizer: ModelTokenizer) -> None:
    """So a run can be made again, and go on where it stopped."""
    one, other = (mixture(tokenizer).draw(np.random.default_rng([7, 3])) for _ in range(2))
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.placement.own, other.placement.own)


def test_what_is_practised_is_not_what_is_measured() -> None:
    """No name of the measures' facts, and not their sentence."""
    for kind in KINDS:
        made = draw_exercises(np.random.default_rng(0), kind, 12, lambda: ("a b", " c d"))
        words = " ".join(text for each in made for text in (*each.statements, each.question))
        assert "The number of the" not in words
        assert not set(words.split()) & {*ADJECTIVES, *NOUNS}
        assert len({each.question for each in made}) == len(made) or kind == "span"


def test_a_text_shorter_than_a_sequence(tokenizer: ModelTokenizer) -> None:
    """Is refused with both lengths."""
    with pytest.raises(DocumentError, match="one sequence takes 256: give a longer text"):
        mixture(tokenizer, "Too short.")
