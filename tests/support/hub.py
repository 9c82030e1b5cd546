"""A small Hugging Face hub on loopback: repositories of files, and the faults of a real one."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


@dataclass
class SmallHub:
    """What is on the hub, and what it does to who asks.

    Attributes:
        repos: files' bytes by name, by ``owner/name``.
        private: repositories that only the token opens.
        gated: repositories whose terms nobody has accepted.
        token: who has it is let in.
        cut_after: a download ends without a word after so many bytes of a file; None never.
        ranges: whether it sends parts of files; else it sends all of them.
        status: every request is answered so; None is as it should be.
        asked: method, path and ``Range`` of each request that was answered.
        sent: bytes sent of each file, by name.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    token: str = "hf_of_the_tests"
    cut_after: int | None = None
    ranges: bool = True
    status: int | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def downloads(self) -> list[tuple[str, str | None]]:
        """File and range of each GET of a file."""
        return [
            (path.rpartition("/")[2], span)
            for method, path, span in self.asked
            if method == "GET" and "/resolve/" in path
        ]


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    """Serve a hub while the block runs."""
    hub = SmallHub()

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: SmallHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub, path = self.served, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, self.headers.get("Range")))
        if hub.status is not None:
            self._say(hub.status, "Broken", with_body=with_body)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            if self._is_open(found[1], found[2], with_body=with_body):
                self._listing(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if self._is_open(found[1], found[2], with_body=with_body):
                self._file(found[1], found[3], with_body=with_body)
        else:
            self._say(404, None, with_body=with_body)

    def _is_open(self, repo: str, revision: str | None, *, with_body: bool) -> bool:
        hub = self.served
        known = self.headers.get("Authorization") == f"Bearer {hub.token}"
        if repo not in hub.repos or (repo in hub.private and not known):
            # As the real one does for who has not logged in.
            self._say(404 if known else 401, "RepoNotFound", with_body=with_body)
        elif repo in hub.gated:
            self._say(403, "GatedRepo", with_body=with_body)
        elif revision not in (None, "main", COMMIT):
            self._say(404, "RevisionNotFound", with_body=with_body)
        else:
            return True
        return False

    def _say(self, status: int, code: str | None, *, with_body: bool) -> None:
        body = b'{"error": "no"}' if with_body else b""
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _listing(self, repo: str) -> None:
        files = self.served.repos[repo]
        siblings = [{"rfilename": n, "size": len(data), "blobId": "b"} for n, data in files.items()]
        body = json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, repo: str, name: str, *, with_body: bool) -> None:
        hub, data = self.served, self.served.repos[repo].get(name)
        if data is None:
            self._say(404, "EntryNotFound", with_body=with_body)
            return
        asked = self.headers.get("Range") if hub.ranges else None
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
        begin = int(span[1]) if span else 0
        body = data[begin : int(span[2]) + 1 if span and span[2] else None]
        self.send_response(206 if span else 200)
        self.send_header("ETag", f'"{sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if span:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{len(data)}")
        self.end_headers()
        if not with_body:
            return
        if hub.cut_after is not None:
            body = body[: hub.cut_after]
            self.close_connection = True
        hub.sent[name] += len(body)
        self.wfile.write(body)
