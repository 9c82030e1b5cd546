"""llama-cpp-python's own server, as a process: another OpenAI-compatible one, without counts."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError

from longctx import ContextOverflowError
from longctx.documents import DocumentQA
from longctx.packaged_model import demo_model, fast_copy
from longctx.remote import RemoteLLM
from longctx.server import RelayedModel
from tests.server.live_server import serving

NEEDED = ("sse_starlette", "starlette_context", "pydantic_settings", "yaml")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo model on a window of 1,024 tokens."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'{missing} missing: pip install "llama-cpp-python[server]"')
    model: Path = fast_copy(demo_model())
    arguments = ["--model", str(model), "--n_ctx", "1024", "--port", "0", "--n_threads", "2"]
    log = tmp_path_factory.mktemp("log") / "server"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", *arguments, "--model_alias", "demo"],
            stdout=out,
            stderr=out,
        )
    try:
        ends = time.monotonic() + 300
        while not (found := re.search(r"running on (http://\S+)", log.read_text())):
            assert server.poll() is None, "the server did not start: " + log.read_text()[-2000:]
            assert time.monotonic() < ends, "the server did not start in time"
            time.sleep(0.1)
        yield f"{found[1]}/v1"
    finally:
        server.terminate()
        server.wait(120)


def test_documents_on_a_server_that_does_not_count(url: str) -> None:
    """Answers come, counts are estimates and high, and what is too long is one of our errors."""
    with RemoteLLM(url, target_ctx=1024, reserve_output=32) as llm:
        assert (llm.model, llm.counts_exactly) == ("demo", False)
        qa = DocumentQA(llm, strategy="whole")
        qa.add("Until delivery the seller bears the risk. Then the buyer bears it.", doc_id="c")
        answer = qa.ask("Who bears the risk until delivery?", max_tokens=24)
        assert "seller" in answer.text
        told = httpx.post(
            f"{url}/chat/completions",
            json={"messages": [{"role": "user", "content": "Hello there, you."}], "max_tokens": 1},
            timeout=60,
        ).json()["usage"]["prompt_tokens"]
        assert llm.count([{"role": "user", "content": "Hello there, you."}]) >= told
        long: Any = [{"role": "user", "content": "word " * 1500}]
        with pytest.raises(ContextOverflowError) as caught:
            llm.chat(long, max_tokens=8)
        assert caught.value.n_ctx == 1024
        assert caught.value.needed > 1500


def test_it_is_served_through_ours(url: str) -> None:
    """Its answers by our routes: what is beyond the window is refused, and what is not counted says
    so."""
    with (
        RelayedModel.connect(url, target_ctx=1024, reserve_output=32) as model,
        serving(model) as live,
    ):
        client = live.openai()
        asked: Any = {
            "model": "demo",
            "temperature": 0,
            "messages": [
                {"role": "system", "content": "You answer in one sentence."},
                {"role": "user", "content": "What is the capital of France?"},
            ],
        }
        answer = client.chat.completions.create(**asked, max_tokens=16)
        assert "Paris" in str(answer.choices[0].message.content)
        pieces = list(client.chat.completions.create(**asked, max_tokens=16, stream=True))
        text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
        assert "Paris" in text
        usage = client.chat.completions.create(**asked, max_tokens=4).usage
        assert usage is not None
        assert usage.model_extra == {"is_estimate": True}
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(**asked, max_tokens=1024)
        assert caught.value.code == "context_length_exceeded"
        refused = httpx.post(f"{live.url}/tokenize", json={"content": "Hi"}, timeout=60)
        assert refused.status_code == 400
        assert "no tokenizer" in refused.json()["error"]["message"]
