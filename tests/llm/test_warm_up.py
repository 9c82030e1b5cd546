"""A model that is made ready before somebody waits for its first answer."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from longctx import BackendError, LongContextLLM
from longctx.backends import LlamaCppBackend
from longctx.cli.served import Opening
from tests.conftest import TinyGguf
from tests.models import TINY

ASK = [{"role": "user", "content": "hello"}]
Opened = list[int]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The size of each cache that was opened."""
    sizes: Opened = []
    original = LlamaCppBackend.open

    def noting(self: LlamaCppBackend, n_ctx: int, *args: Any, **options: Any) -> Any:
        context = original(self, n_ctx, *args, **options)
        sizes.append(n_ctx)
        return context

    monkeypatch.setattr(LlamaCppBackend, "open", noting)
    return sizes


def _wait(opened: Opened) -> None:
    until = time.monotonic() + 60
    while not opened:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("kind", "again"), [("llama", 0), ("gemma3", 1)])
def test_the_first_answer_finds_the_cache_open(
    opened: Opened, tiny_gguf: TinyGguf, kind: str, again: int
) -> None:
    """Where answers begin in one that is kept: where layers slide, each text has its own. Nothing
    of the answer is cached, and it is the same."""
    model = tiny_gguf(kind)
    with LongContextLLM(model, 512) as llm:
        llm.warm_up()
        _wait(opened)
        warm = llm.generate("hello", max_tokens=8)
        assert len(opened) == 1 + again
        assert len(llm.engine.sessions) == 1
    with LongContextLLM(model, 512) as llm:
        cold = llm.generate("hello", max_tokens=8)
    assert (warm.text, warm.usage) == (cold.text, cold.usage)


def test_what_fails_is_the_first_answers_to_tell(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it; the log has the reason."""

    def fails(*_args: Any, **_options: Any) -> None:
        raise BackendError("no memory for it")

    with LongContextLLM(TINY, 1024) as llm, monkeypatch.context() as patch:
        patch.setattr(LlamaCppBackend, "open", fails)
        with caplog.at_level(logging.WARNING, "longctx"):
            llm.warm_up()
            with pytest.raises(BackendError, match="no memory for it"):
                llm.chat(ASK, max_tokens=4)
        assert "the model is not warm" in caplog.text
        patch.undo()
        assert llm.chat(ASK, max_tokens=4).usage.completion_tokens


def test_a_model_is_closed_while_it_warms_up() -> None:
    """An orderly end, however far it is."""
    for _ in range(3):
        llm = LongContextLLM(TINY, 1024)
        llm.warm_up()
        llm.close()
        with pytest.raises(BackendError, match="is closed"):
            llm.warm_up()


def test_a_server_is_warm_before_the_first_request(opened: Opened) -> None:
    """The model of `longctx serve` that is opened as it starts."""
    served = Opening({"target_ctx": 1024}).one(str(TINY))
    try:
        _wait(opened)
    finally:
        served.close()
