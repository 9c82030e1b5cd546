"""Clients that flood, trickle or stand still: the others do not notice."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving
from tests.server.test_chat import TURN

CHAT = "/v1/chat/completions"


@contextmanager
def connected(server: LiveServer, *, receives: int | None = None) -> Iterator[socket.socket]:
    """A connection without a client's manners; ``receives`` bytes at most wait for who reads."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        if receives is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        yield connection


def is_answered(server: LiveServer) -> bool:
    """Somebody with manners, meanwhile."""
    reply = httpx.post(f"{server.url}{CHAT}", json={**TURN, "max_tokens": 1}, timeout=60)
    return reply.status_code == 200


@pytest.mark.parametrize(
    "flood",
    [b"X-Many: 1\r\n" * 100_000, b"X-Long: " + b"x" * 2_000_000, b"x" * 2_000_000],
    ids=["many", "long", "no header"],
)
def test_a_flood_of_headers_is_cut_off(server: LiveServer, flood: bytes) -> None:
    """Refused as it comes, long before its end: no memory is given to it."""
    with connected(server) as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + flood)
            said = connection.recv(64)
        except ConnectionError:
            said = b""
        assert said == b"" or said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert is_answered(server)


def test_requests_that_never_end_take_no_place(server: LiveServer) -> None:
    """A hundred bodies of which a byte has come: none of them is a job."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connected(server)).sendall(head)
        assert is_answered(server)
        server.wait_until_idle()  # of what others left as well


def test_who_reads_nothing_of_a_stream_delays_nobody(tiny_llm: LongContextLLM) -> None:
    """Its answer is written as far as the socket takes it; others are answered beside it."""
    body = json.dumps({**TURN, "stream": True, "max_tokens": 400}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving(tiny_llm) as server:
        with connected(server, receives=1024) as connection:
            connection.sendall(head + body)
            for _ in range(3):
                assert is_answered(server)
        server.wait_until_idle()
        assert is_answered(server)
