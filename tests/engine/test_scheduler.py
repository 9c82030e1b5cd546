"""Many answers at once: each as it would be alone, whoever comes, goes or needs more room."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

from longctx import BackendError, ContextOverflowError, LongContextLLM
from longctx.types import Progress
from tests.cache.test_session import IDS, opened
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.support.rounding import agree, coarser
from tests.support.thorough import quick, thorough

ROOMS = {7: 4821, 12: 9035, 31: 2764, 58: 6180}
PROSE = topics["while"]
ENDLESS: Any = {
    "max_tokens": 700,
    "response_schema": {"type": "array", "minItems": 400, "items": {"const": 1}},
}


def asked(room: int, prose: str = PROSE) -> list[dict[str, str]]:
    """A question of some 300 tokens about a room."""
    fact = f"The code of room {room} is {ROOMS[room]}."
    question = f"What is the code of room {room}?"
    return [{"role": "user", "content": f"{prose}\n{fact}\n{PROSE[:200]}\n{question}"}]


def wait_until_idle(llm: LongContextLLM) -> None:
    """No answer is under way any more, a minute at most."""
    until = time.monotonic() + 60
    while llm.engine.n_answers:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture
def llm() -> Iterator[LongContextLLM]:
    """The small trained model, which answers such questions."""
    with LongContextLLM(TINY, 4096, reserve_output=16, n_threads=1) as model:
        yield model


def test_a_short_question_is_not_held_up_by_a_long_answer(llm: LongContextLLM) -> None:
    """It is asked later, and answered first; the long one is what it is alone."""
    with llm.stream_chat(asked(7, ""), **ENDLESS) as long:
        next(long)
        short = llm.chat(asked(12), max_tokens=16)
        assert str(ROOMS[12]) in short.text
        assert llm.engine.n_answers == 1
        text = long.result.text
    assert text == llm.chat(asked(7, ""), **ENDLESS).text


def test_answers_go_on_while_a_long_prompt_is_read(llm: LongContextLLM) -> None:
    """Between two slices of its prefill the others get a token each."""
    order: list[str] = []

    def tell(progress: Progress) -> None:
        order.append(f"{progress.done_tokens} of {progress.total_tokens}")

    with llm.stream_chat(asked(7, ""), **ENDLESS) as stream:
        next(stream)
        llm.chat(asked(12, PROSE * 12), max_tokens=1, on_progress=tell)
    wait_until_idle(llm)
    assert len(order) > 8  # slices, where alone whole batches would do
    # What was written is cached, whoever read how much of it by now.
    prompt = llm.prompt_ids(asked(7, ""))
    written = max(s.n_tokens for s in llm.engine.sessions if s.shared(prompt) == len(prompt))
    assert written - len(prompt) >= len(order) - 2


@pytest.mark.parametrize("n", [4, 24])
def test_many_threads_get_what_one_would(llm: LongContextLLM, n: int) -> None:
    """Prompts of many lengths, begun together and written together."""
    conversations = [asked(room, PROSE[: 37 * i]) for i in range(n // 4) for room in ROOMS]
    alone = [llm.chat(messages, max_tokens=16).text for messages in conversations]
    with ThreadPoolExecutor(n) as pool:
        together = list(pool.map(lambda m: llm.chat(m, max_tokens=16).text, conversations))
    assert together == alone


def test_a_beginning_in_common_is_prefilled_once(llm: LongContextLLM) -> None:
    """By answers that are asked for at the same moment, and one more in the middle of them."""
    streams = [llm.stream_chat(asked(room), max_tokens=16) for room in ROOMS]
    usages = [stream.result.usage for stream in streams]
    common = 250
    assert sum(usage.cached_tokens >= common for usage in usages) == len(ROOMS) - 1
    with llm.stream_chat(asked(7), **ENDLESS) as under_way:
        next(under_way)
        beside = llm.chat(asked(12, PROSE), max_tokens=16)
        assert beside.usage.cached_tokens >= common


def test_who_finds_no_room_waits_and_is_answered(llm: LongContextLLM) -> None:
    """Four texts in the cells of one: each answer is what it would be alone, in a while."""
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as small:
        texts = [asked(room, PROSE[:900]) for room in ROOMS]
        assert sum(map(small.count, texts)) > 2 * 512
        alone = [llm.chat(messages, max_tokens=20).text for messages in texts]
        results = small.chat_batch(texts, max_tokens=20)
        assert [result.text for result in results] == alone
        assert max(result.timings.waited_s for result in results) > 0


@pytest.mark.parametrize(
    "penalties",
    quick([{}, {"logit_bias": {1: 5}, "frequency_penalty": 0.1, "repeat_last_n": -1}], {}),
)
def test_an_answer_that_must_make_way_goes_on_later(
    llm: LongContextLLM, penalties: dict[str, Any]
) -> None:
    """Two that grow into each other's cells: the later one pauses, and loses nothing; nor do
    penalties forget what was drawn, or count it twice."""
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as small:
        texts = [asked(room, "") for room in (7, 12)]
        options: Any = {**ENDLESS, "max_tokens": 340, **penalties}
        alone = [llm.chat(messages, **options).text for messages in texts]
        streams = [small.stream_chat(messages, **options) for messages in texts]
        results = [stream.result for stream in streams]
        assert [result.text for result in results] == alone
        assert all(result.usage.completion_tokens == 340 for result in results)


def test_a_prompt_that_can_never_fit_disturbs_nobody(llm: LongContextLLM) -> None:
    """It is refused at once."""
    with llm.stream_chat(asked(7, ""), **ENDLESS) as stream:
        next(stream)
        with pytest.raises(ContextOverflowError):
            llm.chat(asked(12, PROSE * 40))
        assert len(stream.result.text) > 400


@thorough
def test_a_thousand_requests_at_once(llm: LongContextLLM) -> None:
    """All are answered, in the end, in the order of asking; every third gives up at once."""
    streams = [llm.stream_chat(asked(room, ""), max_tokens=2) for room in ROOMS for _ in range(250)]
    for stream in streams[::3]:
        stream.close()
    left = [stream for i, stream in enumerate(streams) if i % 3]
    assert all(stream.result.text for stream in left)
    wait_until_idle(llm)


@pytest.mark.parametrize("architecture", ["gemma3", "mamba", "qwen2"])
def test_other_caches_answer_side_by_side_too(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Sliding caches and recurrent states have a context each, and alternate token by token."""
    target = 512 if architecture == "mamba" else 1024
    with opened(tiny_gguf(architecture, n_ctx_train=512), target) as llm:
        prompts = ["the cat sat on", "a dog ran to the hill", "the king and"]
        options: Any = {"max_tokens": 12, "top_logprobs": 2}
        alone = [llm.generate(prompt, **options) for prompt in prompts]
        streams = [llm.stream(prompt, **options) for prompt in prompts]
        for stream, answer in zip(streams, alone, strict=True):
            agree(stream.result, answer, 0.05 * coarser())


@pytest.mark.parametrize("method", ["ntk", "self-extend", "linear"])
def test_one_grows_while_another_is_written(tiny_gguf: TinyGguf, method: str) -> None:
    """Its window moves to another RoPE, or its keys together; the other does not notice."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method=method) as llm:
        short, long = "the cat sat on", "the dog saw the hill " * 18
        options: Any = {"max_tokens": 60, "top_logprobs": 2}
        alone = llm.generate(short, **options)
        llm.generate(long, **options)
        llm.generate("x", max_tokens=1)
        with opened(tiny_gguf("llama", n_ctx_train=256), method=method) as fresh:
            streams = [fresh.stream(text, **options) for text in (short, long)]
            results = [stream.result for stream in streams]
        assert results[1].window.n_ctx == 512
        agree(results[0], alone, 0.05 * coarser())


def test_growing_allocates_nothing_under_self_extend(tiny_gguf: TinyGguf) -> None:
    """The common context has cells for the whole window from the beginning."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 2048) as llm:
        llm.generate("the cat", max_tokens=1)
        (session,) = llm.engine.sessions
        context = session.shared_context
        grown = llm.generate("the cat sat on the mat " * 60, max_tokens=2)
        assert grown.window.grew_from == 256
        assert all(s.shared_context is context for s in llm.engine.sessions)


@pytest.mark.parametrize("seed", range(3))
def test_random_sessions_while_others_are_written(tiny_gguf: TinyGguf, seed: int) -> None:
    """Feed, truncate, fork, slide, save and load by hand beside six streams; always the tokens.

    At the end each text's likelihoods are those of the same text fed alone, to rounding.
    """
    random = np.random.default_rng(seed)
    with opened(tiny_gguf("llama", n_ctx_train=1024), 2048) as llm:
        prompts = ["the cat sat", "a dog", "the king ran to the hill", "on", "it saw", "the queen"]
        alone = [llm.generate(prompt, max_tokens=80, top_logprobs=2) for prompt in prompts]
        streams = [llm.stream(prompt, max_tokens=80, top_logprobs=2) for prompt in prompts]
        sessions = [llm.session() for _ in range(3)]
        held: list[list[int]] = [[] for _ in sessions]
        for _ in range(60):
            i = int(random.integers(len(sessions)))
            what = random.integers(4)
            if what == 0 and len(held[i]) < 800:
                new = [int(x) for x in random.integers(5, 200, random.integers(1, 60))]
                sessions[i].feed(new)
                held[i] += new
            elif what == 1:
                n = int(random.integers(0, len(held[i]) + 1))
                sessions[i].truncate(n)
                del held[i][n:]
            elif what == 2 and len(sessions) < 8:
                sessions.append(sessions[i].fork())
                held.append(list(held[i]))
            elif held[i]:
                assert np.isfinite(sessions[i].next_nll([9, 10])).all()
            assert [list(session.tokens) for session in sessions] == held
        for stream, answer in zip(streams, alone, strict=True):
            agree(stream.result, answer, 0.05 * coarser())
        control = llm.session()
        for session, tokens in zip(sessions, held, strict=True):
            if tokens:
                control.truncate(0)
                control.feed(tokens)
                np.testing.assert_allclose(
                    session.next_nll(IDS[:3]), control.next_nll(IDS[:3]), atol=0.05 * coarser()
                )


def test_close_while_a_session_by_hand_is_fed(tiny_gguf: TinyGguf) -> None:
    """Its caller gets the typed error at the next batch."""
    llm = opened(tiny_gguf("llama", n_ctx_train=8192), 8192)
    session = llm.session()
    failed: list[BaseException] = []
    begun = threading.Event()

    def feed() -> None:
        try:
            session.feed((IDS * 2)[:8000], on_progress=lambda _: begun.set())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=feed)
    thread.start()
    assert begun.wait(60)
    llm.close()
    thread.join(60)
    assert [type(error) for error in failed] == [BackendError]


@thorough
def test_nobody_looks_for_the_cache_of_an_answer_that_ended(caplog: Any) -> None:
    """One whose reader left in this round's first batch, and whose session made way in the second.

    Its end was told a second time, as a fault of ours. Sixteen readers who leave, in a window that
    holds few of them, for three seconds; it took one or two to be seen.
    """
    ends = time.monotonic() + 3

    def read(seed: int) -> None:
        draw = np.random.default_rng(seed)
        while time.monotonic() < ends:
            words = draw.choice(["cat", "dog", "hill", "king", "saw", "ran"], draw.integers(5, 120))
            with llm.stream(" ".join(words), max_tokens=int(draw.integers(2, 40))) as stream:
                for _ in stream:
                    if draw.random() < 0.2:
                        break

    settings: Any = {"reserve_output": 16, "n_threads": 1, "memory_limit": "64MiB"}
    with LongContextLLM(TINY, 512, **settings) as llm, ThreadPoolExecutor(16) as readers:
        assert len(list(readers.map(read, range(16)))) == 16
    assert "lost its cache" not in caplog.text
