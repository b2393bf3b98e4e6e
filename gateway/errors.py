"""Everything that can go wrong with a call, as the caller will see it.

The tree (HTTP status, OpenAI `type`)::

    GatewayError
    |- InvalidRequest        400 invalid_request_error
    |- AuthenticationFailed  401 authentication_error
    |- PermissionDenied      403 permission_error
    |- NotFound              404 not_found_error
    |- MethodNotAllowed      405 invalid_request_error
    |- Conflict              409 invalid_request_error
    |- RequestTooLarge       413 invalid_request_error
    |- LimitExceeded         429 rate_limit_error
    |- InternalError         500 internal_server_error
    `- Unavailable           503 service_unavailable_error

Codes and types are the table of the design; no other status and no other code leaves the API. A
format's `write_error` turns an error into its own wire shape.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """An error with a wire shape. `retry_after` is in seconds.

    `provider` is who had the call when it failed, after so many `attempts`; None where nobody had.
    `extra_headers` go out with the answer.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.provider: str | None = None
        self.attempts = 0
        self.extra_headers: list[tuple[str, str]] = []

    def headers(self) -> list[tuple[str, str]]:
        """The headers that tell an SDK whether and when to try again, and who failed."""
        pairs = [*self.extra_headers]
        if self.retry_after is not None:
            pairs.append(("Retry-After", str(self.retry_after)))
        if self.should_retry is not None:
            pairs.append(("x-should-retry", "true" if self.should_retry else "false"))
        return pairs


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


class AuthenticationFailed(GatewayError):
    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class PermissionDenied(GatewayError):
    status = 403
    type = "permission_error"
    default_code = "api_access_disabled"


class NotFound(GatewayError):
    status = 404
    type = "not_found_error"
    default_code = "unknown_url"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class Conflict(GatewayError):
    status = 409
    type = "invalid_request_error"
    default_code = "idempotency_conflict"


class RequestTooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class LimitExceeded(GatewayError):
    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class InternalError(GatewayError):
    """Our own fault. Says nothing about the inside; the log line with the request id does."""


class Unavailable(GatewayError):
    status = 503
    type = "service_unavailable_error"
    default_code = "provider_unavailable"


class UpstreamFailed(Unavailable):
    """The provider failed. `reason` is for the log and the operator, never for the caller."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        upstream_status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason
        self.upstream_status = upstream_status


def model_not_found(model: str) -> NotFound:
    """The error for a model that does not exist, or that this caller may not know of."""
    return NotFound(
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
        param="model",
    )
