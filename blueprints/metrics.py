"""Prometheus metrics of the API. Label values come from the catalog and from tables, so bounded."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "switchyard_requests_total", "Requests by how they ended.", ("endpoint", "status", "outcome")
)
TOKENS = Counter("switchyard_tokens_total", "Tokens of admitted requests.", ("direction",))
SECONDS = Histogram(
    "switchyard_request_seconds",
    "From the request to the last byte of its answer.",
    ("endpoint",),
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
TTFT_SECONDS = Histogram(
    "switchyard_first_byte_seconds",
    "From the request to the first byte of a streamed answer.",
    ("endpoint",),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

_requests: dict[tuple[str, int, str], Any] = {}
_seconds: dict[str, Any] = {}
_input = TOKENS.labels("input")
_output = TOKENS.labels("output")


def observe(record: dict[str, Any]) -> None:
    """Count one settled or refused request. Children are kept: `labels` is slow."""
    key = (record["endpoint"], record["status"], record["outcome"])
    counter = _requests.get(key)
    if counter is None:
        counter = _requests[key] = REQUESTS.labels(*map(str, key))
    counter.inc()
    if not record["admitted"]:
        return
    _input.inc(record["input_tokens"])
    _output.inc(record["output_tokens"])
    seconds = _seconds.get(key[0])
    if seconds is None:
        seconds = _seconds[key[0]] = SECONDS.labels(key[0])
    seconds.observe(record["duration_ms"] / 1000)
    if record["ttft_ms"] is not None:
        TTFT_SECONDS.labels(key[0]).observe(record["ttft_ms"] / 1000)
