"""Answers with drafts are the answers without: quotations, and everything that can end or hold one.

A batch rounds otherwise than a token alone, so where the two likeliest tokens are that near to each
other an answer may go either way (:func:`agree`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx._native import Part
from longctx.backends import LlamaCppBackend
from longctx.errors import BackendError
from longctx.model_info import ModelInfo
from longctx.planner import plan_context
from longctx.types import Completion
from tests.cache.test_session import opened
from tests.conftest import TinyGguf
from tests.engine.test_scheduler import ROOMS, asked, wait_until_idle
from tests.models import TINY
from tests.support.rounding import BATCH_NATS, agree

PROSE = topics["while"][:600]
QUOTING = {
    "prose": f"{PROSE}\n\n{PROSE[:60]}",
    "a list": "x = [1, 2, 3, 1, 2, 3, 1, 2",
    "rooms": "".join(f"The code of room {room} is {code}.\n" for room, code in ROOMS.items()) * 2,
}


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The small trained model, which quotes."""
    with LongContextLLM(TINY, 4096, reserve_output=16, n_threads=1) as model:
        yield model


def both(llm: LongContextLLM, prompt: str, **options: Any) -> tuple[Completion, Completion]:
    """An answer without drafts, and with them; they agree, and so does what they leave cached."""
    options = {"max_tokens": 60, "top_logprobs": 2, **options}
    without = llm.generate(prompt, prompt_lookup=False, **options)
    held = llm.engine.sessions[-1].tokens
    drafted = llm.generate(prompt, prompt_lookup=True, **options)
    agree(without, drafted)
    assert llm.engine.sessions[-1].tokens == held or without.text != drafted.text
    assert (without.usage.drafted_tokens, without.usage.accepted_tokens) == (0, 0)
    assert 0 < drafted.usage.accepted_tokens <= drafted.usage.drafted_tokens
    return without, drafted


def test_a_batch_keeps_the_logits_that_are_asked_for() -> None:
    """Of the last tokens of each part, in the rows before its last; too many are refused."""
    info = ModelInfo.from_gguf(TINY)
    backend = LlamaCppBackend(info, plan_context(info, 512, reserve_output=16), n_threads=1)
    context = backend.open(512, backend.plan.rope, n_outputs=1, n_sequences=8)
    one, other = [5, 6, 7, 8, 9], [10, 11, 12]
    rows = context.decode_parts([Part(one, 0, 0, 2), Part(other, 0, 1, 3)])
    seen = [context.logits(row=row).copy() for row in (rows[0] - 1, rows[0], *range(5, 8))]
    context.remove(0, seq_id=0)
    context.remove(0, seq_id=1)
    alone = []
    for ids, n in ((one, 2), (other, 3)):
        for end in range(len(ids) - n + 1, len(ids) + 1):
            context.decode(ids[:end], 0)
            alone.append(context.logits().copy())
            context.remove(0)
    np.testing.assert_allclose(np.concatenate(seen), np.concatenate(alone), atol=BATCH_NATS)
    with pytest.raises(BackendError, match="8 tokens a batch, not 9"):
        context.decode_parts([Part(one, 0, 0, 5), Part([*other, 13], 0, 1, 4)])
    context.close()
    backend.close()


@pytest.mark.parametrize("task", QUOTING)
def test_greedy_answers_are_the_same(llm: LongContextLLM, task: str) -> None:
    """Token for token, in fewer batches."""
    _, drafted = both(llm, QUOTING[task], max_tokens=120)
    assert drafted.usage.accepted_tokens > 30


def test_by_the_clock_they_are_tried_where_much_is_foretold(llm: LongContextLLM) -> None:
    """On any machine; whether they stay is the clock's. Where nothing is, nothing is tried."""
    without = llm.generate(QUOTING["a list"], max_tokens=120, top_logprobs=2, prompt_lookup=False)
    timed = llm.generate(QUOTING["a list"], max_tokens=120, top_logprobs=2, prompt_lookup="auto")
    agree(without, timed)
    assert timed.usage.drafted_tokens > 0
    new = llm.generate("The sea", max_tokens=6, prompt_lookup="auto")
    assert new.usage.drafted_tokens == 0
    assert llm.generate(QUOTING["a list"], max_tokens=40).usage.drafted_tokens == 0


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 10, 17])
def test_an_answer_has_no_token_more_than_it_may(llm: LongContextLLM, n: int) -> None:
    """However the drafts fall; and none is drafted behind its end."""
    without = llm.generate(QUOTING["a list"], max_tokens=n, prompt_lookup=False)
    drafted = llm.generate(QUOTING["a list"], max_tokens=n, prompt_lookup=True)
    assert (drafted.text, drafted.finish_reason) == (without.text, "length")
    assert drafted.usage.completion_tokens == n
    assert drafted.usage.drafted_tokens < n


@pytest.mark.parametrize("stop", ["2, 3, 1, 2", ", 1", "3"])
def test_a_stop_string_ends_it_inside_a_draft(llm: LongContextLLM, stop: str) -> None:
    """At the same character; the cache has nothing of the draft behind it."""
    without, drafted = both(llm, QUOTING["a list"] + ", 3, 1", stop=["]", stop], max_tokens=40)
    assert drafted.finish_reason == "stop"
    assert stop not in drafted.text
    assert without.text == drafted.text


def test_the_end_of_a_turn_ends_it_inside_a_draft(llm: LongContextLLM) -> None:
    """The draft has it too, and the next turn of an earlier question behind it."""
    messages = [
        *asked(7, PROSE),
        {"role": "assistant", "content": f"The code of room 7 is {ROOMS[7]}."},
        {"role": "user", "content": "What is the code of room 7?"},
    ]
    options: Any = {"max_tokens": 40, "top_logprobs": 2}
    without = llm.chat(messages, prompt_lookup=False, **options)
    drafted = llm.chat(messages, prompt_lookup=True, **options)
    agree(without, drafted)
    assert str(ROOMS[7]) in drafted.text
    assert drafted.finish_reason == "stop"
    assert drafted.usage.drafted_tokens > 0


def test_a_grammar_holds_drafts_too(llm: LongContextLLM) -> None:
    """Its state goes on by the tokens that are drawn, not by those that were drafted."""
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"room": {"enum": [7, 12]}, "code": {"const": ROOMS[7]}},
            "required": ["room", "code"],
            "additionalProperties": False,
        },
        "minItems": 5,
        "maxItems": 5,
    }
    _, drafted = both(llm, QUOTING["rooms"], response_schema=schema, max_tokens=400)
    assert drafted.finish_reason == "stop"
    assert drafted.usage.accepted_tokens > 20


def test_the_likelihoods_are_those_of_their_own_rows(llm: LongContextLLM) -> None:
    """Each of a draft's tokens has the logits that stand before it, as the score has them."""
    prompt = QUOTING["rooms"]
    answer = llm.generate(prompt, max_tokens=48, top_logprobs=0, prompt_lookup=True)
    assert answer.usage.accepted_tokens > 8
    answered = [token.id for token in answer.logprobs]
    ids = [llm.engine.model.bos, *llm.tokenize(prompt), *answered]
    scored = -llm.score(ids)[-len(answer.logprobs) :]
    assert [t.logprob for t in answer.logprobs] == pytest.approx(scored.tolist(), abs=BATCH_NATS)


def test_a_stream_shows_the_same_pieces(llm: LongContextLLM) -> None:
    """One for each token, as they are drawn."""
    pieces = []
    for wanted in (False, True):
        chunks = llm.stream(QUOTING["a list"], max_tokens=40, prompt_lookup=wanted)
        pieces.append([chunk.text for chunk in chunks])
    assert pieces[0] == pieces[1]
    assert len(pieces[1]) > 30


def test_sampling_draws_from_the_same_distributions(llm: LongContextLLM) -> None:
    """Each token from its own row, with the seed's next number: mostly the very same answer."""
    same = drafted = 0
    for seed in range(12):
        options: Any = {"max_tokens": 40, "temperature": 0.6, "seed": seed}
        without = llm.generate(QUOTING["prose"], prompt_lookup=False, **options)
        with_drafts = llm.generate(QUOTING["prose"], prompt_lookup=True, **options)
        same += without.text == with_drafts.text
        drafted += with_drafts.usage.accepted_tokens
    assert drafted > 40
    assert same >= 9  # a number may fall into the little that a batch's rounding moves


@pytest.fixture
def empty() -> Iterator[LongContextLLM]:
    """The small model without texts of others: they may have filled a context and opened a second,
    and there are no drafts while answers stand in both."""
    with LongContextLLM(TINY, 4096, reserve_output=16, n_threads=1) as model:
        yield model


def test_several_answers_at_once(empty: LongContextLLM) -> None:
    """All draft in one batch, each its own; one that wants none draws a token beside them."""
    llm = empty
    prompts = [*QUOTING.values(), QUOTING["a list"] + ", 3"]
    options: Any = {"max_tokens": 60, "top_logprobs": 2}
    alone = [llm.generate(prompt, prompt_lookup=False, **options) for prompt in prompts]
    streams = [llm.stream(prompt, prompt_lookup=True, **options) for prompt in prompts]
    for without, stream in zip(alone, streams, strict=True):
        agree(without, stream.result)
        assert stream.result.usage.accepted_tokens > 0
    mixed = [
        llm.stream(prompt, prompt_lookup=wanted, **options)
        for prompt, wanted in zip(prompts, (False, True, "auto", True), strict=True)
    ]
    for without, stream in zip(alone, mixed, strict=True):
        agree(without, stream.result)
    assert mixed[0].result.usage.drafted_tokens == 0


def test_a_prompt_that_is_read_waits_for_no_drafts(llm: LongContextLLM) -> None:
    """Beside a prefill an answer gets one token of each batch."""
    prompt = "x = [4, 5, 6, 4, 5, 6, 4, 5"
    alone = llm.generate(prompt, max_tokens=200, prompt_lookup=True, top_logprobs=2)
    reading = llm.stream_chat(asked(12, topics["while"] * 8), max_tokens=1)
    beside = llm.stream(prompt, max_tokens=200, prompt_lookup=True, top_logprobs=2).result
    agree(alone, beside)
    assert reading.result.usage.prefilled_tokens > 1000
    assert beside.usage.accepted_tokens <= alone.usage.accepted_tokens


def test_a_cancelled_answer_leaves_no_draft_behind(llm: LongContextLLM) -> None:
    """Whenever it was given up: what is cached is prompt and answer; others are undisturbed."""
    prompt = "z = [0, 1, 0, 1, 0, 1, 0"  # it goes on so, by a nat: no matter of rounding
    expected = llm.generate(prompt, max_tokens=80, prompt_lookup=False, top_logprobs=0)
    ids = [token.id for token in expected.logprobs]
    for n in (1, 5, 11):
        with llm.stream(prompt, max_tokens=80, prompt_lookup=True) as stream:
            for _ in range(n):
                next(stream)
        wait_until_idle(llm)
        written = [llm.engine.model.bos, *llm.tokenize(prompt), *ids]
        held = llm.engine.sessions[-1].tokens
        assert list(held) == written[: len(held)]
        assert llm.generate(prompt, max_tokens=80, prompt_lookup=True).text == expected.text


@pytest.mark.parametrize("method", ["self-extend", "ntk"])
def test_nothing_moves_for_a_draft(method: str) -> None:
    """The window grows, compresses and slides at the tokens at which it does without drafts."""
    windows = []
    for wanted in (False, True):
        with LongContextLLM(TINY, 2048, method=method, reserve_output=16, n_threads=1) as llm:
            prompt = llm.detokenize(llm.tokenize(topics["while"] * 3)[:400])
            answer = llm.generate(
                prompt + " 1, 2, 3, 1, 2, 3, 1, 2",
                max_tokens=400,
                prompt_lookup=wanted,
                stop_on_repetition=False,
            )
            (session,) = llm.engine.sessions
            windows.append((answer.window.n_ctx, answer.text, session.positions.tolist()))
            drafted = answer.usage.accepted_tokens
    assert drafted > 20
    assert windows[0] == windows[1]


@pytest.mark.parametrize("method", ["self-extend", "ntk"])
def test_a_window_does_not_grow_for_a_draft(method: str) -> None:
    """Some tokens before its end there is room for as many."""
    with LongContextLLM(TINY, 2048, method=method, reserve_output=16, n_threads=1) as llm:
        prompt = ("1, 2, 3, " * 300)[: -len(", 3, ")]
        prompt = llm.detokenize(llm.tokenize(prompt)[-505:])
        answer = llm.generate(prompt, max_tokens=60, stop="3, 1", prompt_lookup=True)
        assert answer.usage.prompt_tokens + answer.usage.completion_tokens <= 512
        assert answer.usage.drafted_tokens > 0
        assert (answer.window.n_ctx, answer.window.grew_from) == (512, None)


def test_a_window_that_slides(llm: LongContextLLM) -> None:
    """It drops as many tokens, at the same moments."""
    answers = []
    for wanted in (False, True):
        with LongContextLLM(TINY, 512, overflow="slide", reserve_output=16, n_threads=1) as sliding:
            answers.append(
                sliding.generate(
                    QUOTING["a list"],
                    max_tokens=700,
                    top_logprobs=2,
                    prompt_lookup=wanted,
                    stop_on_repetition=False,
                )
            )
    agree(*answers)
    assert answers[0].window.dropped_tokens == answers[1].window.dropped_tokens > 0
    assert answers[1].usage.accepted_tokens > 300


def test_nobody_makes_way_for_a_draft(llm: LongContextLLM) -> None:
    """Four that fill their cells nearly to the last: there are no drafts then, and none moves."""
    prompts = ["The sea", "A list", "Ones:", "Digits"]

    def options(n_items: int, wanted: bool) -> Any:
        schema = {"type": "array", "minItems": n_items, "maxItems": n_items, "items": {"const": 1}}
        return {"max_tokens": 300, "response_schema": schema, "prompt_lookup": wanted}

    few, more = (
        llm.generate(prompts[0], **options(n, False)).usage.completion_tokens for n in (20, 30)
    )
    fitting = (512 - sum(len(llm.tokenize(prompt)) + 1 for prompt in prompts)) // len(prompts)
    n_items = 30 + (fitting - more) * 10 // (more - few)
    alone = [llm.generate(prompt, **options(n_items, False)).text for prompt in prompts]
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as small:
        streams = [small.stream(prompt, **options(n_items, True)) for prompt in prompts]
        results = [stream.result for stream in streams]
        sessions = small.engine.sessions
        assert all(s.shared_context is sessions[0].shared_context for s in sessions)
        assert 512 - 16 < sum(session.n_tokens for session in sessions) <= 512
    assert [result.text for result in results] == alone
    assert all(result.usage.accepted_tokens for result in results)


@pytest.mark.parametrize("architecture", ["gemma3", "mamba"])
def test_a_cache_that_cannot_be_cut_has_no_drafts(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Sliding caches and recurrent states cannot give the wrong ones back."""
    with opened(tiny_gguf(architecture, n_ctx_train=512), 512) as llm:
        llm.score(llm.tokenize("the cat sat on the mat"))  # its context keeps many logits
        answers = [
            llm.generate("the cat sat on the mat " * 4, max_tokens=24, prompt_lookup=wanted)
            for wanted in (False, True)
        ]
    assert answers[0].text == answers[1].text
    assert answers[1].usage.drafted_tokens == 0
