"""Other ways to ask for the same: without ``/v1``, and with HEAD where there is GET."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_V1 = frozenset(
    {"chat", "completions", "embeddings", "messages", "models", "rerank", "responses"}
)
_RERANK = "/v1/rerank"
_OTHER = {
    "/v1/health": "/health",
    "/v2/rerank": _RERANK,  # Cohere's
    "/v1/reranking": _RERANK,  # llama-server's
    "/reranking": _RERANK,
}


class Aliases:
    """ASGI middleware: asks as it is asked here.

    Some clients are told where the server is, and not where its API is; and some ask by HEAD
    whether it is up (RFC 9110, section 9.3.2, has it wherever GET is).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on by its own path; a HEAD as GET, whose body is kept back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        is_head = scope["method"] == "HEAD"
        asked = {**scope, "path": _own(scope["path"])}
        if is_head:
            asked["method"] = "GET"
        await self._app(asked, receive, send_head if is_head else send)


def _own(path: str) -> str:
    if path in _OTHER:
        return _OTHER[path]
    first = path.lstrip("/").partition("/")[0]
    return f"/v1{path}" if first in _OF_V1 else path
