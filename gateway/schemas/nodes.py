"""What a JSON Schema is made of: which keywords hold schemas, and how to read a node.

Schemas come from callers, so every reader here takes any JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.types import JSON

CHILD = frozenset(
    [
        "items",
        "additionalItems",
        "additionalProperties",
        "propertyNames",
        "contains",
        "unevaluatedItems",
        "unevaluatedProperties",
        "not",
        "if",
        "then",
        "else",
    ]
)
"""Keywords whose value is a schema (`items` may also be a list of them, as in draft 7)."""
CHILDREN = frozenset(["anyOf", "oneOf", "allOf", "prefixItems", "items"])
HOMES = frozenset(["$defs", "definitions"])
NAMED = frozenset(["properties", "patternProperties", "dependentSchemas"]) | HOMES
"""Keywords whose value maps names of the caller's own to schemas."""
BOOKKEEPING = HOMES | {
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "$comment",
    "deprecated",
    "readOnly",
    "writeOnly",
}
"""What says nothing about the values themselves: left out without a word."""
ANNOTATIONS = BOOKKEEPING | {"title", "description", "default", "examples"}

OWN_WORDS: Mapping[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties", "propertyOrdering"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
}
"""Keywords that upstreams refuse beside another type."""


def as_dict(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def identity(value: Any) -> str:
    """Text that is the same for equal values only (`1` and `true` are not)."""
    return json.dumps(value, sort_keys=True)


def distinct(values: Iterable[Any]) -> list[Any]:
    return list({identity(value): value for value in values}.values())


def types_of(schema: JSON) -> list[str]:
    value = schema.get("type")
    return [kind for kind in as_list(value) or [value] if isinstance(kind, str)]


def may_be(kind: str, schema: JSON) -> bool:
    types = types_of(schema)
    return not types or kind in types


def is_object(schema: JSON) -> bool:
    """Is the schema about objects, by its type or, without one, by its keywords?"""
    types = types_of(schema)
    return "object" in types if types else "properties" in schema or "required" in schema


def required_of(schema: JSON) -> list[str]:
    names = as_list(schema.get("required"))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def of_one_mind(schema: JSON) -> JSON:
    """The schema with the type that its keywords imply, without keywords that its type lacks."""
    said = dict(schema)
    if not types_of(schema) and ("properties" in schema or required_of(schema)):
        said["type"] = "object"
    elif not types_of(schema) and ("items" in schema or "prefixItems" in schema):
        said["type"] = "array"
    foreign = {
        word for kind, words in OWN_WORDS.items() if not may_be(kind, said) for word in words
    }
    return {key: value for key, value in said.items() if key not in foreign}


def is_plain_reference(schema: Any) -> bool:
    """A `$ref` that says nothing else of its own."""
    if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
        return False
    return not schema.keys() - BOOKKEEPING - {"$ref"}


def with_null(schema: JSON) -> JSON:
    """The schema that also takes null."""
    if "$ref" in schema or "allOf" in schema:
        inner = {key: value for key, value in schema.items() if key not in HOMES}
        homes = {key: value for key, value in schema.items() if key in HOMES}
        return {"anyOf": [inner, {"type": "null"}], **homes}
    said = dict(schema)
    types = types_of(schema)
    if types and "null" not in types:
        said["type"] = [*types, "null"]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        said["enum"] = [*schema["enum"], None]
    for keyword in ("anyOf", "oneOf"):
        union = schema.get(keyword)
        if isinstance(union, list) and {"type": "null"} not in union:
            said[keyword] = [*union, {"type": "null"}]
    return said


# ----------------------------------------------------------------------------- walks


def over_children(schema: JSON, change: Callable[[Any], Any]) -> JSON:
    """The schema with `change` made to each schema directly in it; names and data stay."""
    return {key: _over(key, value, change) for key, value in schema.items()}


def _over(keyword: str, value: Any, change: Callable[[Any], Any]) -> Any:
    if keyword in NAMED and isinstance(value, dict):
        return {name: change(own) for name, own in value.items()}
    if keyword in CHILDREN and isinstance(value, list):
        return [change(own) for own in value]
    return change(value) if keyword in CHILD else value


def children(schema: JSON) -> Iterator[tuple[str, Any]]:
    """Each schema directly in this one, with the keyword that holds it."""
    for keyword, value in schema.items():
        if keyword in NAMED and isinstance(value, dict):
            yield from ((keyword, own) for own in value.values())
        elif keyword in CHILDREN and isinstance(value, list):
            yield from ((keyword, own) for own in value)
        elif keyword in CHILD:
            yield keyword, value


def nodes(schema: Any) -> Iterator[tuple[JSON, int]]:
    """Every schema object in a schema, itself included, with the number of objects around it."""
    waiting = [(schema, 0)]
    while waiting:
        node, level = waiting.pop()
        if isinstance(node, dict):
            yield node, level
            waiting += [(own, level + (key == "properties")) for key, own in children(node)]
