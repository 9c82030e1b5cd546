"""An application for Ray Serve: replicas of the server behind one door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longctx.errors import MissingExtraError, RequestError

try:
    from ray import serve
    from ray.serve.config import AutoscalingConfig, RequestRouterConfig
except ImportError as error:
    raise MissingExtraError(
        f"serving on several machines needs {error.name}; install it with: "
        "pip install 'longctx-sdk[ray]'"
    ) from error

from longctx.deploy.ingress import Ingress
from longctx.deploy.replica import Replica
from longctx.deploy.request_router import ConversationRouter
from longctx.server import ServerSettings

_BESIDES = 4
"""Requests that a replica takes beside its answers: how it does, models, tokens. Without them
nobody could ask how a busy replica does."""


def application(
    model: str | Path | None = None,
    target_ctx: int | None = None,
    *,
    replicas: int | tuple[int, int] = 1,
    at_once: int = 8,
    max_waiting: int = 64,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory_bytes: int | None = None,
    embedder: str | None = None,
    settings: ServerSettings | None = None,
    **options: Any,
) -> serve.Application:
    """Replicas of the server, for ``ray.serve.run`` or ``serve run``.

    A conversation goes where its cache is, whatever protocol it speaks. An update replaces one
    replica after another, and each ends its answers before it goes.

    Args:
        model: path of a GGUF file that every machine has; None is the packaged demo model.
        target_ctx: the window wanted, in tokens.
        replicas: how many, or the least and the most: then as many as the answers under way and
            waiting need.
        at_once: answers that one replica writes at a time.
        max_waiting: requests that may wait for a place; more are refused (429).
        cpus: of each replica, which are its threads, too, unless ``n_threads`` says otherwise.
        gpus: of each replica, which takes the layers that fit; without one it uses the processor
            alone, unless ``n_gpu_layers`` or ``devices`` say otherwise.
        memory_bytes: of each replica, which is its ``memory_limit``, too. None lets each take
            what is free when it starts, which is right for one replica a machine.
        embedder: as :class:`~longctx.server.TextEmbedder` takes it; None has none.
        settings: of each server. By default every host name is answered, since clients of several
            machines ask by several.
        options: others of :class:`~longctx.llm.LongContextLLM`.

    Returns:
        What Ray Serve runs, at the route prefix ``/``.

    Raises:
        RequestError: a number is out of its range.
    """
    least, most = replicas if isinstance(replicas, tuple) else (replicas, replicas)
    if not 1 <= least <= most:
        raise RequestError(
            f"replicas is {replicas}; give a number from 1 on, or the least and the most, such as "
            "(1, 8)"
        )
    for name, value, minimum in (("at_once", at_once, 1), ("max_waiting", max_waiting, 0)):
        if value < minimum:
            raise RequestError(f"{name} is {value}; give {minimum} or more")
    settings = settings or ServerSettings(allowed_hosts=())
    settings = settings.model_copy(update={"max_waiting": at_once + _BESIDES - 1})
    options.setdefault("n_threads", max(1, int(cpus)))
    resources: dict[str, float] = {"num_cpus": cpus, "num_gpus": gpus}
    if not gpus and "devices" not in options:
        options.setdefault("n_gpu_layers", 0)
    if memory_bytes is not None:
        options.setdefault("memory_limit", memory_bytes)
        resources["memory"] = memory_bytes
    servers = serve.deployment(
        Replica,
        name="replica",
        **_number(least, most, at_once),
        max_ongoing_requests=at_once + _BESIDES,
        max_queued_requests=max_waiting,
        # An answer that is begun gets its whole time, and no longer.
        graceful_shutdown_timeout_s=settings.timeout_s,
        ray_actor_options=resources,
        request_router_config=RequestRouterConfig(
            request_router_class=ConversationRouter, request_router_kwargs={"at_once": at_once}
        ),
    )
    door = serve.deployment(
        Ingress,
        name="ingress",
        # One, since it knows where each conversation is; it waits for others more than it works.
        num_replicas=1,
        max_ongoing_requests=(most * at_once + max_waiting) * 2,
        graceful_shutdown_timeout_s=settings.timeout_s,
        max_surge_percent=100,
        ray_actor_options={"num_cpus": 0},
    )
    path = str(model) if model is not None else None
    bound = servers.bind(path, target_ctx, settings, embedder, options)
    return door.bind(bound, settings)


def _number(least: int, most: int, at_once: int) -> dict[str, Any]:
    if least == most:
        return {"num_replicas": least}
    scaling = AutoscalingConfig(
        min_replicas=least,
        max_replicas=most,
        # Another is started while there are still places, since opening a model takes a while.
        target_ongoing_requests=max(1.0, at_once * 0.75),
    )
    return {"autoscaling_config": scaling}
