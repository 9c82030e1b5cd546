"""Threads, Ctrl-C, and async; who gives up is in test_cancelling.py."""

from __future__ import annotations

import _thread
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pydoc_data.topics import topics

import pytest

from longctx import LongContextLLM, Progress
from tests.support.thorough import thorough


def ask(name: str) -> list[dict[str, str]]:
    """A short question."""
    return [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": f"What is the capital of {name}?"},
    ]


@thorough
def test_four_threads_get_what_one_would(demo_llm: LongContextLLM) -> None:
    """Calls run side by side; answers do not mix (a bare Llama crashes the process)."""
    places = ["France", "Italy", "Spain", "Japan"] * 2
    alone = [demo_llm.chat(ask(place), max_tokens=12).text for place in places]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda place: demo_llm.chat(ask(place), max_tokens=12).text, places)
        )
    assert together == alone


@thorough
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_prefill_leaves_the_model_usable(demo_llm: LongContextLLM) -> None:
    """A real interrupt in the middle; then the answer is that of an untouched model."""
    document = "".join(topics[key] for key in sorted(topics))[:16_000]
    question = [{"role": "user", "content": document + "\nSummarise."}]
    expected = demo_llm.chat(ask("France")).text

    def interrupt(progress: Progress) -> None:
        if progress.done_tokens >= 1024:
            _thread.interrupt_main()

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        demo_llm.chat(question, on_progress=interrupt)
    assert demo_llm.chat(ask("France")).text == expected
    held = max(demo_llm.engine.sessions, key=lambda session: session.n_tokens)
    assert 1024 <= held.n_tokens < demo_llm.count(question)
    assert held.shared_context.context.last_position(held.sequence) == held.n_tokens - 1


def test_the_async_twins(demo_llm: LongContextLLM) -> None:
    """achat gives chat's answer; astream_chat its chunks; two at once run side by side."""

    async def both() -> tuple[str, str, str]:
        one, two = await asyncio.gather(
            demo_llm.achat(ask("France"), max_tokens=12),
            demo_llm.achat(ask("Italy"), max_tokens=12),
        )
        pieces = [chunk.text async for chunk in demo_llm.astream_chat(ask("France"), max_tokens=12)]
        return one.text, two.text, "".join(pieces)

    one, two, streamed = asyncio.run(both())
    assert one == streamed == demo_llm.chat(ask("France"), max_tokens=12).text
    assert two == demo_llm.chat(ask("Italy"), max_tokens=12).text


def test_four_tasks_stream_side_by_side(demo_llm: LongContextLLM) -> None:
    """Each gets its own words."""

    async def read(country: str) -> str:
        chunks = demo_llm.astream_chat(ask(country), max_tokens=6)
        return "".join([chunk.text async for chunk in chunks])

    async def four() -> list[str]:
        return await asyncio.gather(*(read(c) for c in ("France", "Italy", "France", "Spain")))

    texts = asyncio.run(four())
    assert texts[0] == texts[2] == demo_llm.chat(ask("France"), max_tokens=6).text
