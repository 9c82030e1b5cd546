"""``overflow="compress"``: a window without end whose oldest text gets thinner."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

from longctx import ContextOverflowError, LongContextLLM
from tests.cache.test_session import IDS, opened
from tests.conftest import TinyGguf
from tests.models import TINY

TEXT = "the cat sat on the mat. the dog saw it and ran to the mat. "


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_a_stream_without_end(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """20 windows of text: sinks and the latest tokens are there, of the rest a choice."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, 256, overflow="compress", kv_type=kv_type) as llm:
        session = llm.session()
        stream = [int(i) for i in np.random.default_rng(1).integers(5, 200, 5000)]
        session.feed(stream)
        assert session.n_ctx == 256
        assert 190 < session.n_tokens <= 256
        assert session.text_ids == stream
        assert session.tokens[:4] == tuple(stream[:4])
        n_whole = 5000 - 4 - session.compressed_tokens
        assert n_whole >= 64
        assert session.tokens[-n_whole:] == tuple(stream[-n_whole:])
        assert session.kept_share < 0.05
        assert (session.dropped_tokens, session.prefilled_again) == (0, 0)
        assert len(session.nll(stream[:600])) == 600
        session.compress(0.5)
        assert session.text_ids == [*stream, *stream[:600]]


@pytest.mark.parametrize("method", ["yarn", "self-extend"])
def test_it_grows_before_it_compresses(tiny_gguf: TinyGguf, method: str) -> None:
    """Elastic and endless together: below the target every token stands whole."""
    with opened(tiny_gguf("llama", n_ctx_train=256), overflow="compress", method=method) as llm:
        session = llm.session()
        session.feed(IDS[:1000])
        assert (session.n_ctx, session.compressed_tokens) == (1024, 0)
        session.feed(IDS[1000:1300])
        assert session.compressed_tokens > 0
        assert (session.text_ids, session.prefilled_again) == (IDS[:1300], 0)


def test_the_same_text_is_compressed_at_the_same_places_however_it_comes() -> None:
    """At once, in pieces, token by token; which tokens a head keeps may turn on rounding."""
    with LongContextLLM(TINY, 256, overflow="compress", reserve_output=16, n_threads=1) as llm:
        ids = llm.tokenize(topics["execmodel"])[:700]
        whole, pieces = llm.session(), llm.session()
        whole.feed(ids[:600])
        for begin in range(0, 560, 7):
            pieces.feed(ids[begin : begin + 7])
        for token in ids[560:600]:
            pieces.advance(token)
        assert pieces.tokens == whole.tokens
        want, got = whole.nll(ids[600:700]), pieces.nll(ids[600:700])
        assert got.mean() == pytest.approx(want.mean(), abs=0.1)


def test_answers_say_what_is_kept_and_reuse_it(tiny_gguf: TinyGguf) -> None:
    """The next turn prefills what is new; of another text only the sinks are used."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256, overflow="compress") as llm:
        first = llm.generate(TEXT * 20, max_tokens=8)
        window = first.window
        assert (window.dropped_tokens, window.n_ctx) == (0, 256)
        assert window.compressed_tokens > 100
        assert 0 < window.kept_share < 1
        again = llm.generate(TEXT * 20, max_tokens=8)
        assert again.usage.prefilled_tokens == 1
        longer = llm.generate(TEXT * 22, max_tokens=8)
        assert 0 < longer.usage.prefilled_tokens <= llm.count(TEXT * 2) + 2
        other = llm.generate("and " + TEXT * 20, max_tokens=8)
        assert other.usage.cached_tokens <= 4
        short = llm.generate(TEXT, max_tokens=8)
        assert (short.window.compressed_tokens, short.window.kept_share) == (0, 1.0)


def test_system_prompt_and_tools_are_pinned(tiny_gguf: TinyGguf) -> None:
    """What a conversation begins with stays whole, to the token."""
    with opened(tiny_gguf("llama", n_ctx_train=512), 512, overflow="compress") as llm:
        talk: list[Any] = [{"role": "system", "content": "the cat is the king of the mat. " * 3}]
        for i in range(30):
            talk.append({"role": "user", "content": f"the dog ran to the mat {i} and sat on it."})
            reply = llm.chat(talk, max_tokens=8)
            talk.append({"role": "assistant", "content": reply.text or "mat"})
        assert reply.window.compressed_tokens > 0
        session = llm.engine.sessions[-1]
        alone = llm.prompt_ids([talk[0], {"role": "user", "content": ""}])
        assert session.n_keep > 30
        assert list(session.tokens[: session.n_keep]) == alone[: session.n_keep]
        long_system = {"role": "system", "content": "the mat " * 400}
        with pytest.raises(ContextOverflowError, match="pinned"):
            llm.chat([long_system, talk[1]], max_tokens=8)


def test_compressed_conversations_come_back_from_disk(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A model that compresses finds them; one that does not leaves them alone."""
    path = tiny_gguf("llama", n_ctx_train=2048)
    text = [int(i) for i in np.random.default_rng(1).integers(5, 200, 4000)]
    options: dict[str, Any] = {"cache_dir": tmp_path}
    for overflow, cached in (("compress", 0), ("compress", 3999), ("slide", 0)):
        with opened(path, 2048, overflow=overflow, **options) as llm:
            usage = llm.generate(llm.detokenize(text), max_tokens=1).usage
            assert usage.cached_tokens >= cached
            assert bool(usage.cached_tokens) == bool(cached)
