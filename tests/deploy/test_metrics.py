"""Counters of several servers on one page."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from longctx.deploy.metrics import merged
from longctx.server.metrics import Metrics


def test_each_replica_has_its_own_counters() -> None:
    """Under one heading, told apart by a label, values and kinds unchanged."""
    texts = {}
    for n, name in enumerate(("a", "b"), 1):
        metrics = Metrics(lambda n=n: n)  # type: ignore[misc]  # mypy cannot type its default
        metrics.embedded("words", 10 * n)
        metrics.requested("/v1/models", 200, 0.5)
        texts[name] = metrics.text().decode()
    found = {each.name: each for each in text_string_to_metric_families(merged(texts).decode())}
    tokens = {s.labels["replica"]: s.value for s in found["longctx_tokens"].samples}
    assert tokens == {"a": 10.0, "b": 20.0}
    assert {s.value for s in found["longctx_jobs"].samples} == {1.0, 2.0}
    assert found["longctx_request_seconds"].type == "histogram"
    alone = {each.name for text in texts.values() for each in text_string_to_metric_families(text)}
    assert set(found) == alone


def test_no_replica_is_an_empty_page() -> None:
    """It is a page all the same."""
    assert merged({}) == b""
