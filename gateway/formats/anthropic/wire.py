"""What whole answers, streams and errors of the format share: usage, finish reasons, errors."""

from __future__ import annotations

from typing import Any

import orjson

from gateway import upstream_errors
from gateway.errors import GatewayError
from gateway.types import JSON, FinishReason, Usage

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
REFUSED = "The model declined to answer this request."
"""What a refusal says where the model gives no explanation."""


def read_usage(usage: JSON) -> Usage | None:
    """The counters seen so far, inclusive; None if the upstream said nothing of them.

    Anthropic's `input_tokens` are only what was neither read from the cache nor written to it.
    """
    if usage.get("input_tokens") is None and usage.get("output_tokens") is None:
        return None
    cached = _count(usage.get("cache_read_input_tokens"))
    written = _count(usage.get("cache_creation_input_tokens"))
    output = _count(usage.get("output_tokens"))
    details = as_object(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=_count(usage.get("input_tokens")) + cached + written,
        output_tokens=output,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=min(_count(details.get("thinking_tokens")), output),
    )


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def read_error(status: int, body: bytes, *, provider: str, retry_after: int | None) -> GatewayError:
    """What an error answer means to our caller. The body may be no JSON at all."""
    try:
        detail = as_object(as_object(orjson.loads(body)).get("error"))
    except orjson.JSONDecodeError:
        detail = {}
    message = as_text(detail.get("message"))
    return upstream_errors.upstream_error(provider, status, message, retry_after=retry_after)


def describe_error(error: Any) -> str:
    """An `error` object in words for the log."""
    detail = as_object(error)
    kind, message = as_text(detail.get("type")), as_text(detail.get("message"))
    return f"{kind}: {message}"[:300] if kind or message else str(error)[:300]


def as_object(value: Any) -> JSON:
    """The object itself; an empty one for whatever is none."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """The string itself; an empty one for whatever is none."""
    return value if isinstance(value, str) else ""
