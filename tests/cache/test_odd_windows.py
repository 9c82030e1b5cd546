"""A window that is no multiple of 256: the limit is just that, though llama.cpp has more cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longctx import ContextOverflowError, LongContextLLM
from tests.conftest import TinyGguf
from tests.support.thorough import quick

IDS = [i % 200 + 20 for i in range(3000)]


def opened(path: Path, target_ctx: int, **options: Any) -> LongContextLLM:
    """A tiny model with this window."""
    return LongContextLLM(path, target_ctx, **{"reserve_output": 0, "n_threads": 1, **options})


@pytest.mark.parametrize("window", ["elastic", "fixed"])
@pytest.mark.parametrize("target_ctx", quick([1, 2, 100, 255, 257, 300, 700], 1, 2, 100, 257))
def test_the_number_asked_for_is_the_limit(
    tiny_gguf: TinyGguf, window: Any, target_ctx: int
) -> None:
    """To the token: by a session, score, generate, chat and several at once."""
    with opened(tiny_gguf(n_ctx_train=512), target_ctx, window=window) as llm:
        assert llm.target_ctx == llm.plan.n_ctx == target_ctx
        session = llm.session()
        session.feed(IDS[:target_ctx])
        assert session.n_ctx == target_ctx
        for more in (
            lambda: session.feed([1]),
            lambda: session.nll([1]),
            lambda: session.grow(701),
        ):
            with pytest.raises(ContextOverflowError) as caught:
                more()
            assert caught.value.available == caught.value.n_ctx == target_ctx
        assert session.n_tokens == target_ctx
        with pytest.raises(ContextOverflowError):
            llm.score(IDS[: target_ctx + 1])
        if target_ctx > 1:
            assert len(llm.score(IDS[:target_ctx])) == target_ctx - 1
        if target_ctx < 100:
            return
        asked: Any = [{"role": "user", "content": "one two three"}]
        calls = (
            (lambda n: llm.generate("one two", max_tokens=n), len(llm.prompt_ids("one two"))),
            (lambda n: llm.chat(asked, max_tokens=n), len(llm.prompt_ids(asked))),
            (lambda n: llm.chat_batch([asked, asked], max_tokens=n)[0], len(llm.prompt_ids(asked))),
        )
        for call, n_prompt in calls:
            used = call(target_ctx - n_prompt).usage
            assert used.prompt_tokens + used.completion_tokens <= target_ctx
            with pytest.raises(ContextOverflowError, match="1 too many"):
                call(target_ctx - n_prompt + 1)


def test_it_slides_at_that_number(tiny_gguf: TinyGguf) -> None:
    """And not at the next multiple."""
    with opened(tiny_gguf(n_ctx_train=512), 300, overflow="slide") as llm:
        session = llm.session()
        session.feed(IDS[:300])
        assert session.dropped_tokens == 0
        session.feed(IDS[300:301])
        assert session.dropped_tokens > 0
        session.feed(IDS[301:900])
        assert session.n_tokens <= 300
        assert session.text_ids == IDS[:900]


@pytest.mark.parametrize("method", ["ntk", "self-extend"])
def test_it_grows_forks_and_comes_back_from_disk(
    tiny_gguf: TinyGguf, tmp_path: Path, method: str
) -> None:
    """The limit goes with the text, and the steps begin at the trained window."""
    path = tiny_gguf(n_ctx_train=500)
    with opened(path, 1300, method=method) as llm:
        session = llm.session()
        seen = []
        for begin in range(0, 1300, 100):
            session.feed(IDS[begin : begin + 100])
            seen.append(session.n_ctx)
        assert list(dict.fromkeys(seen)) == [500, 1000, 1300]
        twin = session.fork()
        assert twin.n_ctx == 1300
        with pytest.raises(ContextOverflowError):
            twin.feed([1])
        session.save(tmp_path / "text.session")
        session.close()
        again = llm.load_session(tmp_path / "text.session")
        assert (again.n_ctx, again.tokens) == (1300, tuple(IDS[:1300]))
        again.truncate(400)
        again.shrink(450)
        assert again.n_ctx == 500


def test_one_more_than_the_smaller_model_holds(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A text saved at 301 tokens does not fit 300."""
    path = tiny_gguf(n_ctx_train=512)
    with opened(path, 301) as llm:
        session = llm.session()
        session.feed(IDS[:301])
        session.save(tmp_path / "text.session")
    with opened(path, 300) as llm, pytest.raises(ContextOverflowError, match="301"):
        llm.load_session(tmp_path / "text.session")
