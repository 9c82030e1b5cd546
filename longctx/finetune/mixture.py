"""Training sequences: prose, practice in it, and a share of short text that nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from longctx.errors import DocumentError
from longctx.finetune.placement import Placement, place, skipped, unmoved
from longctx.finetune.practice import KINDS, SHARES, Exercise, draw_exercises
from longctx.finetune.recipe import Recipe
from longctx.protocols import Tokenizer
from longctx.rope import SelfExtendConfig

Ids = NDArray[np.int64]
Piece = tuple[Ids, float]  # ids, and their weight in the loss

_PRACTICE_SHARE = 0.5  # of a sequence: statements and questions, at most; the rest is prose
_MAX_EXERCISES, _MOST_EXERCISES = 12, 40  # in a short sequence, and in any
_TOKENS_AN_EXERCISE = 85  # of a sequence, where it has more than the first
_SPAN_BEGIN, _SPAN_REST = 8, 24  # tokens


@dataclass(frozen=True)
class TrainingSequence:
    """``ids`` is int64[n], ``weights`` float32[n], of each token as a target."""

    kind: str
    ids: Ids
    weights: NDArray[np.float32]
    placement: Placement


class Mixture:
    """Draws sequences that are full to their last token, so that packing wastes nothing.

    Args:
        recipe: lengths and shares.
        far: Self-Extend's map, where that is the method.
        prose: token ids of the text.
        tokenizer: the model's.
        bos: what each sequence begins with, perhaps nothing.

    Raises:
        DocumentError: the text is shorter than a sequence.
    """

    def __init__(
        self,
        recipe: Recipe,
        far: SelfExtendConfig | None,
        prose: Sequence[int],
        tokenizer: Tokenizer,
        bos: Sequence[int],
    ) -> None:
        if len(prose) <= recipe.sequence_tokens:
            raise DocumentError(
                f"the text is {len(prose):,} tokens, and one sequence takes "
                f"{recipe.sequence_tokens:,}: give a longer text (a hundred times that is a good "
                "beginning), or shorter sequences"
            )
        self._recipe, self._far = recipe, far
        self._prose = np.array(prose, dtype=np.int64)
        self._bos = np.array(bos, dtype=np.int64)
        self._tokenizer = tokenizer

    @property
    def n_prose(self) -> int:
        """Tokens of the text."""
        return len(self._prose)

    def step(self, rng: Generator) -> list[TrainingSequence]:
        """Draw the sequences of one step."""
        drawn = [self.draw(rng)]
        while sum(len(each.ids) for each in drawn) < self._recipe.step_tokens:
            drawn.append(self.draw(rng))
        return drawn

    def draw(self, rng: Generator) -> TrainingSequence:
        """Draw one sequence."""
        recipe = self._recipe
        n = recipe.sequence_tokens
        if rng.random() < recipe.short_share:
            n = min(n, recipe.short_tokens)
            # Practice within the window keeps what the model could do there.
            made = self._practice if rng.random() < recipe.recall_share else self._read
            return self._sequence("short", made(rng, n - len(self._bos)), unmoved(n))
        kind = "recall" if rng.random() < recipe.recall_share else "prose"
        made = self._practice if kind == "recall" else self._read
        if recipe.skip:
            n_chunks = int(rng.integers(2, recipe.max_chunks + 1))
            places = skipped(n, recipe.target_ctx, n_chunks, rng)
        else:
            places = unmoved(n)
        return self._sequence(kind, made(rng, n - len(self._bos)), places)

    def _sequence(self, kind: str, pieces: Sequence[Piece], places: Ids) -> TrainingSequence:
        ids = np.concatenate([self._bos, *(piece for piece, _ in pieces)])
        weights = [np.full(len(piece), weight, np.float32) for piece, weight in pieces]
        bos = np.zeros(len(self._bos), np.float32)
        return TrainingSequence(
            kind, ids, np.concatenate([bos, *weights]), place(places, self._far)
        )

    def _read(self, rng: Generator, n: int) -> list[Piece]:
        begin = int(rng.integers(len(self._prose) - n))
        return [(self._prose[begin : begin + n], 1.0)]

    def _practice(self, rng: Generator, n: int) -> list[Piece]:
        """Statements at any depth of prose; questions at its end, in another order."""
        kind = str(rng.choice(KINDS, p=SHARES))
        most = min(_MOST_EXERCISES, max(_MAX_EXERCISES, n // _TOKENS_AN_EXERCISE))
        exercises = draw_exercises(
            rng, kind, int(rng.integers(2, most + 1)), lambda: self._span(rng)
        )
        stated: list[Ids] = []
        asked: list[Piece] = []
        room = int(_PRACTICE_SHARE * n)
        for i in rng.permutation(len(exercises)):
            statements = [self._ids(text) for text in exercises[i].statements]
            question = self._asked(exercises[i])
            needed = sum(map(len, statements)) + sum(len(ids) for ids, _ in question)
            if needed > room:
                break
            room -= needed
            stated += statements
            asked += question
        taken = sum(map(len, stated)) + sum(len(ids) for ids, _ in asked)
        ((prose, _),) = self._read(rng, n - taken)
        # After any token of prose, each with a stretch of it before the next.
        cuts = np.sort(rng.integers(0, len(prose) + 1, size=len(stated)))
        first, *parts = np.split(prose, cuts)
        pieces: list[Piece] = [(first, 1.0)]
        for i, part in zip(rng.permutation(len(stated)), parts, strict=True):
            pieces += [(stated[i], 0.0), (part, 1.0)]  # nothing predicts what is stated
        return [*pieces, *asked]

    def _asked(self, exercise: Exercise) -> list[Piece]:
        """The question, which is not learnt, and the answer, as tokens of one text."""
        question = self._ids(exercise.question)
        space = "" if exercise.answer[:1].isspace() else " "
        whole = self._ids(f"{exercise.question}{space}{exercise.answer}")
        n = min(len(question), len(whole))
        same = int(np.argmin(np.append(question[:n] == whole[:n], False)))
        return [(whole[:same], 0.0), (whole[same:], self._recipe.answer_weight)]

    def _span(self, rng: Generator) -> tuple[str, str]:
        ((ids, _),) = self._read(rng, _SPAN_BEGIN + _SPAN_REST)
        begin, rest = ids[:_SPAN_BEGIN], ids[_SPAN_BEGIN:]
        return self._text(begin), self._text(rest)

    def _text(self, ids: Ids) -> str:
        return self._tokenizer.decode_bytes(ids.tolist()).decode(errors="ignore")

    def _ids(self, text: str) -> Ids:
        return np.array(self._tokenizer.encode(text), dtype=np.int64)
