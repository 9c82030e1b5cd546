"""Signals that raise at random moments of random calls: ``python -m tests.support.interrupts 20``.

What Ctrl-C, a notebook's stop button and a time limit do. After each interrupt the model must
answer rightly; at the end the number of interrupts is printed.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from types import FrameType

from longctx import BackendError, LongContextLLM
from tests.models import TINY

FACT = [{"role": "user", "content": "The code of room 7 is 4821.\nWhat is the code of room 7?"}]
OTHER = [{"role": "user", "content": "the king and the queen of the hill " * 12}]
SCHEMA = {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 8}


class Stop(KeyboardInterrupt):
    """What the signal raises."""


class Calls:
    """One model, and calls of every kind on it; closed and opened again now and then."""

    def __init__(self) -> None:
        self.llm = self._open()
        self.session = self.llm.session()

    def _open(self) -> LongContextLLM:
        return LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1)

    def chat(self) -> None:
        """A fact, found again."""
        self.llm.chat(FACT, max_tokens=3)

    def by_schema(self) -> None:
        """Sampled, held to a grammar."""
        self.llm.chat(OTHER, max_tokens=20, response_schema=SCHEMA, temperature=0.8, top_p=0.9)

    def stream(self) -> None:
        """Left in the middle."""
        for i, _ in enumerate(self.llm.stream_chat(OTHER, max_tokens=12)):
            if i == 3:
                break

    def batch(self) -> None:
        """Side by side."""
        self.llm.chat_batch([FACT, OTHER, FACT], max_tokens=4)

    def by_hand(self) -> None:
        """A session, and a fork of it."""
        self.session.truncate(0)
        self.session.feed("the dog ran to the hill " * 20)
        twin = self.session.fork()
        twin.greedy(3)
        twin.close()
        assert self.session.n_tokens == len(self.session.tokens)

    def score(self) -> None:
        """Every token."""
        self.llm.score("the cat sat on the mat and the dog saw it")

    def reopen(self) -> None:
        """Another model in place of this one."""
        self.llm.close()
        self.llm = self._open()
        self.session = self.llm.session()

    def recover(self) -> None:
        """A call may have been interrupted between closing and opening again."""
        try:
            self.session.feed([])
        except BackendError:
            self.llm.close()
            self.llm = self._open()
            self.session = self.llm.session()


def main(seconds: float, seed: int = 0) -> int:
    """Interrupt calls for so long, and once a second at least; return how often it happened."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise Stop

    signal.signal(signal.SIGALRM, handler)
    choose = random.Random(seed)
    calls = Calls()
    kinds = [calls.chat] * 4 + [calls.stream, calls.by_schema, calls.batch] * 2
    kinds += [calls.by_hand] * 2 + [calls.score, calls.reopen]
    right = calls.llm.chat(FACT, max_tokens=16).text
    assert "4821" in right, right
    n, end = 0, time.monotonic() + seconds
    while time.monotonic() < end or n <= seconds:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, choose.uniform(1e-4, 12e-3))
                choose.choice(kinds)()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Stop:
            n += 1
            calls.recover()
            answer = calls.llm.chat(FACT, max_tokens=16).text
            assert answer == right, (n, answer)
    calls.llm.close()
    return n


if __name__ == "__main__":
    print(main(float(sys.argv[1])), "interrupts, every answer after them right")
