"""What requests, answers and errors of the format share: usage, finish reasons, errors."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from gateway import sse
from gateway.errors import GatewayError, NotFound
from gateway.types import JSON, FinishReason, Usage
from gateway.upstream_errors import upstream_error

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
REASONS = {
    "invalid_api_key": "API_KEY_INVALID",
    "missing_api_key": "API_KEY_INVALID",
    "expired_api_key": "API_KEY_INVALID",
    "revoked_api_key": "API_KEY_INVALID",
    "rate_limit_exceeded": "RATE_LIMIT_EXCEEDED",
}


def write_error(error: GatewayError) -> JSON:
    """Google's error body; `details` carry the reason, the field and when to come back."""
    reason = REASONS.get(error.code, error.code.upper())
    details: list[JSON] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": {"code": error.code},
        }
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append(
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        )
    if error.retry_after is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{error.retry_after}s",
            }
        )
    return {
        "error": {
            "code": error.status,
            "message": error.message,
            "status": STATUSES[error.status],
            "details": details,
        }
    }


def model_not_found(error: NotFound, model: str, version: str, method: str) -> NotFound:
    """The same error in Google's words, which clients look for, ours in the middle."""
    return NotFound(
        f"models/{model[:200]} is not found for API version {version}, or is not supported for "
        f"{method}. {error.message} "
        "Call ListModels to see the list of available models and their supported methods.",
        code=error.code,
        param=error.param,
    )


def read_error(status: int, body: bytes, *, provider: str, retry_after: int | None) -> GatewayError:
    """What Gemini's error means to our caller."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = {}
    answer = answer[0] if isinstance(answer, list) and answer else answer
    detail = answer.get("error") if isinstance(answer, dict) else None
    detail = detail if isinstance(detail, dict) else {}
    return upstream_error(
        provider,
        status,
        str(detail.get("message") or ""),
        retry_after=retry_after or _retry_delay(detail.get("details")),
    )


def _retry_delay(details: Any) -> int | None:
    """Whole seconds of a RetryInfo, which Google sends instead of a header."""
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (found := re.fullmatch(r"(\d{1,6})(?:\.\d+)?s", delay)):
            return max(1, min(60, int(found[1])))
    return None


def error_event(error: GatewayError) -> bytes:
    return sse.event(ascii_json(write_error(error)))


FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
    "other": "STOP",
}


def ascii_json(value: Any) -> bytes:
    """JSON in ASCII: older SDKs split their lines at U+2028 and its like."""
    data = orjson.dumps(value)
    return data if data.isascii() else json.dumps(value, separators=(",", ":")).encode()


def read_usage(usage: Any) -> Usage | None:
    """`usageMetadata`, None when there is none. Thoughts are part of our output tokens."""
    if not isinstance(usage, dict) or "promptTokenCount" not in usage:
        return None

    def count(name: str) -> int:
        value = usage.get(name)
        return max(0, int(value)) if isinstance(value, int | float) else 0

    thoughts = count("thoughtsTokenCount")
    return Usage(
        input_tokens=count("promptTokenCount") + count("toolUsePromptTokenCount"),
        output_tokens=count("candidatesTokenCount") + thoughts,
        cached_tokens=count("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def write_usage(usage: Usage) -> JSON:
    wire = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.reasoning_tokens:
        wire["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        wire["cachedContentTokenCount"] = usage.cached_tokens
    return wire
