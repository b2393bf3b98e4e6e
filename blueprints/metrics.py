"""Prometheus metrics of the API.

The hot path only adds to plain numbers in dicts; they take the shape of metrics when somebody asks
(`Exposition.collect`). Label values come from the catalog and from tables, so they are bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, float("inf"))

_requests: dict[tuple[str, int, str], int] = {}
_tokens = {"input": 0, "output": 0}
_durations: dict[str, Observations] = {}
_first_bytes: dict[str, Observations] = {}


class Observations:
    """How many values fell into each bucket of `SECONDS`, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * len(SECONDS)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative, as Prometheus wants them."""
        total, pairs = 0, []
        for bound, count in zip(SECONDS, self.counts, strict=True):
            total += count
            pairs.append(("+Inf" if bound == float("inf") else str(bound), total))
        return pairs


def observe(record: dict[str, Any]) -> None:
    """Count one settled or refused request."""
    endpoint = record["endpoint"]
    key = (endpoint, record["status"], record["outcome"])
    _requests[key] = _requests.get(key, 0) + 1
    if not record["admitted"]:
        return
    _tokens["input"] += record["input_tokens"]
    _tokens["output"] += record["output_tokens"]
    _of(_durations, endpoint).add(record["duration_ms"] / 1000)
    if record["ttft_ms"] is not None:
        _of(_first_bytes, endpoint).add(record["ttft_ms"] / 1000)


def _of(table: dict[str, Observations], endpoint: str) -> Observations:
    found = table.get(endpoint)
    if found is None:
        found = table[endpoint] = Observations()
    return found


class Exposition(Collector):
    """The numbers above as metrics."""

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "switchyard_requests",
            "Requests by how they ended.",
            labels=("endpoint", "status", "outcome"),
        )
        for labels, count in _requests.items():
            requests.add_metric([str(label) for label in labels], count)
        yield requests
        tokens = CounterMetricFamily(
            "switchyard_tokens", "Tokens of admitted requests.", labels=("direction",)
        )
        for direction, count in _tokens.items():
            tokens.add_metric([direction], count)
        yield tokens
        yield _histogram("request_seconds", "From request to last byte.", _durations)
        yield _histogram("first_byte_seconds", "From request to first byte.", _first_bytes)


def _histogram(name: str, text: str, table: dict[str, Observations]) -> Metric:
    family = HistogramMetricFamily(f"switchyard_{name}", text, labels=("endpoint",))
    for endpoint, seen in table.items():
        family.add_metric([endpoint], seen.buckets(), seen.sum)
    return family


REGISTRY.register(Exposition())
