"""Each kind of architecture grows by moved keys, and is cut back to where it was.

Layers that slide, recurrent states, M-RoPE, MLA, and the RoPE that files bring: on generated
models, against a fresh prefill, and by random operations (docs/architectures.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import UnsupportedModelError
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.cache.state import StateShape, parse_state
from longctx.model_info import ModelInfo
from longctx.model_info.turning import still_pairs, turning_obstacle
from longctx.planner import plan_context
from longctx.rope import Rotation
from tests.cache.test_session import IDS, exported, opened
from tests.conftest import TinyGguf
from tests.support.rounding import coarser
from tests.support.thorough import quick

SLIDING = ("gemma3", "gpt-oss", "olmo2")
HYBRID = ("granitehybrid", "lfm2", "qwen35")
KINDS = (*SLIDING, *HYBRID, "qwen2vl", "qwen3vl", "deepseek2")
SOME = ("gemma3", "lfm2")
FACTORS = np.geomspace(1, 8, 16).tolist()
FILES: dict[str, dict[str, Any]] = {
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "yarn": {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_context_length": 64}},
    "yarn with its own factor": {
        "rope_scaling": {"type": "yarn", "factor": 4.0, "attn_factor": 0.8}
    },
    "llama3": {"rope_freqs": FACTORS},
    # llama.cpp takes the long factors past 512 tokens: in every window here, and in none so short
    # as the one that a probe would do with.
    "longrope": {
        "n_ctx_train": 1024,
        "rope_scaling": {
            "type": "longrope",
            "original_context_length": 512,
            "attn_factor": 1.19,
        },
        "rope_short": [1.0] * 16,
        "rope_long": FACTORS,
    },
}


def first_keys(session: Session, info: ModelInfo) -> np.ndarray:
    """What is rotated of the keys of the first layer that sees the whole window, token by token.

    What comes in there depends on no position but those of layers that slide: float32[n, heads,
    n_rot].
    """
    state = exported(session)
    cache = parse_state(state, StateShape.of(info)).caches[0]
    layer = next(layer for layer in info.layers if layer.n_head_kv and layer.kind != "sliding")
    rows = cache.keys[0].read(state)[np.argsort(cache.positions, kind="stable")]
    heads = rows.reshape(len(rows), layer.n_head_kv, layer.key_length)
    first = layer.key_length - info.n_rot if layer.rope_is_last else 0
    return np.ascontiguousarray(heads[:, :, first : first + info.n_rot])


def check_keys(path: Path, method: str, n_tokens: int, n_ctx: int) -> None:
    """Grown keys are those of one fresh prefill, unscaled, turned to where the plan has them."""
    with opened(path, n_ctx, method="none", window="fixed") as llm:
        fresh = llm.session()
        fresh.feed(IDS[:n_tokens])
        info, trained = llm.info, fresh.rope
        unmoved = first_keys(fresh, info)
    with opened(path, n_ctx, method=method) as llm:
        grown = llm.session()
        grown.feed(IDS[:n_tokens])
        assert grown.prefilled_again == 0
        assert grown.method == method
        got, rope, positions = first_keys(grown, info), grown.rope, grown.positions
        if method == "self-extend":
            assert positions[-1] < llm.plan.self_extend.start  # type: ignore[union-attr]  # it is
            positions += n_tokens - 1 - positions[-1]
    turn = Rotation.between(
        np.arange(n_tokens), trained, positions, rope,
        n_rot=info.n_rot, rope_type=info.rope_type, still=info.still_pairs,
    )  # fmt: skip
    expected = turn.apply(unmoved)
    apart = np.abs(got - expected).max(axis=(1, 2)) > 8e-3 * np.abs(expected).max()
    # A GPU's rounding may give a token the other of two experts that were almost equally good. Then
    # its keys are another token's; those that are turned wrongly are everyone's.
    other_expert = n_tokens // 200 if info.n_expert_used and coarser() > 1 else 0
    assert apart.sum() <= other_expert, np.flatnonzero(apart)
    assert np.abs(unmoved - expected).max() > 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("method", ["self-extend", "ntk", "yarn"])
@pytest.mark.parametrize("architecture", quick(KINDS, *SOME))
def test_keys_are_those_of_a_fresh_prefill(
    tiny_gguf: TinyGguf, architecture: str, method: str
) -> None:
    """Each kind, each way to grow; OLMo 3's layers that slide turn with the window's base too."""
    path = tiny_gguf(architecture, n_ctx_train=256)
    if architecture == "olmo2" and method == "ntk":
        with opened(path, method=method) as llm, llm.session() as session:
            session.feed(IDS[:200])
            session.feed(IDS[200:300])
            assert session.prefilled_again == 200
            assert "layer 0" in str(session.fallback)
        return
    check_keys(path, method, 900, 1024)


@pytest.mark.parametrize("method", ["self-extend", "ntk", "yarn"])
@pytest.mark.parametrize("scaled", quick(FILES, "yarn", "llama3"))
def test_files_that_bring_their_own_rope(tiny_gguf: TinyGguf, scaled: str, method: str) -> None:
    """Llama 3's factors, YaRN, LongRoPE: ours comes on top, and keys grow as ever."""
    changes = {"n_ctx_train": 256, **FILES[scaled]}
    n_ctx = 4 * changes["n_ctx_train"]
    check_keys(tiny_gguf("llama", **changes), method, n_ctx * 7 // 8, n_ctx)


@pytest.mark.parametrize("architecture", quick(KINDS, *SOME))
def test_a_text_is_the_same_however_it_came(tiny_gguf: TinyGguf, architecture: str) -> None:
    """In pieces, cut from a longer one, cut to half and fed again; at most some is read again."""
    with opened(tiny_gguf(architecture, n_ctx_train=256)) as llm:
        for n in (180, 900):
            fresh, pieces, cut, again = (llm.session() for _ in range(4))
            fresh.feed(IDS[:n])
            for begin in range(0, n, 77):
                pieces.feed(IDS[begin : min(begin + 77, n)])
            cut.feed(IDS[:1000])
            cut.truncate(n)
            again.feed(IDS[:n])
            again.truncate(n // 2)
            again.feed(IDS[n // 2 : n])
            for session in (pieces, cut, again):
                assert session.tokens == fresh.tokens
                np.testing.assert_array_equal(session.positions, fresh.positions)
                difference = np.abs(session.next_logits() - fresh.next_logits()).max()
                assert difference < 0.05, (n, difference)
            assert cut.prefilled_again < max(n, 512)
            for session in (fresh, pieces, cut, again):
                session.close()


@pytest.mark.parametrize("architecture", quick(KINDS, *SOME))
def test_random_operations(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Feeds, answers, cuts, growths, slides, forks and scores: the right tokens, their logits."""
    random = np.random.default_rng(len(architecture))
    with opened(tiny_gguf(architecture, n_ctx_train=256), n_keep=4) as llm:
        session, tokens, has_moved = llm.session(), list[int](), False
        for _ in range(40):
            what = random.integers(0, 8)
            if what <= 2 and len(tokens) < 850:
                new = [int(i) for i in random.integers(5, 200, random.integers(1, 130))]
                session.feed(new)
                tokens += new
            elif what == 3 and tokens:
                tokens = tokens[: int(random.integers(0, len(tokens) + 1))]
                session.truncate(len(tokens))
                has_moved &= len(tokens) > session.n_keep
            elif what == 4:
                session.grow(int(random.integers(1, 1024)))
            elif what == 5:
                twin = session.fork()
                session.close()
                session = twin
            elif what == 6 and len(tokens) > session.n_keep:
                # Part of what is behind the sinks, or all of it: then nothing moves.
                most = len(tokens) - session.n_keep
                n = most if random.integers(2) else int(random.integers(1, most + 1))
                session.slide(n)
                del tokens[session.n_keep : session.n_keep + n]
                has_moved = n < most
            elif tokens:
                session.advance(7)
                tokens.append(7)
                assert np.isfinite(session.next_nll([9, 10, 11])).all()
            assert list(session.tokens) == tokens
            last = session.shared_context.context.last_position(session.sequence)
            assert last == session.window.cells.next_position - 1
        if has_moved:  # what it was computed behind is gone: no fresh text is the same
            del tokens[session.n_keep :]
            session.truncate(session.n_keep)
        fresh = llm.session()
        tokens += IDS[:200]
        session.feed(IDS[:200])
        fresh.feed(tokens)
        assert np.abs(session.next_logits() - fresh.next_logits()).max() < 0.1


@pytest.mark.parametrize("architecture", quick(["llama", *KINDS], "llama", *SOME))
def test_everything_behind_the_sinks_slides_out(tiny_gguf: TinyGguf, architecture: str) -> None:
    """No key moves; but layers that forget hold what was dropped, and read the sinks again."""
    with opened(tiny_gguf(architecture, n_ctx_train=256), n_keep=40) as llm:
        for n in (200, 900):
            session, fresh = llm.session(), llm.session()
            session.feed(IDS[:n])
            session.slide(n - 40)
            assert session.tokens == tuple(IDS[:40])
            assert session.prefilled_again == (40 if llm.info.forgets else 0)
            fresh.feed(IDS[:40])
            for each in (session, fresh):
                each.feed(IDS[1000:1100])
            assert session.text_ids == [*IDS[:n], *IDS[1000:1100]]
            assert np.abs(session.next_logits() - fresh.next_logits()).max() < 0.1


@pytest.mark.parametrize("architecture", quick(["gemma3", "lfm2", "mamba"], "lfm2"))
def test_a_chat_whose_last_turn_changes(tiny_gguf: TinyGguf, architecture: str) -> None:
    """What stands before the turn stays cached, though the layers themselves have forgotten it."""
    path = tiny_gguf(architecture, n_ctx_train=4096)
    with opened(path, 4096) as llm:
        talk = [{"role": "system", "content": "the cat sat on the mat. " * 60}]
        for turn in range(3):
            talk.append({"role": "user", "content": f"what did the dog see {turn}? " * 20})
            answer = llm.chat(talk, max_tokens=40)
            talk.append({"role": "assistant", "content": answer.text or "mat"})
        n_prompt = answer.usage.prompt_tokens
        again = llm.chat(talk[:-1], max_tokens=40)
        assert again.usage.prefilled_tokens == 1
        talk[-2] = {"role": "user", "content": "and the mouse?"}
        changed = llm.chat(talk[:-1], max_tokens=40)
        assert changed.usage.prefilled_tokens < n_prompt // 4
        alone = llm.session()
        alone.feed(llm.prompt_ids(talk[:-1]))
        assert answer.text is not None
        assert llm.engine.sessions[-1].tokens[: alone.n_tokens] == alone.tokens


@pytest.mark.parametrize("architecture", ["gemma3", "lfm2", "mamba"])
def test_a_short_prompt_is_asked_again(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Also one that came in a single batch, to an empty cache or a fork's; the window may grow
    between the prompt and its answer."""
    path = tiny_gguf(architecture, n_ctx_train=256)
    method = {"method": "none"} if architecture == "mamba" else {}
    with opened(path, 1024, **method) as llm:
        for n in (100, 256, 257):
            session = llm.session()
            session.feed(IDS[:n])
            twin = session.fork()
            for each in (session, twin):
                assert each.window.cells.checkpoints.last == n - 1
                for token in IDS[n : n + 5]:
                    each.advance(token)
                before = each.prefilled_again
                each.truncate(n - 1)
                assert each.prefilled_again == before
                each.close()
        assert llm.generate(IDS[:100], max_tokens=4).usage.cached_tokens == 0
        assert llm.generate(IDS[:100], max_tokens=4).usage.cached_tokens == 99


def test_checkpoints_are_dense_at_the_end_and_bounded(tiny_gguf: TinyGguf) -> None:
    """However long the text, a cut near its end reads little again, and one far back not all."""
    with opened(tiny_gguf("lfm2", n_ctx_train=8192), 8192) as llm:
        session = llm.session()
        for _ in range(40):
            session.feed(IDS[:120])
            session.advance(9)
        assert len(session.window.cells.checkpoints) <= 8
        n = session.n_tokens
        before = session.prefilled_again
        session.truncate(n - 20)
        assert session.prefilled_again - before < 128
        before = session.prefilled_again
        session.truncate(n // 2)
        assert session.prefilled_again - before < n // 3


def test_pairs_that_follow_no_position_of_a_text() -> None:
    """Qwen3-VL's sections leave two pairs to the fourth position, which is 0; Qwen3.5's none."""

    def still(sections: list[int], n_rot: int, architecture: str) -> tuple[int, ...]:
        return still_pairs(architecture, "mrope", sections, n_rot)

    assert still([24, 20, 20, 0], 128, "qwen3vl") == (61, 62)
    assert still([11, 11, 10, 0], 64, "qwen35") == ()
    assert still([16, 24, 24, 0], 128, "qwen2vl") == ()
    assert still([16, 24, 20, 4], 128, "qwen2vl") == (60, 61, 62, 63)
    assert still([], 128, "qwen2vl") == ()


def test_the_proof_notices_a_pair_too_many(tiny_gguf: TinyGguf) -> None:
    """Keys of a model that turns otherwise than we thought are refused, not spoilt."""
    path = tiny_gguf("qwen3vl", n_ctx_train=256)
    info = ModelInfo.from_gguf(path)
    assert info.still_pairs == (14,)
    plan = plan_context(info, 1024)
    for wrong, refused in ((info, False), (info.model_copy(update={"still_pairs": ()}), True)):
        backend = LlamaCppBackend(wrong, plan, n_threads=1)
        try:
            obstacle = KeyRotator(backend).obstacle(plan.rope, plan.rope, moves=True)
            assert ("not those" in str(obstacle)) == refused
            session = Session(backend, KeyRotator(backend), lambda _text, _begins: [])
            if refused:
                with pytest.raises(UnsupportedModelError, match="method='yarn'"):
                    session.feed(IDS[:900])
            else:
                session.feed(IDS[:900])
            session.close()
        finally:
            backend.close()


def test_what_cannot_grow_so_is_known_from_the_file(tiny_gguf: TinyGguf) -> None:
    """A second cache for an indexer, and no RoPE at all: said before anything is loaded."""
    info = ModelInfo.from_gguf(tiny_gguf("mamba"))
    assert info.turning_obstacle == "it has no RoPE"
    assert "there is nothing to scale" in repr(info)
    why = turning_obstacle("deepseek32", "norm")
    indexed = ModelInfo.from_gguf(tiny_gguf("deepseek2")).model_copy(
        update={"turning_obstacle": why}
    )
    assert "costs a second prefill: its sparse attention" in repr(indexed)
    plan = plan_context(indexed, 4096)
    assert plan.method == "yarn"
    assert any("self-extend is out, because its sparse attention" in r for r in plan.reasons)
    assert any("cannot be re-rotated" in warning for warning in plan.warnings)
