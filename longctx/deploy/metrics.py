"""The counters of all replicas on one page, each with the name of its replica."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


def merged(texts: Mapping[str, str]) -> bytes:
    """All of them in Prometheus' text format, with the label ``replica``.

    Args:
        texts: of each replica, in the same format.
    """
    registry = CollectorRegistry()
    registry.register(_Collected(texts))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for replica, text in self._texts.items():
            for each in text_string_to_metric_families(text):
                of_all = found.setdefault(
                    each.name, Metric(each.name, each.documentation, each.type)
                )
                for sample in each.samples:
                    labels = {**sample.labels, "replica": replica}
                    of_all.add_sample(sample.name, labels, sample.value)
        yield from found.values()
