"""Random operations with compressions among them, against the text that there should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longctx.cache import Session
from tests.cache.test_session import IDS, exported, opened
from tests.conftest import TinyGguf

SINKS = 4


def cut(session: Session, text: list[int], n: int) -> list[int]:
    """What the first ``n`` cells stand for: below what is whole, the text is read again."""
    if n >= session.n_tokens:
        return text
    n_gone = session.compressed_tokens + session.dropped_tokens
    n_cells = session.n_tokens - (len(text) - n_gone)
    begin = session.n_keep
    return text[: n if n < begin + n_cells or n <= begin else n + n_gone - n_cells]


@pytest.mark.parametrize("method", ["yarn", "self-extend"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_session_always_knows_its_text(
    tiny_gguf: TinyGguf, method: str, seed: int, tmp_path: Path
) -> None:
    """And scores as a fresh one wherever it stands whole, as its twin wherever it does not."""
    path = tiny_gguf("llama", n_ctx_train=256, n_head_kv=2)
    random = np.random.default_rng(seed)
    compressed = 0
    with opened(path, method=method, n_keep=SINKS, overflow="compress") as llm:
        session, text, saved = llm.session(), list[int](), list[int]()
        for _ in range(120):
            what = random.integers(10)
            if what <= 2:
                new = [int(x) for x in random.integers(5, 200, random.integers(1, 300))]
                session.feed(new)
                text += new
            elif what == 3:
                n = int(random.integers(0, session.n_tokens + 1))
                text = cut(session, text, n)
                session.truncate(n)
            elif what == 4:
                n_gone = session.compressed_tokens + session.dropped_tokens
                n = int(random.integers(0, len(text) + 1))
                expected = min(n, SINKS) if n_gone and n < SINKS + n_gone else n
                assert session.match([*text[:n], 3]) == expected
                del text[expected:]
            elif what == 5:
                session.grow(int(random.integers(1, 1024)))
            elif what == 6:
                session.shrink(max(session.n_tokens, int(random.integers(1, 1024))))
            elif what == 7:
                n_gone = session.compressed_tokens + session.dropped_tokens
                begin = SINKS + n_gone if n_gone else 0
                spans = [(begin, min(begin + 20, len(text)))] if begin < len(text) else []
                session.compress(float(random.uniform(0.3, 1)), protect=spans)
            elif what == 8 and session.n_tokens > 2 * SINKS:
                session.slide(int(random.integers(1, session.n_tokens - SINKS)))
            elif what == 9 and not saved:
                session.save(tmp_path / "a.session")
                saved = list(text)
                assert_same(llm.load_session(tmp_path / "a.session"), session)
            elif what == 9:
                session.load(tmp_path / "a.session")
                text, saved = list(saved), []
            compressed += bool(session.compressed_tokens)
            assert session.text_ids == text
            n_cells = sum(token == -1 for token in session.tokens)
            assert bool(n_cells) == bool(session.compressed_tokens)
            n_gone = session.dropped_tokens + session.compressed_tokens
            assert n_gone + session.n_tokens - n_cells == len(text)
            assert session.tokens[:SINKS] == tuple(text[:SINKS])
            native = session.shared_context.context
            last = native.last_position(session.sequence)
            assert last == session.n_tokens - 1
            if len(text) > 1 and session.n_tokens < 1000:
                twin = session.fork()
                want = twin.next_nll([9, 10])
                np.testing.assert_allclose(session.next_nll([9, 10]), want, atol=0.05)
                twin.close()
        assert compressed > 20
        session.truncate(SINKS)
        session.feed(IDS[:200])
        fresh = llm.session()
        fresh.feed(session.text_ids)
        np.testing.assert_allclose(session.next_nll([9, 10]), fresh.next_nll([9, 10]), atol=0.05)


def assert_same(loaded: Session, session: Session) -> None:
    """The same bytes, and the same text."""
    assert loaded.text_ids == session.text_ids
    assert loaded.tokens == session.tokens
    assert loaded.kept_share == session.kept_share
    assert loaded.dropped_tokens == session.dropped_tokens
    if loaded.rope == session.rope:
        np.testing.assert_array_equal(exported(loaded), exported(session))
