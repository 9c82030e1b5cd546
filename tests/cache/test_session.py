"""Sessions on real KV caches: growing without a second prefill, Self-Extend, going back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from longctx import BackendError, ContextOverflowError, LongContextLLM
from longctx.cache import Session
from longctx.cache.state import parse_state
from tests.conftest import TinyGguf

IDS = [int(i) for i in np.random.default_rng(7).integers(5, 200, 4000)]


def opened(path: Any, target_ctx: int = 1024, **options: Any) -> LongContextLLM:
    """A tiny model with a window of a few hundred tokens."""
    options = {"reserve_output": 16, "n_threads": 1, **options}
    return LongContextLLM(path, target_ctx, **options)


def exported(session: Session) -> np.ndarray:
    """llama.cpp's own state of a session: uint8[n]."""
    return session.shared_context.context.get_state(session.sequence)


def keys(session: Session, layer: int) -> np.ndarray:
    """The keys of one layer in the order of the tokens: float32[n_tokens, row]."""
    state = exported(session)
    cache = parse_state(state).caches[0]
    return cache.keys[layer].read(state)[np.argsort(cache.positions, kind="stable")]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "stablelm", "smollm3"])
@pytest.mark.parametrize("method", ["ntk", "linear", "yarn", "ntk-by-parts"])
def test_grown_first_layer_keys_are_those_of_a_fresh_prefill(
    tiny_gguf: TinyGguf, architecture: str, method: str
) -> None:
    """NORM, NEOX, partial rotary and layers without RoPE; growing prefills nothing."""
    with opened(tiny_gguf(architecture, n_ctx_train=256), method=method) as llm:
        grown = llm.session()
        grown.feed(IDS[:200])
        assert (grown.n_ctx, grown.rope.scale) == (256, 1)
        grown.grow(1000)
        assert (grown.n_ctx, grown.rope.method, grown.rope.scale) == (1024, method, 4)
        assert grown.prefilled_again == 0
        assert grown.tokens == tuple(IDS[:200])
    with opened(tiny_gguf(architecture, n_ctx_train=256), method=method, window="fixed") as llm:
        fresh = llm.session()
        fresh.feed(IDS[:200])
        expected = keys(fresh, 0)
    with opened(tiny_gguf(architecture, n_ctx_train=256), method=method) as llm:
        grown = llm.session()
        grown.feed(IDS[:200])
        grown.grow(1024)
        got = keys(grown, 0)
    np.testing.assert_allclose(got, expected, atol=4e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("kv_type", "tolerance"), [("bf16", 0.02), ("q8_0", 0.03)])
def test_other_kv_types_grow_too(tiny_gguf: TinyGguf, kv_type: str, tolerance: float) -> None:
    """Quantised keys stand multiplied by a Hadamard matrix where a head has 64 dimensions."""
    got = []
    for window in ("elastic", "fixed"):
        path = tiny_gguf("llama", n_ctx_train=256, n_embd=128, head_dim=64, n_rot=64)
        with opened(path, kv_type=kv_type, method="ntk", window=window) as llm:
            session = llm.session()
            session.feed(IDS[:200])
            session.grow(1024)
            assert session.prefilled_again == 0
            got.append(keys(session, 0))
    error = np.linalg.norm(got[0] - got[1]) / np.linalg.norm(got[1])
    assert error < tolerance


def test_growing_and_shrinking_come_back(tiny_gguf: TinyGguf) -> None:
    """Two rotations that undo each other leave the keys as they were, to f16 precision."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="ntk") as llm:
        session = llm.session()
        session.feed(IDS[:150])
        before = keys(session, 1)
        session.grow(1024)
        assert np.abs(keys(session, 1) - before).max() > 0.1 * np.abs(before).max()
        session.shrink(200)
        assert session.n_ctx == 256
        np.testing.assert_allclose(keys(session, 1), before, atol=4e-3 * np.abs(before).max())
        with pytest.raises(ContextOverflowError):
            session.shrink(100)


def test_what_cannot_be_re_rotated_is_prefilled_again_and_said(tiny_gguf: TinyGguf) -> None:
    """The same tokens in the larger window, and the reason in the result.

    What takes YaRN's temperature back for ntk-by-parts shrinks keys that slide, which have none.
    """
    with opened(tiny_gguf("gemma3", n_ctx_train=256), method="ntk-by-parts") as llm:
        session = llm.session()
        session.feed(IDS[:200])
        session.grow(1024)
        assert (session.n_ctx, session.n_tokens) == (1024, 200)
        assert session.prefilled_again == 200
        assert session.fallback is not None
        assert "second prefill" in session.fallback


def test_a_conversation_grows_without_prefilling_and_says_so(tiny_gguf: TinyGguf) -> None:
    """The façade reports the growth; cached tokens stay cached across it."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="ntk") as llm:
        text = "the cat sat on the mat. "
        while llm.count(text) < 200:
            text += "the dog saw it. "
        first = llm.generate(text, max_tokens=4)
        assert (first.window.n_ctx, first.window.grew_from) == (256, None)
        second = llm.generate(text + text, max_tokens=4)
        assert (second.window.n_ctx, second.window.grew_from) == (512, 256)
        assert (second.window.method, second.window.scale) == ("ntk", 2)
        assert second.window.method_changed is None
        assert second.usage.cached_tokens >= 190
        third = llm.generate("a short text", max_tokens=4)
        assert (third.window.n_ctx, third.window.scale) == (256, 1)


def test_self_extend_compresses_old_blocks_and_keeps_short_text_untouched(
    tiny_gguf: TinyGguf,
) -> None:
    """Positions follow the configuration; no token is lost and none is prefilled again."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="self-extend") as llm:
        config = llm.plan.self_extend
        assert config is not None
        session = llm.session()
        session.feed(IDS[: config.start])
        assert session.method == "none"
        assert session.positions.tolist() == list(range(config.start))
        session.feed(IDS[config.start : 900])
        assert (session.n_tokens, session.method) == (900, "self-extend")
        assert session.prefilled_again == 0
        expected = config.positions(900, session.window.groups)
        assert config.end(900, session.window.groups) <= config.start
        np.testing.assert_array_equal(session.positions, expected)
        assert session.positions.max() < config.start
        held = parse_state(exported(session)).caches[0].positions
        np.testing.assert_array_equal(np.sort(held), np.arange(900))


def test_self_extend_undone_by_truncating(tiny_gguf: TinyGguf) -> None:
    """Cut back below the start, tokens stand where they would without it, keys too."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="self-extend") as llm:
        plain, session = llm.session(), llm.session()
        plain.feed(IDS[:150])
        session.feed(IDS[:900])
        session.truncate(150)
        assert session.positions.tolist() == list(range(150))
        assert session.tokens == plain.tokens
        want = keys(plain, 0)
        np.testing.assert_allclose(keys(session, 0), want, atol=8e-3 * np.abs(want).max())


@pytest.mark.parametrize("method", ["ntk", "yarn", "self-extend"])
def test_random_operations_against_a_list(tiny_gguf: TinyGguf, method: str) -> None:
    """100 random feeds, truncates, matches, growths and scores: always the right tokens."""
    random = np.random.default_rng(3)
    with opened(tiny_gguf("llama", n_ctx_train=256), method=method) as llm:
        session, tokens = llm.session(), []
        for _ in range(100):
            what = random.integers(0, 6)
            if what <= 1 and len(tokens) < 900:
                new = [int(i) for i in random.integers(5, 200, random.integers(1, 100))]
                session.feed(new)
                tokens += new
            elif what == 2 and tokens:
                n = int(random.integers(0, len(tokens) + 1))
                session.truncate(n)
                tokens = tokens[:n]
            elif what == 3:
                keep = int(random.integers(0, len(tokens) + 1))
                other = [*tokens[:keep], 3, 4]
                tokens = tokens[: session.match(other)]
                assert tokens == other[: len(tokens)]
            elif what == 4:
                session.grow(int(random.integers(1, 1024)))
            elif what == 5 and tokens:
                assert np.isfinite(session.next_nll([9, 10, 11])).all()
            assert list(session.tokens) == tokens
            assert len(session.positions) == len(tokens)
            last = session.shared_context.context.last_position(session.sequence)
            assert last == len(tokens) - 1
        assert session.prefilled_again == 0


def test_an_empty_session_predicts_nothing(tiny_gguf: TinyGguf) -> None:
    """Errors that say what to do."""
    with opened(tiny_gguf("llama", n_ctx_train=256)) as llm:
        session = llm.session()
        with pytest.raises(BackendError, match="feed"):
            session.next_nll([5])
        with pytest.raises(ContextOverflowError):
            session.feed([5] * 1025)
        assert session.n_tokens == 0
        session.close()
        with pytest.raises(BackendError, match="closed"):
            session.feed([5])


@pytest.mark.parametrize(("architecture", "n_bos"), [("gemma3", 1), ("llama", 0)])
def test_a_session_begins_as_the_model_was_trained(
    tiny_gguf: TinyGguf, architecture: str, n_bos: int
) -> None:
    """With BOS where the model wants one, before ids that lack it; a text gets it by itself."""
    with opened(tiny_gguf(architecture), method="none") as llm, llm.session() as session:
        session.begin()
        assert session.tokens == (llm.engine.model.bos,) * n_bos
        session.feed(llm.tokenize("hello"))
        with pytest.raises(BackendError, match=f"{session.n_tokens} tokens already"):
            session.begin()
        held = session.tokens
        session.truncate(0)
        session.feed("hello")
        assert session.tokens == held == tuple(llm.prompt_ids("hello"))
