"""The two kinds of schema that Gemini takes: its own (an OpenAPI subset) and a subset of JSON
Schema (gemini-wire section 6, translation section 9.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

JSON = dict[str, Any]
Refuse = Callable[[str, str], Exception]

TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
"""By number from 1 on."""
KEYWORDS = frozenset(
    {
        "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum",
        "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf",
        "properties", "additionalProperties", "required", "propertyOrdering",
    }
)  # fmt: skip


def camel(name: str) -> str:
    """`function_call` as `functionCall`; `$ref` and `_x` stay."""
    return re.sub(r"(?<=[a-zA-Z0-9])_([a-z0-9])", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)


# ----------------------------------------------------------------------------- Gemini's own

FORMATS = {
    "STRING": ("enum", "date-time"),
    "INTEGER": ("int32", "int64"),
    "NUMBER": ("float", "double"),
}


def kind_of(schema: JSON) -> str:
    kind = schema.get("type", "")
    return TYPES[kind - 1] if isinstance(kind, int) else str(kind).upper()


def check_proto(schema: JSON, path: str, refuse: Refuse) -> None:
    """`parameters` and `responseSchema`: objects have properties, arrays have items."""
    if not schema:
        return
    kind = kind_of(schema)
    if kind == "OBJECT" and not schema.get("properties"):
        raise refuse(f"{path}.properties", "should be non-empty for OBJECT type")
    if kind == "ARRAY" and not (schema.keys() & {"items", "prefixItems"}):
        raise refuse(f"{path}.items", "missing field.")
    if schema.get("enum") and kind != "STRING":
        raise refuse(f"{path}.enum", "only allowed for STRING type")
    if "" in schema.get("enum", []):
        raise refuse(f"{path}.enum[{schema['enum'].index('')}]", "cannot be empty")
    if schema.get("format", "") not in ("", *FORMATS.get(kind, ())):
        allowed = ", ".join(FORMATS.get(kind, ())) or "none"
        raise refuse(f"{path}.format", f"only {allowed} are supported for {kind} type")
    for i, name in enumerate(schema.get("required", [])):
        if name not in schema.get("properties", {}):
            raise refuse(f"{path}.required[{i}]", "property is not defined")
    for inner_path, inner in inside(schema, path):
        check_proto(inner, inner_path, refuse)


def inside(schema: JSON, path: str) -> Iterator[tuple[str, JSON]]:
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield f"{path}.{snake(word)}", schema[word]
    for word in ("anyOf", "oneOf", "prefixItems"):
        for i, one in enumerate(schema.get(word) or []):
            yield f"{path}.{snake(word)}[{i}]", one
    for word in ("properties", "$defs", "defs"):
        for name, one in (schema.get(word) or {}).items():
            yield f"{path}.{word}[{name}]", one


# ----------------------------------------------------------------------------- JSON Schema


def check_json(schema: Any, path: str, refuse: Refuse) -> None:
    """`parametersJsonSchema` and `responseJsonSchema`: the documented keywords and no others."""
    if not isinstance(schema, dict):
        raise refuse(path, "must be a JSON Schema object")
    _check_keywords(schema, path, refuse)
    if _recurses(schema, schema, ()):
        raise refuse(path, "recursive references are only supported in non-required properties")


def _check_keywords(schema: Any, path: str, refuse: Refuse) -> None:
    if not isinstance(schema, dict):
        raise refuse(path, "must be a JSON Schema object")
    if unknown := sorted(schema.keys() - KEYWORDS):
        raise refuse(path, f"unsupported JSON Schema keyword: {unknown[0]}")
    if "$ref" in schema and any(not name.startswith("$") for name in schema):
        raise refuse(path, "a schema with $ref may have no other keywords than those with $")
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind.upper() not in TYPES or kind != kind.lower():
            raise refuse(f"{path}.type", f"unknown type: {kind}")
    for value in schema.get("enum", []):
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise refuse(f"{path}.enum", "only strings and numbers are supported")
    for inner_path, inner in inside(schema, path):
        _check_keywords(inner, inner_path, refuse)


def _recurses(node: JSON, root: JSON, way: tuple[str, ...]) -> bool:
    """Whether a definition is met again on a way of required properties."""
    reference = node.get("$ref")
    if reference is not None:
        found = re.fullmatch(r"#/\$defs/([^/]+)", str(reference))
        target = (root.get("$defs") or {}).get(found[1]) if found else None
        is_root = reference == "#"
        if reference in way or is_root:
            return True
        return target is not None and _recurses(target, root, (*way, reference))
    required = {name: (node.get("properties") or {}).get(name) for name in node.get("required", [])}
    needed = [one for one in required.values() if isinstance(one, dict)]
    return any(_recurses(one, root, way) for one in needed)
