"""Servers of the tests: over stdio, and over sockets in a thread of this process."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import uvicorn

SERVERS = Path(__file__).parent / "servers"


def command(name: str, *arguments: object) -> str:
    """The command line of a server."""
    return " ".join(map(str, (sys.executable, SERVERS / f"{name}.py", *arguments)))


@contextmanager
def reserved() -> Iterator[int]:
    """A port that nobody else gets meanwhile, for a server of ours that comes and goes."""
    with _bound(shared=True) as holder:
        yield int(holder.getsockname()[1])


def free_port() -> int:
    """A port that nobody listens on, for the server of another process."""
    with _bound() as probe:
        return int(probe.getsockname()[1])


def _bound(port: int = 0, *, shared: bool = False) -> socket.socket:
    """A socket that does not listen yet; of those that share a port one may."""
    bound = socket.socket()
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@contextmanager
def listening(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application on a socket, of any port or a :func:`reserved` one; its URL."""
    # Here, so that nobody takes the port before the server has it.
    bound = _bound(port, shared=bool(port))
    port = bound.getsockname()[1]
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server stopped before it started"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        thread.join(30)


def children(file: str) -> list[int]:
    """Processes that this one started by a file, and that still run."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ended just now, or nobody waited for it yet
            if child.status() != psutil.STATUS_ZOMBIE and file in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def appears(path: Path) -> bool:
    """Wait until a file is there, half a minute at most."""
    end = time.monotonic() + 30
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return path.exists()


def reaches(port: int) -> bool:
    """Wait until somebody listens on a port, two minutes at most."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False
