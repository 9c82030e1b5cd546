"""Requests made up from the server's own description of itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, GenerationMode

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving
from tests.support.thorough import quick


@pytest.fixture(scope="module")
def fuzzed(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """A server of its own, whose clients are in no hurry."""
    # A text that is longer than its field may be is refused for that, and not with a 413.
    with serving(tiny_llm, model_id="tiny", max_body_bytes=8 * 2**20) as live:
        yield live


@pytest.fixture(scope="module")
def description(fuzzed: LiveServer) -> BaseSchema:
    """What it says of itself."""
    return schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")


ROUTES = [
    ("/", "GET"),
    ("/apply-template", "POST"),
    ("/completion", "POST"),
    ("/detokenize", "POST"),
    ("/health", "GET"),
    ("/metrics", "GET"),
    ("/page/files", "POST"),
    ("/page/files/{file_id}", "DELETE"),
    ("/page/files/{file_id}", "GET"),
    ("/page/markdown", "POST"),
    ("/props", "GET"),
    ("/slots", "GET"),
    ("/tokenize", "POST"),
    ("/v1/chat/completions", "POST"),
    ("/v1/chat/completions/input_tokens", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/embeddings", "POST"),
    ("/v1/messages", "POST"),
    ("/v1/messages/count_tokens", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/load", "POST"),
    ("/v1/models/unload", "POST"),
    ("/v1/models/{model_id}", "GET"),
    ("/v1/rerank", "POST"),
    ("/v1/responses", "POST"),
    ("/v1/responses/input_tokens", "POST"),
    ("/v1/responses/{response_id}", "GET"),
    ("/v1/responses/{response_id}", "DELETE"),
    ("/v1/responses/{response_id}/cancel", "POST"),
    ("/v1/responses/{response_id}/input_items", "GET"),
]
# A description cannot say that two fields exclude each other, or that a prompt must fit.
NOT_CHECKED = [schemathesis.checks.positive_data_acceptance]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(
    ("path", "method"),
    quick(ROUTES, ("/slots", "GET"), ("/v1/chat/completions", "POST")),
)
def test_no_request_makes_it_fail(
    description: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    """No 5xx; statuses, content types and bodies are as described; wrong requests are refused."""
    operation = description[path][method]
    n_answered = 0

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        nonlocal n_answered
        case.call_and_validate(timeout=60, excluded_checks=NOT_CHECKED)
        n_answered += 1

    try:
        ask()
    except Unsatisfiable:
        assert "requestBody" not in operation.definition.raw  # nothing to get wrong
    else:
        assert n_answered > 0


def test_every_route_is_described(fuzzed: LiveServer) -> None:
    """With what it takes, and errors in its protocol's shape; an alias is the same route."""
    paths = httpx.get(f"{fuzzed.url}/openapi.json", timeout=60).json()["paths"]
    described = {(path, method.upper()) for path, those in paths.items() for method in those}
    assert described == set(ROUTES)
    for path, operations in paths.items():
        shape = "AnthropicErrorDocument" if "/messages" in path else "ErrorDocument"
        for operation in operations.values():
            assert set(operation["responses"]) == {"200", "4XX", "5XX"}
            (content,) = operation["responses"]["4XX"]["content"].values()
            assert content["schema"]["$ref"].endswith(f"/{shape}")
