"""What requests, answers and errors of the format share: usage, finish reasons, errors."""

from __future__ import annotations

from typing import Any

import orjson

from gateway import sse
from gateway.errors import GatewayError, InvalidRequest, RequestTooLarge, UpstreamFailed
from gateway.types import (
    JSON,
    FinishReason,
    Usage,
)

DOCUMENTED_CODES = frozenset(
    {
        "missing_required_parameter",
        "invalid_type",
        "invalid_value",
        "empty_array",
        "array_above_max_length",
        "string_above_max_length",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "integer_above_max_value",
        "integer_below_min_value",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "context_length_exceeded",
        "content_policy_violation",
    }
)
"""Codes of an upstream's 400 that are in our own table; any other becomes `invalid_request`."""

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
}


def read_usage(usage: JSON | None) -> Usage | None:
    """A `usage` object, None when there is none worth the name."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
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


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def write_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
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


UNAVAILABLE = "The model provider is temporarily unavailable. Please retry shortly."


def read_error(status: int, body: bytes, *, provider: str, retry_after: int | None) -> GatewayError:
    """What an upstream's error means to our caller.

    Only what the caller can mend stays a 400; everything else, the provider's 401, 403, 404 and
    429 included, is our 503, because it is not the caller's key, right or limit that failed.
    """
    detail = _error_object(body)
    message = str(detail.get("message") or "")[:2000]
    if status == 413:
        return RequestTooLarge(message or "The request is too large for this model.")
    if status in (400, 422):
        code = detail.get("code")
        return InvalidRequest(
            message or "The provider refused the request.",
            code=code if isinstance(code, str) and code in DOCUMENTED_CODES else "invalid_request",
            param=detail["param"] if isinstance(detail.get("param"), str) else None,
        )
    return UpstreamFailed(
        UNAVAILABLE,
        reason=f"{provider} answered {status}: {message[:300]}",
        upstream_status=status,
        retry_after=retry_after or 1,
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
