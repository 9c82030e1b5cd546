"""Ray on this machine, with an application of two replicas."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import ray
from openai import OpenAI
from ray import serve

from longctx.deploy.ray_serve import application
from longctx.server import ServerSettings
from tests.models import TINY

ROOT = Path(__file__).parents[2]
AT_ONCE, MAX_WAITING = 6, 16


class Cluster:
    """Where it answers, and what can be done to it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def deploy(self, model_id: str = "tiny") -> None:
        """Run the application, or roll an update; returns when it is done."""
        settings = ServerSettings(allowed_hosts=(), model_id=model_id, timeout_s=60)
        app = application(
            TINY, 8192, replicas=2, at_once=AT_ONCE, max_waiting=MAX_WAITING, cpus=0.5,
            memory_bytes=200 * 2**20, settings=settings,
        )  # fmt: skip
        serve.run(app)

    def openai(self) -> OpenAI:
        """The official client, which tries nothing twice."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    def health(self) -> dict[str, Any]:
        """Of all replicas."""
        found: dict[str, Any] = httpx.get(f"{self.url}/health", timeout=60).json()
        return found

    def wait_for(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Return when health is so; fail after three minutes."""
        ends = time.monotonic() + 180
        while not is_so(health := self.health()):
            assert time.monotonic() < ends, health
            time.sleep(0.1)

    def kill(self, instance: str) -> None:
        """End a replica's process as the system does when it needs the memory."""
        name = f"SERVE_REPLICA::default#replica#{instance}"
        actor = ray.get_actor(name, namespace="serve")
        os.kill(ray.get(actor.__ray_call__.remote(lambda _self: os.getpid())), signal.SIGKILL)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Two cores, little memory, no dashboard; all of its processes end with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["OMP_WAIT_POLICY"] = "passive"
    ray.init(
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(folder),
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        cluster = Cluster(port)
        cluster.deploy()
        yield cluster
    finally:
        serve.shutdown()
        ray.shutdown()
