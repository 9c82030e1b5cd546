"""OpenAI's and Anthropic's APIs over one :class:`~longctx.llm.LongContextLLM`."""

from __future__ import annotations

from longctx.errors import MissingExtraError

try:
    import fastapi  # noqa: F401  (asked for here, so that one place says what is missing)
    import markdown_it  # noqa: F401
    import nh3  # noqa: F401
    import prometheus_client  # noqa: F401
    import pygments  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f"the server needs {error.name}; install it with: pip install 'longctx-sdk[server]'"
    ) from error

from longctx.server.app import create_app
from longctx.server.embedder import TextEmbedder
from longctx.server.model_pool import ModelPool
from longctx.server.model_source import ModelSource
from longctx.server.relay import RelayedModel
from longctx.server.rerank.model import TextReranker
from longctx.server.run import Server, serve
from longctx.server.served import ServedModel
from longctx.server.settings import ServerSettings

__all__ = [
    "ModelPool",
    "ModelSource",
    "RelayedModel",
    "ServedModel",
    "Server",
    "ServerSettings",
    "TextEmbedder",
    "TextReranker",
    "create_app",
    "serve",
]
