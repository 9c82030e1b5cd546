"""A compressed text goes on as any other, or says what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from longctx import (
    ContextOverflowError,
    ModelInfo,
    RequestError,
    SnapshotMismatchError,
    UnsupportedModelError,
    plan_context,
)
from longctx.cache import Session
from longctx.cache.compress import SCORES
from longctx.cache.snapshot import read_header
from longctx.cache.state import parse_state
from longctx.model_info.turning import turning_obstacle
from longctx.rope import Rotation
from tests.cache.test_session import IDS, exported, keys, opened
from tests.conftest import TinyGguf

SHAPE: dict[str, Any] = {"n_embd": 256, "n_head": 4, "n_head_kv": 2, "head_dim": 64, "n_rot": 64}


def held(session: Session) -> np.ndarray:
    """All keys, in the order of the cells: float32[n_layer, n_tokens, row]."""
    return np.stack([keys(session, layer) for layer in range(3)])


# What is left, and what is said of it


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_share_of_the_cells_is_left(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """Sinks and the latest tokens whole; the text is remembered, the rest closes up."""
    with opened(tiny_gguf(**SHAPE), kv_type=kv_type) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.compress(0.6)
        assert (session.n_tokens, session.dropped_tokens) == (240, 0)
        assert session.text_ids == IDS[:400]
        assert session.tokens[:4] == tuple(IDS[:4])
        assert session.tokens[-60:] == tuple(IDS[340:400])
        assert set(session.tokens[4:-60]) == {-1}
        assert session.compressed_tokens == 336
        assert session.kept_share == pytest.approx(176 / 336)
        assert session.positions.tolist() == list(range(240))
        assert session.prefilled_again == 0
        session.feed(IDS[400:420])
        assert session.text_ids == IDS[:420]
        assert len(session.greedy(5)) == 5


def test_keeping_everything_changes_nothing(tiny_gguf: TinyGguf) -> None:
    """Nor does a share that the whole tokens take up alone."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:200])
        before = exported(session)
        session.compress(1.0)
        np.testing.assert_array_equal(exported(session), before)
        assert session.tokens == tuple(IDS[:200])
        session.compress(0.01, protect=[(0, 200)])
        assert session.tokens == tuple(IDS[:200])
        assert (session.compressed_tokens, session.kept_share) == (0, 1.0)


def test_the_latest_tokens_alone_are_a_window_that_slid(tiny_gguf: TinyGguf) -> None:
    """The same keys and logits as where llama.cpp's cells are dropped whole."""
    with opened(tiny_gguf(**SHAPE), n_keep=4, overflow="slide") as llm:
        compressed, slid = llm.session(), llm.session()
        for session in (compressed, slid):
            session.feed(IDS[:400])
        compressed.compress(0.5, method="latest")
        slid.slide(200)
        np.testing.assert_allclose(held(compressed), held(slid), atol=0.02)
        want = slid.next_nll(IDS[400:420])
        np.testing.assert_allclose(compressed.next_nll(IDS[400:420]), want, atol=0.02)


def test_protected_spans_stay_through_later_compressions(tiny_gguf: TinyGguf) -> None:
    """Every head has their keys, wherever these stand for it."""
    span = slice(60, 80)
    with opened(tiny_gguf("smollm3", n_layer=4)) as llm:  # its last layer has no RoPE to undo
        session = llm.session()
        session.feed(IDS[:400])
        whole = keys(session, 3)[span]
        session.compress(0.5, protect=[(60, 80)])
        session.feed(IDS[400:500])
        session.compress(0.4)
        session.fork().compress(0.9)
        kept = keys(session, 3)
        assert all(np.abs(kept - row).max(axis=1).min() == 0 for row in whole)
        with pytest.raises(RequestError, match="compressed already"):
            session.compress(0.5, protect=[(100, 450)])
        session.compress(0.5, protect=[(480, 500)])


def test_protection_is_saved_with_the_text(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A session that was loaded keeps what the saved one would."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.compress(0.5, protect=[(60, 80), (200, 207)])
        loaded = llm.load_session(session.save(tmp_path / "a.session"))
        for each in (session, loaded):
            each.compress(0.6)
        np.testing.assert_array_equal(exported(loaded), exported(session))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"keep": 0}, "keep"),
        ({"keep": 1.5}, "keep"),
        ({"keep": "half"}, "keep"),
        ({"method": "best"}, "method"),
        ({"protect": "all"}, "protect"),
        ({"protect": [3]}, "span"),
        ({"protect": [(9, 3)]}, "span"),
        ({"protect": [(0, 101)]}, "100 tokens"),
    ],
)
def test_nonsense_is_refused(tiny_gguf: TinyGguf, arguments: dict[str, Any], said: str) -> None:
    """And nothing is lost."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:100])
        with pytest.raises(RequestError, match=said):
            session.compress(**{"keep": 0.5, **arguments})
        assert session.tokens == tuple(IDS[:100])


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("deepseek2", "MLA"),
        ("mamba", "recurrent"),
        ("gemma3", "sliding-window"),
        ("qwen2vl", "mrope"),
    ],
)
def test_models_that_keep_something_else_are_refused(
    tiny_gguf: TinyGguf, architecture: str, why: str
) -> None:
    """By hand with the text as it was, and as a plan before anything is loaded."""
    path = tiny_gguf(architecture, n_ctx_train=1024)
    with pytest.raises(UnsupportedModelError, match=why):
        opened(path, 512, overflow="compress")
    with opened(path, 512) as llm:
        session = llm.session()
        session.feed(IDS[:100])
        with pytest.raises(UnsupportedModelError, match=why):
            session.compress(0.5)
        assert session.tokens == tuple(IDS[:100])


@pytest.mark.parametrize(
    ("architecture", "rope_type", "why"),
    [("minimax-m3", "neox", "sparse attention"), ("llama", "none", "it has no RoPE")],
)
def test_keys_that_cannot_be_turned_are_refused_by_the_plan(
    tiny_gguf: TinyGguf, architecture: str, rope_type: Any, why: str
) -> None:
    """An indexer's cache, and no positions at all: known from the file, before it is loaded."""
    info = ModelInfo.from_gguf(tiny_gguf()).model_copy(
        update={
            "rope_type": rope_type,
            "turning_obstacle": turning_obstacle(architecture, rope_type),
        }
    )
    with pytest.raises(UnsupportedModelError, match=why):
        plan_context(info, 512, overflow="compress")


# What comes afterwards


@pytest.mark.parametrize("method", ["ntk", "yarn", "linear"])
def test_growing_turns_each_head_s_keys_by_its_own_positions(
    tiny_gguf: TinyGguf, method: str
) -> None:
    """Compressed and grown is grown and compressed, where the choice does not look at keys."""
    with opened(tiny_gguf(n_ctx_train=256, **SHAPE), method=method) as llm:
        early, late = llm.session(), llm.session()
        for session in (early, late):
            session.feed(IDS[:240])
        early.compress(0.5, method="evenly")
        early.grow(1000)
        late.grow(1000)
        late.compress(0.5, method="evenly")
        assert early.rope == late.rope
        assert early.rope.method == method
        assert early.prefilled_again == 0
        np.testing.assert_allclose(held(early), held(late), atol=0.03)
        want = late.next_nll(IDS[240:260])
        np.testing.assert_allclose(early.next_nll(IDS[240:260]), want, atol=0.05)


def test_self_extend_turns_each_head_s_keys_by_its_own_positions(tiny_gguf: TinyGguf) -> None:
    """Before and after, and when the text goes on and groups move: the same keys, un-rotated."""
    with opened(tiny_gguf(n_ctx_train=256, **SHAPE), method="self-extend") as llm:
        session, far = llm.session(), llm.plan.self_extend
        assert far is not None
        session.feed(IDS[:700])
        assert session.method == "self-extend"
        before = unrotated(session)
        session.compress(0.5, method="evenly")
        kept = np.r_[0:4, np.sort(evenly_kept(4, 613, 350 - 91)), 613:700]
        np.testing.assert_allclose(unrotated(session), before[:, kept], atol=0.02)
        session.feed(IDS[700:1200])
        assert session.prefilled_again == 0
        expected = far.positions(session.n_tokens, session.window.groups)
        np.testing.assert_array_equal(session.positions, expected)
        np.testing.assert_allclose(unrotated(session)[:, :350], before[:, kept], atol=0.02)
        assert session.text_ids == IDS[:1200]


def unrotated(session: Session) -> np.ndarray:
    """The keys without their positions: float32[n_layer, n_tokens, row]."""
    rows, rope, at = held(session), session.rope, session.window.cells.positions
    back = Rotation.between(at, rope, np.zeros_like(at), rope, n_rot=64, rope_type="norm")
    return np.stack([back.apply(r.reshape(len(at), 2, 64)).reshape(r.shape) for r in rows])


def evenly_kept(begin: int, end: int, n_kept: int) -> np.ndarray:
    """The tokens in between that the baseline keeps."""
    scores = SCORES["evenly"](np.empty((700, 1, 1), np.float32))[begin:end, 0]
    return begin + np.argsort(-scores, kind="stable")[:n_kept]


def test_forks_go_their_own_ways(tiny_gguf: TinyGguf) -> None:
    """Compressing one leaves the other whole; a fork of a compressed text is compressed."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:300])
        want = session.next_nll(IDS[300:320])
        twin = session.fork()
        twin.compress(0.4)
        again = twin.fork()
        assert (again.text_ids, again.kept_share) == (IDS[:300], twin.kept_share)
        np.testing.assert_allclose(
            again.next_nll(IDS[300:320]), twin.next_nll(IDS[300:320]), atol=2e-2
        )
        np.testing.assert_allclose(session.next_nll(IDS[300:320]), want, atol=2e-2)
        assert session.tokens == tuple(IDS[:300])


def test_cut_within_what_is_whole_and_below_it(tiny_gguf: TinyGguf) -> None:
    """Above, nothing is computed again; below, the text is read again and is as any other."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session, fresh = llm.session(), llm.session()
        session.feed(IDS[:400])
        session.compress(0.5)
        composite = exported(session)
        session.feed(IDS[500:520])
        session.truncate(200)
        session.truncate(170)
        assert (session.text_ids, session.prefilled_again) == (IDS[:370], 0)
        assert session.shared([*IDS[:370], 7]) == 370
        assert session.match([*IDS[:360], 7]) == 360
        session.feed(IDS[360:400])
        np.testing.assert_allclose(held(session)[0], _first_layer(composite, session), atol=0.02)
        session.truncate(60)
        assert (session.tokens, session.prefilled_again) == (tuple(IDS[:60]), 56)
        assert session.compressed_tokens == 0
        fresh.feed(IDS[:60])
        want = fresh.next_nll(IDS[60:80])
        np.testing.assert_allclose(session.next_nll(IDS[60:80]), want, atol=2e-2)
        session.compress(0.5)
        assert session.match([*IDS[:30], 9, 9]) == 4
        assert session.tokens == tuple(IDS[:4])


@pytest.mark.parametrize("reads", ["next_nll", "next_logits", "greedy", "nll"])
def test_a_text_that_is_cut_where_whole_tokens_begin_is_predicted_from(
    tiny_gguf: TinyGguf, reads: str
) -> None:
    """It is read again, for no token stands at its end, and loses none; it goes on as any other."""
    asked: dict[str, Any] = {
        "next_nll": lambda session: session.next_nll(IDS[350:370]),
        "next_logits": lambda session: session.next_logits().copy(),
        "greedy": lambda session: session.greedy(5),
        "nll": lambda session: session.nll(IDS[350:370]),
    }
    with opened(tiny_gguf(**SHAPE)) as llm:
        session, fresh = llm.session(), llm.session()
        session.feed(IDS[:400])
        session.compress(0.5)
        n_whole = 400 - 4 - session.compressed_tokens
        assert session.match(IDS[:350]) == 350
        assert session.tokens[-1] == -1
        assert n_whole == 50
        fresh.feed(IDS[:350])
        np.testing.assert_allclose(asked[reads](session), asked[reads](fresh), atol=2e-2)
        assert session.text_ids == fresh.text_ids
        assert (session.compressed_tokens, session.prefilled_again) == (0, 346)
        # What is fed at once needs no reading again.
        session.compress(0.5)
        session.truncate(4 + sum(token == -1 for token in session.tokens))
        text = session.text_ids
        session.feed(IDS[:3])
        assert (session.text_ids, session.prefilled_again) == ([*text, *IDS[:3]], 346)


def test_a_text_too_long_to_be_read_again_is_as_it_was(tiny_gguf: TinyGguf) -> None:
    """Where the window makes no room by itself; what is fed behind it goes on."""
    with opened(tiny_gguf(**SHAPE), 512) as llm:
        session = llm.session()
        for begin in (0, 380):
            session.feed(IDS[begin : begin + 380])
            session.compress(0.3)
        session.match(IDS[: 4 + session.compressed_tokens])
        before, text = session.tokens, session.text_ids
        assert len(text) > 512
        for asked in (session.next_logits, lambda: session.next_nll([5]), lambda: session.nll([5])):
            with pytest.raises(ContextOverflowError, match="read again"):
                asked()
            assert (session.tokens, session.text_ids) == (before, text)
        session.feed([5])
        assert np.isfinite(session.next_logits()).all()


def _first_layer(state: np.ndarray, session: Session) -> np.ndarray:
    cache = parse_state(state).caches[0]
    return cache.keys[0].read(state)[np.argsort(cache.positions, kind="stable")][: session.n_tokens]


def test_it_slides_composite_cells_first(tiny_gguf: TinyGguf) -> None:
    """They are the oldest; when they are gone, whole tokens follow."""
    with opened(tiny_gguf(**SHAPE), overflow="slide", n_keep=4) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.compress(0.5)
        session.slide(50)
        assert (session.compressed_tokens, session.n_tokens) == (346, 150)
        session.slide(110)
        assert (session.compressed_tokens, session.dropped_tokens) == (0, 360)
        assert session.tokens == (*IDS[:4], *IDS[364:400])
        assert session.text_ids == IDS[:400]


def test_what_slid_out_is_not_compressed(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Of text that was dropped first no head has anything; composite cells stand for the rest."""
    with opened(tiny_gguf(**SHAPE), overflow="slide", n_keep=4) as llm:
        session = llm.session()
        session.feed(IDS[:900])
        session.slide(300)
        session.compress(0.9)
        n_cells = sum(token == -1 for token in session.tokens)
        n_text = 900 - 4 - 300 - (session.n_tokens - 4 - n_cells)
        loaded = llm.load_session(session.save(tmp_path / "a.session"))
        compression = read_header(tmp_path / "a.session")[0].key.compression
        assert compression is not None
        assert compression.share == pytest.approx(n_cells / n_text)
        for each in (session, session.fork(), loaded):
            assert (each.dropped_tokens, each.compressed_tokens) == (300, n_text)
            assert each.kept_share == pytest.approx(n_cells / n_text)
            each.feed(IDS[900:1000])
            each.compress(0.9)
            n_whole = each.n_tokens - sum(token == -1 for token in each.tokens)
            assert (each.dropped_tokens, each.compressed_tokens) == (300, 700 - n_whole)
            each.slide(sum(token == -1 for token in each.tokens) + 10)
            assert (each.dropped_tokens, each.compressed_tokens) == (1000 - n_whole + 10, 0)
            each.truncate(4)
            assert (each.dropped_tokens, each.compressed_tokens) == (0, 0)
            each.close()


def test_a_snapshot_that_names_no_compressed_tokens_has_no_others(
    tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """Files of before it was told apart: all that does not stand whole is compressed."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.compress(0.5)
        file = session.save(tmp_path / "a.session")
        raw = file.read_bytes()
        n_text = int.from_bytes(raw[8:12], "little")
        header = raw[12 : 12 + n_text].replace(b',"n_compressed":346', b"")
        parts = (len(header).to_bytes(4, "little"), header, crc32(header).to_bytes(4, "little"))
        file.write_bytes(raw[:8] + b"".join(parts) + raw[16 + n_text :])
        assert read_header(file)[0].n_compressed is None
        loaded = llm.load_session(file)
        assert (loaded.dropped_tokens, loaded.compressed_tokens) == (0, 346)


# Files


def test_a_snapshot_says_how_it_was_compressed(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """It loads as the session that was saved; a prompt gets it only where that was asked for."""
    path, file = tiny_gguf(**SHAPE), tmp_path / "a.session"
    with opened(path) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.compress(0.5)
        session.save(file)
        header, text = read_header(file)
        assert text.tolist() == IDS[:400]
        said = header.key.compression
        assert said is not None
        assert (said.method, said.share) == ("keydiff", pytest.approx(session.kept_share))
        loaded = llm.load_session(file)
        np.testing.assert_array_equal(exported(loaded), exported(session))
        assert (loaded.text_ids, loaded.kept_share) == (session.text_ids, session.kept_share)
        with pytest.raises(SnapshotMismatchError, match="asked for compression"):
            llm.session().load(file, takes_compressed=False)
        with pytest.raises(SnapshotMismatchError, match="asked for compression"):
            llm.load_chat(file)
    with opened(path, 512, overflow="compress") as llm:
        assert llm.load_chat(file) == 400


def test_another_version_s_choice_is_refused(
    tiny_gguf: TinyGguf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What scored otherwise is another text."""
    with opened(tiny_gguf(**SHAPE)) as llm:
        session = llm.session()
        session.feed(IDS[:200])
        session.compress(0.5)
        session.save(tmp_path / "a.session")
        monkeypatch.setattr("longctx.cache.snapshot.VERSION", 2)
        with pytest.raises(SnapshotMismatchError, match="version 1"):
            llm.load_session(tmp_path / "a.session")
