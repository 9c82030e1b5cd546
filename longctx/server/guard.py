"""Who may ask, and how much, before anything is read into a model."""

from __future__ import annotations

import hmac
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longctx.server.error_replies import error_reply
from longctx.server.errors import ApiError
from longctx.server.origins import origins_pattern
from longctx.server.page.assets import NAMES
from longctx.server.settings import ServerSettings

OPEN_PATHS = frozenset({"/", "/health", *(f"/page/{name}" for name in NAMES)})
"""What needs no key: the page, which asks for one, and the life sign."""


class Guard:
    """ASGI middleware: the Host and Origin headers, the API key and the size of the body.

    A page on the web may let its own name resolve to 127.0.0.1 (DNS rebinding) and then ask as
    if it were ours; its requests carry that name as ``Host``. Or it may post here without being
    able to read the answer; its requests carry its name as ``Origin``. The body is read here, so
    that one without ``Content-Length`` is bounded too.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._pages = re.compile(origins_pattern(settings.cors))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(headers)
            if scope["path"] not in OPEN_PATHS:
                self._check_key(headers)
            receive = await self._read(headers, receive)
        except ApiError as error:
            await error_reply(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        allowed = self._settings.allowed_hosts
        host = headers.get("host", "")
        if not allowed or _name(host) in allowed:
            return
        raise ApiError(
            421,
            f"this server does not answer for the host {host[:100]!r}; start it with "
            "--allowed-host NAME if it should",
            code="unknown_host",
        )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or (self._settings.cors and self._pages.fullmatch(origin)):
            return
        asked = _name(headers.get("host", ""))
        if _name(origin.partition("://")[2]) in (self._settings.allowed_hosts or (asked,)):
            return
        raise ApiError(
            403,
            f"pages of {origin[:100]!r} may not ask this server; start it with "
            "--cors ORIGIN if they should",
            code="unknown_origin",
        )

    def _check_key(self, headers: Headers) -> None:
        key = self._settings.api_key
        if key is None or any(_same(key, given) for given in _keys(headers)):
            return
        raise ApiError(
            401,
            "the API key is missing or wrong; send the header 'Authorization: Bearer KEY', or "
            "'X-Api-Key: KEY'",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _read(self, headers: Headers, receive: Receive) -> Receive:
        """Read the body, and return what gives it again."""
        length = headers.get("content-length", "")
        if length.isdecimal():
            self._check_size(int(length))
        messages: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            self._check_size(size)
        messages.reverse()

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return again

    def _check_size(self, n_bytes: int) -> None:
        limit = self._settings.max_body_bytes
        if n_bytes > limit:
            raise ApiError(
                413,
                f"the request has {n_bytes:,} bytes or more, the limit is {limit:,}; send less, "
                "or start the server with a larger --max-body",
                code="request_too_large",
                headers={"Connection": "close"},
            )


def _keys(headers: Headers) -> list[str]:
    """As OpenAI's clients send a key, and as Anthropic's do."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return [key.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "")]


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
