"""llama.cpp's own server tests against our server: this stands in their `conftest.py`'s place.

Their presets become our settings by a table of names; the small model of our tests stands for all
of theirs, so that what their models would have said is not there. What a preset wants and we have
not is skipped, with its name.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ["LONGCTX_ROOT"])
sys.path.insert(0, str(ROOT))


def _no_download(*_: object) -> None:
    raise RuntimeError("no download here")


sys.modules["wget"] = types.ModuleType("wget")
sys.modules["wget"].download = _no_download

import utils  # noqa: E402  # theirs, which needs the module above

from longctx import LongContextLLM  # noqa: E402
from longctx.server import (  # noqa: E402
    ModelPool,
    ModelSource,
    Server,
    ServerSettings,
    TextEmbedder,
    TextReranker,
)
from tests.support.cross_encoder import write_cross_encoder  # noqa: E402

TINY = ROOT / "tests" / "models" / "tiny-longctx.gguf"
ABSENT = (
    "model_draft", "slot_save_path", "lora_files", "spec_type", "mmproj_url", "media_path",
    "sleep_idle_seconds", "ui_mcp_proxy", "server_tools", "mcp_servers_config", "mcp_servers_json",
    "backend_sampling", "gcp_compat", "models_preset",
)  # fmt: skip
ROUTED = (
    "ggml-org/tinygemma3-GGUF:Q8_0", "ggml-org/test-model-stories260K:F32",
    "ggml-org/test-model-stories260K-infill:F32", "ggml-org/test-model-stories260K",
)  # fmt: skip
_opened: dict[Any, LongContextLLM] = {}
_beside: dict[str, Any] = {}


def _model(**options: Any) -> LongContextLLM:
    key = tuple(sorted(options.items()))
    if key not in _opened:
        while _opened:
            _opened.popitem()[1].close()
        _opened[key] = LongContextLLM(TINY, n_threads=1, reserve_output=1, **options)
    return _opened[key]


def _embedder() -> TextEmbedder:
    if "embedder" not in _beside:
        _beside["embedder"] = TextEmbedder()
    return _beside["embedder"]


def _reranker(folder: Path) -> TextReranker:
    if "reranker" not in _beside:
        folder.mkdir(exist_ok=True)
        _beside["reranker"] = TextReranker(write_cross_encoder(folder))
    return _beside["reranker"]


def start(self: Any, timeout_seconds: int = 60) -> None:
    """In place of a command: our server, in a thread."""
    if absent := [name for name in ABSENT if getattr(self, name)]:
        pytest.skip(f"absent: {', '.join(absent)}")
    n_ctx = self.n_ctx or 2048
    target_ctx = n_ctx if self.kv_unified else max(64, n_ctx // (self.n_slots or 1))
    settings: dict[str, Any] = {
        "model_id": self.model_alias or "tinyllama-2",
        "api_key": self.api_key,
        "max_waiting": 64,
        "sampling": {"temperature": self.temperature, "seed": self.seed},
        "max_tokens": self.n_predict if (self.n_predict or 0) > 0 else None,
        "cors": tuple(self.cors_origins.split(",")) if self.cors_origins else ("*",),
    }
    self.pool = None
    if self.model_hf_repo is None and self.model_file is None:
        sources = [
            ModelSource.of_file(n, TINY, target_ctx=target_ctx, reserve_output=1, n_threads=1)
            for n in ROUTED
        ]
        served = self.pool = ModelPool(sources, max_open=self.models_max or 4)
        settings |= {"strict_model": True}
        del settings["model_id"]
    else:
        options: dict[str, Any] = {"target_ctx": target_ctx}
        if self.enable_ctx_shift:
            options["overflow"] = "slide"
        if template := self.chat_template_file or self.chat_template:
            options["chat_template"] = template
        served = _model(**options)
    self.ours = Server(
        served,
        ServerSettings(**settings),
        _embedder() if self.server_embeddings else None,
        _reranker(Path.cwd() / "ranker") if self.server_reranking else None,
        host="127.0.0.1",
        port=self.server_port,
        log_level="error",
    )
    self.thread = threading.Thread(target=self.ours.run, daemon=True)
    self.thread.start()
    ends = time.monotonic() + timeout_seconds
    while not self.ours.started:
        if time.monotonic() > ends or not self.thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    self.process = self
    utils.server_instances.add(self)


def stop(self: Any) -> None:
    """As SIGTERM does."""
    utils.server_instances.discard(self)
    if (ours := getattr(self, "ours", None)) is not None:
        ours.should_exit = True
        self.thread.join(40)
        self.ours = None
        if self.pool is not None:
            self.pool.close()


class _Headers(dict[str, str]):
    """HTTP's names have no case; theirs are a dict of what their server writes."""

    def __init__(self, found: dict[str, str]) -> None:
        super().__init__({name.title(): value for name, value in found.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).title())


_make_request = utils.ServerProcess.make_request


def make_request(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Theirs."""
    result = _make_request(self, *args, **kwargs)
    result.headers = _Headers(result.headers)
    return result


utils.DEFAULT_REQUEST_TIMEOUT = 60
utils.ServerProcess.start, utils.ServerProcess.stop = start, stop
utils.ServerProcess.make_request = make_request
utils.ServerProcess.poll = lambda _: None
utils.ServerProcess.pid = 0


@pytest.fixture(autouse=True)
def stop_server_after_each_test() -> Any:
    """Whatever a test has started."""
    yield
    for server in set(utils.server_instances):
        server.stop()


def pytest_runtest_logreport(report: Any) -> None:
    """Note what came of each, and why."""
    if report.when == "call" or report.outcome != "passed":
        text = str(report.longrepr or "")
        said = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
        row = [report.nodeid, report.outcome, " | ".join(said[:2])[:200] or text[-120:]]
        with Path(os.environ["LONGCTX_LOG"]).open("a") as log:
            log.write(json.dumps(row) + "\n")
