"""What each option of sampling does to the model's own logits, against numpy's account of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx import LongContextLLM, RequestError
from longctx._native import Model, Sampler
from longctx.cache import Session
from longctx.sampling import CONVERSATION, RANGES, Sampling
from tests.models import TINY

PROMPT = "The function returns a new array, and the array has the shape of"
SEEDS = range(300)


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The small trained model."""
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="module")
def session(llm: LongContextLLM) -> Iterator[Session]:
    """The prompt, read."""
    with llm.session() as session:
        session.feed(PROMPT)
        yield session


@pytest.fixture(scope="module")
def logits(session: Session) -> NDArray[np.float64]:
    """Of what follows: float64[n_vocab]."""
    return session.next_logits()[0].astype(np.float64)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max())
    return np.asarray(shifted / shifted.sum())


def _draw(llm: LongContextLLM, session: Session, history: list[int] | None = None, **o: Any) -> int:
    past = list(session.tokens) if history is None else history
    sampler = Sampler(llm.engine.model, Sampling.of(o), history=past, n_ahead=8)
    try:
        return session.sample(sampler)
    finally:
        sampler.close()


def _drawn(llm: LongContextLLM, session: Session, **options: Any) -> set[int]:
    return {_draw(llm, session, seed=seed, temperature=3.0, **options) for seed in SEEDS}


def test_top_k(llm: LongContextLLM, session: Session, logits: NDArray[np.float64]) -> None:
    """The k most likely, all of them; 1 is greedy at any temperature."""
    best = np.argsort(-logits)
    assert _drawn(llm, session, top_k=1) == {int(best[0])}
    assert _drawn(llm, session, top_k=5) == set(best[:5].tolist())


@pytest.mark.parametrize("least", [0.9, 0.3, 0.05])
def test_min_p(
    llm: LongContextLLM, session: Session, logits: NDArray[np.float64], least: float
) -> None:
    """Nothing less likely than the best, times min_p."""
    allowed = set(np.flatnonzero(logits >= logits.max() + np.log(least)).tolist())
    drawn = _drawn(llm, session, min_p=least)
    assert drawn <= allowed
    assert len(drawn) > len(allowed) / 2


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_top_p(
    llm: LongContextLLM, session: Session, logits: NDArray[np.float64], p: float
) -> None:
    """The smallest set whose probabilities come to p."""
    best, odds = np.argsort(-logits), np.sort(_softmax(logits))[::-1]
    allowed = best[: int(np.searchsorted(np.cumsum(odds), p)) + 1]
    assert _drawn(llm, session, top_p=p) <= set(allowed.tolist())


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_typical_p(
    llm: LongContextLLM, session: Session, logits: NDArray[np.float64], p: float
) -> None:
    """Those whose surprise is nearest to the entropy (Meister et al. 2022)."""
    odds = _softmax(logits)
    surprise = -np.log(odds)
    nearest = np.argsort(np.abs(surprise - (odds * surprise).sum()))
    n_kept = int(np.searchsorted(np.cumsum(odds[nearest]), p)) + 1
    assert _drawn(llm, session, typical_p=p) <= set(nearest[: n_kept + 1].tolist())


def test_xtc(llm: LongContextLLM, session: Session, logits: NDArray[np.float64]) -> None:
    """Of the likely ones all but the least likely go, and never without its probability."""
    odds = np.sort(_softmax(logits))[::-1]
    best, threshold = np.argsort(-logits), float(odds[2]) * 0.99
    options = {"top_k": 6, "xtc_threshold": threshold}
    assert _drawn(llm, session, xtc_probability=1, **options) == set(best[2:6].tolist())
    assert _drawn(llm, session, xtc_probability=0, **options) == set(best[:6].tolist())


def test_temperature(llm: LongContextLLM, session: Session, logits: NDArray[np.float64]) -> None:
    """Two tokens are drawn as often as the softmax of logits over T says."""
    best = np.argsort(-logits)[:2]
    counts = Counter(
        _draw(llm, session, seed=seed, temperature=2.0, top_k=2) for seed in range(1000)
    )
    expected = _softmax(logits[best] / 2.0)[0]
    assert counts[int(best[0])] / 1000 == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("penalty", "presence", "frequency", "last_n"),
    [
        (1.0, 0.0, 2.0, 64), (1.0, 2.0, 0.0, 64), (1.3, 0.5, 0.5, -1), (1.0, 0.0, -2.0, 64),
        (1.5, 0.0, 0.0, 3), (0.5, 0.0, 0.0, 64), (1.2, 1.0, 1.0, 0),
    ],
)  # fmt: skip
def test_penalties_are_the_formula(
    llm: LongContextLLM,
    session: Session,
    logits: NDArray[np.float64],
    penalty: float,
    presence: float,
    frequency: float,
    last_n: int,
) -> None:
    """Positive logits are divided, negative ones multiplied, counts and presence subtracted; at
    temperature 0 the best of that is drawn, and history behind the window does not count."""
    best = np.argsort(-logits)
    history = [*best[:3].tolist(), *[int(best[0])] * 3, int(best[5]), int(best[1]), int(best[0])]
    seen = history if last_n < 0 else history[len(history) - min(last_n, len(history)) :]
    expected = logits.copy()
    for token, count in Counter(seen).items():
        logit = expected[token]
        logit = logit / penalty if logit > 0 else logit * penalty
        expected[token] = logit - count * frequency - presence
    drawn = _draw(
        llm, session, history, repeat_penalty=penalty, presence_penalty=presence,
        frequency_penalty=frequency, repeat_last_n=last_n,
    )  # fmt: skip
    assert drawn == int(expected.argmax())


def test_dry_is_the_formula(
    llm: LongContextLLM, session: Session, logits: NDArray[np.float64]
) -> None:
    """What would make a repetition of n tokens longer loses multiplier * base ** (n - allowed)."""
    model, order = llm.engine.model, np.argsort(-logits).tolist()
    plain = [token for token in order if not set(model.decode_bytes([token])) & set(b'\n:"*')]
    best, second = plain[:2]
    breakers = {token: -100.0 for token in order[: order.index(second)] if token != best}
    gap = float(logits[best] - logits[second])
    # Four tokens have stood before the best one, and stand at the end again.
    history = [300, 301, 302, 303, best, 310, 311, 300, 301, 302, 303]
    for factor, expected in ((0.9, best), (1.1, second)):
        multiplier = factor * gap / 2.0 ** (4 - 2)
        options: dict[str, Any] = {"dry_multiplier": multiplier, "dry_base": 2.0}
        options["logit_bias"] = breakers
        assert _draw(llm, session, history, **options) == expected
        assert _draw(llm, session, history, **options, dry_allowed_length=5) == best
        assert _draw(llm, session, history, **options, dry_penalty_last_n=5) == best


def test_breakers_of_ones_own(llm: LongContextLLM, session: Session) -> None:
    """A repetition ends at a text that is one of them, and at no other."""
    model, best = llm.engine.model, 305
    (comma,) = model.encode(",")
    (colon,) = model.encode(":")
    for token, own in ((comma, [","]), (colon, [":"])):
        history = [300, 301, token, 303, best, 310, 311, 300, 301, token, 303]
        options: dict[str, Any] = {"dry_multiplier": 100, "logit_bias": {best: 100}}
        options["dry_allowed_length"] = 3  # of four, of which the text leaves one
        assert _draw(llm, session, history, **options, dry_sequence_breakers=own) == best
        assert _draw(llm, session, history, **options, dry_sequence_breakers=["!"]) != best
        assert _draw(llm, session, history, **options, dry_sequence_breakers=[]) != best
        assert (_draw(llm, session, history, **options) == best) == (token == colon)


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_aims_at_a_surprise(llm: LongContextLLM, version: int) -> None:
    """The less of it, the likelier what is drawn; with a schema that leaves one token, too."""

    def surprise(tau: float) -> float:
        drawn = [
            token.logprob
            for seed in range(4)
            for token in llm.generate(
                PROMPT, max_tokens=40, temperature=1.0, seed=seed, mirostat=version,
                mirostat_tau=tau, top_logprobs=0,
            ).logprobs
        ]  # fmt: skip
        return -float(np.mean(drawn)) / float(np.log(2))

    calm, wild = surprise(0.5), surprise(6.0)
    assert calm < 2 < wild
    held = llm.generate(
        PROMPT, max_tokens=30, response_schema={"const": "one"}, mirostat=version, temperature=1.0
    )
    assert json.loads(held.text) == "one"


def test_a_bias_forbids_and_forces(llm: LongContextLLM) -> None:
    """By id, by an id in digits, and by the text of one token; at temperature 0 and above."""
    greedy = llm.generate(PROMPT, max_tokens=1)
    token = llm.generate(PROMPT, max_tokens=1, top_logprobs=1).logprobs[0].id
    for temperature in (0, 1.5):
        for never in ({token: -100}, {str(token): -100.0}, {greedy.text: -100}):
            answer = llm.generate(
                PROMPT, max_tokens=1, temperature=temperature, seed=1, logit_bias=never
            )
            assert answer.text != greedy.text
    always = llm.generate(PROMPT, max_tokens=3, temperature=2.0, logit_bias={" the": 100})
    assert always.text == " the the the"


def test_a_bias_names_one_token_of_the_model(llm: LongContextLLM) -> None:
    """Any token's own text finds a token of that text; others are refused, with what to do."""
    model: Model = llm.engine.model
    for token in range(0, model.n_vocab, 97):
        text = model.decode_bytes([token], special=True)
        if text.isascii() and text and not text.isdigit():
            bias = {text.decode(): 100.0}
            drawn = llm.generate(PROMPT, max_tokens=1, top_logprobs=0, logit_bias=bias)
            if drawn.logprobs:  # else it ends the answer
                assert drawn.logprobs[0].data == text
    for wrong in ({model.n_vocab: 1}, {-1: 1}, {"two words of text": 1}, {"\ud800": 1}):
        with pytest.raises(RequestError):
            llm.generate(PROMPT, max_tokens=1, logit_bias=wrong)


@pytest.mark.parametrize(
    "options",
    [
        CONVERSATION,
        {"temperature": 1.5, "xtc_probability": 0.5, "typical_p": 0.9},
        {"temperature": 2.0, "mirostat": 1},
        {"temperature": 2.0, "mirostat": 2},
        {"temperature": 1.0, "repeat_penalty": 1.2, "repeat_last_n": -1, "top_k": 50},
    ],
)
def test_seeds_repeat(llm: LongContextLLM, options: Any) -> None:
    """The same again, and another with another seed."""
    texts = [
        llm.generate(PROMPT, max_tokens=24, **{**options, "seed": s}).text for s in (3, 3, 3, 4)
    ]
    assert texts[1] == texts[2]
    assert texts[3] != texts[2]


def test_what_narrows_the_choice_changes_no_greedy_answer(llm: LongContextLLM) -> None:
    """At temperature 0."""
    greedy = llm.generate(PROMPT, max_tokens=24).text
    narrow: Any = {"top_k": 3, "top_p": 0.1, "min_p": 0.9, "typical_p": 0.1, "mirostat": 2}
    narrow |= {"xtc_probability": 1.0, "xtc_threshold": 0.0, "seed": 5}
    assert llm.generate(PROMPT, max_tokens=24, **narrow).text == greedy


@pytest.mark.parametrize("start", [0, 1])
def test_penalties_know_the_prompt_and_what_was_accepted(llm: LongContextLLM, start: int) -> None:
    """Token by token as numpy has it, also where drafts are checked several at once."""
    text = PROMPT if start == 0 else f"{PROMPT} the array. {PROMPT}"
    options: Any = {"frequency_penalty": 0.7, "repeat_penalty": 1.1, "repeat_last_n": 20}
    ids = llm.prompt_ids(text)
    n_prompt = len(ids)
    with llm.session() as session:
        session.feed(text)
        assert list(session.tokens) == ids
        for _ in range(24):
            expected = session.next_logits()[0].astype(np.float64)
            for token, count in Counter(ids[-20:]).items():
                logit = expected[token]
                expected[token] = (logit / 1.1 if logit > 0 else logit * 1.1) - 0.7 * count
            ids.append(int(expected.argmax()))
            session.advance(ids[-1])
    said = [
        llm.generate(text, max_tokens=24, top_logprobs=0, prompt_lookup=lookup, **options)
        for lookup in (False, True)
    ]
    for answer in said:
        drawn = [token.id for token in answer.logprobs]
        assert drawn == ids[n_prompt : n_prompt + len(drawn)]
        assert len(drawn) > 8


EDGES: dict[str, tuple[float | int, ...]] = {
    name: tuple(
        number
        for number in (
            bounds.least, bounds.most, 1e-9 if bounds.above == 0 else None,
            None if bounds.is_whole or (bounds.least or 0) > 0.3 else 0.3, 1,
        )
        if number is not None
    )
    for name, bounds in RANGES.items()
    if name != "mirostat"
}  # fmt: skip
SCHEMA: Any = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 3, "maxItems": 3}


@pytest.mark.parametrize("seed", range(40))
def test_no_combination_of_extremes_fails(llm: LongContextLLM, seed: int) -> None:
    """Each at an edge of its range: an answer, and with a schema one that satisfies it."""
    chance = random.Random(seed)
    options: Any = {
        name: chance.choice(values) for name, values in EDGES.items() if chance.random() < 0.6
    }
    options |= {"seed": seed, "mirostat": chance.choice([0, 0, 1, 2])}
    options["dry_sequence_breakers"] = chance.choice([[], ["\n"], ["the", " a ", "é", "."]])
    options["logit_bias"] = {token: chance.choice([-100, 100]) for token in range(300, 900, 7)}
    llm.generate(PROMPT, max_tokens=8, **options)
    held = llm.generate(PROMPT, max_tokens=30, response_schema=SCHEMA, **options)
    assert set(json.loads(held.text)) <= {"a", "b"}


def test_xtc_keeps_no_token_that_a_schema_forbids(llm: LongContextLLM) -> None:
    """With a threshold of 0 all are likely, those of probability 0 too; llama.cpp aborted."""
    for seed in range(5):
        options: Any = {"xtc_probability": 1, "xtc_threshold": 0, "temperature": 1, "seed": seed}
        held = llm.generate(PROMPT, max_tokens=30, response_schema=SCHEMA, **options)
        assert set(json.loads(held.text)) <= {"a", "b"}


def test_windows_of_any_length_take_no_memory(llm: LongContextLLM) -> None:
    """They are as long as the text can become."""
    options: Any = {"repeat_penalty": 1.1, "repeat_last_n": 2**31 - 1, "dry_multiplier": 0.8}
    sampler = Sampler(
        llm.engine.model,
        Sampling.of({**options, "dry_penalty_last_n": -1}),
        history=[1, 2, 3],
        n_ahead=10**12,
    )
    sampler.close()
