"""One spelling for requests: camelCase keys, standard base64, lists where one was sent.

The Python SDK mixes snake_case into camelCase; user data is never renamed (gemini-wire.md 5).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.types import JSON
from gateway.validation import Problem, check_nesting

USER_DATA = frozenset(
    {
        "args",
        "response",
        "parametersJsonSchema",
        "responseJsonSchema",
        "labels",
        "partMetadata",
        "default",
        "example",
        "const",
    }
)
"""Keys whose values belong to the caller: nothing inside them is renamed."""
SCHEMA_MAPS = frozenset({"properties", "defs", "$defs"})
"""Keys whose value maps names of the caller's own to schemas."""
ALIASES = {"_responseJsonSchema": "responseJsonSchema"}


def camel(value: Any) -> Any:
    """The same JSON with camelCase keys, except inside user data."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, inner in value.items():
        name = _camel_key(key)
        if name in USER_DATA:
            renamed[name] = inner
        elif name in SCHEMA_MAPS and isinstance(inner, dict):
            renamed[name] = {own: camel(schema) for own, schema in inner.items()}
        else:
            renamed[name] = camel(inner)
    return renamed


def _camel_key(key: str) -> str:
    key = ALIASES.get(key, key)
    head, *rest = key.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest) if head else key


def standard_base64(text: str) -> str:
    """Standard base64 of what may be URL-safe or unpadded. Raises `Problem`."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid_value", "Invalid value at '{path}': not valid base64.") from None
    return padded


def normalise(body: JSON) -> JSON:
    """A body with one spelling: camelCase keys, lists where a single object was sent.

    Raises `InvalidRequest` for one that nests too deep.
    """
    check_nesting(body)
    wire: JSON = camel(body)
    if isinstance(wire.get("contents"), dict | str):
        wire["contents"] = [wire["contents"]]
    contents = wire.get("contents")
    if isinstance(contents, list):
        wire["contents"] = [_content(item) for item in contents]
    if wire.get("systemInstruction") is not None:
        wire["systemInstruction"] = _content(wire["systemInstruction"])
    if isinstance(wire.get("tools"), dict):
        wire["tools"] = [wire["tools"]]
    return wire


def _content(item: Any) -> Any:
    if isinstance(item, str):
        return {"parts": [{"text": item}]}
    if isinstance(item, dict) and isinstance(item.get("parts"), dict):
        return {**item, "parts": [item["parts"]]}
    return item
