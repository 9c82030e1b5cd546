"""What is shown of an answer, and how likely its tokens were."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longctx._native import Model
from longctx.cache.likelihood import negative_log_likelihood
from longctx.types import Chunk, SampledToken, TokenLogprob


@dataclass
class Shown:
    """What was shown of an answer; the likelihood of a token goes with the text it begins."""

    pieces: list[str] = field(default_factory=list)
    logprobs: list[SampledToken] = field(default_factory=list)
    held: list[SampledToken] = field(default_factory=list)
    n_characters: int = 0

    def show(self, text: str) -> Chunk:
        """The next piece, with the tokens that begin in it or before."""
        self.pieces.append(text)
        self.n_characters += len(text)
        if not self.held:
            return Chunk(text=text)
        n = sum(token.offset < self.n_characters for token in self.held)
        return self._with_tokens(text, n)

    def end(self, text: str) -> Chunk:
        """The last piece, with all tokens that are left."""
        self.pieces.append(text)
        return self._with_tokens(text, len(self.held))

    def _with_tokens(self, text: str, n: int) -> Chunk:
        tokens, self.held = tuple(self.held[:n]), self.held[n:]
        self.logprobs += tokens
        return Chunk(text=text, logprobs=tokens)


def sampled_token(
    model: Model, logits: NDArray[np.float32], token: int, n_top: int, offset: int
) -> SampledToken:
    """Say how likely a token was; ``logits`` is float32[1, n_vocab]."""
    row = logits[0]
    base = -negative_log_likelihood(logits, [token])[0] - row[token]
    n_top = min(n_top, len(row))
    best = np.argpartition(-row, n_top - 1)[:n_top] if n_top else np.empty(0, np.int64)
    best = best[np.argsort(-row[best], kind="stable")]
    return SampledToken(
        id=token,
        data=model.decode_bytes([token]),
        logprob=float(base + row[token]),
        offset=offset,
        top=tuple(
            TokenLogprob(
                id=int(i),
                data=model.decode_bytes([int(i)], special=True),
                logprob=float(base + row[i]),
            )
            for i in best
        ),
    )
