"""What the model shows, measured by llama.cpp through longctx: the table of the model card.

python -m tools.tiny_model.measure
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from longctx import LongContextLLM, ModelInfo
from tools.tiny_model.corpus import held_out_lines
from tools.tiny_model.tasks import Fact, facts, keys_of

MODEL = Path(__file__).parents[2] / "tests" / "models" / "tiny-longctx.gguf"
MARGIN = 16  # tokens of a window that stay free for the answer
_LONGEST = 2048  # tokens of a text
_ROWS = (
    ("none", 1.0),
    ("linear", 1.0),
    ("ntk", 1.0),
    ("ntk", 1.5),
    ("ntk", 2.0),
    ("ntk-by-parts", 1.0),
    ("yarn", 1.0),
    ("self-extend", 1.0),
)  # method, and what multiplies its s


@dataclass(frozen=True)
class Recall:
    """Of the questions: nats a token of the value (2.30 for a digit by chance), share exact."""

    nats: float
    exact: float


class Meter:
    """Measures a model on text that it has not seen.

    Args:
        llm: a model with its window and method.
    """

    def __init__(self, llm: LongContextLLM) -> None:
        self._llm = llm
        self._lines = held_out_lines()
        self._words = keys_of(self._lines, least=4)

    def perplexity(self, n_tokens: int, *, last: int = 128, n_texts: int = 8) -> float:
        """Perplexity of the ``last`` tokens of ``n_texts`` texts of ``n_tokens``.

        The same tokens whatever ``n_tokens`` is: only how much stands before them differs.
        """
        ids = self._llm.tokenize("\n".join(self._lines))
        ends = np.linspace(_LONGEST, len(ids), n_texts).astype(int)
        texts = [self._llm.detokenize(ids[end - n_tokens + 1 : end]) for end in ends]
        return math.exp(np.mean([self._llm.score(text)[-last:].mean() for text in texts]))

    def recall(
        self, kind: str, n_facts: int, n_tokens: int, n_trials: int, *, deepest: float = 1.0
    ) -> Recall:
        """Ask for one of ``n_facts`` in each of ``n_trials`` texts of ``n_tokens``.

        Args:
            kind: ``passkey``, ``magic``, ``room`` or ``pair``.
            n_facts: how many each text holds.
            n_tokens: of the text and the question.
            n_trials: trial i is the same text whatever the method.
            deepest: facts stand at random in this share of the text, from its beginning.
        """
        nats, exact = [], []
        for trial in range(n_trials):
            rng = np.random.default_rng([trial, n_tokens])
            text, value = self.trial(rng, kind, n_facts, n_tokens, deepest=deepest)
            n_answer = self._llm.count(f" {value}")
            scored = min(n_answer, len(value))  # a number's space is a token by itself
            nats.append(float(self._llm.score(f"{text} {value}")[-scored:].mean()))
            # The text stands in the cache now; the answer needs no second prefill.
            answer = self._llm.generate(text, max_tokens=n_answer).text
            exact.append(answer.strip() == value)
        return Recall(float(np.mean(nats)), float(np.mean(exact)))

    def trial(
        self, rng: Generator, kind: str, n_facts: int, n_tokens: int, *, deepest: float = 1.0
    ) -> tuple[str, str]:
        """Return one text that ends in a question, and its answer; arguments as :meth:`recall`."""
        known = facts(rng, kind, n_facts, self._words)
        asked = known[int(rng.integers(len(known)))]
        return self._haystack(known, asked, n_tokens, deepest, rng), asked.value

    def _haystack(
        self, known: Sequence[Fact], asked: Fact, n_tokens: int, deepest: float, rng: Generator
    ) -> str:
        """Prose with facts and, at its end, the question."""
        lines = [asked.prompt]
        first = int(rng.integers(len(self._lines)))
        n = self._llm.count("\n".join([*(fact.statement for fact in known), asked.prompt]))
        for i in range(n_tokens):
            line = self._lines[first - i]
            lines.insert(0, line)
            n += self._llm.count(line) + 1
            if n >= n_tokens:
                break
        places = rng.integers(1, max(2, int(deepest * len(lines))), len(known))
        for place, fact in zip(places, known, strict=True):
            lines.insert(int(place), fact.statement)
        text = "\n".join(lines)
        while self._llm.count(text) >= n_tokens:
            text = re.sub(r"^\S+\s+", "", text)
        return text


def main() -> None:
    """Print one line a method and window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--windows", type=int, nargs="+", default=[512, 1024, 2048])
    options = parser.parse_args()
    n_ctx_train = ModelInfo.from_gguf(options.model).n_ctx_train
    kinds = (("passkey", 1), ("room", 3), ("pair", 3))
    print("Facts stand further back than the trained window: nats a token, share exact.")
    print("window  method          perplexity" + "".join(f"  {k:>8} x {n}" for k, n in kinds))
    for window in options.windows:
        for method, more in _ROWS if window > n_ctx_train else _ROWS[:1]:
            with LongContextLLM(
                options.model,
                math.ceil(window * more),
                method=method,
                window="fixed",
                reserve_output=MARGIN,
                n_threads=1,
            ) as llm:
                meter, n = Meter(llm), window - MARGIN
                deepest = 1 - n_ctx_train / n if window > n_ctx_train else 1.0
                found = [
                    meter.recall(kind, k, n, options.trials, deepest=deepest) for kind, k in kinds
                ]
                name = method if more == 1 else f"{method} s x {more:g}"
                print(
                    f"{window:6}  {name:14}  {meter.perplexity(n):10.1f}"
                    + "".join(f"  {r.nats:6.2f} {r.exact:5.0%}" for r in found),
                    flush=True,
                )


if __name__ == "__main__":
    main()
