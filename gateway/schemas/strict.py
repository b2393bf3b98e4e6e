"""OpenAI's `strict`: may a schema have it, and what brings one of Gemini's closer (T3)."""

from __future__ import annotations

from typing import Any

from gateway.schemas.documents import Document, pointer_of
from gateway.schemas.nodes import (
    HOMES,
    as_dict,
    as_list,
    children,
    is_object,
    nodes,
    over_children,
    required_of,
    types_of,
)
from gateway.types import JSON

MAX_PROPERTIES = 5_000
MAX_LEVELS = 10
"""OpenAI's limits for one strict schema (from its documentation, not verified)."""
WORDS = frozenset(
    [
        *("$defs", "definitions", "$ref", "$schema", "title", "description", "type"),
        *("properties", "required", "additionalProperties", "anyOf", "enum", "const"),
        *("items", "minItems", "maxItems", "pattern", "format", "multipleOf"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    ]
)
"""The keywords that OpenAI knows here. Its own SDKs send `title` and `$schema`."""
FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
PARTS = ("anyOf", "oneOf", "allOf")
LEFT_ALONE = ("allOf", "not", "if", "then", "else")
"""Where a closed object would mean something else."""


def is_openai_strict(schema: JSON) -> bool:
    """T3: may the schema be sent to OpenAI with `strict: true`, unchanged?"""
    if as_dict(schema).get("type") != "object" or "anyOf" in schema:
        return False
    document = Document(schema)
    count = 0
    for node, level in nodes(schema):
        count += len(as_dict(node.get("properties")))
        if level > MAX_LEVELS or count > MAX_PROPERTIES:
            return False
        if not _is_strict_node(node, document) or (node.keys() & HOMES and node is not schema):
            return False
    return True


def _is_strict_node(node: JSON, document: Document) -> bool:
    if "$ref" in node:
        return len(node) == 1 and _leads_somewhere(node["$ref"], document)
    types = types_of(node)
    if node.keys() - WORDS or not (types or "anyOf" in node):
        return False
    if "format" in node and str(node["format"]) not in FORMATS:
        return False
    if "array" in types and not isinstance(node.get("items"), dict):
        return False
    inner = (own for keyword, own in children(node) if keyword != "additionalProperties")
    if not all(isinstance(own, dict) for own in inner):
        return False
    return not is_object(node) or _is_closed_and_complete(node)


def _leads_somewhere(reference: Any, document: Document) -> bool:
    pointer = pointer_of(reference) if isinstance(reference, str) else None
    return pointer is not None and isinstance(document.at(pointer), dict)


def _is_closed_and_complete(node: JSON) -> bool:
    properties = node.get("properties")
    if not isinstance(properties, dict) or node.get("additionalProperties") is not False:
        return False
    return {*required_of(node)} == {*properties} and len(as_list(node.get("required"))) == len(
        properties
    )


def closed(schema: JSON) -> JSON:
    """T3: the schema with `additionalProperties: false` on its objects that do not say.

    Only on objects that list their properties: one that lists none is a free-form map. Objects put
    together by a union or `allOf` stay open, because their parts would exclude each other.
    """
    return _closed(schema)  # type: ignore[no-any-return]


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    is_composed = is_object(schema) and any(key in schema for key in PARTS)
    alone = (*LEFT_ALONE, *PARTS) if is_composed else LEFT_ALONE
    kept = {key: schema[key] for key in alone if key in schema}
    said = {**over_children(schema, _closed), **kept}
    if is_object(schema) and not is_composed and isinstance(schema.get("properties"), dict):
        said.setdefault("additionalProperties", False)
    return said
