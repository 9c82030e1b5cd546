"""After ``close()`` every public method of whatever lives on a model says so; none aborts."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longctx import BackendError, LongContextLLM
from longctx.agents import Agent
from longctx.cache import Session
from longctx.documents import DocumentQA
from longctx.model_thread import ModelThread
from tests.models import TINY
from tests.support.thorough import thorough

ASK = [{"role": "user", "content": "hello"}]
Call = Callable[[], Any]


def _in_loop(make: Callable[[], Any]) -> Call:
    async def wait() -> Any:
        return await make()

    return lambda: asyncio.run(wait())


def llm_calls(llm: LongContextLLM, folder: Path) -> dict[str, Call | None]:
    """Every public name; None where it is allowed, because it needs no model."""
    return {
        "achat": _in_loop(lambda: llm.achat(ASK)),
        "astream_chat": _in_loop(lambda: llm.astream_chat(ASK).__anext__()),
        "can_think": None,
        "chat_template": None,
        "chat": lambda: llm.chat(ASK),
        "chat_batch": lambda: llm.chat_batch([ASK, ASK]),
        "close": None,
        "compose": lambda: llm.compose(ASK, ["hello"]),
        "count": lambda: (llm.count("hello"), llm.count(ASK)),
        "detokenize": lambda: llm.detokenize([5, 6]),
        "engine": None,
        "generate": lambda: llm.generate("hello"),
        "has_thinking_switch": None,
        "is_open": None,
        "load_chat": lambda: llm.load_chat(folder / "chat.kv"),
        "load_session": lambda: llm.load_session(folder / "hand.session"),
        "overflow": None,
        "prompt": lambda: llm.prompt(ASK),
        "prompt_ids": lambda: llm.prompt_ids(ASK),
        "reserve_output": None,
        "sampling_defaults": None,
        "save_chat": lambda: llm.save_chat(folder / "new.kv", ASK),
        "score": lambda: llm.score("hello there"),
        "session": lambda: llm.session(),
        "stream": lambda: next(llm.stream("hello")),
        "stream_chat": lambda: next(llm.stream_chat(ASK)),
        "target_ctx": None,
        "tokenize": lambda: llm.tokenize("hello"),
        "warm_up": lambda: llm.warm_up(),
    }


def session_calls(session: Session, other: Session, folder: Path) -> dict[str, Call | None]:
    """Every public name of a session; what it remembers may still be read."""
    return {
        "admit": lambda: session.admit(1),
        "advance": lambda: session.advance(5),
        "attach": lambda: session.attach(other),
        "begin": lambda: session.begin(),
        "close": None,
        "compress": lambda: session.compress(0.5),
        "compressed_tokens": None,
        "decode_beside": lambda: Session.decode_beside([(session, [5], 1)]),
        "dropped_tokens": None,
        "fallback": None,
        "feed": lambda: (session.feed("hello"), session.feed([5, 6])),
        "fork": lambda: session.fork(),
        "greedy": lambda: session.greedy(2),
        "grow": lambda: session.grow(700),
        "is_open": None,
        "is_stitched": None,
        "kept_share": None,
        "load": lambda: session.load(folder / "hand.session"),
        "match": lambda: session.match([5, 6]),
        "method": None,
        "move": lambda: session.move(None),
        "n_ctx": None,
        "n_keep": None,
        "n_tokens": None,
        "next_logits": lambda: session.next_logits(),
        "next_nll": lambda: session.next_nll([5]),
        "nll": lambda: session.nll([5, 6]),
        "passage": lambda: session.passage(),
        "pin": lambda: session.pin(3),
        "positions": None,
        "prefilled_again": None,
        "release": None,
        "reserve": lambda: session.reserve(4),
        "rescale_s": None,
        "room": lambda: session.room,
        "rope": None,
        "sample": lambda: session.sample(None),
        "save": lambda: session.save(folder / "new.session"),
        "scale": None,
        "sequence": None,
        "shared": None,
        "shared_context": lambda: session.shared_context,
        "shrink": lambda: session.shrink(600),
        "slide": lambda: session.slide(1),
        "text_ids": None,
        "tokens": None,
        "truncate": lambda: session.truncate(1),
        "window": None,
    }


def qa_calls(qa: DocumentQA, folder: Path) -> dict[str, Call | None]:
    """Every public name of documents over a model."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs/a.txt").write_text("The cat sat on the mat.")
    return {
        "add": lambda: qa.add("some text", doc_id="late"),
        "add_folder": lambda: qa.add_folder(folder / "docs"),
        "aask": lambda: asyncio.run(qa.aask("Where did the cat sit?")),
        "ask": lambda: qa.ask("Where did the cat sit?"),
        "close": None,
        "documents": None,
        "n_chunks": None,
        "remove": None,
        "search": lambda: qa.search("Where did the cat sit?"),
        "strategy": None,
        "stream": lambda: list(qa.stream("Where did the cat sit?")),
        "update": lambda: qa.update("some text", doc_id="later"),
    }


def agent_calls(agent: Agent, llm: LongContextLLM, folder: Path) -> dict[str, Call | None]:
    """Every public name of an agent over a model."""
    return {
        "archive": None,
        "as_tool": None,
        "cancel": None,
        "context": lambda: agent.context,
        "conversation": None,
        "fork": lambda: agent.fork().run("hello"),
        "go_on": None,
        "journal": None,
        "prepare": lambda: agent.prepare(),
        "report": lambda: agent.report(),
        "load": lambda: Agent.load(folder / "agent.json", llm).run("hello"),
        "resume": None,
        "run": lambda: agent.run("hello"),
        "save": None,
        "shown": None,
        "stream": lambda: list(agent.stream("hello")),
        "take_up": None,
        "toolbox": None,
        "tools": None,
        "transcript": None,
        "unfinished": None,
    }


def public(kind: type) -> set[str]:
    """The public names that a class defines or inherits."""
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


@pytest.fixture
def closed(tmp_path: Path) -> dict[str, dict[str, Call | None]]:
    """Objects of every kind over a model that was closed, and calls of all they have."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1) as llm:
        session, other = llm.session(), llm.session()
        session.feed("a b c d e f")
        other.feed("g h i")
        fork = session.fork()
        session.save(tmp_path / "hand.session")
        llm.chat(ASK, max_tokens=2)
        llm.save_chat(tmp_path / "chat.kv", ASK)
        qa = DocumentQA(llm)
        qa.add("The dog ran to the hill.", doc_id="a")
        agent = Agent(llm)
        agent.run("hello", max_tokens=4)
        agent.save(tmp_path / "agent.json")
    return {
        "LongContextLLM": llm_calls(llm, tmp_path),
        "Session": session_calls(session, other, tmp_path),
        "fork": session_calls(fork, other, tmp_path),
        "DocumentQA": qa_calls(qa, tmp_path),
        "Agent": agent_calls(agent, llm, tmp_path),
    }


def test_the_walk_misses_nothing(closed: dict[str, dict[str, Call | None]]) -> None:
    """A public method that is new must say here what it does after close()."""
    kinds: dict[str, type] = {
        "LongContextLLM": LongContextLLM,
        "Session": Session,
        "DocumentQA": DocumentQA,
        "Agent": Agent,
    }
    for name, kind in kinds.items():
        assert public(kind) <= set(closed[name]), name


def test_every_public_method_says_that_the_model_is_closed(
    closed: dict[str, dict[str, Call | None]],
) -> None:
    """A BackendError that names it; nothing hangs, aborts, or answers."""
    for kind, calls in closed.items():
        for name, call in calls.items():
            if call is None:
                continue
            with pytest.raises(BackendError, match="closed"):
                pytest.fail(f"{kind}.{name} returned {call()!r}")


def test_closing_again_is_harmless(closed: dict[str, dict[str, Call | None]]) -> None:
    """In any order, and with forks."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1) as llm:
        session = llm.session()
        fork = session.fork()
        session.close()
        session.close()
        with pytest.raises(BackendError, match="closed"):
            session.feed("a")
        fork.feed("a")
    for what in (fork, session, llm, fork):
        what.close()


def test_closing_under_a_thread_that_counts() -> None:
    """The vocabulary stays until the last call in it has returned.

    Threads take turns fifty times as often as by default, or the one that closes waits for them
    nearly all the time.
    """
    code = f"""
import sys, threading
from longctx import BackendError, LongContextLLM
sys.setswitchinterval(1e-4)
for _ in range(12):
    llm = LongContextLLM({str(TINY)!r}, 1024, reserve_output=16, n_threads=1)
    def work():
        try:
            while True:
                llm.detokenize(llm.tokenize("the cat sat on the mat " * 50))
        except BackendError as error:
            assert "closed" in str(error)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    llm.chat([{{"role": "user", "content": "hello"}}], max_tokens=4)
    llm.close()
    for thread in threads: thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@thorough
@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs SIGALRM")
@pytest.mark.parametrize("seconds", [20, pytest.param(600, marks=pytest.mark.slow)])
def test_interrupts_at_any_moment(seconds: int) -> None:
    """A signal that raises wherever it falls: no fault, and right answers after each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.interrupts", str(seconds)],
        capture_output=True,
        text=True,
        timeout=2 * seconds + 600,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > seconds, done.stdout


def test_closing_never_says_that_it_is_closed() -> None:
    """The thread ends with its last call, often before the caller has looked whether it took it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(2000):
            ModelThread().close()
    finally:
        sys.setswitchinterval(before)
