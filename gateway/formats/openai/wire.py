"""What requests, answers and errors of the format share: usage, finish reasons, errors."""

from __future__ import annotations

from typing import Any

import orjson

from gateway import sse
from gateway.errors import GatewayError
from gateway.types import (
    JSON,
    FinishReason,
    Usage,
)
from gateway.upstream_errors import upstream_error

FINISH_REASONS: dict[Any, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # What compatible servers say instead, reference/translation.md 9.4a.
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "COMPLETE": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "insufficient_system_resource": "error",  # DeepSeek
}


def read_usage(usage: JSON | None) -> Usage | None:
    """A `usage` object, None when there is none worth the name."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        return None
    prompt = _object(usage.get("prompt_tokens_details"))
    completion = _object(usage.get("completion_tokens_details"))
    cached = prompt.get("cached_tokens")
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")  # DeepSeek's older name
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def write_usage(usage: Usage) -> JSON:
    prompt = {"cached_tokens": usage.cached_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def write_error(error: GatewayError) -> JSON:
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def error_event(error: GatewayError) -> bytes:
    """The last event of a stream that broke."""
    return sse.event(orjson.dumps(write_error(error)))


def read_error(status: int, body: bytes, *, provider: str, retry_after: int | None) -> GatewayError:
    """What an upstream's error means to our caller."""
    detail = _error_object(body)
    return upstream_error(
        provider,
        status,
        str(detail.get("message") or ""),
        code=detail.get("code"),
        param=detail.get("param"),
        retry_after=retry_after,
    )


def _error_object(body: bytes) -> JSON:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    detail = parsed.get("error", parsed)
    return detail if isinstance(detail, dict) else {"message": str(detail)}
