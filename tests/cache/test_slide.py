"""Sliding windows: attention sinks stay, positions close up, and the text is not forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longctx import ContextOverflowError, LongContextLLM, RequestError
from longctx.cache.state import parse_state
from tests.cache.test_session import IDS, exported, keys, opened
from tests.conftest import TinyGguf
from tests.support.thorough import quick


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "stablelm", "smollm3"])
@pytest.mark.parametrize("method", ["none", "ntk", "yarn"])
def test_first_layer_keys_after_a_slide_are_those_of_a_fresh_prefill(
    tiny_gguf: TinyGguf, architecture: str, method: str
) -> None:
    """Under YaRN, whose factor llama.cpp's own shift multiplies in again; without RoPE, too."""
    target = 256 if method == "none" else 512
    path = tiny_gguf(architecture, n_ctx_train=256)
    with opened(path, target, method=method, window="fixed", n_keep=4) as llm:
        slid, fresh = llm.session(), llm.session()
        slid.feed(IDS[:240])
        for _ in range(3):
            slid.slide(40)
        kept = [*IDS[:4], *IDS[124:240]]
        fresh.feed(kept)
        assert list(slid.tokens) == kept
        assert slid.positions.tolist() == list(range(120))
        assert (slid.dropped_tokens, slid.prefilled_again) == (120, 0)
        want = keys(fresh, 0)
        np.testing.assert_allclose(keys(slid, 0), want, atol=8e-3 * np.abs(want).max())


def test_a_stream_without_end(tiny_gguf: TinyGguf) -> None:
    """20 windows of text: the window stays full, the sinks stay, the latest tokens are there."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256, overflow="slide") as llm:
        session = llm.session()
        stream = [int(i) for i in np.random.default_rng(1).integers(5, 200, 5000)]
        session.feed(stream)
        assert session.n_ctx == 256
        assert 150 < session.n_tokens <= 256
        assert session.dropped_tokens + session.n_tokens == 5000
        assert session.text_ids == stream
        assert list(session.tokens[:4]) == stream[:4]
        assert list(session.tokens[4:]) == stream[-session.n_tokens + 4 :]
        assert session.prefilled_again == 0
        assert len(session.nll(stream[:600])) == 600
        assert np.isfinite(session.next_nll(stream[:3])).all()


def test_it_grows_before_it_slides(tiny_gguf: TinyGguf) -> None:
    """Elastic and endless together: nothing is dropped below the target."""
    with opened(tiny_gguf("llama", n_ctx_train=256), overflow="slide", method="yarn") as llm:
        session = llm.session()
        session.feed(IDS[:1000])
        assert (session.n_ctx, session.dropped_tokens) == (1024, 0)
        session.feed(IDS[1000:1100])
        assert session.dropped_tokens > 0


def test_self_extend_slides(tiny_gguf: TinyGguf) -> None:
    """Compressed blocks are laid out anew over what is kept."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, method="self-extend", overflow="slide", n_keep=8) as llm:
        config = llm.plan.self_extend
        assert config is not None
        session = llm.session()
        session.feed(IDS[:3000])
        assert session.method == "self-extend"
        assert list(session.tokens) == [*IDS[:8], *IDS[3000 - session.n_tokens + 8 : 3000]]
        assert session.prefilled_again == 0
        expected = config.positions(session.n_tokens, session.window.groups)
        np.testing.assert_array_equal(session.positions, expected)
        held = parse_state(exported(session)).caches[0].positions
        np.testing.assert_array_equal(np.sort(held), np.arange(session.n_tokens))


def test_a_text_that_goes_on_is_recognised_though_its_beginning_slid_out(
    tiny_gguf: TinyGguf,
) -> None:
    """The next turn of a conversation prefills what is new, and says what is gone."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256, overflow="slide", n_keep=8) as llm:
        text = "the cat sat on the mat. the dog saw it and ran to the mat. "
        first = llm.generate(text * 20, max_tokens=8)
        assert first.window.dropped_tokens > 0
        assert first.usage.prompt_tokens == llm.count(text * 20)
        again = llm.generate(text * 20, max_tokens=8)
        assert again.usage.prefilled_tokens == 1
        longer = llm.generate(text * 22, max_tokens=8)
        assert 0 < longer.usage.prefilled_tokens <= llm.count(text * 2) + 2
        other = llm.generate("and " + text * 20, max_tokens=8)
        assert other.usage.cached_tokens <= 8


def test_system_prompt_and_tools_are_pinned(tiny_gguf: TinyGguf) -> None:
    """What a conversation begins with stays in the window, to the token."""
    with opened(tiny_gguf("llama", n_ctx_train=512), 512, overflow="slide") as llm:
        system = {"role": "system", "content": "the cat is the king of the mat. " * 3}
        talk = [system]
        for i in range(30):
            talk.append({"role": "user", "content": f"the dog ran to the mat {i} and sat on it."})
            reply = llm.chat(talk, max_tokens=8)
            talk.append({"role": "assistant", "content": reply.text or "mat"})
        assert reply.window.dropped_tokens > 0
        session = llm.engine.sessions[-1]
        alone = llm.prompt_ids([system, {"role": "user", "content": ""}])
        assert session.n_keep >= llm.count(system["content"]) // 2
        assert list(session.tokens[: session.n_keep]) == alone[: session.n_keep]
        long_system = {"role": "system", "content": "the mat " * 400}
        with pytest.raises(ContextOverflowError, match="pinned"):
            llm.chat([long_system, talk[1]], max_tokens=8)


FORGETS = ("gemma3", "gpt-oss", "olmo2", "lfm2", "granitehybrid", "qwen35", "mamba")
"""Layers that slide, recurrent ones beside attention, and nothing but recurrent ones."""


@pytest.mark.parametrize("architecture", FORGETS)
def test_layers_that_forget_go_on_while_the_others_slide(
    tiny_gguf: TinyGguf, architecture: str
) -> None:
    """Nothing is prefilled again, and what follows is predicted as behind a cache from which the
    same cells were taken."""
    path = tiny_gguf(architecture, n_ctx_train=512)
    with opened(path, 512, overflow="slide", n_keep=0, method="none") as llm:
        session, other = llm.session(), llm.session()
        session.feed(IDS[:600])
        n_dropped = session.dropped_tokens
        assert 0 < n_dropped < 400
        assert (session.prefilled_again, session.fallback) == (0, None)
        assert session.text_ids == IDS[:600]
        assert session.tokens == tuple(IDS[n_dropped:600])
        assert session.positions.tolist() == list(range(600 - n_dropped))
        # By llama.cpp itself, before the batch that makes the window slide.
        other.feed(IDS[:512])
        native = other.shared_context.context
        assert native.remove(0, n_dropped, seq_id=other.sequence)
        native.decode(IDS[512:600], 512, seq_id=other.sequence, outputs="last")
        np.testing.assert_allclose(session.next_logits()[0], native.logits(1)[0], atol=2e-2)


@pytest.mark.parametrize("architecture", FORGETS)
def test_a_window_that_slid_is_cut_back_forked_and_saved(
    tiny_gguf: TinyGguf, architecture: str, tmp_path: Path
) -> None:
    """Checkpoints slide with the text; a file has where its cells stand."""
    path = tiny_gguf(architecture, n_ctx_train=512)
    with opened(path, 512, overflow="slide", n_keep=8, method="none") as llm:
        session, straight = llm.session(), llm.session()
        for begin in range(0, 825, 75):
            session.feed(IDS[begin : begin + 75])
        straight.feed([*IDS[:765], *IDS[1000:1020]])
        assert session.dropped_tokens == straight.dropped_tokens > 300
        assert list(session.tokens[:8]) == IDS[:8]
        assert session.positions.tolist() == list(range(session.n_tokens))
        twin = session.fork()
        twin.save(tmp_path / "a.session")
        loaded = llm.load_session(tmp_path / "a.session")
        for each in (session, twin, loaded):
            each.truncate(each.n_tokens - 60)
            each.feed(IDS[1000:1020])
            assert each.prefilled_again <= 75
            assert each.text_ids == straight.text_ids
            difference = np.abs(each.next_logits() - straight.next_logits()).max()
            assert difference < 0.05
        session.truncate(8)  # the sinks alone are nearer to what comes than they were computed
        fresh = llm.session()
        for each in (session, fresh):
            each.feed(IDS[8:40] if each is session else IDS[:40])
        np.testing.assert_allclose(session.next_logits(), fresh.next_logits(), atol=2e-2)


@pytest.mark.parametrize("architecture", quick(["gemma3", "lfm2"], "lfm2"))
def test_self_extend_slides_where_layers_forget(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Blocks are laid out anew over what is kept, at the distances that they should have."""
    path = tiny_gguf(architecture, n_ctx_train=256)
    with opened(path, method="self-extend", overflow="slide", n_keep=8) as llm:
        config = llm.plan.self_extend
        assert config is not None
        session = llm.session()
        session.feed(IDS[:3000])
        assert session.method == "self-extend"
        assert list(session.tokens) == [*IDS[:8], *IDS[3000 - session.n_tokens + 8 : 3000]]
        assert session.prefilled_again == 0
        expected = config.positions(session.n_tokens, session.window.groups)
        np.testing.assert_array_equal(session.positions, expected)
        assert np.isfinite(session.next_nll(IDS[:3])).all()


@pytest.mark.slow
def test_positions_do_not_grow_for_ever(tiny_gguf: TinyGguf) -> None:
    """Once in 65,536 tokens what is kept is read again, and begins at 0."""
    with opened(tiny_gguf("gemma3", n_ctx_train=1024), 256, overflow="slide") as llm:
        session = llm.session()
        for _ in range(36):
            session.feed(IDS[:1900])
        assert session.window.cells.next_position < 36 * 1900 - 60_000
        assert 100 < session.prefilled_again < 256
        assert "slide or are recurrent" in str(session.fallback)


def test_nonsense_is_refused(tiny_gguf: TinyGguf) -> None:
    """Nothing, less than nothing, and more than there is cannot slide out."""
    with opened(tiny_gguf("llama", n_ctx_train=256), n_keep=4, overflow="slide") as llm:
        session = llm.session()
        session.feed(IDS[:50])
        for wrong in (0, -3, 1.5):
            with pytest.raises(RequestError, match="n_discard"):
                session.slide(wrong)
        with pytest.raises(ContextOverflowError, match="cannot slide"):
            session.slide(47)
        session.slide(46)
        assert session.n_tokens == 4
        assert isinstance(llm, LongContextLLM)


@pytest.mark.parametrize("overflow", ["slide", "compress"])
def test_what_is_only_tried_makes_nothing_slide_out(tiny_gguf: TinyGguf, overflow: str) -> None:
    """A full window that made room for it could not be what it was: it is refused before."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256, overflow=overflow) as llm:
        session = llm.session()
        session.feed(IDS[:252])
        before = session.next_logits().copy()
        assert len(session.greedy(5)) == 5  # the last one is not read any more
        for tried in (lambda: session.greedy(6), lambda: session.next_nll([7] * 5)):
            with pytest.raises(ContextOverflowError):
                tried()
        assert session.tokens == tuple(IDS[:252])
        np.testing.assert_allclose(session.next_logits(), before, atol=2e-2)


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "granitehybrid"])
def test_what_slid_out_up_to_the_last_tokens_is_still_known(
    tiny_gguf: TinyGguf, architecture: str, left: int
) -> None:
    """To predict what follows, the last token is decoded again; where nothing but the sinks stands
    before it, the text keeps what slid out between the two."""
    with opened(tiny_gguf(architecture, n_ctx_train=256), 256, n_keep=4) as llm:
        session, text = llm.session(), IDS[:50]
        session.feed(text)
        session.slide(46 - left)
        want = (text, 46 - left, 4 + left)
        for look in (
            lambda: session.next_logits(),
            lambda: session.greedy(3),
            lambda: session.next_nll(IDS[60:64]),
            lambda: session.match(text),
        ):
            look()
            found = (session.text_ids, session.dropped_tokens, session.n_tokens)
            assert found == want
        assert session.match([*text, 9]) == session.shared([*text, 9]) == 50
        session.truncate(4)  # the sinks alone, and no text that slid out behind them
        assert (session.text_ids, session.dropped_tokens) == (text[:4], 0)


def test_what_is_compressed_to_nothing_is_still_known(tiny_gguf: TinyGguf) -> None:
    """A share so small that no composite cell is left."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256) as llm:
        session = llm.session()
        session.feed(IDS[:20])
        session.compress(0.1)
        assert session.n_tokens == 5
        session.next_logits()
        assert (session.text_ids, session.compressed_tokens) == (IDS[:20], 15)


def test_attached_text_is_known_where_it_slid_to(tiny_gguf: TinyGguf) -> None:
    """What is cut back to before attached text is as a prefill makes it; what is nearer to the
    sinks than that once was need not be."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 256, n_keep=4) as llm:
        session, other = llm.session(), llm.session()
        session.feed(IDS[:60])
        other.feed(IDS[100:140])
        session.attach(other)
        session.slide(30)  # it begins at 30 now
        session.truncate(50)
        assert session.is_stitched
        session.truncate(30)
        assert not session.is_stitched
        session.attach(other)
        session.slide(60)  # it reached beyond where the text began
        session.truncate(7)
        assert session.is_stitched
        session.truncate(4)
        assert not session.is_stitched
