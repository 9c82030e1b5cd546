"""The other arguments: of the constructor, of sessions, texts, and what is not an option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from longctx import ContextOverflowError, LongContextLLM, RequestError
from longctx._native import supports_gpu_offload
from tests.arguments.conftest import TINY
from tests.support.thorough import quick

LONG = "A caller gets what it asked for, and is told. " * 40
CONSTRUCTOR: tuple[dict[str, Any], ...] = (
    *({"n_threads": value} for value in (0, -1, 1.5, "2", True, 10**6)),
    *({"n_gpu_layers": value} for value in (-2, 1.5, "many", True, 2**40)),
    *({"devices": value} for value in ("auto", {"gpu_layers": 1}, 4)),
    *({"seed": value} for value in (1.5, "x", True)),
    {"cache_dir": 5},
    {"cache_dir": b"cache"},
    {"backend": "mlx"},
    {"base_url": "http://localhost"},
    {"api_key": "key"},
)


@pytest.mark.parametrize("options", CONSTRUCTOR)
def test_the_constructor_refuses_what_is_wrong(options: dict[str, Any]) -> None:
    """A RequestError, before the weights are there; planning arguments stay PlanErrors, a kind of
    it."""
    with pytest.raises(RequestError, match=next(iter(options))) as caught:
        LongContextLLM(TINY, 512, reserve_output=16, **options)
    assert type(caught.value) is RequestError


@pytest.mark.parametrize("model", [5, b"model.gguf", True, ["model.gguf"]])
def test_a_model_is_a_path(model: Any) -> None:
    """And nothing else."""
    with pytest.raises(RequestError, match="model"):
        LongContextLLM(model, 512)


def test_numpys_numbers_open_a_model() -> None:
    """As people compute them."""
    with LongContextLLM(
        TINY,
        np.int64(512),  # type: ignore[arg-type]  # what is under test
        reserve_output=np.int32(16),  # type: ignore[arg-type]
        n_threads=np.int64(1),  # type: ignore[arg-type]
        memory_limit=np.int64(2**30),  # type: ignore[arg-type]
    ) as llm:
        assert (llm.target_ctx, llm.reserve_output) == (512, 16)


@pytest.mark.parametrize("text", [b"x", bytearray(b"x"), 5, None, ["x"]])
def test_a_prompt_is_text(llm: LongContextLLM, text: Any) -> None:
    """Bytes are of some encoding, which nobody said."""
    for call in (llm.generate, llm.stream, llm.tokenize):
        with pytest.raises(RequestError, match="text"):
            call(text)


def test_an_empty_prompt_of_a_model_with_bos_is_its_bos(llm: LongContextLLM) -> None:
    """There is something to continue: the beginning of any text."""
    assert llm.generate("", max_tokens=2).usage.prompt_tokens == 1


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        *(("truncate", value) for value in (-1, 1.5, "2", True, None)),
        *(("grow", value) for value in (0, 1.5, "2", True)),
        *(("shrink", value) for value in (-1, 512.5, "2", True)),
        *(("slide", value) for value in (0, -1, 1.5, True)),
        *(("compress", value) for value in (0, -0.5, 1.01, "half", True, float("nan"))),
        *(("pin", value) for value in (-1, 1.5, True)),
        *(("greedy", value) for value in (-1, 1.5, "2", True)),
        *((method, value) for method in ("save", "load") for value in (5, "a\0b")),
        ("attach", 5),
    ],
)
def test_a_session_refuses_what_is_wrong(llm: LongContextLLM, method: str, wrong: Any) -> None:
    """And stays as it was."""
    session = llm.session()
    session.feed([1, 2, 3])
    with pytest.raises(RequestError) as caught:
        getattr(session, method)(wrong)
    assert type(caught.value) is RequestError
    assert session.tokens == (1, 2, 3)
    session.close()


def test_recompute_passages_and_batches(llm: LongContextLLM) -> None:
    """One text is no list of passages."""
    asked: Any = [{"role": "user", "content": "Hi"}]
    one, other = llm.session(), llm.session()
    other.feed([1, 2, 3])
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(RequestError, match="recompute"):
            llm.compose(asked, [], recompute=wrong)
        with pytest.raises(RequestError, match="recompute"):
            one.attach(other, recompute=wrong)
    for passages in ("Hi", b"Hi", 5, [5], [b"Hi"]):
        with pytest.raises(RequestError, match="passages"):
            llm.compose(asked, passages)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(RequestError, match="batch"):
            llm.score([1, 2, 3], batch=wrong)
    one.close()
    other.close()


def test_chats_on_disk_shares_and_listeners(llm: LongContextLLM) -> None:
    """Paths, pairs of a text and a share, and functions, wherever they are passed."""
    asked: Any = [{"role": "user", "content": "Hi there"}]
    wrong: Any
    for wrong in (5, None, b"chat", "a\0b"):
        with pytest.raises(RequestError, match="path"):
            llm.save_chat(wrong, asked)
        with pytest.raises(RequestError, match="path"):
            llm.load_chat(wrong)
    for wrong in ("ab", 3, ["abc"], ("Hi", 0.5), [("Hi", 0.5, 1)], [("Hi", 2)], [(b"Hi", 0.5)]):
        with pytest.raises(RequestError, match="compress"):
            llm.prompt(asked, compress=wrong)
    wrong = None
    with pytest.raises(RequestError, match="chat_batch"):
        llm.chat_batch(wrong)
    wrong = 5
    with llm.session() as session:
        for ask in (
            lambda: llm.generate("Hi", on_progress=wrong),
            lambda: llm.chat_batch([asked], on_progress=wrong),
            lambda: llm.score("Hi there", on_progress=wrong),
            lambda: session.feed("Hi", on_progress=wrong),
        ):
            with pytest.raises(RequestError, match="on_progress"):
                ask()


@pytest.mark.skipif(supports_gpu_offload(), reason="this llama.cpp has a GPU")
@pytest.mark.parametrize("n_gpu_layers", [-1, 1, 99])
def test_layers_for_a_gpu_that_is_not_there(
    n_gpu_layers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The plan warns, and so does the log; it runs on the processor."""
    with LongContextLLM(TINY, 512, reserve_output=16, n_gpu_layers=n_gpu_layers) as llm:
        (warning,) = llm.plan.warnings
        assert "n_gpu_layers has no effect" in warning
        assert warning in caplog.text
        assert "n_gpu_layers" in repr(llm.plan)
        assert llm.generate("Hi", max_tokens=1).usage.completion_tokens == 1
    caplog.clear()
    with LongContextLLM(TINY, 512, reserve_output=16) as llm:
        assert llm.plan.warnings == ()
    assert caplog.text == ""


@pytest.mark.parametrize("reserved", quick([1, 16, 100], 16))
def test_an_answer_goes_to_the_end_of_the_window(reserved: int) -> None:
    """What is reserved must be free, or it is refused; it is no limit, and -1 is no number."""
    with LongContextLLM(TINY, 512, reserve_output=reserved, n_threads=1) as llm:
        for options in ({}, {"max_tokens": -1}, {"max_tokens": None}):
            filled = llm.generate(LONG[:200], stop_on_repetition=False, **options)
            assert filled.finish_reason == "length"
            assert filled.usage.prompt_tokens + filled.usage.completion_tokens == 512
        ids, most = llm.prompt_ids(LONG), 512 - reserved
        fitting, beyond = llm.detokenize(ids[1:most]), llm.detokenize(ids[1 : most + 1])
        assert len(llm.prompt_ids(beyond)) == most + 1
        assert llm.generate(fitting, stop_on_repetition=False).usage.completion_tokens >= reserved
        with pytest.raises(ContextOverflowError, match="are reserved for its answer") as refused:
            llm.generate(beyond)
        assert refused.value.needed == 513
        assert llm.generate(beyond, max_tokens=reserved - 1).finish_reason == "length"


def test_an_answer_without_end_ends_where_the_window_slides() -> None:
    """Behind as many tokens as the window holds."""
    with LongContextLLM(TINY, 256, overflow="slide", n_threads=1) as llm:
        endless = llm.generate(LONG[:200], stop_on_repetition=False)
        assert (endless.finish_reason, endless.usage.completion_tokens) == ("length", 256)
        assert endless.window.dropped_tokens > 0


def test_a_prompt_is_read_and_nothing_is_said(llm: LongContextLLM) -> None:
    """max_tokens=0: what comes behind it finds it in the cache."""
    read = llm.generate(LONG[:300], max_tokens=0)
    assert (read.text, read.finish_reason, read.usage.completion_tokens) == ("", "length", 0)
    after = llm.generate(LONG[:300], max_tokens=4)
    assert after.usage.prefilled_tokens <= 1 < read.usage.prompt_tokens
    with llm.stream_chat([{"role": "user", "content": "Hi"}], max_tokens=0) as stream:
        assert [chunk.text for chunk in stream if not chunk.result] == []
        assert stream.result.text == ""


def test_what_generate_prefills_and_what_count_leaves_out(llm: LongContextLLM) -> None:
    """BOS begins a text but is no part of it: prompt_ids() has it, and max_tokens goes by that."""
    text = "The function returns"
    ids = llm.prompt_ids(text)
    assert ids[1:] == llm.tokenize(text)
    assert len(ids) == llm.count(text) + 1
    room = llm.target_ctx - len(ids)
    filled = llm.generate(text, max_tokens=room, stop_on_repetition=False)
    assert filled.usage.prompt_tokens == len(ids)
    with pytest.raises(ContextOverflowError, match=r"BOS.*prompt_ids.*1 too many") as caught:
        llm.generate(text, max_tokens=llm.target_ctx - llm.count(text))
    assert caught.value.needed == llm.target_ctx + 1
    asked: Any = [{"role": "user", "content": text}]
    assert len(llm.prompt_ids(asked)) == llm.count(asked)
    with pytest.raises(ContextOverflowError) as caught:
        llm.chat(asked, max_tokens=llm.target_ctx)
    assert "BOS" not in str(caught.value)
