"""The steps of a training, drawn ahead of it: a GPU does not wait for text."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np

from longctx.finetune.batch import Batch, in_parts, packed
from longctx.finetune.mixture import Mixture, TrainingSequence

_AHEAD, _THREADS = 6, 3


@dataclass(frozen=True)
class Step:
    """What one step is trained on: ``weight`` is that of all its targets together."""

    batches: tuple[Batch, ...]
    weight: float
    n_tokens: int


def step_of(sequences: list[TrainingSequence], part_tokens: int) -> Step:
    """These sequences, in parts that go through the model together."""
    return Step(
        tuple(packed(part) for part in in_parts(sequences, part_tokens)),
        weight=float(sum(each.weights[1:].sum() for each in sequences)),
        n_tokens=sum(len(each.ids) for each in sequences),
    )


def steps_from(first: int, mixture: Mixture, seed: int, part_tokens: int) -> Generator[Step]:
    """Steps without end, each drawn by its number alone; close it, so that its threads end."""

    def draw(number: int) -> Step:
        return step_of(mixture.step(np.random.default_rng([seed, number])), part_tokens)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="longctx-steps") as threads:
        ahead: deque[Future[Step]] = deque()
        try:
            for number in count(first):
                ahead.append(threads.submit(draw, number))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
