"""One server of several: a model in a process of its own, asked through Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from ray import serve
from starlette.types import Message

from longctx.deploy.forwarded import Forwarded
from longctx.errors import BackendError
from longctx.llm import LongContextLLM
from longctx.server import ServerSettings, TextEmbedder, create_app

PAUSE_S = 0.02
"""Between two sendings of one answer: each passes through three processes, and tokens that come
faster than so go together."""


@dataclass(frozen=True)
class State:
    """How a replica does.

    Attributes:
        instance: its name.
        n_jobs: answers under way and waiting.
        metrics: in Prometheus' text format.
    """

    instance: str
    n_jobs: int
    metrics: str


class Replica:
    """Opens the model and answers what is forwarded.

    Args:
        model: path of a GGUF file, the same on every machine; None is the demo model.
        target_ctx: the window wanted, in tokens.
        settings: as of a server by itself.
        embedder: as :class:`~longctx.server.TextEmbedder` takes it; None has none.
        options: of :class:`~longctx.llm.LongContextLLM`.
    """

    def __init__(
        self,
        model: str | None,
        target_ctx: int | None,
        settings: ServerSettings,
        embedder: str | None,
        options: dict[str, Any],
    ) -> None:
        self._instance = serve.get_replica_context().replica_id.unique_id
        self._llm = LongContextLLM(model, target_ctx, **options)
        self._app = create_app(
            self._llm,
            settings.model_copy(update={"instance": self._instance}),
            TextEmbedder(embedder) if embedder is not None else None,
        )

    async def answer(self, request: Forwarded) -> AsyncIterator[list[Message]]:
        """The messages of ASGI that answer it, as many at a time as there are.

        Ray cancels this when the client is gone.
        """
        sent: asyncio.Queue[Message | None] = asyncio.Queue()
        asking = asyncio.create_task(self._ask(request, sent))
        now, next_at, is_over = asyncio.get_running_loop().time, 0.0, False
        try:
            while not is_over:
                messages = [await sent.get()]
                await asyncio.sleep(max(0.0, next_at - now()))
                while not sent.empty():
                    messages.append(sent.get_nowait())
                is_over = messages[-1] is None
                if joined := _joined(message for message in messages if message is not None):
                    yield joined
                next_at = now() + PAUSE_S
            await asking
        finally:
            # Its place is free only when the model has let it go.
            asking.cancel()
            await asyncio.wait([asking])

    async def state(self) -> State:
        """How it does."""
        return State(
            self._instance, len(self._app.state.worker), self._app.state.metrics.text().decode()
        )

    def check_health(self) -> None:
        """Ray asks now and then, and starts another replica where this fails.

        Raises:
            BackendError: the model is closed.
        """
        if not self._llm.is_open:
            raise BackendError("the model of this replica is closed; start another")

    async def __del__(self) -> None:
        """Ray calls this when it has drained the replica."""
        self._app.state.worker.close()
        self._llm.close()

    async def _ask(self, request: Forwarded, sent: asyncio.Queue[Message | None]) -> None:
        body: list[Message] = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> Message:
            # A client that is gone is told of by cancelling: wait for that.
            return body.pop() if body else await asyncio.get_running_loop().create_future()

        try:
            await self._app(request.to_scope(), receive, sent.put)
        finally:
            sent.put_nowait(None)


def _joined(messages: Iterable[Message]) -> list[Message]:
    """The same with bodies that follow each other in one."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["type"] == message["type"] == "http.response.body":
            body = joined[-1].get("body", b"") + message.get("body", b"")
            joined[-1] = {**message, "body": body}
        else:
            joined.append(message)
    return joined
