"""countTokens, in both forms of its request (reference/gemini-wire.md section 9)."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

import orjson

from gateway.errors import InvalidRequest
from gateway.formats.gemini.checks import check_request
from gateway.formats.gemini.spelling import camel, normalise
from gateway.types import JSON, ChatRequest, Media, ToolResult
from gateway.validation import Problem, check_nesting, wrong_type

WHOLE = "generateContentRequest"
MODALITIES = {"image": "IMAGE", "audio": "AUDIO", "video": "VIDEO", "file": "DOCUMENT"}


def read_body(body: JSON) -> JSON:
    """The generateContent body whose tokens are asked for, normalised and checked.

    Raises `InvalidRequest` for a body that has neither form, or both.
    """
    check_nesting(body)
    outer = camel(body)
    if outer.get(WHOLE) is None:
        inner = normalise({"contents": outer.get("contents")})
        _check(inner)
        return inner
    if outer.get("contents"):
        raise InvalidRequest(
            f"Only one of contents and {WHOLE} can be set.", code="invalid_value", param="contents"
        )
    if not isinstance(outer[WHOLE], dict):
        raise wrong_type("an object", outer[WHOLE]).within(WHOLE).error()
    inner = normalise(outer[WHOLE])
    _check(inner, WHOLE)
    return inner


def _check(inner: JSON, *where: str) -> None:
    try:
        check_request(inner)
    except InvalidRequest as error:
        if where and error.param:
            raise Problem(error.code, error.message, *where, error.param).error() from None
        raise


def path_of(path: str, upstream_model: str) -> str:
    return path.format(model=quote(upstream_model, safe=""))


def write_request(inner: JSON, upstream_model: str) -> JSON:
    """The body for Google, in the form that can hold everything."""
    wire = {name: value for name, value in inner.items() if name != "stream"}
    return {WHOLE: {**wire, "model": f"models/{upstream_model}"}}


def read_count(answer: bytes) -> int:
    """Google's count. Raises `ValueError` and its like for garbage."""
    return int(orjson.loads(answer).get("totalTokens", 0))


def write_response(total: int, media: dict[str, int] | None = None) -> JSON:
    """The answer; `media` are tokens by kind of `Media`, part of the total."""
    found = {MODALITIES[kind]: tokens for kind, tokens in (media or {}).items() if tokens}
    details: dict[str, Any] = {"TEXT": total - sum(found.values()), **found}
    return {
        "totalTokens": total,
        "promptTokensDetails": [
            {"modality": modality, "tokenCount": tokens}
            for modality, tokens in details.items()
            if tokens or modality == "TEXT"
        ],
    }


def media_in(request: ChatRequest) -> dict[str, int]:
    """How many pictures, sounds, films and documents a request holds."""
    parts = [part for message in request.messages for part in message.parts]
    nested = [inner for part in parts if isinstance(part, ToolResult) for inner in part.content]
    return Counter(part.kind for part in [*parts, *nested] if isinstance(part, Media))
