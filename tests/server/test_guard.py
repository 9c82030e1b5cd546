"""Who may ask, how much, and what becomes of a request that is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AuthenticationError

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving
from tests.server.test_chat import TURN

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def locked(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """A server that wants a key."""
    with serving(tiny_llm, api_key="open sesame") as live:
        yield live


def _post(url: str, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    headers = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return httpx.post(f"{url}{CHAT}", content=content, headers=headers, timeout=60)


def _post_turn(url: str, **headers: str) -> httpx.Response:
    return _post(url, json.dumps({**TURN, "max_tokens": 1}).encode(), **headers)


def test_the_right_key_opens(locked: LiveServer) -> None:
    """With the official client."""
    assert locked.openai().models.list().data


def test_a_wrong_key_does_not(locked: LiveServer) -> None:
    """401, in the class that the official client has for it."""
    for key in ("open", "open sesame!", "Bearer open sesame", "none"):
        with pytest.raises(AuthenticationError, match="API key") as caught:
            locked.openai(api_key=key).chat.completions.create(model="x", **TURN)
        assert caught.value.code == "invalid_api_key"


def test_without_a_key_only_the_page_and_the_life_sign_answer(locked: LiveServer) -> None:
    """Every other path is shut, also one that does not exist; none says what it has."""
    open_paths = {"/", "/health"}
    paths = ["/", "/health", "/metrics", "/v1/models", "/v1/models/x", "/openapi.json", "/tokenize"]
    for path in [*paths, CHAT, "/v1/completions", "/v1/embeddings", "/nowhere", "//", "/health/"]:
        status = httpx.get(f"{locked.url}{path}", timeout=60).status_code
        assert status == (200 if path in open_paths else 401), path


def test_a_key_with_strange_bytes_is_a_wrong_key(locked: LiveServer) -> None:
    """Not a failure."""
    headers = {"Authorization": "Bearer ключ".encode()}
    assert httpx.get(f"{locked.url}/metrics", headers=headers, timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("LOCALHOST", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("[::", 421),
        ("", 421),
    ],
)
def test_only_its_own_names_are_answered_for(server: LiveServer, host: str, status: int) -> None:
    """A page that rebinds its DNS name to 127.0.0.1 gets nothing."""
    reply = httpx.get(f"{server.url}/v1/models", headers={"Host": host}, timeout=60)
    assert reply.status_code == status
    if status != 200:
        assert reply.json()["error"]["code"] == "unknown_host"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://localhost", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_foreign_pages_may_not_ask(server: LiveServer, origin: str, status: int) -> None:
    """A browser lets any page post here, and only keeps the answer from it."""
    reply = _post_turn(server.url, origin=origin)
    assert reply.status_code == status
    if status != 200:
        assert reply.json()["error"]["code"] == "unknown_origin"


def test_a_server_for_all_hosts_still_refuses_foreign_pages(tiny_llm: LongContextLLM) -> None:
    """The page must come from the name that was asked."""
    with serving(tiny_llm, allowed_hosts=()) as live:
        for origin, status in (("http://my.name:80", 200), ("http://other.name", 403)):
            reply = _post_turn(live.url, host="my.name", origin=origin)
            assert reply.status_code == status


def _turn_of(n_bytes: int) -> bytes:
    empty = json.dumps({**TURN, "max_tokens": 1, "user": ""}).encode()
    return empty[:-2] + b"x" * (n_bytes - len(empty)) + b'"}'


def test_the_largest_request_passes_and_one_byte_more_does_not(server: LiveServer) -> None:
    """413, by its Content-Length or, where it has none, by what has come."""
    assert _post(server.url, _turn_of(200_000)).status_code == 200
    reply = _post(server.url, _turn_of(200_001))
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "request_too_large"

    def chunked() -> Iterator[bytes]:
        whole = _turn_of(200_001)
        yield whole[:150_000]
        yield whole[150_000:]

    assert _post(server.url, chunked()).status_code == 413
    assert _post_turn(server.url).status_code == 200


def test_what_is_announced_is_not_waited_for(server: LiveServer) -> None:
    """Ten gigabytes are refused before the first of them comes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**10}\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        b'{"messages":' + b"[" * 100_000,
        b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"response_format":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"seed": ' + b"9" * 10_000 + b"}",
        b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": NaN}',
    ],
)
def test_what_is_no_request_is_a_400(server: LiveServer, content: bytes) -> None:
    """Whatever is wrong with it, in OpenAI's shape."""
    reply = _post(server.url, content)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_a_form_can_send_is_no_request(server: LiveServer, kind: str) -> None:
    """A browser lets any page send these without asking first."""
    reply = _post_turn(server.url, content_type=kind)
    assert reply.status_code == 400


def test_unknown_paths_and_methods_have_the_same_shape(server: LiveServer) -> None:
    """404 and 405."""
    nowhere = httpx.get(f"{server.url}/v1/nowhere", timeout=60)
    wrong = httpx.get(f"{server.url}{CHAT}", timeout=60)
    assert (nowhere.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["allow"] == "POST"
    for reply in (nowhere, wrong):
        assert reply.json()["error"]["type"] == "invalid_request_error"


def test_no_path_leads_to_a_file(server: LiveServer, tmp_path: Path) -> None:
    """Neither in the URL nor in a field."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    fields: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": [{"type": "file", "file": str(secret)}]}]},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"$ref": secret.as_uri()}},
            }
        },
    ]
    replies = [_post(server.url, json.dumps({**TURN, **field}).encode()) for field in fields]
    replies += [
        httpx.get(f"{server.url}/..%2f..{secret}", timeout=60),
        httpx.get(f"{server.url}/{secret}", timeout=60),
    ]
    for reply in replies:
        assert reply.status_code in (400, 404)
        assert "the secret" not in reply.text


def test_a_schema_fetches_nothing(server: LiveServer) -> None:
    """A reference to another host would let a client make the server ask it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("http", "https"):
            schema = {"$ref": f"{scheme}://127.0.0.1:{port}/schema.json"}
            form = {"type": "json_schema", "json_schema": {"schema": schema}}
            reply = _post(server.url, json.dumps({**TURN, "response_format": form}).encode())
            assert reply.status_code == 400
            assert reply.json()["error"]["code"] == "invalid_value"
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
