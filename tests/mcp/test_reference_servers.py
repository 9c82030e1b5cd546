"""The reference servers and the inspector, as PyPI and npm carry them: ``make test-mcp``.

Each is found beside Python, where the development tools are, on the PATH, or on that of
``LONGCTX_MCP_COMMANDS``; else the test is skipped.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longctx.agents import McpTools, mcp
from longctx.documents import load_resources
from longctx.errors import ToolError
from tests.mcp.serving import free_port, reaches
from tests.models import TINY

pytest.importorskip("mcp")
MAIN = "import sys; from longctx.cli import main; main(sys.argv[1:])"
ROOT = Path(__file__).parents[2]
WHERE = os.environ.get("LONGCTX_MCP_COMMANDS") or os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)


def found(command: str) -> str:
    """Where a command is; without it the test is skipped."""
    path = shutil.which(command, path=WHERE)
    if path is None:
        pytest.skip(f"{command} is not installed; make test-mcp installs it")
    return path


def names(server: McpTools) -> set[str]:
    """Of its tools."""
    return {tool.name for tool in server.tools}


@contextmanager
def running(*words: str, port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that listens on a port."""
    process = subprocess.Popen(
        words, env={**os.environ, **env}, cwd=ROOT, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert reaches(port)
        yield process
    finally:
        process.kill()
        process.wait()


def test_git(tmp_path: Path) -> None:
    """Its tools say which of them only read; what it refuses is an error."""
    command = found("mcp-server-git")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "The first"], check=True)
    with mcp(f"{command} --repository {tmp_path}", confirm="changes") as server:
        asks = {tool.name: tool.confirm for tool in server.tools}
        assert (asks["git_log"], asks["git_commit"]) == (False, True)
        assert "The first" in server.call("git_log", {"repo_path": str(tmp_path)})
        with pytest.raises(ToolError, match="nowhere"):
            server.call("git_show", {"repo_path": str(tmp_path), "revision": "nowhere"})


def test_fetch() -> None:
    """It refuses addresses of this machine, and has a prompt."""
    with mcp(found("mcp-server-fetch")) as server:
        assert names(server) == {"fetch"}
        with pytest.raises(ToolError):
            server.call("fetch", {"url": "http://127.0.0.1:9/"})
        (prompt,) = server.prompts()
        assert prompt.required == ("url",)


def test_sqlite(tmp_path: Path) -> None:
    """Of the SDK before 2: tools, a prompt, and a resource that they write."""
    command = found("mcp-server-sqlite")
    with mcp(f"{command} --db-path {tmp_path / 'a.db'}") as server:
        server.call("create_table", {"query": "create table t (a text)"})
        server.call("write_query", {"query": "insert into t values ('risk')"})
        assert "risk" in server.call("read_query", {"query": "select * from t"})
        server.call("append_insight", {"insight": "There is one row."})
        (document,) = load_resources(server).documents
        assert "There is one row." in document.text
        (message,) = server.prompt("mcp-demo", topic="ships")
        assert "ships" in message.content


def test_filesystem(tmp_path: Path) -> None:
    """Files of one folder, and no others."""
    command = found("mcp-server-filesystem")
    (tmp_path / "a.txt").write_text("The seller bears the risk.")
    with mcp(f"{command} {tmp_path}") as server:
        read = {"path": str(tmp_path / "a.txt")}
        assert server.call("read_text_file", read) == "The seller bears the risk."
        with pytest.raises(ToolError, match="denied"):
            server.call("read_text_file", {"path": "/etc/hostname"})
        assert "list_resources" not in names(server)


def test_memory(tmp_path: Path) -> None:
    """A graph that outlives it, in a file that its environment names."""
    command = found("mcp-server-memory")
    file = {"MEMORY_FILE_PATH": str(tmp_path / "memory.json")}
    ada = {"name": "Ada", "entityType": "person", "observations": ["likes ships"]}
    with mcp(command, env=file) as server:
        server.call("create_entities", {"entities": [ada]})
    with mcp(command, env=file) as server:
        graph = json.loads(server.call("search_nodes", {"query": "ships"}))
        assert [entity["name"] for entity in graph["entities"]] == ["Ada"]


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_everything(transport: str) -> None:
    """All that the protocol has: structures, images, links, progress, documents that come."""
    command = found("mcp-server-everything")
    if transport == "stdio":
        with mcp(command) as server:
            assert server.name == "everything"
            _all_of_it(server)
        return
    port = free_port()
    with (
        running(command, "streamableHttp", port=port, PORT=str(port)),
        mcp(f"http://127.0.0.1:{port}/mcp") as server,
    ):
        assert server.name == "server"
        _all_of_it(server)


def _all_of_it(server: McpTools) -> None:
    assert "3" in server.call("get-sum", {"a": 1, "b": 2})
    with pytest.raises(ToolError, match="expected number"):
        server.call("get-sum", {"a": "x", "b": 2})
    image = server.call("get-tiny-image", {})
    assert "[image, image/png, " in image
    assert json.loads(server.call("get-structured-content", {"location": "Chicago"}))
    assert "[resource demo://" in server.call("get-resource-links", {"count": 2})
    heard: list[tuple[float, float | None]] = []
    server.call(
        "trigger-long-running-operation",
        {"duration": 0.2, "steps": 2},
        on_progress=lambda done, total, _: heard.append((done, total)),
    )
    assert heard == [(1, 2), (2, 2)]
    # What only tasks can do would be refused whenever a model called it.
    assert "simulate-research-query" not in names(server)
    assert (
        "task" in {r.name.strip("'"): r.reason for r in server.refused}["simulate-research-query"]
    )
    before, n_resources = server.changed("resources"), len(server.resources())
    server.call("gzip-file-as-resource", {"name": "a.gz", "data": "data:text/plain,hello"})
    ends = time.monotonic() + 30
    while server.changed("resources") == before and time.monotonic() < ends:
        time.sleep(0.01)
    assert len(server.resources()) == n_resources + 1
    assert gzip.decompress(server.read("demo://resource/session/a.gz")) == b"hello"
    assert server.prompt("args-prompt", city="Bremen")[0].content.count("Bremen") == 1


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_inspector(tmp_path: Path, transport: str) -> None:
    """It lists what ``longctx mcp`` serves, and calls it."""
    inspector = found("mcp-inspector")
    (tmp_path / "risk.md").write_text("# Risk\n\nUntil delivery the seller bears the risk.")
    serve = [sys.executable, "-c", MAIN, "mcp", str(tmp_path), "--model", str(TINY)]
    serve += ["--target-ctx", "1024"]

    def ask(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [inspector, "--cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def try_it(*target: str) -> None:
        listed = ask(*target, "--method", "tools/list")
        assert [tool["name"] for tool in listed["tools"]] == ["ask", "search", "read"]
        call = (*target, "--method", "tools/call", "--tool-name", "read", "--tool-arg")
        (content,) = ask(*call, "document=risk.md")["content"]
        assert "the seller bears the risk." in content["text"]
        assert ask(*call, "document=none")["isError"]

    if transport == "stdio":
        # The inspector's own options end at the first that it does not know.
        script = tmp_path.with_suffix(".sh")
        words = " ".join(f"'{word}'" for word in serve)
        script.write_text(f"#!/bin/sh\ncd '{ROOT}' && exec {words}\n")
        script.chmod(0o755)
        try_it(str(script))
        return
    port = free_port()
    with running(*serve, "--port", str(port), port=port):
        try_it(f"http://127.0.0.1:{port}/mcp", "--transport", "http")
