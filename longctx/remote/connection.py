"""HTTP: requests, retries while a server is busy, and server-sent events."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from socket import SHUT_RDWR
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from longctx import arguments
from longctx.errors import MissingExtraError, RemoteError, RequestError
from longctx.remote.failures import failure

_LONGEST_WAIT_S = 60.0
_CONNECT_S = 10.0
_KEY = re.compile(r"[ -~]+")


class Connection:
    """One server; safe to use from several threads.

    Args:
        base_url: such as ``http://host:8000`` or ``http://host:8000/v1``.
        api_key: sent as a bearer token; None sends none.
        timeout_s: how long the server may be silent; a long prefill is.
        retries: how often a request is sent again while the server says that it is busy.

    Raises:
        RequestError: the URL is none, or another argument is wrong.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self, base_url: str, *, api_key: str | None, timeout_s: float, retries: int
    ) -> None:
        if not _is_address(base_url):
            raise RequestError(
                f"base_url is {base_url!r}; give the server's address, such as "
                "'http://localhost:8000/v1'"
            )
        if api_key is not None and not (isinstance(api_key, str) and _KEY.fullmatch(api_key)):
            raise RequestError(
                "api_key holds what no HTTP header may; use printable ASCII, or None"
            )
        timeout_s = arguments.seconds("timeout_s", timeout_s)
        retries = arguments.whole("retries", retries, least=0)
        self.root = base_url.rstrip("/").removesuffix("/v1").rstrip("/")
        self._httpx = _httpx()
        self._retries = retries
        self._timeout_s = timeout_s
        self._client = self._httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=self._httpx.Timeout(timeout_s, connect=_CONNECT_S),
        )

    def close(self) -> None:
        """End all connections. Idempotent."""
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path.

        Raises:
            RemoteError: no connection, another answer than 200, or no JSON object.
        """
        return self._json("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that a request is answered with; raises as :meth:`get`, and what
        :func:`~longctx.remote.failures.failure` makes of it."""
        return self._json("POST", path, body)

    def events(self, path: str, body: dict[str, Any]) -> ServerEvents:
        """Ask for a stream of server-sent events; it has been accepted when this returns.

        Raises as :meth:`post`.
        """
        return ServerEvents(self, path, self._send("POST", path, body))

    def _json(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        response = self._send(method, path, body)
        try:
            text = response.read().decode("utf-8", "replace")
        except self._httpx.TransportError as error:
            raise self.lost(error) from error
        finally:
            response.close()
        return self.object_in(text, path)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """An answer of 200, its body not yet read."""
        tries, was_dropped = 0, False
        while True:
            try:
                request = self._client.build_request(method, self.root + path, json=body)
                response = self._client.send(request, stream=True)
                if response.is_success:
                    return response
                response.read()
                response.close()
            except (
                self._httpx.RemoteProtocolError,
                self._httpx.ReadError,
                self._httpx.WriteError,
            ) as error:
                # The server had closed a connection that was kept open since the last request.
                if was_dropped:
                    raise self.lost(error) from error
                was_dropped = True
                continue
            except self._httpx.TransportError as error:
                raise self.lost(error) from error
            except self._httpx.InvalidURL as error:
                raise RequestError(f"base_url {self.root!r} is no address: {error}") from error
            except (TypeError, ValueError) as error:
                raise RequestError(
                    f"the request cannot be written as JSON ({error}); look for half of a "
                    "surrogate pair in a text, or an object in a schema"
                ) from error
            wanted = (body or {}).get("max_tokens") or 0
            refused = failure(
                response.status_code, response.text, response.headers, self.root, max_tokens=wanted
            )
            wait_s = refused.retry_after_s if isinstance(refused, RemoteError) else None
            if wait_s is None or wait_s > _LONGEST_WAIT_S or tries >= self._retries:
                raise refused
            tries += 1
            time.sleep(wait_s)

    def object_in(self, text: str, path: str) -> dict[str, Any]:
        """The JSON object that a server wrote.

        Raises:
            RemoteError: it is none.
        """
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RemoteError(
                f"{self.root}{path} answered {text[:80]!r}, which is no JSON object: it is no "
                "OpenAI-compatible server, or a proxy stands before it; check base_url"
            )
        return found

    def lost(self, error: Exception) -> RemoteError:
        """Say what became of the connection, and what to do."""
        if isinstance(error, self._httpx.ConnectError | self._httpx.ConnectTimeout):
            return RemoteError(
                f"no connection to {self.root} ({error}); is the server running there, and is "
                "base_url right?"
            )
        if isinstance(error, self._httpx.TimeoutException):
            return RemoteError(
                f"{self.root} said nothing for {self._timeout_s:g} s; it may still be reading a "
                "long prompt: pass a larger timeout_s"
            )
        return RemoteError(
            f"the connection to {self.root} broke ({type(error).__name__}: {error}); the server "
            "may have stopped. Ask again"
        )


class ServerEvents:
    """Server-sent events of one answer: comments as text, documents as objects, until ``[DONE]``.

    Iterating it raises :class:`~longctx.RemoteError` where the connection breaks.
    """

    def __init__(self, connection: Connection, path: str, response: Any) -> None:
        self._connection = connection
        self._path = path
        self._response = response
        # A connection that is given back serves somebody else, whom nobody may cut off.
        self._lock = threading.Lock()
        self._is_over = False

    def __iter__(self) -> Iterator[str | dict[str, Any]]:
        httpx = _httpx()
        try:
            for line in self._response.iter_lines():
                if line.startswith(":"):
                    yield line[1:].strip()
                elif line.startswith("data:"):
                    text = line[5:].strip()
                    if text == "[DONE]":
                        return
                    yield self._connection.object_in(text, self._path)
        except httpx.TransportError as error:
            raise self._connection.lost(error) from error
        finally:
            with self._lock:
                self._is_over = True
            self._response.close()

    def abort(self) -> None:
        """Hang up, from any thread; whoever is reading is woken. Harmless when it is over."""
        network = self._response.extensions.get("network_stream")
        with self._lock, suppress(OSError):  # the server may have hung up first
            if network is not None and not self._is_over:
                network.get_extra_info("socket").shutdown(SHUT_RDWR)


def _is_address(url: object) -> bool:
    try:
        return (
            isinstance(url, str)
            and url.startswith(("http://", "https://"))
            and bool(urlsplit(url).hostname)
        )
    except ValueError:  # half of an IPv6 address
        return False


def _httpx() -> ModuleType:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError(
            'a model on a server needs httpx: run `pip install "longctx-sdk[remote]"`'
        ) from error
    return httpx
