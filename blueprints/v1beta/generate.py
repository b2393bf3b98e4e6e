"""POST /models/MODEL:generateContent and :streamGenerateContent."""

from __future__ import annotations

from collections.abc import Iterator

from flask import request

from blueprints.api import JSON_TYPE, ApiResponse, parse_object, read_body
from blueprints.relay import relay
from blueprints.v1beta import bp
from gateway.errors import NotFound
from gateway.formats import gemini

METHODS = {"generateContent": False, "streamGenerateContent": True}
"""Served methods: whether they stream."""


@bp.post("/models/<path:target>")
@bp.post("/tunedModels/<path:target>")
def generate(target: str):
    return call_method(target)


def call_method(target: str) -> ApiResponse:
    """Answer `MODEL:method`; a model's id may itself hold colons and slashes."""
    model, _, method = target.rpartition(":")
    if not model or method not in METHODS:
        raise NotFound(
            f"Unknown method: {(method or target)[:100]}. Served are "
            + ", ".join(f"MODEL:{name}" for name in METHODS)
            + "."
        )
    raw = read_body()
    body = gemini.normalise(parse_object(raw))
    gemini.check_request(body)
    is_stream = METHODS[method]
    model = model.removeprefix("models/")
    body |= {"model": model, "stream": is_stream}
    try:
        response = relay(gemini, method, raw, body)
    except NotFound as error:
        raise gemini.model_not_found(error, model, api_version(), method) from None
    if is_stream and request.args.get("alt") != "sse":
        return as_array(response)
    return response


def api_version() -> str:
    """`v1` or `v1beta`, as the caller's path says."""
    return request.path.split("/", 3)[2]


def as_array(response: ApiResponse) -> ApiResponse:
    """The same stream as a JSON array, which is what a call without `alt=sse` asks for."""
    headers = [pair for pair in response.header_list if pair[0] != "Content-Type"]
    headers.append(("Content-Type", JSON_TYPE))
    return ApiResponse(ArrayStream(response.response), response.status_code, headers)


class ArrayStream:
    """Turns SSE events into the elements of an array; closing it closes the stream."""

    def __init__(self, events) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        separator = b"["
        for event in self._events:
            yield separator + event.removeprefix(b"data: ").rstrip(b"\n")
            separator = b"\n,\r\n"
        yield b"[]" if separator == b"[" else b"\n]"

    def close(self) -> None:
        self._events.close()
