"""OpenAI's embeddings <-> `EmbeddingRequest` and `Embeddings`, as surface and as upstream.

Facts: reference/openai-wire.md section 7. Both SDKs ask for base64 unless told otherwise and one of
them believes what it asked for, so that the answer always has the asked encoding.
"""

from __future__ import annotations

import base64
import binascii
import sys
from array import array as numeric_array
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.embeddings import EmbeddingRequest, Embeddings, numbers
from gateway.formats.openai.wire import read_error, write_error
from gateway.losses import Losses
from gateway.metering import Meter
from gateway.types import JSON, Usage
from gateway.validation import (
    Problem,
    Rule,
    array,
    check_fields,
    integer,
    one_of,
    string,
    wrong_type,
)

NAME = "openai"
MAX_INPUTS = 2048
MAX_BATCH = MAX_INPUTS
"""Inputs that one request to an upstream may hold."""
EXPECTED = "a string, an array of strings, an array of integers, or an array of arrays of integers"
TEXT = string(allow_empty=False)
TOKENS = array(integer(0), of="integers", minimum=1)


def _tokens(value: Any) -> None:
    """A token list; they are long, so a good one is seen at C speed."""
    is_good = type(value) is list and set(map(type, value)) == {int} and min(value) >= 0
    if not is_good:
        TOKENS(value)


LISTS: Mapping[type, Rule] = {
    str: array(TEXT, of="strings", minimum=1, maximum=MAX_INPUTS),
    list: array(_tokens, of="arrays of integers", minimum=1, maximum=MAX_INPUTS),
    int: _tokens,
}
"""What a list is, by its first item."""


def _input(value: Any) -> None:
    if type(value) is str:
        TEXT(value)
        return
    if type(value) is not list:
        raise wrong_type(EXPECTED, value)
    rule = LISTS.get(type(value[0]) if value else str)
    if rule is None:
        raise wrong_type("a string or an array of integers", value[0]).within(0)
    rule(value)


FIELDS: dict[str, Rule] = {
    "model": string(allow_empty=False, max_length=256),
    "input": _input,
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1),
    "user": string(),
}


def check_request(body: JSON) -> None:
    """Raise the `InvalidRequest` that OpenAI would answer this body with."""
    try:
        if body.get("model") is None:
            raise Problem(
                "missing_required_parameter", "you must provide a model parameter", "model"
            )
        check_fields(body, FIELDS, ("input",))
    except Problem as problem:
        raise problem.error() from None


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in FIELDS]


# ----------------------------------------------------------------------------- the surface


def read_request(body: JSON) -> EmbeddingRequest:
    """A checked body; what only this format can say stays in `extra`."""
    given = body["input"]
    is_one = isinstance(given, str) or isinstance(given[0], int)
    return EmbeddingRequest(
        model=body["model"],
        inputs=[given] if is_one else given,
        dimensions=body.get("dimensions"),
        user=body.get("user"),
        extra={NAME: _extra(body)},
        names={"inputs": "input"},
    )


def _extra(body: JSON) -> JSON:
    return {name: body[name] for name in unknown_fields(body) if body[name] is not None}


def write_response(embeddings: Embeddings, body: JSON, usage: Usage) -> JSON:
    """The answer in the encoding that `body` asks for."""
    write = _base64 if body.get("encoding_format") == "base64" else list
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(embeddings.vectors)
        ],
        "model": embeddings.model or body["model"],
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }


def _base64(vector: Sequence[float]) -> str:
    """Little-endian float32."""
    return base64.b64encode(_swapped(numeric_array("f", vector)).tobytes()).decode()


def _swapped(floats: numeric_array[float]) -> numeric_array[float]:
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


# ----------------------------------------------------------------------------- the upstream


def patch_request(
    raw: bytes, body: JSON, upstream_model: str, defaults: Mapping[str, Any]
) -> bytes:
    """The caller's own body for an upstream that keeps every rule, with its model's name."""
    if body["model"] == upstream_model and not defaults:
        return raw
    return orjson.dumps({**defaults, **body, "model": upstream_model})


def meter_response(answer: bytes, body: JSON, meter: Meter) -> None:
    """Read usage off an answer that passes through. Raises `ValueError` if it is not one."""
    parsed = orjson.loads(answer)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("data"), list):
        raise ValueError("not a list of embeddings")
    meter.usage = _read_usage(parsed.get("usage"))
    meter.upstream_model = parsed.get("model")


def path_of(path: str, upstream_model: str, body: JSON | None = None) -> str:
    """The model's name is in the body."""
    return path


def write_request(
    request: EmbeddingRequest, upstream_model: str, losses: Losses, defaults: Mapping[str, Any]
) -> JSON:
    """The body for a compatible upstream, which may send numbers or base64 as it likes."""
    for name in request.foreign(NAME):
        losses.drop(name)
    wire: JSON = {
        **defaults,
        **request.extra.get(NAME, {}),
        "model": upstream_model,
        "input": list(request.inputs),
    }
    if request.dimensions is not None:
        wire["dimensions"] = request.dimensions
    if request.user is not None:
        wire["user"] = request.user
    return wire


def read_response(answer: bytes) -> Embeddings:
    """An upstream's answer in either encoding. Raises `ValueError` and its like for garbage."""
    parsed = orjson.loads(answer)
    items = parsed["data"]
    if all(isinstance(item.get("index"), int) for item in items):
        items = sorted(items, key=lambda item: item["index"])
    vectors = [_read_vector(item["embedding"]) for item in items]
    model = parsed.get("model")
    return Embeddings(
        vectors,
        _read_usage(parsed.get("usage")),
        model if isinstance(model, str) and model else None,
    )


def _read_vector(value: Any) -> Sequence[float]:
    if not isinstance(value, str):
        return numbers(value)
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"an embedding is not base64: {error}") from None
    floats = numeric_array("f")
    floats.frombytes(data)
    if not floats:
        raise ValueError("an embedding is empty")
    return _swapped(floats)


def _read_usage(usage: Any) -> Usage | None:
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return Usage(input_tokens=max(0, tokens)) if isinstance(tokens, int) else None


__all__ = [
    "MAX_BATCH",
    "NAME",
    "check_request",
    "meter_response",
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
