"""POST /models/MODEL:METHOD, and generateContent whole and streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import request

from blueprints.api import JSON_TYPE, ApiResponse, parse_object, read_body, unknown_url
from blueprints.relay import relay
from blueprints.v1beta import bp
from blueprints.v1beta.count import count_tokens
from blueprints.v1beta.embed import embed
from gateway import sse
from gateway.errors import NotFound
from gateway.formats import gemini


@bp.post("/models/<path:target>")
@bp.post("/tunedModels/<path:target>")
def generate(target: str):
    return call_method(target)


@bp.post("/<path:target>")
def generate_unprefixed(target: str):
    """The oldest Google SDK leaves `models/` out before an id with a slash in it."""
    if target.rpartition(":")[2] not in METHODS:
        raise unknown_url()
    return call_method(target)


def call_method(target: str) -> ApiResponse:
    """Answer `MODEL:method`; a model's id may itself hold colons and slashes."""
    model, _, method = target.rpartition(":")
    answer = METHODS.get(method)
    if not model or answer is None:
        fault = f"Unknown method: {method[:100]}" if model else "The path names no method"
        raise NotFound(
            f"{fault}. Served are " + ", ".join(f"MODEL:{name}" for name in METHODS) + "."
        )
    model = model.removeprefix("models/")
    try:
        return answer(model, method)
    except NotFound as error:
        raise gemini.model_not_found(error, model, api_version(), method) from None


def generate_content(model: str, method: str) -> ApiResponse:
    raw = read_body()
    body = gemini.normalise(parse_object(raw))
    gemini.check_request(body)
    is_stream = method == "streamGenerateContent"
    body |= {"model": model, "stream": is_stream, "joinsCalls": joins_calls()}
    response = relay(gemini, method, raw, body)
    if is_stream and request.args.get("alt") != "sse":
        return as_array(response)
    return response


def joins_calls() -> bool:
    """Does the caller's SDK look for tool calls in the last chunk of a stream only?

    Majors 1 and 2 of Google's Gen AI SDKs do; the one before them takes a single call a chunk.
    """
    client = request.headers.get("x-goog-api-client", "")
    return client.startswith(("google-genai-sdk/1.", "google-genai-sdk/2."))


METHODS: dict[str, Callable[[str, str], ApiResponse]] = {
    "generateContent": generate_content,
    "streamGenerateContent": generate_content,
    "countTokens": count_tokens,
    "embedContent": embed,
    "batchEmbedContents": embed,
}
"""Who answers each served method, called with the model and the method."""


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
        for events in self._events:
            for event in events.split(b"\n\n"):
                if data := sse.data_of(event):
                    yield separator + data
                    separator = b"\n,\r\n"
        yield b"[]" if separator == b"[" else b"\n]"

    def close(self) -> None:
        self._events.close()
