"""Runs the application until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import uvicorn

from longctx.listening import listening_on
from longctx.server.app import create_app
from longctx.server.embedder import TextEmbedder
from longctx.server.model_pool import ModelPool
from longctx.server.rerank.model import TextReranker
from longctx.server.served import ServedModel
from longctx.server.settings import ServerSettings


class Server(uvicorn.Server):
    """uvicorn, with an orderly end: what is not answered in time is told so.

    Args:
        llm: the model, or several; they stay their caller's to close.
        settings: who may ask, how much, for how long.
        embedder: of ``/v1/embeddings``; None has none.
        reranker: of ``/v1/rerank``; None has none.
        host: an address of this machine.
        port: of TCP; 0 takes a free one.
        log_level: of uvicorn.
    """

    def __init__(
        self,
        llm: ServedModel | ModelPool,
        settings: ServerSettings,
        embedder: TextEmbedder | None = None,
        reranker: TextReranker | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log_level: str = "info",
    ) -> None:
        self._app = create_app(llm, settings, embedder, reranker)
        self._grace_s = settings.grace_s
        config = uvicorn.Config(
            self._app,
            host=host,
            port=port,
            log_level=log_level,
            server_header=False,
            # For those who do not even read what they are told.
            timeout_graceful_shutdown=settings.grace_s + 5,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests; answers under way and waiting get their grace, then a 503."""
        ending = asyncio.get_running_loop().call_later(self._grace_s, self._app.state.end_all)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()


def serve(
    llm: ServedModel | ModelPool,
    settings: ServerSettings | None = None,
    embedder: TextEmbedder | None = None,
    reranker: TextReranker | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Then no new ones are taken, those under way get ``settings.grace_s`` seconds. SIGTERM is
    raised again for whoever handled it before; after SIGINT this returns.

    Args:
        llm: the model, or several; they stay their caller's to close.
        settings: who may ask, how much, for how long.
        embedder: of ``/v1/embeddings``; None has none.
        reranker: of ``/v1/rerank``; None has none.
        host: an address of this machine; the default is reached from this machine alone.
        port: of TCP; 0 takes a free one.

    Raises:
        LongCtxError: it cannot listen there.
    """
    chosen = settings or ServerSettings()
    server = Server(llm, chosen, embedder, reranker, host=host, port=port)
    remedy = "give another --host, or another --port, such as 0 for a free one"
    with listening_on(host, port, remedy), suppress(KeyboardInterrupt):
        server.run()
