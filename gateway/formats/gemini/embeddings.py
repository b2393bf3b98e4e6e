"""embedContent and batchEmbedContents <-> `EmbeddingRequest` and `Embeddings`.

Facts: reference/gemini-wire.md section 9. A body is a batch where it holds `requests`; the model is
in the path, and what a body says of it is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from gateway.embeddings import EmbeddingRequest, Embeddings, numbers
from gateway.errors import InvalidRequest
from gateway.formats.gemini.checks import CONTENT
from gateway.formats.gemini.spelling import camel
from gateway.formats.gemini.wire import read_error, write_error
from gateway.losses import Losses
from gateway.metering import Meter
from gateway.types import JSON, Usage
from gateway.validation import (
    Problem,
    Rule,
    anything,
    array,
    check_fields,
    check_nesting,
    integer,
    obj,
    string,
)

NAME = "gemini"
MAX_REQUESTS = 2048
MAX_BATCH = 100
"""Requests that Google takes at once; a caller of the other surface may send more."""
BATCH = "batchEmbedContents"
METHODS = ("embedContent", BATCH)


def normalise(body: JSON, method: str) -> JSON:
    """A body in camelCase with contents spelled out. Raises `InvalidRequest` for too deep a one."""
    check_nesting(body)
    wire: JSON = camel(body)
    if method == BATCH:
        requests = wire.get("requests")
        wire["requests"] = (
            [_spelled(item) for item in requests] if isinstance(requests, list) else requests
        )
        return wire
    wire.pop("requests", None)
    spelled: JSON = _spelled(wire)
    return spelled


def _spelled(item: Any) -> Any:
    """A request whose content is an object with a list of parts, as it may stand for one."""
    if not isinstance(item, dict):
        return item
    content = item.get("content")
    if isinstance(content, str):
        return {**item, "content": {"parts": [{"text": content}]}}
    if isinstance(content, dict) and isinstance(content.get("parts"), dict):
        return {**item, "content": {**content, "parts": [content["parts"]]}}
    return item


# ----------------------------------------------------------------------------- checks


def _content(value: Any) -> None:
    CONTENT(value)
    check_fields(value, {"parts": array(anything, of="objects", minimum=1)}, ("parts",))


OPTIONS: dict[str, Rule] = {
    "taskType": string(),
    "title": string(),
    "outputDimensionality": integer(1),
}
EMBED_FIELDS: dict[str, Rule] = {
    "model": anything,
    "content": _content,
    "embedContentConfig": obj(OPTIONS),
    **OPTIONS,
}
REQUESTS = array(
    obj(EMBED_FIELDS, required=("content",)), of="objects", minimum=1, maximum=MAX_REQUESTS
)


def check_request(body: JSON) -> None:
    """Raise `InvalidRequest` for a normalised body that neither method can mean."""
    is_batch = "requests" in body
    fields = {"requests": REQUESTS} if is_batch else EMBED_FIELDS
    try:
        check_fields(body, fields, ("requests",) if is_batch else ("content",))
    except Problem as problem:
        raise problem.error() from None


def unknown_fields(body: JSON) -> list[str]:
    """Names without a meaning. `stream` is the relay's own."""
    known = {*EMBED_FIELDS, "requests", "stream"}
    return [name for one in (body, *body.get("requests", ())) for name in one if name not in known]


# ----------------------------------------------------------------------------- the surface


def read_request(body: JSON) -> EmbeddingRequest:
    """A checked body for a model that is not Google's; its options go to `extra`.

    Raises `InvalidRequest` for contents that are not text, and for a batch with several lengths.
    """
    requests = body.get("requests", [body])
    return EmbeddingRequest(
        model=body["model"],
        inputs=[_text(one, place) for one, place in zip(requests, _places(body), strict=True)],
        dimensions=_dimensions([_option(one, "outputDimensionality") for one in requests]),
        extra={NAME: _extra(requests)},
        names={
            "inputs": "requests" if "requests" in body else "content",
            "dimensions": "outputDimensionality",
        },
    )


def _places(body: JSON) -> Iterator[str]:
    if "requests" not in body:
        yield "content"
        return
    for index in range(len(body["requests"])):
        yield f"requests[{index}].content"


def _text(request: JSON, where: str) -> str:
    texts = [part.get("text") for part in request["content"]["parts"]]
    if None in texts:
        raise InvalidRequest(
            "This model embeds text only.", code="unsupported_value", param=f"{where}.parts"
        )
    text = "\n".join(texts)
    if not text:
        raise InvalidRequest(f"Invalid '{where}': empty text.", param=where)
    return text


def _option(request: JSON, name: str) -> Any:
    """An option in its new place or its old one."""
    nested = (request.get("embedContentConfig") or {}).get(name)
    return request.get(name) if nested is None else nested


def _dimensions(given: list[int | None]) -> int | None:
    if len(set(given)) > 1:
        raise InvalidRequest(
            "This model takes one outputDimensionality for all requests of a batch.",
            code="unsupported_value",
            param="outputDimensionality",
        )
    return given[0]


def _extra(requests: Iterable[JSON]) -> JSON:
    return {
        name: value
        for one in requests
        for name in ("taskType", "title")
        if (value := _option(one, name)) not in (None, "", "TASK_TYPE_UNSPECIFIED")
    }


def write_response(embeddings: Embeddings, body: JSON, usage: Usage) -> JSON:
    """The answer in the shape of the method that `body` is for."""
    written = [{"values": list(vector)} for vector in embeddings.vectors]
    if "requests" not in body:
        return {"embedding": written[0]}
    return {"embeddings": written, "usageMetadata": {"promptTokenCount": usage.input_tokens}}


# ----------------------------------------------------------------------------- the upstream


def path_of(path: str, upstream_model: str, body: JSON | None = None) -> str:
    """`path` for the caller's own body, or for a body of ours, which is always a batch."""
    is_batch = body is None or "requests" in body
    return path.format(
        model=quote(upstream_model, safe=""), method=BATCH if is_batch else "embedContent"
    )


def patch_request(
    raw: bytes, body: JSON, upstream_model: str, defaults: Mapping[str, Any]
) -> bytes:
    """The caller's own body for Google, with its model's name wherever one can stand."""
    name = {"model": f"models/{upstream_model}"}
    wire = {key: value for key, value in body.items() if key not in ("model", "stream")}
    if "requests" in wire:
        wire["requests"] = [{**defaults, **one, **name} for one in wire["requests"]]
    else:
        wire = {**defaults, **wire, **name}
    return orjson.dumps(wire)


def meter_response(answer: bytes, body: JSON, meter: Meter) -> None:
    """Read usage off an answer that passes through. Raises `ValueError` if it is not one."""
    parsed = orjson.loads(answer)
    field = "embeddings" if "requests" in body else "embedding"
    if not isinstance(parsed, dict) or not parsed.get(field):
        raise ValueError("an answer without embeddings")
    meter.usage = _read_usage(parsed)


def write_request(
    request: EmbeddingRequest, upstream_model: str, losses: Losses, defaults: Mapping[str, Any]
) -> JSON:
    """A batch for Google. Raises `InvalidRequest` for token lists: only a model knows its own."""
    name = request.name("inputs")
    if not all(isinstance(item, str) for item in request.inputs):
        raise InvalidRequest(
            f"Unsupported value: '{name}' does not support tokens with this model. Send text.",
            code="unsupported_value",
            param=name,
        )
    for lost in (*request.foreign(NAME), *(("user",) if request.user is not None else ())):
        losses.drop(lost)
    options: JSON = {**defaults, "model": f"models/{upstream_model}"}
    if request.dimensions is not None:
        options["outputDimensionality"] = request.dimensions
    return {"requests": [{**options, "content": {"parts": [{"text": t}]}} for t in request.inputs]}


def read_response(answer: bytes) -> Embeddings:
    """The vectors of a batch. Raises `ValueError` and its like for garbage."""
    parsed = orjson.loads(answer)
    vectors = [numbers(item["values"]) for item in parsed["embeddings"]]
    return Embeddings(list(vectors), _read_usage(parsed))


def _read_usage(answer: JSON) -> Usage | None:
    metadata = answer.get("usageMetadata")
    tokens = metadata.get("promptTokenCount") if isinstance(metadata, dict) else None
    return Usage(input_tokens=max(0, tokens)) if isinstance(tokens, int) else None


__all__ = [
    "MAX_BATCH",
    "NAME",
    "check_request",
    "meter_response",
    "normalise",
    "patch_request",
    "path_of",
    "read_error",
    "read_request",
    "read_response",
    "unknown_fields",
    "write_error",
    "write_request",
    "write_response",
]
