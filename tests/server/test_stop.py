"""``longctx serve`` as a process: it starts, and it ends in order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from longctx.cli.app import app
from longctx.cli.served import Named
from tests.conftest import TinyGguf
from tests.support.thorough import quick, thorough

CODE = "import sys; from longctx.cli import main; main(sys.argv[1:])"
COMMAND = (sys.executable, "-c", CODE, "serve")
OPTIONS = ("--target-ctx", "2048", "--max-tokens", "16", "--port", "0")


def _long(n_items: int) -> dict[str, Any]:
    """What asks for a list of so many items at least."""
    schema = {"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": n_items}
    return {
        "messages": [{"role": "user", "content": "Talk."}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        "max_tokens": 1900,
        "stream": True,
    }


@contextmanager
def _served(*options: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it listens."""
    with subprocess.Popen(
        [*COMMAND, *map(str, options), *OPTIONS], stderr=PIPE, stdout=PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"running on (http://\S+)", line):
                    yield process, found[1]
                    break
            else:
                pytest.fail("it ended before it listened")
        finally:
            process.kill()


def _events(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


@thorough
def test_sigterm_lets_the_answer_under_way_finish(tiny_gguf: TinyGguf) -> None:
    """To its last event; then the process ends with 0, and no traceback."""
    with _served(tiny_gguf(), "--grace", "600") as (process, url):
        asked: Any = {"json": _long(200), "timeout": 300}
        with httpx.stream("POST", f"{url}/v1/chat/completions", **asked) as reply:
            lines = reply.iter_lines()
            next(line for line in lines if "content" in line and '""' not in line)
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
        assert rest[-2:] == ["data: [DONE]", ""]
        *_, last = _events(iter(rest))
        assert last["choices"][0]["finish_reason"] == "stop"
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Traceback" not in said


@thorough
def test_without_grace_the_answer_ends_with_an_error(tiny_gguf: TinyGguf) -> None:
    """The client learns that it is not whole; the process ends with 0."""
    with _served(tiny_gguf(), "--grace", "0") as (process, url):
        asked: Any = {"json": _long(600), "timeout": 300}
        with httpx.stream("POST", f"{url}/v1/chat/completions", **asked) as reply:
            lines = reply.iter_lines()
            next(line for line in lines if "content" in line and '""' not in line)
            process.send_signal(signal.SIGTERM)
            *_, last = _events(lines)
        assert last["error"]["code"] == "shutting_down"
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Traceback" not in said


@thorough
def test_ctrl_c_ends_an_idle_server(tiny_gguf: TinyGguf) -> None:
    """It is how one stops a server: no error."""
    with _served(tiny_gguf()) as (process, _):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Traceback" not in said


@thorough
def test_options_reach_the_server(tiny_gguf: TinyGguf) -> None:
    """Name, key, host, and the sizes."""
    options = ("--model-id", "mine", "--api-key", "k", "--allowed-host", "my.name")
    options += ("--strict-model", "--cors", "app://*", "--temperature", "0", "--kv-type", "q8_0")
    with _served(tiny_gguf(), *options, "--max-body", "1000") as (process, url):
        headers = {"Host": "my.name", "Authorization": "Bearer k"}
        asked: Any = {"headers": headers, "timeout": 60}
        models = httpx.get(f"{url}/v1/models", **asked).json()
        assert [model["id"] for model in models["data"]] == ["mine"]
        keyless = httpx.get(f"{url}/v1/models", headers={"Host": "my.name"}, timeout=60)
        assert keyless.status_code == 401
        assert httpx.get(f"{url}/health", timeout=60).status_code == 421
        large = httpx.post(f"{url}/tokenize", json={"content": "x" * 1000}, **asked)
        assert large.status_code == 413
        headers["Origin"] = "app://notes"
        turn = {"messages": [{"role": "user", "content": "Hi"}]}
        said = [
            httpx.post(f"{url}/v1/chat/completions", json=turn, headers=headers, timeout=60)
            for _ in range(2)
        ]
        assert said[0].headers["access-control-allow-origin"] == "app://notes"
        assert said[0].json()["choices"] == said[1].json()["choices"]
        assert said[0].json()["usage"]["completion_tokens"] <= 16
        other = {**turn, "model": "gpt-4o"}
        reply = httpx.post(f"{url}/v1/chat/completions", json=other, headers=headers, timeout=60)
        assert reply.status_code == 404
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
    assert process.returncode == 0


@thorough
def test_several_models(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """By their names; each is opened when it is asked for, and closed at the end."""
    models = (f"small={tiny_gguf()}", tiny_gguf(seed=7), tmp_path / "gone.gguf")
    options = ("--max-models", "1", "--memory", "1GiB", "--reserve-output", "16")
    with _served(*models, *options) as (process, url):
        listed = httpx.get(f"{url}/v1/models", timeout=60).json()["data"]
        names = [model["id"] for model in listed]
        assert names == ["small", tiny_gguf(seed=7).stem, "gone"]
        assert {model["status"]["value"] for model in listed} == {"unloaded"}
        turn = {"messages": [{"role": "user", "content": "Hi"}]}
        statuses = [
            httpx.post(f"{url}/v1/chat/completions", json={**turn, "model": name}, timeout=60)
            for name in names
        ]
        assert [reply.status_code for reply in statuses] == [200, 200, 503]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "closing small" in said
    assert "'gone' cannot be opened" in " ".join(said.split())
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--model-id", "mine"), "NAME=MODEL"),
        (("--adapter", "x.gguf"), "--adapter is of one model"),
        (("c/a.gguf",), "two models are called 'a'"),
        (("--base-url", "http://127.0.0.1:9", "--threads", "2"), "--threads"),
    ],
)
def test_what_several_models_cannot_have(options: tuple[str, ...], why: str) -> None:
    """Said before anything is opened."""
    done = CliRunner().invoke(app, ["serve", "a.gguf", "b.gguf", *options, "--port", "0"])
    assert done.exit_code == 1
    assert why in str(done.exception)


def test_names_on_the_command_line(tmp_path: Path) -> None:
    """NAME=MODEL where there is such a mark, unless a file is called so."""
    odd = tmp_path / "a=b.gguf"
    odd.touch()
    named = {
        "a.gguf": "a", "x/y-00001-of-00002.gguf": "y", "my.name=x/a.gguf": "my.name",
        "hf:owner/repo:Q4_K_M": "owner/repo:Q4_K_M", "ollama:llama3:8b": "llama3:8b",
        "big=hf:owner/repo": "big", str(odd): "a=b",
    }  # fmt: skip
    assert {text: Named.of(text).own_name for text in named} == named


@pytest.mark.parametrize(
    ("key", "warns"), quick([("hush hush", False), ("", True)], ("hush hush", False))
)
def test_the_key_comes_from_the_environment_and_is_not_shown(
    tiny_gguf: TinyGguf, key: str, warns: bool
) -> None:
    """A warning where other machines may ask and there is none."""
    env = {**os.environ, **({"LONGCTX_API_KEY": key} if key else {})}
    command = [*COMMAND, str(tiny_gguf()), *OPTIONS, "--host", "203.0.113.1"]
    # An address that no machine has: it says what it would do, and cannot.
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert ("no --api-key" in done.stderr) is warns
    assert "cannot listen on 203.0.113.1" in " ".join(done.stderr.split())
    assert "hush" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@thorough
def test_an_embedder_that_cannot_be_loaded_stops_it_at_once(
    tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """Not at the first request; exit status 1 and what to do."""
    command = [*COMMAND, str(tiny_gguf()), *OPTIONS, "--embedder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
