"""Several conversations over one model: who keeps its cache, who goes to disk, who comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM, ModelInfo, plan_context
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.cache.shared import Contexts, OwnContexts
from longctx.cache.snapshot import read_header
from longctx.engine.common import CommonContexts
from longctx.engine.pool import SessionPool
from tests.cache.test_session import opened
from tests.conftest import TinyGguf
from tests.support.read_only import refused

CAT = "the cat sat on the mat and the dog saw it. "
N = 22
DOG = "a dog ran to the hill and the cat was on it. "


def n_files(llm: LongContextLLM, folder: Path) -> int:
    """How many snapshots lie there when the answers before are saved, too."""
    llm.session().close()
    return len(list(folder.rglob("*.session")))


@pytest.fixture
def short_is_worth_keeping(monkeypatch: Any) -> None:
    """Texts of some hundred tokens count as long ones."""
    for module in ("longctx.engine.keeping", "longctx.engine.store"):
        monkeypatch.setattr(f"{module}.MIN_TOKENS", 100)
    monkeypatch.setattr("longctx.engine.pool.WORTH_KEEPING", 20)


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_two_conversations_keep_their_caches(tiny_gguf: TinyGguf) -> None:
    """Alternating, each prefills only what is new."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        for text in (CAT * 10, DOG * 10):
            llm.generate(text, max_tokens=4)
        for text in (CAT * 11, DOG * 11):
            result = llm.generate(text, max_tokens=4)
            assert result.usage.prefilled_tokens < 40


def test_the_least_recently_used_makes_way_for_one_that_begins_as_the_latest(
    tiny_gguf: TinyGguf, monkeypatch: Any
) -> None:
    """Where all sequences are taken: a few words in common are no reason to lose what goes on."""
    monkeypatch.setattr("longctx.engine.common.N_SEQUENCES", 4)
    monkeypatch.setattr("longctx.engine.memory.MAX_COMMON_CONTEXTS", 1)
    first, *others, latest = (f"{word} " + CAT * 5 for word in ("hill", "sun", "sky", "dog"))
    with opened(tiny_gguf("llama", n_ctx_train=1024), window="fixed") as llm:
        for text in (first, *others, latest):
            llm.generate(text, max_tokens=4)
        begun = llm.tokenize(latest)[:12]
        llm.generate(llm.detokenize(begun) + DOG * 4, max_tokens=4)
        for text in (latest, *others):
            assert llm.generate(text + CAT, max_tokens=4).usage.prefilled_tokens < 40
        assert llm.generate(first + CAT, max_tokens=4).usage.cached_tokens < 40


def test_what_all_begin_with_is_kept_of_one_that_makes_way(
    tiny_gguf: TinyGguf, monkeypatch: Any
) -> None:
    """Where all sequences are taken, a new conversation still begins with a copy of that."""
    monkeypatch.setattr("longctx.engine.common.N_SEQUENCES", 4)
    monkeypatch.setattr("longctx.engine.memory.MAX_COMMON_CONTEXTS", 1)
    with opened(tiny_gguf("llama", n_ctx_train=1024), window="fixed") as llm:
        n_common = llm.count(CAT * 2)
        first, second, *later = (
            f"{CAT * 2}{word} {DOG * n}"
            for word, n in (("hill", 4), ("sun", 1), ("sky", 4), ("dog", 4), ("mat", 4), ("hat", 1))
        )
        for text in (first, second, *later[:2]):
            llm.generate(text, max_tokens=4)
        # Long ones make way for a copy, a short one is gone on in; the oldest each time.
        for text in later[2:]:
            assert llm.generate(text, max_tokens=4).usage.cached_tokens >= n_common - 2
        for text in later:
            assert llm.generate(text + DOG, max_tokens=4).usage.prefilled_tokens < 40
        for text in (first, second):
            assert llm.generate(text + DOG, max_tokens=4).usage.cached_tokens < n_common + 9


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_the_least_recently_used_goes_to_disk_and_comes_back(
    tiny_gguf: TinyGguf, tmp_path: Path, monkeypatch: Any
) -> None:
    """With cells for one, the other's text is found on disk; a third process finds both."""
    monkeypatch.setattr("longctx.engine.memory.MAX_COMMON_CONTEXTS", 1)
    path = tiny_gguf("llama", n_ctx_train=1024)
    with opened(path, cache_dir=tmp_path) as llm:
        assert llm.count(CAT * N) > 512
        llm.generate(CAT * N, max_tokens=4)
        llm.generate(DOG * N, max_tokens=4)
        assert len(llm.engine.sessions) == 1
        back = llm.generate(CAT * (N + 1), max_tokens=4)
        assert back.usage.prefilled_tokens < 60
    with opened(path, cache_dir=tmp_path) as llm:
        for text in (CAT * (N + 1), DOG * (N + 1)):
            assert llm.generate(text, max_tokens=4).usage.prefilled_tokens < 60
    with opened(path, cache_dir=tmp_path, kv_type="q8_0") as llm:
        other = llm.generate(CAT * (N + 1), max_tokens=4)
        assert other.usage.cached_tokens == 0


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_a_snapshot_that_does_not_fit_now_stays(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A smaller window leaves it alone, and the next with room for it takes it."""
    path = tiny_gguf("llama", n_ctx_train=2048)
    long, short = CAT * 40, CAT * 20
    with opened(path, 2048, cache_dir=tmp_path) as llm:
        llm.generate(long, max_tokens=4)
        held = llm.count(long)
    (file,) = tmp_path.rglob("*.session")
    with opened(path, held // 2 + 64, cache_dir=tmp_path) as llm:
        for _ in range(2):
            assert llm.generate(short, max_tokens=4).usage.cached_tokens < held // 2
        assert file.exists()
    with opened(path, 2048, cache_dir=tmp_path) as llm:
        assert llm.generate(long + CAT, max_tokens=4).usage.prefilled_tokens < 40


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_a_snapshot_that_cannot_be_used_is_asked_for_once(
    tiny_gguf: TinyGguf, tmp_path: Path, caplog: Any
) -> None:
    """Its keys are of another scale and cannot be re-rotated: it stays, and is left alone."""
    path = tiny_gguf("gemma3", n_ctx_train=512)
    options: Any = {"cache_dir": tmp_path, "method": "ntk-by-parts"}
    with opened(path, 1024, window="fixed", **options) as llm:
        llm.generate(CAT * 10, max_tokens=4)
    (file,) = tmp_path.rglob("*.session")
    with opened(path, 1024, window="elastic", **options) as llm:
        for _ in range(3):
            llm.generate(CAT * 10, max_tokens=4)
            llm.generate(DOG * 10, max_tokens=4)
    assert file.exists()
    assert caplog.text.count("a saved session is not used") == 1


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_a_damaged_snapshot_is_prefilled_again(
    tiny_gguf: TinyGguf, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer, a warning, and the damaged file gone, where it can be removed."""
    path = tiny_gguf("llama", n_ctx_train=1024)
    with opened(path, cache_dir=tmp_path) as llm:
        expected = llm.generate(CAT * 10, max_tokens=8).text
    (file,) = tmp_path.rglob("*.session")
    damaged = bytearray(file.read_bytes())
    damaged[-5] ^= 4
    file.write_bytes(damaged)
    with opened(path, cache_dir=tmp_path) as llm, monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refused)
        assert llm.generate(CAT * 10, max_tokens=8).text == expected
    file.write_bytes(damaged)
    with opened(path, cache_dir=tmp_path) as llm:
        result = llm.generate(CAT * 10, max_tokens=8)
        assert result.text == expected
        assert result.usage.cached_tokens == 0
        assert "checksum" in caplog.text
    # The answer was saved anew, under the same name; a broken file that nobody asks for goes too.
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    other = file.with_name("other.session")
    other.write_bytes(good[:12])
    with opened(path, cache_dir=tmp_path) as llm:
        llm.generate(DOG * 10, max_tokens=8)
    assert not other.exists()


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_a_conversation_is_stored_once_and_old_ones_make_room(
    tiny_gguf: TinyGguf, tmp_path: Path, monkeypatch: Any
) -> None:
    """What a longer text continues is dropped; beyond the size, the least recently used."""
    path = tiny_gguf("llama", n_ctx_train=1024)
    with opened(path, cache_dir=tmp_path) as llm:
        for n in (8, 16, 24):
            llm.generate(CAT * n, max_tokens=1)
        assert n_files(llm, tmp_path) == 1
        llm.generate(DOG * 16, max_tokens=1)
        assert n_files(llm, tmp_path) == 2
        monkeypatch.setattr("longctx.engine.store.MAX_BYTES", 1)
        llm.generate("so " + DOG * 20, max_tokens=1)
        assert n_files(llm, tmp_path) == 1
        (left,) = tmp_path.rglob("*.session")
        header, text = read_header(left)
        assert header.n_tokens == len(text)
        assert llm.detokenize(text.tolist()).startswith("so ")


@pytest.mark.usefixtures("short_is_worth_keeping")
def test_what_fits_whole_is_not_answered_from_what_has_slid(
    tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """A conversation taken back to where it was short: nothing of it is missing, in this process
    and from the folder."""
    path = tiny_gguf("llama", n_ctx_train=1024)
    options: Any = {"overflow": "slide", "cache_dir": tmp_path}
    with opened(path) as llm:
        expected = llm.generate(CAT * 20 + DOG, max_tokens=8, seed=1)
    for process in (1, 2):
        with opened(path, **options) as llm:
            if process == 1:
                slid = llm.generate(CAT * 38, max_tokens=4)
                assert 100 < slid.window.dropped_tokens < expected.usage.prompt_tokens
            again = llm.generate(CAT * 20 + DOG, max_tokens=8, seed=1)
            assert again.window.dropped_tokens == 0
            assert again.text == expected.text
            if process == 1:
                assert again.usage.cached_tokens < 8  # the attention sinks
                # One that goes on with what slid out, and is too long itself, does so.
                longer = llm.generate(CAT * 38 + DOG, max_tokens=4)
                assert longer.window.dropped_tokens >= slid.window.dropped_tokens


def no_text(_text: str, _at_start: bool) -> list[int]:
    """These sessions are fed ids."""
    return []


def test_memory_is_counted_with_borrowed_sessions_and_growth(tiny_gguf: TinyGguf) -> None:
    """Memory for the common context and one large window: the second pushes the first out."""
    info = ModelInfo.from_gguf(tiny_gguf("llama", n_ctx_train=256))
    plan = plan_context(info, 1024, method="ntk", reserve_output=16)
    backend = LlamaCppBackend(info, plan, n_threads=1)
    common = CommonContexts(backend)

    def new(contexts: Contexts = common) -> Session:
        return Session(backend, KeyRotator(backend), no_text, owner=pool, contexts=contexts)

    pool = SessionPool(
        new, common, cost_bytes=lambda n_ctx: n_ctx, limit_bytes=256 + 512 + 256, store=None
    )
    first, second = pool.pick([5] * 10), pool.pick([6] * 10)
    assert first is not None
    assert second is not None
    assert first.shared_context is second.shared_context
    for session in (first, second):
        session.feed([5] * 100)
        pool.give_back(session)
    first.grow(512)
    assert first.is_open
    lent = new(OwnContexts(backend, 1))
    pool.lend(lent)
    second.grow(512)
    assert not first.is_open
    assert pool.sessions == (second,)
    assert lent.is_open
    pool.close(save=False)
    assert not second.is_open
    assert not lent.is_open


def test_a_session_that_lost_its_cache_is_let_go(tiny_gguf: TinyGguf) -> None:
    """No later prompt is given it."""
    info = ModelInfo.from_gguf(tiny_gguf("llama", n_ctx_train=256))
    plan = plan_context(info, 1024, method="ntk", reserve_output=16)
    backend = LlamaCppBackend(info, plan, n_threads=1)
    common = CommonContexts(backend)

    def new() -> Session:
        return Session(backend, KeyRotator(backend), no_text, owner=pool, contexts=common)

    pool = SessionPool(new, common, cost_bytes=lambda n: n, limit_bytes=1 << 20, store=None)
    lost = pool.pick([5] * 10)
    assert lost is not None
    lost.close()
    pool.give_back(lost)
    assert pool.sessions == ()
    again = pool.pick([5] * 10)
    assert again is not None
    assert again.is_open
    pool.close(save=False)
