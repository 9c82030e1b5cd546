"""Sequences of exactly one window to train on: prose, facts asked for later, repeated text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tools.tiny_model.tasks import Fact, facts, keys_of
from tools.tiny_model.vocabulary import Vocabulary

Ids = NDArray[np.int64]
Piece = tuple[Ids, float | Ids]  # ids, and the weight of each in the loss

ANSWER_WEIGHT = 4.0
_PROSE_WEIGHT = 1.0
_KINDS = ("passkey", "room", "magic", "pair")


@dataclass(frozen=True)
class Batch:
    """int64[n, n_ctx + 1] ids and the weight of each as a target, float32 of the same shape."""

    ids: Ids
    weights: NDArray[np.float32]


class SequenceMaker:
    """Draws training sequences from a text.

    Each begins with BOS and is full to its last token, so that every position of the window
    is trained and none beyond it is ever seen.

    Args:
        vocabulary: of the model.
        lines: the text.
    """

    def __init__(self, vocabulary: Vocabulary, lines: list[str]) -> None:
        self._vocabulary = vocabulary
        self._lines = vocabulary.encode_lines(lines)
        self._prose = np.concatenate(self._lines)
        self._words = keys_of(lines)

    def batch(
        self, rng: Generator, n: int, n_ctx: int, shares: tuple[float, float, float]
    ) -> Batch:
        """Draw ``n`` sequences; ``shares`` of prose, recall and repetition add up to 1."""
        makers = (self._read, self._recall, self._repeat)
        rows = [makers[rng.choice(3, p=shares)](rng, n_ctx) for _ in range(n)]
        ids, weights = zip(*rows, strict=True)
        return Batch(np.stack(ids), np.stack(weights))

    def _read(self, rng: Generator, n_ctx: int) -> tuple[Ids, NDArray[np.float32]]:
        begin = rng.integers(len(self._prose) - n_ctx)
        return self._row([(self._prose[begin : begin + n_ctx], _PROSE_WEIGHT)], n_ctx)

    def _repeat(self, rng: Generator, n_ctx: int) -> tuple[Ids, NDArray[np.float32]]:
        """Noise, prose, the same noise again, other prose, and so on."""
        length = int(rng.integers(8, n_ctx // 3))
        noise = rng.integers(self._vocabulary.bos, size=length)
        pieces: list[Piece] = [(noise, 0.0)]
        total = length
        while total < n_ctx:
            between = self._filler(rng, int(rng.integers(0, n_ctx // 2)))
            pieces += [(between, _PROSE_WEIGHT), (noise[:1], 0.0), (noise[1:], 1.0)]
            total += len(between) + length
        return self._row(pieces, n_ctx)

    def _recall(self, rng: Generator, n_ctx: int) -> tuple[Ids, NDArray[np.float32]]:
        """Facts at any depth of prose, asked for at its end or on the way."""
        kind = str(rng.choice(_KINDS, p=(0.15, 0.3, 0.15, 0.4)))
        known = facts(rng, kind, int(rng.integers(1, max(2, n_ctx // 40))), self._words)
        asked = [known[i] for i in rng.integers(len(known), size=int(rng.integers(1, 7)))]
        is_chat = kind != "pair" and rng.random() < 0.3
        at_end = is_chat or rng.random() < 0.6
        depth = {fact: rng.random() for fact in known}
        placed: list[tuple[float, list[Piece]]] = [
            (depth[fact], [(self._line(fact.statement), 0.0)]) for fact in known
        ]
        for fact in asked:
            pieces = self._chat_turn(fact) if is_chat else self._question(fact)
            placed.append((1.0 if at_end else rng.uniform(depth[fact], 1.0), pieces))
        if is_chat:
            system = self._system() if rng.random() < 0.3 else np.empty(0, np.int64)
            placed.append((0.0, [(np.concatenate([system, self._role("user")]), 0.0)]))
        filler = self._filler_lines(
            rng, n_ctx - sum(len(ids) for _, pieces in placed for ids, _ in pieces)
        )
        placed += [
            ((i + 0.5) / len(filler), [(line, _PROSE_WEIGHT)]) for i, line in enumerate(filler)
        ]
        placed.sort(key=lambda pair: pair[0])
        body = [piece for _, pieces in placed for piece in pieces]
        return self._row(body, n_ctx, from_end=not is_chat)

    def _question(self, fact: Fact) -> list[Piece]:
        prompt, answer = self._line(fact.prompt), self._vocabulary.encode(f" {fact.value}.")
        return [(prompt, 0.1), (answer, ANSWER_WEIGHT)]

    def _chat_turn(self, fact: Fact) -> list[Piece]:
        """The end of the user's turn, the assistant's, and the beginning of the next."""
        vocabulary = self._vocabulary
        end = np.array([vocabulary.im_end])
        newline = vocabulary.encode("\n")
        question = np.concatenate([self._line(fact.question), end, newline])
        lead = np.concatenate([self._role("assistant"), vocabulary.encode(fact.lead)])
        answer = np.concatenate([vocabulary.encode(f" {fact.value}."), end])
        after = np.concatenate([newline, self._role("user")])
        return [(question, 0.1), (lead, 0.3), (answer, ANSWER_WEIGHT), (after, 0.1)]

    def _system(self) -> Ids:
        text = self._vocabulary.encode("You are a helpful assistant.")
        end, newline = [self._vocabulary.im_end], self._vocabulary.encode("\n")
        return np.concatenate([self._role("system"), text, end, newline])

    def _role(self, name: str) -> Ids:
        return np.concatenate([[self._vocabulary.im_start], self._vocabulary.encode(f"{name}\n")])

    def _line(self, text: str) -> Ids:
        return self._vocabulary.encode(f"\n{text}")

    def _filler_lines(self, rng: Generator, n: int) -> list[Ids]:
        """Successive lines of ``n`` tokens in all; the last may be cut."""
        lines: list[Ids] = []
        i = int(rng.integers(len(self._lines)))
        while n > 0:
            line = self._lines[i % len(self._lines)][:n]
            lines.append(line)
            n -= len(line)
            i += 1
        return lines

    def _filler(self, rng: Generator, n: int) -> Ids:
        return np.concatenate([*self._filler_lines(rng, n), np.empty(0, np.int64)])

    def _row(
        self, pieces: list[Piece], n_ctx: int, *, from_end: bool = False
    ) -> tuple[Ids, NDArray[np.float32]]:
        """BOS and ``n_ctx`` tokens; what is too long loses its end, or its beginning."""
        ids = np.concatenate([piece for piece, _ in pieces])
        weights = np.concatenate([np.full(len(p), w, np.float32) for p, w in pieces])
        part = slice(len(ids) - n_ctx, None) if from_end else slice(n_ctx)
        first = np.array([self._vocabulary.bos])
        return np.append(first, ids[part]), np.append(np.float32(0), weights[part])
