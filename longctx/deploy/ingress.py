"""The one door of all replicas: reads a request, and passes on what its replica answers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from longctx.deploy.forwarded import Forwarded
from longctx.deploy.metrics import merged
from longctx.deploy.place import place_of
from longctx.deploy.replica import State
from longctx.server import ServerSettings
from longctx.server.aliases import Aliases
from longctx.server.error_replies import error_reply
from longctx.server.errors import ApiError
from longctx.server.guard import Guard

_STATE_S = 10.0
"""How long replicas have to say how they do."""


@serve.ingress()
class Ingress:
    """Runs no model, and so answers while all models are busy.

    Args:
        replicas: that answer.
        settings: who may ask, and how much, is checked before a request is read or sent on.
    """

    def __init__(self, replicas: DeploymentHandle, settings: ServerSettings) -> None:
        self._replicas = replicas
        self._settings = settings

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What Ray serves."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Mount("/", app=self._forward),
            ],
            middleware=[Middleware(Aliases), Middleware(Guard, settings=self._settings)],
        )

    async def _health(self, _request: Request) -> Response:
        """How many answers are under way in all, and how many replicas there are; 503 for none."""
        states = await self._states()
        n_jobs = sum(state.n_jobs for state in states)
        said = {"status": "ok" if states else "error", "jobs": n_jobs, "replicas": len(states)}
        return JSONResponse(said, 200 if states else 503)

    async def _metrics(self, _request: Request) -> Response:
        texts = {state.instance: state.metrics for state in await self._states()}
        return Response(merged(texts), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _states(self) -> list[State]:
        """Of the replicas that answer; one that is on its way out may not."""
        found: list[Any] = []
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError, DeploymentUnavailableError):
            asked = self._replicas.broadcast("state")
            found = await asked.results_async(timeout_s=_STATE_S, return_exceptions=True)
        return [state for state in found if isinstance(state, State)]

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        place = await asyncio.to_thread(place_of, scope["path"], body)
        answer = self._replicas.options(stream=True).answer.remote(Forwarded.of(scope, body, place))
        is_begun = False
        try:
            async for messages in answer:
                for message in messages:
                    is_begun = True
                    await send(message)
        except (RayActorError, BackPressureError, DeploymentUnavailableError) as error:
            if is_begun:  # the client sees that it is not whole
                raise
            await error_reply(_said(error), scope["path"])(scope, receive, send)


def _said(error: Exception) -> ApiError:
    if isinstance(error, BackPressureError):
        return ApiError(
            429,
            "all replicas are busy, and as many requests wait as may; try again in 1 s",
            code="queue_full",
            headers={"Retry-After": "1"},
        )
    return ApiError(
        503,
        "the replica that was to answer is gone, and its answer with it; ask again, and another "
        "will",
        code="replica_lost",
        headers={"Retry-After": "1"},
    )
