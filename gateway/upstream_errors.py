"""What an upstream's error means to our caller, whatever format it came in.

Only what the caller can mend stays a 400. Everything else, the provider's 401, 402, 403, 404 and
429 included, is our 503, because it is not the caller's key, right or limit that failed
(reference/translation.md 9.9, with the codes of the design).
"""

from __future__ import annotations

import re

from gateway.errors import GatewayError, InvalidRequest, RequestTooLarge, UpstreamFailed

UNAVAILABLE = "The model provider is temporarily unavailable. Please retry shortly."
MAX_MESSAGE = 2000
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
CODES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"maximum context length|prompt is too long|input token count.*exceeds|"
            r"exceeds the available context size|exceed_context_size",
            re.IGNORECASE | re.DOTALL,
        ),
        "context_length_exceeded",
    ),
    (
        re.compile(r"content policy|content management policy|moderation_blocked", re.IGNORECASE),
        "content_policy_violation",
    ),
)
"""What a 400 is about where its provider has no code for it."""
ACCOUNT = re.compile(
    r"credit balance is too low|spend limit|reached your (specified )?API usage limits|"
    r"usage limits?\b.*(reached|specified)|billing|"
    r"api[ _]key not valid|API_KEY_INVALID|api key expired|location is not supported",
    re.IGNORECASE,
)
"""A 400 that is about the operator's account at the provider."""


def upstream_error(
    provider: str,
    status: int,
    message: str,
    *,
    code: object = None,
    param: object = None,
    retry_after: int | None = None,
) -> GatewayError:
    """The error for our caller. `code` and `param` are the upstream's own, if it said any."""
    message = message[:MAX_MESSAGE]
    if status == 413:
        return RequestTooLarge(message or "The request is too large for this model.")
    if status in (400, 422) and not ACCOUNT.search(message):
        return InvalidRequest(
            message or "The provider refused the request.",
            code=_code(code, message),
            param=param if isinstance(param, str) else None,
        )
    return UpstreamFailed(
        UNAVAILABLE,
        reason=f"{provider} answered {status}: {message[:300]}",
        upstream_status=status,
        retry_after=retry_after or 1,
    )


def _code(code: object, message: str) -> str:
    if isinstance(code, str) and code in DOCUMENTED_CODES:
        return code
    return next((ours for words, ours in CODES if words.search(message)), "invalid_request")
