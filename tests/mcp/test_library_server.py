"""``longctx mcp`` with the official client."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.agents import mcp as connect
from longctx.documents import DocumentQA
from longctx.mcp_server import library_server
from longctx.testing import ScriptedChatModel
from tests.cli.test_commands import run
from tests.mcp.serving import free_port, listening, reaches
from tests.models import TINY
from tests.support.thorough import thorough

mcp = pytest.importorskip("mcp")

FACTS = "The pass key is 48213. Remember it. 48213 is the pass key."
MAIN = "import sys; from longctx.cli import main; main(sys.argv[1:])"


def words(result: Any) -> str:
    """The text of a result."""
    return "\n".join(content.text for content in result.content)


def test_a_client_asks_a_folder(tmp_path: Path) -> None:
    """The command, started by the official client over pipes, with a real model."""
    folder, library = tmp_path / "folder", tmp_path / "library"
    folder.mkdir()
    (folder / "keys.txt").write_text(FACTS)
    (folder / "b.md").write_text("# Delivery\n\nIt takes nine days.")
    server = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-c", MAIN, "mcp", str(folder), "--model", str(TINY), "--target-ctx", "1024",
              "--max-tokens", "16", "--temperature", "0", "--compile", "0.75",
              "--library", str(library)],
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    heard: list[tuple[float, float | None]] = []

    async def told(done: float, total: float | None, _message: str | None) -> None:
        heard.append((done, total))

    async def talk() -> None:
        async with mcp.Client(server) as client:
            assert client.server_info.name == "longctx"
            assert "2 documents" in client.instructions
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["ask", "search", "read"]
            assert all(tool.annotations.read_only_hint for tool in tools)
            listed = words(await client.call_tool("read", {}))
            assert listed.splitlines() == ["b.md (Delivery), 31 characters",
                                           "keys.txt, 58 characters"]  # fmt: skip
            read = await client.call_tool("read", {"document": "keys.txt", "start": 4, "n": 8})
            assert words(read) == "[characters 4 to 12 of 58]\npass key"
            answer = await client.call_tool(
                "ask", {"question": "What is the pass key?"}, progress_callback=told
            )
            assert not answer.is_error
            assert words(answer)
            for wrong in ({"document": "none"}, {"document": "keys.txt", "start": 99}):
                assert (await client.call_tool("read", wrong)).is_error
            assert (await client.call_tool("ask", {"question": " "})).is_error

    asyncio.run(talk())
    assert heard
    assert heard[-1][0] <= (heard[-1][1] or 0)
    with DocumentQA(ScriptedChatModel([]), path=library) as kept:
        assert [document.compile for document in kept.documents] == [0.75, 0.75]


def test_a_client_searches_over_http() -> None:
    """The same server on a socket; the passage comes with its place."""
    qa = DocumentQA(ScriptedChatModel([]), embedder=lambda texts: np.ones((len(texts), 2)))
    qa.add("Until delivery the seller bears the risk.", doc_id="contract")
    app = library_server(qa).streamable_http_app()

    async def talk(url: str) -> str:
        async with mcp.Client(url) as client:
            return words(await client.call_tool("search", {"query": "who bears the risk?"}))

    with listening(app) as url:
        assert asyncio.run(talk(url)) == (
            "contract, characters 0 to 41:\nUntil delivery the seller bears the risk."
        )


def test_a_client_that_gives_up_frees_the_model() -> None:
    """The answer that nobody waits for is given up; the next one is written."""
    with LongContextLLM(TINY, 8192, reserve_output=64) as llm:
        qa = DocumentQA(llm, strategy="whole")
        qa.add("word " * 500, doc_id="words")
        endless = {"max_tokens": 5000, "logit_bias": {1021: -100, 1023: -100}}  # what ends it
        app = library_server(qa, options=endless)

        async def talk(url: str) -> None:
            async with mcp.Client(url) as client:
                with pytest.raises(mcp.MCPError, match="timed out"):
                    await client.call_tool("ask", {"question": "Why?"}, read_timeout_seconds=0.5)

        with listening(app.streamable_http_app()) as url:
            asyncio.run(talk(url))
        assert qa.ask("Which?", max_tokens=4).text is not None


def test_a_library_is_named() -> None:
    """Without documents there is nothing to serve."""
    done = run("mcp", ok=False)
    assert done.returncode == 2
    assert "--library" in done.stderr


@thorough
def test_it_ends_though_a_client_listens(tmp_path: Path) -> None:
    """Ctrl-C is enough: those who only listen never hang up."""
    (tmp_path / "keys.txt").write_text(FACTS)
    port = free_port()
    words = (
        "mcp",
        str(tmp_path),
        "--model",
        str(TINY),
        "--target-ctx",
        "1024",
        "--port",
        str(port),
    )
    serving = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words], cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    try:
        assert reaches(port)
        with connect(f"http://127.0.0.1:{port}/mcp") as client:
            assert "pass key" in client.call("read", {"document": "keys.txt"})
            serving.send_signal(signal.SIGINT)
            serving.wait(60)
    finally:
        serving.kill()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Exit status 1 and what to do, and nobody was told that it serves."""
    (tmp_path / "keys.txt").write_text(FACTS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ("--model", str(TINY), "--target-ctx", "1024", "--port", port)
        done = run("mcp", str(tmp_path), *options, ok=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in " ".join(done.stderr.split())
    assert "serving" not in done.stderr
