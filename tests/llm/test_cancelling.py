"""Readers that give up, in event loops and threads: the model is free, the exception is theirs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from longctx import BackendError, LongContextLLM, Progress
from longctx.channel import Channel
from longctx.stream import Stream
from tests.models import TINY
from tests.support.thorough import quick

ASK = [{"role": "user", "content": "hello"}]
# An answer that the model cannot end early.
ENDLESS: Any = {
    "max_tokens": 1200,
    "response_schema": {"type": "array", "minItems": 900, "items": {"const": 1}},
}
LONG = [{"role": "user", "content": "tell me of the king and the queen " * 60}]


class TheirOwn(Exception):
    """Raised by a reader."""


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The small model, on one thread: 200 tokens take it about a quarter of a second."""
    with LongContextLLM(TINY, 2048, reserve_output=16, n_threads=1) as model:
        yield model


def wait_until_idle(llm: LongContextLLM, within_s: float = 30.0) -> None:
    """No answer is under way any more, long before it could have been written to its end."""
    until = time.monotonic() + within_s
    while llm.engine.n_answers:
        assert time.monotonic() < until, "an answer that nobody reads is still being written"
        time.sleep(0.002)


async def read_all(llm: LongContextLLM) -> None:
    """A loop over the pieces."""
    async for _ in llm.astream_chat(ASK, **ENDLESS):
        pass


async def whole(llm: LongContextLLM) -> None:
    """The whole answer."""
    await llm.achat(ASK, **ENDLESS)


async def by_hand(llm: LongContextLLM) -> None:
    """Piece by piece."""
    stream = llm.astream_chat(ASK, **ENDLESS)
    while await stream.__anext__():
        pass


async def by_generator(llm: LongContextLLM) -> None:
    """As adapters do: an async generator over ours."""

    async def pieces() -> AsyncIterator[str]:
        async for chunk in llm.astream_chat(ASK, **ENDLESS):
            yield chunk.text

    async for _ in pieces():
        pass


READERS = [read_all, whole, by_hand, by_generator]


async def _timeout(reading: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(0.05):
            await reading

    with pytest.raises(TimeoutError):
        await within()


async def _wait_for(reading: Awaitable[None]) -> None:
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        await asyncio.wait_for(reading, 0.05)


async def _cancelled_task(reading: Any) -> None:
    task = asyncio.create_task(reading)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _task_group(reading: Any) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise TheirOwn

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(reading)
            group.create_task(fail())

    with pytest.raises(Exception) as caught:  # noqa: PT011  # Python 3.10 has no ExceptionGroup
        await both()
    assert [type(one) for one in getattr(caught.value, "exceptions", ())] == [TheirOwn]


async def _anyio_scope(reading: Awaitable[None]) -> None:
    with anyio.move_on_after(0.05) as scope:
        await reading
    assert scope.cancelled_caught


async def _anyio_fail_after(reading: Awaitable[None]) -> None:
    async def within() -> None:
        with anyio.fail_after(0.05):
            await reading

    with pytest.raises(TimeoutError):
        await within()


async def _anyio_group(reading: Awaitable[None]) -> None:
    async def read() -> None:
        await reading

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()


GIVING_UP = [
    _timeout, _wait_for, _cancelled_task, _task_group, _anyio_scope, _anyio_fail_after, _anyio_group
]  # fmt: skip


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout and task groups")
@pytest.mark.parametrize("give_up", GIVING_UP)
@pytest.mark.parametrize("reader", READERS)
def test_a_cancelled_reader_frees_the_model(
    llm: LongContextLLM,
    reader: Callable[[LongContextLLM], Awaitable[None]],
    give_up: Callable[[Awaitable[None]], Awaitable[None]],
) -> None:
    """Every way to cancel, every way to read, five times over: the next call is answered."""

    async def main() -> None:
        for _ in range(5):
            await give_up(reader(llm))
            assert (await asyncio.wait_for(llm.achat(ASK, max_tokens=3), 60)).text

    asyncio.run(main())
    wait_until_idle(llm)
    assert llm.chat(ASK, max_tokens=3).text


@pytest.mark.parametrize("way", ["break", "return", "raise", "aclose", "async with"])
def test_a_loop_that_is_left_frees_the_model(llm: LongContextLLM, way: str) -> None:
    """The next await is an answer, in this run of the event loop and in the next ones."""

    async def leave() -> str:
        if way == "aclose":
            stream = llm.astream_chat(ASK, **ENDLESS)
            text = (await stream.__anext__()).text
            await stream.aclose()
            return text
        if way == "async with":
            async with llm.astream_chat(ASK, **ENDLESS) as stream:
                return (await stream.__anext__()).text
        async for chunk in llm.astream_chat(ASK, **ENDLESS):
            if way == "return":
                return chunk.text
            if way == "raise":
                raise TheirOwn
            break
        return ""

    async def main() -> str:
        if way == "raise":
            with pytest.raises(TheirOwn):
                await leave()
        else:
            await leave()
        return (await llm.achat(ASK, max_tokens=3)).text

    for _ in range(3):
        assert asyncio.run(main())
    wait_until_idle(llm)


def fact(room: int, code: int) -> list[dict[str, str]]:
    """A question whose answer is no matter of rounding."""
    text = f"The code of room {room} is {code}.\nWhat is the code of room {room}?"
    return [{"role": "user", "content": text}]


def test_a_call_inside_async_for_is_answered(llm: LongContextLLM) -> None:
    """Also one that blocks the loop: the stream is written in another thread."""

    async def main() -> tuple[str, str]:
        pieces = []
        async for chunk in llm.astream_chat(fact(7, 4821), max_tokens=16):
            pieces.append(chunk.text)
            if len(pieces) == 2:
                other = llm.chat(fact(12, 9035), max_tokens=16).text
        return "".join(pieces), other

    text, other = asyncio.run(main())
    assert "4821" in text
    assert "9035" in other


def test_a_call_inside_a_stream_of_the_same_thread_is_answered(llm: LongContextLLM) -> None:
    """No deadlock, and no refusal: they are written side by side."""
    with llm.stream_chat(fact(7, 4821), max_tokens=16) as stream:
        first = next(stream).text
        other = llm.chat(fact(12, 9035), max_tokens=16).text
        text = first + "".join(chunk.text for chunk in stream)
    assert text == stream.result.text
    assert "4821" in text
    assert "9035" in other


def test_a_cancelled_prefill_ends_at_its_next_batch(llm: LongContextLLM) -> None:
    """Not after the whole prompt; what was read of it stays cached."""
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        raise TheirOwn

    fresh = [{"role": "user", "content": "of the hill and the dog " * 150}]
    with pytest.raises(TheirOwn):
        llm.chat(fresh, max_tokens=3, on_progress=stop)
    wait_until_idle(llm)
    assert len(seen) == 1
    usage = llm.chat(fresh, max_tokens=3).usage
    assert seen[0].done_tokens <= usage.cached_tokens < usage.prompt_tokens


def test_a_stream_that_was_closed_has_no_result(llm: LongContextLLM) -> None:
    """It says so, and iterating it on is at its end."""
    stream = llm.stream_chat(ASK, **ENDLESS)
    next(stream)
    stream.close()
    assert list(stream) == []
    with pytest.raises(BackendError, match="closed before its end"):
        _ = stream.result


@pytest.mark.parametrize("loop", [False, True], ids=["in a thread", "in an event loop"])
def test_a_stream_that_another_thread_closes_is_at_its_end(llm: LongContextLLM, loop: bool) -> None:
    """Its reader comes to an end, and the model is free."""
    stream = llm.stream_chat(ASK, **ENDLESS)
    closer = threading.Thread(target=stream.close)
    n = 0

    async def read() -> None:
        while await stream.receive() is not None:
            count()

    def count() -> None:
        nonlocal n
        n += 1
        if n == 3:
            closer.start()

    if loop:
        asyncio.run(read())
    else:
        for _ in stream:
            count()
    assert 3 <= n < 1200
    with pytest.raises(BackendError, match="closed before its end"):
        _ = stream.result
    wait_until_idle(llm)
    assert llm.chat(ASK, max_tokens=2).text is not None


def test_a_reader_that_waits_is_woken() -> None:
    """Where no more pieces come: the reader of a channel that nobody writes to."""
    channel: Channel[Any] = Channel()
    stream = Stream(channel)
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    assert list(stream) == []
    stream.close()
    assert list(stream) == []


def test_a_stream_that_is_dropped_gives_its_answer_up(llm: LongContextLLM) -> None:
    """As generators do; nobody can read on."""
    stream = llm.stream_chat(ASK, **ENDLESS)
    next(stream)
    del stream
    wait_until_idle(llm)


def test_close_in_the_middle_tells_everybody() -> None:
    """Eight threads that read, in prefill and decode: each gets the typed error or its answer."""
    llm = LongContextLLM(TINY, 2048, reserve_output=16, n_threads=1)
    begun = threading.Barrier(9)

    shorter = [{"role": "user", "content": LONG[0]["content"][:1500]}]

    def read(i: int) -> str:
        stream = llm.stream_chat(shorter if i % 2 else ASK, **ENDLESS)
        begun.wait(60)
        return stream.result.text

    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(read, i) for i in range(8)]
        begun.wait(60)
        time.sleep(0.05)
        llm.close()
        for result in results:
            with pytest.raises(BackendError, match="closed"):
                result.result(60)


SHUTDOWNS = {
    "the main coroutine returns in the middle of a stream": """
async def main():
    stream = llm.astream_chat(ask, **endless)
    await stream.__anext__()
    hold.append(stream)
asyncio.run(main())
""",
    "sys.exit in the middle of a stream": """
stream = llm.stream_chat(ask, **endless)
next(stream)
sys.exit(0)
""",
    "a thread of a pool is left reading": """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
pool.submit(lambda: llm.chat(ask, **endless))
time.sleep(0.05)
""",
    "a daemon thread is left reading": """
def chat():
    with contextlib.suppress(BackendError):  # the thread may live to be told
        llm.chat(ask, **endless)
threading.Thread(target=chat, daemon=True).start()
time.sleep(0.05)
""",
    "a session is left in the middle of a prefill": """
session = llm.session()
def feed():
    with contextlib.suppress(BackendError):  # the thread may live to be told
        session.feed([5] * 2000)
threading.Thread(target=feed, daemon=True).start()
time.sleep(0.02)
""",
    "an exception ends the program": """
stream = llm.stream_chat(ask, **endless)
next(stream)
raise SystemExit(0)
""",
}


@pytest.mark.parametrize(
    "how",
    quick(
        SHUTDOWNS,
        "the main coroutine returns in the middle of a stream",
        "a thread of a pool is left reading",
    ),
)
def test_the_interpreter_ends_in_the_middle(how: str) -> None:
    """Nothing is closed by hand: exit status 0, no word of ours on stderr, and soon.

    A daemon thread of the test's own may still be told while Python tears its modules down.
    """
    code = SHUTDOWNS[how]
    head = (
        "import asyncio, contextlib, sys, threading, time\n"
        "from longctx import BackendError, LongContextLLM\n"
        f"llm = LongContextLLM({str(TINY)!r}, 2048, reserve_output=16, n_threads=1)\n"
        "ask, hold = [{'role': 'user', 'content': 'hello'}], []\n"
        f"endless = {ENDLESS}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or "daemon=True" in code, done.stderr
    assert "Fatal" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="os.fork")
def test_a_forked_process_is_told(llm: LongContextLLM) -> None:
    """Its copy has no thread that could answer: an error, not a wait without end."""
    code = (
        "import os, sys, warnings\n"
        "from longctx import BackendError, LongContextLLM\n"
        f"llm = LongContextLLM({str(TINY)!r}, 1024, reserve_output=16, n_threads=1)\n"
        "ask = [{'role': 'user', 'content': 'hello'}]\n"
        "stream = llm.stream_chat(ask, max_tokens=200)\n"
        "next(stream)\n"
        "warnings.simplefilter('ignore')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n"
        "        llm.chat(ask)\n"
        "    except BackendError as error:\n"
        "        llm.close()\n"
        "        os._exit(0 if 'fork' in str(error) else 3)\n"
        "    os._exit(4)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "assert stream.result.text\n"
        "llm.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_nobody_holds_is_freed() -> None:
    """Its thread ends with it, also where it was never closed, and without the collector.

    In a process of its own: whatever other tests left behind may hold what is made after them.
    """
    code = (
        "import gc, threading, time\n"
        "from longctx import LongContextLLM\n"
        "gc.disable()\n"
        "before = threading.active_count()\n"
        f"llm = LongContextLLM({str(TINY)!r}, 1024, reserve_output=16, n_threads=1)\n"
        "llm.chat([{'role': 'user', 'content': 'hello'}], max_tokens=2)\n"
        "session = llm.session()\n"
        "session.feed('a b c')\n"
        "assert threading.active_count() > before\n"
        "del llm, session\n"
        "until = time.monotonic() + 60\n"
        "while threading.active_count() > before:\n"
        "    assert time.monotonic() < until\n"
        "    time.sleep(0.01)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
