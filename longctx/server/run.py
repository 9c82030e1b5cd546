"""Runs the application until it is told to stop."""

from __future__ import annotations

import uvicorn

from longctx.llm import LongContextLLM
from longctx.server.app import create_app
from longctx.server.settings import ServerSettings


def serve(
    llm: LongContextLLM,
    settings: ServerSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Then no new ones are taken, those under way get ``settings.grace_s`` seconds, and the
    signal is raised again for whoever handled it before.

    Args:
        llm: the model, which stays its caller's to close.
        settings: who may ask, how much, for how long.
        host: an address of this machine; the default is reached from this machine alone.
        port: of TCP.
    """
    settings = settings or ServerSettings()
    uvicorn.run(
        create_app(llm, settings),
        host=host,
        port=port,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=settings.grace_s,
    )
