"""The same text is in the same state, however it came: at once, in pieces, cut from a longer one.

Rounding differs (docs/reproducibility.md), by hundredths of a logit on this model; text at other
positions, or computed at another scale, is a tenth and more away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pydoc_data.topics import topics

import numpy as np
import pytest

from longctx import Completion, LongContextLLM, RopeConfig
from longctx.cache import Session
from tests.cache.test_session import IDS, keys, opened
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.support.thorough import quick

TEXT = topics["execmodel"]
LENGTHS = (150, 385, 513, 777, 1025, 1500)
TYPICAL, LARGEST = 0.03, 0.3
"""Of the largest differences of logits, one a length: rounding brings 0.008 and 0.08."""

Way = Callable[[Session, list[int]], None]


def in_pieces(session: Session, ids: list[int]) -> None:
    """Cut where nothing else would cut it."""
    random, begin = np.random.default_rng(len(ids)), 0
    while begin < len(ids):
        end = begin + int(random.integers(1, 200))
        session.feed(ids[begin:end])
        begin = end


def token_by_token(session: Session, ids: list[int]) -> None:
    """As an answer is written, from a little before its end on."""
    session.feed(ids[:-90])
    for token in ids[-90:]:
        session.advance(token)


def scored(session: Session, ids: list[int]) -> None:
    """With the logits of every token."""
    session.feed(ids[:50])
    session.nll(ids[50:])


def cut_from_a_longer_one(session: Session, ids: list[int]) -> None:
    """After the window has grown and compressed to its end, and back."""
    session.feed([*ids, *ids[::-1], *ids][:1990])
    assert session.match(ids) == len(ids)


def cut_and_fed_again(session: Session, ids: list[int]) -> None:
    """Answered twice, and once taken far back."""
    session.feed(ids[: len(ids) // 2])
    in_pieces(session, ids[len(ids) // 2 :])
    for end in (len(ids) // 3, len(ids) - 40):
        session.truncate(end)
        session.feed(ids[end:])


Fresh = dict[int, tuple[list[int], str, RopeConfig, np.ndarray, np.ndarray]]
"""By length: tokens, method, RoPE, positions and logits of a text that came at once."""


@pytest.fixture(scope="module", params=quick(["self-extend", "yarn", "ntk"], "self-extend"))
def model(request: pytest.FixtureRequest) -> Iterator[tuple[LongContextLLM, Fresh]]:
    """Of each method, with the texts as they are when they come at once."""
    fresh: Fresh = {}
    with LongContextLLM(TINY, 2048, method=request.param, reserve_output=64, n_threads=1) as llm:
        for n in LENGTHS:
            with llm.session() as session:
                session.feed(llm.tokenize(TEXT)[:n])
                what = (session.tokens, session.method, session.rope)
                fresh[n] = (*what, session.positions.copy(), session.next_logits().copy())
        yield llm, fresh


@pytest.mark.parametrize(
    "way",
    quick(
        [in_pieces, token_by_token, scored, cut_from_a_longer_one, cut_and_fed_again],
        token_by_token,
        cut_and_fed_again,
    ),
)
def test_logits_are_those_of_a_fresh_text(model: tuple[LongContextLLM, Fresh], way: Way) -> None:
    """Positions and scale too, whatever the session has been through."""
    llm, fresh = model
    text, differences = llm.tokenize(TEXT), []
    for n, (tokens, method, rope, positions, logits) in fresh.items():
        with llm.session() as session:
            way(session, text[:n])
            differences.append(float(np.abs(logits - session.next_logits()).max()))
            assert session.tokens == tokens
            assert (session.method, session.rope) == (method, rope)
            np.testing.assert_array_equal(session.positions, positions)
    assert np.median(differences) < TYPICAL, differences
    assert max(differences) < LARGEST, differences


@pytest.mark.parametrize("method", ["self-extend", "yarn"])
def test_asking_again_gives_the_same_answer(method: str) -> None:
    """Answers that pass a growth or a compression leave nothing behind for the next call."""
    with LongContextLLM(TINY, 2048, method=method, reserve_output=64, n_threads=1) as llm:
        for n in (370, 500, 1010):
            prompt = llm.detokenize(llm.tokenize(TEXT)[:n])
            first, _, again = [_answer(llm, prompt).logprobs for _ in range(3)]
            for one, other in zip(first, again, strict=False):
                assert abs(one.logprob - other.logprob) < 0.05
                if one.id != other.id:
                    break  # two tokens as likely as each other, which rounding may choose between
            else:
                assert len(first) == len(again)


@pytest.mark.parametrize("n_threads", quick([1, 2], 2))
def test_the_same_calls_give_the_same_bits(n_threads: int) -> None:
    """With a thread count of one's own, another model answers exactly so."""
    runs = []
    for _ in range(2):
        with LongContextLLM(TINY, 1024, reserve_output=64, n_threads=n_threads) as llm:
            prompts = [llm.detokenize(llm.tokenize(TEXT)[:n]) for n in (100, 380, 600, 380, 700)]
            runs.append([_answer(llm, prompt).logprobs for prompt in prompts])
    assert runs[0] == runs[1]


def _answer(llm: LongContextLLM, prompt: str) -> Completion:
    return llm.generate(prompt, max_tokens=40, top_logprobs=0)


def test_growing_by_hand_lasts_until_the_window_shrinks(tiny_gguf: TinyGguf) -> None:
    """What is fed after ``grow`` is read at its scale; by itself a text is read at its own."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="ntk") as llm:
        session = llm.session()
        session.grow(1024)
        session.feed(IDS[:100])
        assert (session.n_ctx, session.rope.scale) == (1024, 4)
        twin = session.fork()
        twin.feed(IDS[100:120])
        assert twin.rope.scale == 4
        session.shrink(100)
        session.feed(IDS[100:120])
        assert (session.n_ctx, session.rope.scale) == (256, 1)


def test_a_long_text_is_read_step_by_step(tiny_gguf: TinyGguf) -> None:
    """Its beginning is computed unscaled, as when it comes alone; progress goes on throughout."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="ntk") as llm:
        whole, begun, seen = llm.session(), llm.session(), []
        whole.feed(IDS[:900], on_progress=lambda p: seen.append(p.done_tokens))
        begun.feed(IDS[:256])
        begun.grow(900)
        assert (whole.n_ctx, whole.rope.scale) == (1024, 4)
        assert whole.prefilled_again == 0
        assert seen == sorted(set(seen))
        assert {256, 512, 900} <= set(seen)
        want = keys(begun, 2)
        np.testing.assert_allclose(keys(whole, 2)[:256], want, atol=8e-3 * np.abs(want).max())
