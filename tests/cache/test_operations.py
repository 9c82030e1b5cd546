"""Random operations from two threads on four sessions, against lists of what they should hold."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.cache.test_session import opened
from tests.conftest import TinyGguf

SINKS = 4


@pytest.mark.parametrize("method", ["ntk", "yarn", "self-extend"])
def test_two_threads_four_sessions_two_hundred_operations(
    tiny_gguf: TinyGguf, method: str, tmp_path: Path
) -> None:
    """Feed, fork, grow, shrink, compress, slide, truncate, save, load, score: always the tokens."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, method=method, n_keep=SINKS, overflow="slide") as llm:
        sessions = [llm.session() for _ in range(4)]
        tokens: list[list[int]] = [[] for _ in sessions]
        saved: dict[int, list[int]] = {}
        locks = [threading.Lock() for _ in sessions]
        failures: list[BaseException] = []

        def step(random: np.random.Generator) -> None:
            i = int(random.integers(4))
            what = random.integers(10)
            if what == 9:
                j = int(random.integers(4))
                if i == j:
                    return
                with locks[min(i, j)], locks[max(i, j)]:
                    sessions[j].close()
                    sessions[j] = sessions[i].fork()
                    tokens[j] = list(tokens[i])
                    return
            with locks[i]:
                session, held = sessions[i], tokens[i]
                if what <= 2 and len(held) < 850:
                    new = [int(x) for x in random.integers(5, 200, random.integers(1, 170))]
                    session.feed(new)
                    held += new
                elif what == 3:
                    n = int(random.integers(0, len(held) + 1))
                    session.truncate(n)
                    del held[n:]
                elif what == 4:
                    session.grow(int(random.integers(1, 1024)))
                elif what == 5:
                    session.shrink(max(len(held), int(random.integers(1, 1024))))
                elif what == 6 and len(held) > SINKS + 1:
                    n = int(random.integers(1, len(held) - SINKS))
                    session.slide(n)
                    del held[SINKS : SINKS + n]
                elif what == 7:
                    session.save(tmp_path / f"{i}.session")
                    saved[i] = list(held)
                elif what == 8 and i in saved:
                    session.load(tmp_path / f"{i}.session")
                    tokens[i] = held = list(saved[i])
                elif held:
                    assert np.isfinite(session.next_nll([9, 10, 11])).all()
                assert list(session.tokens) == held
                last = session.shared_context.context.last_position(session.sequence)
                assert last == len(held) - 1

        def run(seed: int) -> None:
            random = np.random.default_rng(seed)
            try:
                for _ in range(100):
                    step(random)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        alone = llm.session()
        for session, held in zip(sessions, tokens, strict=True):
            assert list(session.tokens) == held
            assert session.prefilled_again == 0
            if held and session.method == "none" and not session.dropped_tokens:
                alone.truncate(0)
                alone.feed(held)
                want = alone.next_nll([9, 10])
                np.testing.assert_allclose(session.next_nll([9, 10]), want, atol=0.3)
