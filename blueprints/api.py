"""What both API surfaces share: bodies in, errors out, and the headers on every answer."""

from __future__ import annotations

import re
import secrets
import time
from http import HTTPStatus
from typing import Any

import gevent
import orjson
from flask import Blueprint, Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from blueprints.request_log import log_request
from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
)
from gateway.formats import gemini, openai
from gateway.quota import Demand, Standing
from gateway.validation import MAX_NESTING, check_nesting
from models.usage import request_id

PREFIX = "/api/"
BODY_SECONDS = 60
"""How long a client may take to send its body."""
READ_SLICE = 1024 * 1024

EXPOSED = ", ".join(
    (
        "x-request-id",
        "X-RateLimit-Limit-Requests",
        "X-RateLimit-Remaining-Requests",
        "X-RateLimit-Reset-Requests",
        "X-RateLimit-Limit-Tokens",
        "X-RateLimit-Remaining-Tokens",
        "X-RateLimit-Reset-Tokens",
        "Retry-After",
        "x-should-retry",
        "x-gateway-provider",
        "x-gateway-attempts",
        "x-gateway-mode",
        "x-gateway-warnings",
        "x-gateway-cost-usd",
    )
)
CORS = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", EXPOSED)]
"""For requests from a page. No cookies are involved, so any origin may read the answer."""

JSON_TYPE = "application/json"


class ApiRequest(Request):
    """A request with an id of our own; one sent by the client is not trusted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = time.monotonic()
        self.request_id = request_id(time.time(), secrets.token_hex(10))
        self.is_logged = False


class ApiResponse(Response):
    """A finished answer: status, headers and body go to the server as they are.

    Werkzeug's own response would parse and check every header of an answer that nobody changes any
    more; that is a tenth of what a request costs us.
    """

    def __init__(self, body: Any, status: int, headers: list[tuple[str, str]]) -> None:
        self.response = body
        self.status_code = status
        self.header_list = headers

    def __call__(self, environ: dict, start_response: Any) -> Any:
        start_response(STATUS_LINES[self.status_code], self.header_list)
        return self.response

    @property
    def status_code(self) -> int:
        return self._code

    @status_code.setter
    def status_code(self, code: int) -> None:
        self._code = code


STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def whole(body: bytes, status: int, headers: list[tuple[str, str]]) -> ApiResponse:
    """A JSON answer that is complete."""
    headers += [("Content-Type", JSON_TYPE), ("Content-Length", str(len(body)))]
    return ApiResponse([body], status, headers)


# ----------------------------------------------------------------------------- bodies


def read_body() -> bytes:
    """The request's body. Raises `RequestTooLarge` without reading more than the limit allows."""
    environ = request.environ
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise InvalidRequest(
            "Compressed request bodies are not supported. Send the body without Content-Encoding.",
            code="unsupported_encoding",
        )
    limit = current_app.config["CONFIG"].max_body_mb * 1024 * 1024
    declared = environ.get("CONTENT_LENGTH")
    if declared and int(declared) > limit:
        raise _too_large(limit)
    try:
        with gevent.Timeout(BODY_SECONDS):
            return _read(environ, int(declared) if declared else None, limit)
    except gevent.Timeout:
        raise InvalidRequest(
            f"The request body did not arrive within {BODY_SECONDS} s.", code="invalid_request"
        ) from None
    except OSError:
        raise InvalidRequest("The request body broke off.", code="invalid_request") from None


def _read(environ: dict, declared: int | None, limit: int) -> bytes:
    stream = environ["wsgi.input"]
    if declared is not None:
        body = stream.read(declared)
        if len(body) < declared:
            raise OSError("fewer bytes than Content-Length says")
        return body
    if not environ.get("wsgi.input_terminated"):
        return b""
    parts, size = [], 0
    while part := stream.read(READ_SLICE):
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than {limit // 2**20} MiB.")


def parse_object(raw: bytes) -> dict[str, Any]:
    """A body as a JSON object, whatever its Content-Type says. Raises `InvalidRequest`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"We could not parse the JSON body of your request. (HINT: {error})",
            code="invalid_json",
        ) from None
    if type(body) is not dict:
        raise InvalidRequest("The JSON body of the request must be an object.", code="invalid_json")
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTING:
        check_nesting(body)
    return body


# ----------------------------------------------------------------------------- headers


def standing() -> Standing | None:
    """Where the caller stands: as the admission left it, or as it is without one."""
    known = g.get("standing")
    key = g.get("key")
    if known is None and key is not None:
        platform = current_app.extensions["platform"]
        known = platform.quota.peek(Demand(key.key_id, "chat", key.chat_rpm))
    return known


def headers_of(extra: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """The headers that every answer of the API carries, and `extra`."""
    call = request._get_current_object()
    headers = [
        ("x-request-id", call.request_id),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    where = standing()
    if where is not None:
        headers += where.headers()
    if extra:
        headers += extra
    if "HTTP_ORIGIN" in call.environ:
        headers += CORS
    return headers


def json_response(
    value: Any, status: int = 200, extra: list[tuple[str, str]] | None = None
) -> ApiResponse:
    return whole(orjson.dumps(value), status, headers_of(extra))


# ----------------------------------------------------------------------------- errors


def error_response(error: GatewayError) -> ApiResponse:
    """An error in its surface's shape, with what an SDK needs to decide about a retry."""
    return json_response(write_error(error), error.status, error.headers() + allow_header(error))


def allow_header(error: GatewayError) -> list[tuple[str, str]]:
    allowed = getattr(error, "allowed", None)
    return [("Allow", ", ".join(sorted(allowed)))] if allowed else []


def gateway_error(error: Exception) -> GatewayError:
    """Any exception as one of ours. What is not foreseen says nothing about the inside."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, HTTPException):
        return _of_http(error)
    current_app.logger.exception("unhandled exception", extra={"id": request.request_id})
    return InternalError("The server had an error processing your request. Sorry about that!")


def _of_http(error: HTTPException) -> GatewayError:
    if error.code == 404:
        return unknown_url()
    if error.code == 405:
        allowed = getattr(error, "valid_methods", None) or []
        spoken = " or ".join(sorted(set(allowed) - {"OPTIONS", "HEAD"})) or "another method"
        ours = MethodNotAllowed(
            f"Not allowed to {request.method} on {request.path[:200]}. "
            f"(HINT: Perhaps you meant to use a different HTTP method? This URL takes {spoken}.)"
        )
        ours.allowed = allowed  # type: ignore[attr-defined]
        return ours
    if error.code == 413:
        return RequestTooLarge("The request body is too large.")
    return InvalidRequest(error.description or "The request is not valid.", code="invalid_request")


INSTEAD = {
    "responses": "/api/v1/chat/completions (in the AI SDK: openai.chat(model); in n8n: switch "
    '"Use Responses API" off)',
    "completions": "/api/v1/chat/completions",
    "edits": "/api/v1/chat/completions",
    "assistants": "/api/v1/chat/completions",
    "threads": "/api/v1/chat/completions",
    "messages": "/api/v1/chat/completions",
    "images": "/api/v1/images/generations",
    "embeddings": "/api/v1/embeddings",
    "engines": "/api/v1/models",
    "chat": "/api/v1/chat/completions",
}
GOOGLE_INSTEAD = {
    "openai": "/api/v1/chat/completions (base URL /api/v1)",
    **dict.fromkeys(
        ("interactions", "cachedContents", "files", "batches", "tunedModels", "corpora"),
        "/api/v1beta/models/MODEL:generateContent",
    ),
}
"""What to use instead of endpoints that are not served, by the first segment of their path."""


WITHOUT_API = ("/v1/", "/v1beta/")
"""Paths of clients whose base URL lacks `/api`."""


def unknown_url() -> NotFound:
    message = f"Unknown URL: {request.method} {request.path[:200]}."
    if request.path.startswith(WITHOUT_API):
        return NotFound(f"{message} The base URL of this API ends in /api/v1 (Google: /api).")
    segments = request.path.split("/")
    table = GOOGLE_INSTEAD if is_google_call() else INSTEAD
    instead = table.get(segments[3].partition(":")[0]) if len(segments) > 3 else None
    if instead:
        return NotFound(f"{message} This endpoint is not served here; use {instead}.")
    return NotFound(f"{message} See /docs for the endpoints that are served.")


def is_google_call() -> bool:
    """Does this request speak Google's dialect, so that its answer and errors must too?"""
    path = request.path
    if path.startswith("/api/v1beta") or "x-goog-api-client" in request.headers:
        return True
    if not path.startswith("/api/v1/models"):
        return False
    has_google_key = "x-goog-api-key" in request.headers or "key" in request.args
    return has_google_key or (request.method == "POST" and ":" in path)


def write_error(error: GatewayError) -> dict[str, Any]:
    """An error in the shape of the surface that this request speaks to."""
    return (gemini if is_google_call() else openai).write_error(error)


# ----------------------------------------------------------------------------- around each request


def preflight() -> Response | None:
    """Answer a CORS preflight, without a key: it only asks whether it may ask."""
    if request.method != "OPTIONS":
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = (
        request.headers.get("Access-Control-Request-Headers") or "authorization, content-type"
    )
    response.headers["Access-Control-Max-Age"] = "86400"
    response.headers["Vary"] = "Access-Control-Request-Headers"
    response.headers["x-request-id"] = request.request_id
    return response


def protect(blueprint: Blueprint) -> None:
    """Give a surface its errors and its answer to preflights."""
    blueprint.before_request(preflight)
    blueprint.errorhandler(Exception)(lambda error: error_response(gateway_error(error)))


def log_answer(response: Response) -> Response:
    """One log line for every request that did not write its own when it settled."""
    call = request._get_current_object()
    if not call.is_logged:
        key = g.get("key")
        log_request(
            {
                "id": request.request_id,
                "key_id": key.key_id if key else None,
                "method": request.method,
                "endpoint": request.endpoint,
                "path": request.path[:200],
                "status": response.status_code,
                "ms": round((time.monotonic() - request.started) * 1000, 1),
            }
        )
    return response


ALPHA = "/api/v1alpha/"
"""Google's early version, for what is the same in `v1beta`."""
DOUBLED = re.compile(r"^/api/v1(?:beta|alpha)?/(v1(?:beta|alpha)?)/")
"""A base URL that ends in a version, and the version that the SDK puts behind it."""


def clean_path(app: Flask) -> None:
    """Accept the doubled slashes, trailing slashes and doubled versions that naive clients send."""
    inner = app.wsgi_app

    def wsgi_app(environ: dict, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith(PREFIX) and (
            "//" in path or path[-1] == "/" or path.startswith(ALPHA) or path.find("/v1", 7) > 0
        ):
            while "//" in path:
                path = path.replace("//", "/")
            path = DOUBLED.sub(r"/api/\1/", path).rstrip("/")
            environ["PATH_INFO"] = path.replace(ALPHA, "/api/v1beta/", 1)
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
