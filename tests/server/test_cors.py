"""Pages of other origins, as browsers ask for them."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from longctx import LongContextLLM
from longctx.server import ServerSettings
from tests.server.live_server import LiveServer, serving

NAMED = ("https://chat.example.org", "app://obsidian.md", "vscode-webview://*")
TURN = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def _preflight(live: LiveServer, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    return httpx.options(f"{live.url}/v1/chat/completions", headers=headers, timeout=60)


def test_no_other_page_may_ask(server: LiveServer) -> None:
    """Unless it is named: there is no preflight, and no answer."""
    assert "access-control-allow-origin" not in _preflight(server, NAMED[0]).headers
    with server.http() as http:
        reply = http.post("/v1/chat/completions", json=TURN, headers={"Origin": NAMED[0]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "unknown_origin")
    assert "--cors" in reply.json()["error"]["message"]


def test_pages_that_are_named_may(tiny_llm: LongContextLLM) -> None:
    """Preflight without a key, answer with it; what is refused can be read as well."""
    with serving(tiny_llm, cors=NAMED, api_key="open sesame") as live:
        for origin in (NAMED[0], NAMED[1], "vscode-webview://1a2b3c"):
            asked = _preflight(live, origin)
            assert asked.status_code == 200
            assert asked.headers["access-control-allow-origin"] == origin
            assert "authorization" in asked.headers["access-control-allow-headers"]
            assert "POST" in asked.headers["access-control-allow-methods"]
            headers = {"Origin": origin, "Authorization": "Bearer open sesame"}
            url = f"{live.url}/v1/chat/completions"
            answer = httpx.post(url, json={**TURN, "user": "me"}, headers=headers, timeout=60)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert "Longctx-Warning" in answer.headers["access-control-expose-headers"]
            assert "Origin" in answer.headers["vary"]
            refused = httpx.post(url, json=TURN, headers={"Origin": origin}, timeout=60)
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://chat.example.org.evil.net",
        "https://chatXexample.org",
        "http://chat.example.org",
        "https://chat.example.org:444",
        "app://other",
        "xvscode-webview://1",
        "null",
    ],
)
def test_others_still_may_not(tiny_llm: LongContextLLM, origin: str) -> None:
    """What only looks like a name is none."""
    with serving(tiny_llm, cors=NAMED) as live:
        assert "access-control-allow-origin" not in _preflight(live, origin).headers
        reply = httpx.post(
            f"{live.url}/v1/chat/completions", json=TURN, headers={"Origin": origin}, timeout=60
        )
        assert reply.status_code == 403


def test_all_pages_of_this_machine_may(tiny_llm: LongContextLLM) -> None:
    """Whatever their port; and none that is only called so."""
    machine = (
        "http://localhost:5173",
        "https://localhost",
        "http://127.0.0.1",
        "http://[::1]:3000",
    )
    others = ("http://localhost.evil.com", "http://notlocalhost", "http://127.0.0.1.evil.com:80",
              "localhost", "http://localhost:5173.evil.com", "app://localhost")  # fmt: skip
    with serving(tiny_llm, cors=("localhost",)) as live:
        for origin in machine:
            assert _preflight(live, origin).headers["access-control-allow-origin"] == origin
        for origin in others:
            assert "access-control-allow-origin" not in _preflight(live, origin).headers


@pytest.mark.parametrize("origin", ["chat.example.org", "https://", "https://a.org/", ""])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """Before anything is served."""
    with pytest.raises(ValidationError, match="no origin"):
        ServerSettings(cors=(origin,))
