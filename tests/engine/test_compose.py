"""Prompts put together from passages that were prefilled alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import ContextOverflowError, LongContextLLM, RequestError
from longctx.engine.compose import EDGE, spans_of
from tests.cache.test_session import opened
from tests.conftest import TinyGguf
from tests.support.rounding import agree, coarser

TEXTS = [
    f"<{name}>\n" + f"The {name} of the house is {n} feet long and made of {name} wood. " * 6
    for n, name in enumerate(("door", "table", "window", "roof"))
]


def asking(*texts: str, question: str = "How long?") -> list[dict[str, Any]]:
    """A conversation with these passages in it."""
    return [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "".join(texts) + question},
    ]


def test_every_passage_is_prefilled_once(tiny_gguf: TinyGguf) -> None:
    """Any subset, in any order, then costs its edges and the question."""
    with opened(tiny_gguf("llama", n_ctx_train=2048), 2048) as llm:
        first = llm.compose(asking(*TEXTS), TEXTS, recompute=4)
        lengths = [len(llm.tokenize(text)) - 2 * EDGE for text in TEXTS]
        assert first.attached_tokens == sum(lengths) - 4 * len(TEXTS)
        assert first.prefilled_tokens >= sum(lengths) + 4 * len(TEXTS)
        answer = llm.chat(asking(*TEXTS), max_tokens=2)
        assert answer.usage.prefilled_tokens < 60
        for subset in ([3, 1], [2], [1, 2, 3, 0]):
            texts = [TEXTS[i] for i in subset]
            messages = asking(*texts, question="Who built it?")
            done = llm.compose(messages, texts, recompute=4)
            assert done.prefilled_tokens < 60 + 10 * len(texts)
            answer = llm.chat(messages, max_tokens=2)
            assert answer.usage.prompt_tokens == llm.count(messages)
            assert answer.usage.prefilled_tokens < 60


def test_one_that_is_recomputed_whole_is_exact(tiny_gguf: TinyGguf) -> None:
    """Too few tokens are left to attach, so the passage is prefilled where it stands."""
    with opened(tiny_gguf("llama", n_ctx_train=2048), 2048) as llm:
        messages = asking(*TEXTS)
        exact = llm.chat(messages, max_tokens=8).text
        done = llm.compose(asking(*TEXTS[::-1]), TEXTS[::-1], recompute=1000)
        assert done.attached_tokens == 0
        assert llm.chat(messages, max_tokens=8).text == exact


def test_keys_stand_where_the_prompt_has_them(tiny_gguf: TinyGguf) -> None:
    """The cache holds the prompt's own tokens, at their own positions."""
    with opened(tiny_gguf("llama", n_ctx_train=2048), 2048) as llm:
        messages = asking(*TEXTS)
        llm.compose(messages, TEXTS)
        (session,) = llm.engine.sessions
        ids = llm.prompt_ids(messages)
        assert session.shared(ids) == session.n_tokens > 0.8 * len(ids)
        np.testing.assert_array_equal(session.positions, np.arange(session.n_tokens))
        assert session.is_stitched
        fork = session.fork()
        assert fork.is_stitched
        session.match(ids[:5])
        assert not session.is_stitched


def test_old_passages_make_way(tiny_gguf: TinyGguf) -> None:
    """Memory has a limit; what went is prefilled again."""
    with opened(tiny_gguf("llama", n_ctx_train=2048), 2048) as llm:
        llm.compose(asking(TEXTS[0]), TEXTS[:1])
        llm.engine.composer.passages.limit_bytes = llm.engine.composer.passages.n_bytes * 5 // 2
        llm.compose(asking(*TEXTS), TEXTS)
        assert 0 < llm.engine.composer.passages.n_bytes <= llm.engine.composer.passages.limit_bytes
        lengths = [len(llm.tokenize(text)) - 2 * EDGE for text in TEXTS]
        kept = llm.compose(asking(TEXTS[3], TEXTS[2]), [TEXTS[3], TEXTS[2]])
        gone = llm.compose(asking("So. " + TEXTS[0]), [TEXTS[0]])
        assert kept.prefilled_tokens < lengths[3] < gone.prefilled_tokens


def test_the_disk_keeps_only_what_was_prefilled(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Another process would take a snapshot for the real thing."""
    path, text = tiny_gguf("llama", n_ctx_train=4096), "".join(TEXTS)
    for composed in (True, False):
        folder = tmp_path / str(composed)
        with LongContextLLM(path, 4096, cache_dir=folder, n_threads=1, reserve_output=8) as llm:
            if composed:
                llm.compose(asking(text), [text])
            llm.chat(asking(text), max_tokens=1)
        assert any(folder.rglob("*.session")) is not composed


def test_while_answers_have_the_cells_nothing_is_composed(
    tiny_gguf: TinyGguf, monkeypatch: Any
) -> None:
    """Nobody can wait in the thread that writes the answers; the chat itself does."""
    monkeypatch.setattr("longctx.engine.memory.MAX_COMMON_CONTEXTS", 1)
    with opened(tiny_gguf("llama", n_ctx_train=2048), 2048) as llm:
        alone = llm.chat(asking(*TEXTS), max_tokens=4, top_logprobs=2)
        with llm.stream("the cat sat on the mat " * 70, max_tokens=300) as stream:
            next(stream)
            done = llm.compose(asking(*TEXTS), TEXTS)
            assert done.prefilled_tokens == done.attached_tokens == 0
            assert llm.engine.n_answers == 1
        agree(llm.chat(asking(*TEXTS), max_tokens=4, top_logprobs=2), alone, 0.05 * coarser())


@pytest.mark.parametrize("n_contexts", [1, 2])
@pytest.mark.parametrize("n_others", [2, 3, 4, 6, 7, 8])
def test_while_others_have_the_sequences(
    tiny_gguf: TinyGguf, monkeypatch: Any, n_others: int, n_contexts: int
) -> None:
    """Attaching takes one more for a moment: another text makes way for it, or this one moves."""
    monkeypatch.setattr("longctx.engine.common.N_SEQUENCES", 4)
    monkeypatch.setattr("longctx.engine.memory.MAX_COMMON_CONTEXTS", n_contexts)
    with opened(tiny_gguf("llama", n_ctx_train=4096), 4096) as llm:
        for i in range(n_others):
            llm.generate([20 + i + 7 * j % 150 for j in range(100)], max_tokens=1)
        prompt = llm.prompt(asking(*TEXTS), compress=[(text, 0.5) for text in TEXTS[:2]])
        done = llm.compose(prompt, TEXTS[2:])
        assert done.attached_tokens > 0.5 * prompt.n_tokens
        answer = llm.chat(prompt, max_tokens=2)
        assert answer.usage.prefilled_tokens < 0.5 * prompt.n_tokens
        assert answer.window is not None
        assert answer.window.compressed_tokens > 0


def test_a_passage_longer_than_the_trained_window_is_left(tiny_gguf: TinyGguf) -> None:
    """Alone it would be scaled, and its keys no longer its own."""
    with opened(tiny_gguf("llama", n_ctx_train=512), 2048, method="self-extend") as llm:
        text = " ".join(TEXTS)
        assert llm.compose(asking(text), [text]).attached_tokens == 0
        short = llm.compose(asking(*TEXTS), TEXTS)
        assert short.attached_tokens > 0
        assert llm.chat(asking(*TEXTS), max_tokens=2).window.method == "self-extend"


def test_nonsense(tiny_gguf: TinyGguf) -> None:
    """Typed errors; passages that are not there are no error."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        assert llm.compose(asking("Hello."), ["Not there, " * 30]).attached_tokens == 0
        assert llm.compose(asking("Hello."), []).attached_tokens == 0
        with pytest.raises(RequestError, match="recompute"):
            llm.compose(asking(*TEXTS), TEXTS, recompute=-1)
        with pytest.raises(ContextOverflowError):
            llm.compose(asking(*TEXTS * 20), TEXTS)


def test_spans() -> None:
    """In their order, each after the one before, less the edges."""
    prompt = [9, 1, 2, 3, 4, 5, 6, 9, 9, 1, 2, 3, 4, 5, 6, 7]
    part = [0, 1, 2, 3, 4, 5, 6, 8]
    assert spans_of(prompt, [part, part, part]) == [(0, 2, 6), (1, 10, 14)]
    assert spans_of(prompt, [[1, 2, 3], []]) == []
