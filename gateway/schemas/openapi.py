"""T2: JSON Schema for the OpenAPI subset of Gemini's `parameters` and `responseSchema`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.schemas.nodes import as_list, over_children, with_null
from gateway.types import JSON

GEMINI_ONLY = frozenset(["propertyOrdering", "nullable", "example"])
RENAMED: Mapping[str, str] = {"defs": "$defs", "ref": "$ref"}
TYPES = ("", "string", "number", "integer", "boolean", "array", "object", "null")
"""Types by the integers that the oldest Google SDK sends for them."""
NUMBERS = frozenset(
    [
        *("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"),
        *("minimum", "maximum"),
    ]
)


def from_gemini(schema: Any) -> Any:
    """JSON Schema for one of Gemini's schemas in camelCase; plain JSON Schema stays what it is."""
    if not isinstance(schema, dict):
        return schema
    plain = {
        RENAMED.get(key, key): _value(RENAMED.get(key, key), value)
        for key, value in schema.items()
        if key not in GEMINI_ONLY
    }
    plain = over_children(plain, from_gemini)
    if plain.get("type") == "":
        del plain["type"]
    if plain.get("format") == "enum":
        del plain["format"]
    if isinstance(plain.get("properties"), dict):
        plain["properties"] = _ordered(plain["properties"], schema.get("propertyOrdering"))
    return with_null(plain) if schema.get("nullable") is True else plain


def _value(keyword: str, value: Any) -> Any:
    """The value of one keyword, the schemas in it still untouched."""
    if keyword == "type":
        return [_type(own) for own in value] if isinstance(value, list) else _type(value)
    if keyword == "$ref" and isinstance(value, str):
        return re.sub(r"^#/defs/", "#/$defs/", value)
    return _number(value) if keyword in NUMBERS and isinstance(value, str) else value


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return "" if value.upper() == "TYPE_UNSPECIFIED" else value.lower()
    is_known = type(value) is int and 0 <= value < len(TYPES)
    return TYPES[value] if is_known else value


def _number(text: str) -> Any:
    """A number that came as text, as 64-bit integers do in Google's JSON."""
    if re.fullmatch(r"-?[0-9]{1,20}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,20}\.[0-9]{1,20}", text) else text


def _ordered(properties: JSON, order: Any) -> JSON:
    first = [name for name in as_list(order) if isinstance(name, str) and name in properties]
    return {name: properties[name] for name in dict.fromkeys([*first, *properties])}
