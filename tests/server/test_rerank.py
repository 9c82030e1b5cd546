"""Texts in an order, by every spelling of the route, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import NotFoundError, OpenAI
from sentence_transformers import CrossEncoder

from longctx import LongContextLLM
from longctx.errors import RequestError
from longctx.server import TextReranker
from tests.server.live_server import LiveServer, serving
from tests.support.cross_encoder import write_cross_encoder

QUERY = "code of room 3"
TEXTS = [f"room {i} {i * 7}" + " code" * (i % 5) for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cross-encoder, called ``ranker``."""
    folder = tmp_path_factory.mktemp("models") / "ranker"
    folder.mkdir()
    return write_cross_encoder(folder)


@pytest.fixture(scope="module")
def live(tiny_llm: LongContextLLM, folder: Path) -> Iterator[LiveServer]:
    """It beside the tiny model."""
    with serving(tiny_llm, reranker=TextReranker(folder), model_id="tiny") as live:
        yield live


@pytest.fixture(scope="module")
def scores(folder: Path) -> list[float]:
    """Of sentence-transformers itself."""
    model = CrossEncoder(str(folder), device="cpu")
    return [float(score) for score in model.predict([(QUERY, text) for text in TEXTS])]


def _ask(live: LiveServer, path: str = "/v1/rerank", **more: Any) -> httpx.Response:
    body = {"model": "ranker", "query": QUERY, **more}
    return httpx.post(f"{live.url}{path}", json=body, timeout=60)


@pytest.mark.parametrize(
    "path", ["/v1/rerank", "/rerank", "/v2/rerank", "/v1/reranking", "/reranking"]
)
def test_the_order_is_the_models(live: LiveServer, scores: list[float], path: str) -> None:
    """More than one batch; every score, best first, and the best alone."""
    told = _ask(live, path, documents=TEXTS).json()
    assert (told["object"], told["model"]) == ("list", "ranker")
    order = sorted(range(40), key=lambda i: -scores[i])
    assert [each["index"] for each in told["results"]] == order
    assert [each["relevance_score"] for each in told["results"]] == pytest.approx(
        [scores[i] for i in order], abs=1e-5
    )
    best = _ask(live, path, documents=TEXTS, top_n=3).json()["results"]
    assert best == told["results"][:3]


def test_texts_are_repeated_where_it_is_asked_for(live: LiveServer) -> None:
    """As they came, be they objects or not; nothing is repeated otherwise."""
    documents = [TEXTS[0], {"text": TEXTS[1]}]
    results = _ask(live, documents=documents, return_documents=True).json()["results"]
    assert all(each["document"] == {"text": TEXTS[each["index"]]} for each in results)
    assert "document" not in _ask(live, documents=documents).json()["results"][0]


def test_as_text_embeddings_inference_has_it(live: LiveServer, scores: list[float]) -> None:
    """``texts`` in, a bare list out."""
    told = _ask(live, texts=TEXTS[:4], return_text=True).json()
    order = sorted(range(4), key=lambda i: -scores[i])
    assert [(each["index"], each["text"]) for each in told] == [(i, TEXTS[i]) for i in order]
    assert told[0]["score"] == pytest.approx(scores[order[0]], abs=1e-5)


def test_tokens_are_counted_and_none_is_cut(live: LiveServer) -> None:
    """128 are read, 129 are a 400 with the numbers and which text it was."""
    words = QUERY.split()
    fits, too_long = ("1 " * (128 - 3 - len(words) + more) for more in (0, 1))
    assert _ask(live, documents=[fits]).json()["usage"]["total_tokens"] == 128
    reply = _ask(live, documents=["1", too_long])
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert (error["needed"], error["available"]) == (129, 128)
    assert "document 1 are 129 tokens" in error["message"]
    counted = httpx.get(f"{live.url}/metrics", timeout=60).text
    assert 'longctx_tokens_total{kind="reranked",model=' in counted


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"documents": []},
        {"documents": [""]},
        {"documents": [7]},
        {"documents": [{"text": "a", "image": "b"}]},
        {"documents": ["a"], "texts": ["a"]},
        {"documents": ["a"], "top_n": 0},
        {"documents": ["a"], "query": ""},
        {"documents": ["a"], "max_tokens_per_doc": 10},
        {"texts": ["a"], "truncate": True},
        {"documents": ["a"] * 2049},
    ],
)
def test_nonsense_is_a_400(live: LiveServer, body: dict[str, Any]) -> None:
    """What would cut a text as well."""
    reply = _ask(live, **body)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_value"


def test_each_model_does_its_own_work(live: LiveServer) -> None:
    """It is listed; it stands in for no other, nor others for it."""
    client = live.openai()
    found = client.models.retrieve("ranker").model_extra
    assert found is not None
    assert found["max_model_len"] == 128
    with pytest.raises(NotFoundError, match="'ranker'"):
        client.completions.create(model="ranker", prompt="a")
    assert _ask(live, model="tiny", documents=["a"]).status_code == 404
    warned = _ask(live, model="jina-reranker-v2", documents=["a"])
    assert "'jina-reranker-v2'" in warned.headers["longctx-warning"]


def test_without_a_reranker_it_says_so(client: OpenAI, server: LiveServer) -> None:
    """404, and how to have one."""
    reply = _ask(server, documents=["a"])
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "no_reranker"
    assert "--reranker" in reply.json()["error"]["message"]


def test_a_model_that_does_not_rank(tmp_path: Path) -> None:
    """Classifiers have several scores; a folder without a model has none."""
    with pytest.raises(RequestError, match="3 scores for a text"):
        TextReranker(write_cross_encoder(tmp_path, n_labels=3))
    with pytest.raises(RequestError, match="cannot be loaded"):
        TextReranker(tmp_path / "nowhere")
