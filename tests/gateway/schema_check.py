"""Does a value satisfy a JSON Schema? A small checker of the tests' own, by keyword."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from fractions import Fraction

FORMAT_CHECKS = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", text) or 1 / 0,
    "uuid": lambda text: re.fullmatch(r"[0-9a-f-]{36}", text) or 1 / 0,
    "ipv4": lambda text: re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", text) or 1 / 0,
}


def resolve(root, reference):
    node = root
    for step in reference.lstrip("#").split("/")[1:]:
        node = node[step]
    return node


def is_of(value, kind):
    tests = {
        "null": lambda: value is None,
        "boolean": lambda: isinstance(value, bool),
        "integer": lambda: type(value) is int or (type(value) is float and value == int(value)),
        "number": lambda: type(value) in (int, float),
        "string": lambda: isinstance(value, str),
        "array": lambda: isinstance(value, list),
        "object": lambda: isinstance(value, dict),
    }
    return tests[kind]()


def fits(schema, value, root=None):
    """Whether a value satisfies a schema; a small checker of its own, by keyword."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    return all(check(schema, value, root) for key, check in CHECKS.items() if key in schema)


def fits_all(schemas, values, root):
    return all(fits(schema, value, root) for schema, value in zip(schemas, values, strict=False))


def when(kind, check):
    """A check that only concerns values of one type."""
    return lambda s, v, root: not is_of(v, kind) or check(s, v, root)


def types_of(schema):
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def is_step(value, step):
    return Fraction(str(value)) % Fraction(str(step)) == 0


CHECKS = {
    "type": lambda s, v, root: any(is_of(v, kind) for kind in types_of(s)),
    "const": lambda s, v, root: v == s["const"],
    "enum": lambda s, v, root: v in s["enum"],
    "$ref": lambda s, v, root: fits(resolve(root, s["$ref"]), v, root),
    "allOf": lambda s, v, root: all(fits(part, v, root) for part in s["allOf"]),
    "anyOf": lambda s, v, root: any(fits(part, v, root) for part in s["anyOf"]),
    "oneOf": lambda s, v, root: sum(fits(part, v, root) for part in s["oneOf"]) == 1,
    "required": when("object", lambda s, v, root: set(s["required"]) <= v.keys()),
    "properties": when("object", lambda s, v, root: all(
        fits(s["properties"][k], v[k], root) for k in v.keys() & s["properties"].keys())),
    "additionalProperties": when("object", lambda s, v, root: all(
        fits(s["additionalProperties"], v[k], root)
        for k in v.keys() - s.get("properties", {}).keys())),
    "minProperties": when("object", lambda s, v, root: len(v) >= s["minProperties"]),
    "items": when("array", lambda s, v, root: all(
        fits(s["items"], i, root) for i in v[len(s.get("prefixItems", [])):])),
    "prefixItems": when("array", lambda s, v, root: fits_all(s["prefixItems"], v, root)),
    "minItems": when("array", lambda s, v, root: len(v) >= s["minItems"]),
    "maxItems": when("array", lambda s, v, root: len(v) <= s["maxItems"]),
    "uniqueItems": when("array", lambda s, v, root: len(set(map(json.dumps, v))) == len(v)),
    "minLength": when("string", lambda s, v, root: len(v) >= s["minLength"]),
    "maxLength": when("string", lambda s, v, root: len(v) <= s["maxLength"]),
    "pattern": when("string", lambda s, v, root: bool(re.search(s["pattern"], v))),
    "format": when("string", lambda s, v, root: bool(
        FORMAT_CHECKS.get(s["format"], lambda _: True)(v))),
    "minimum": when("number", lambda s, v, root: v >= s["minimum"]),
    "maximum": when("number", lambda s, v, root: v <= s["maximum"]),
    "exclusiveMinimum": when("number", lambda s, v, root: v > s["exclusiveMinimum"]),
    "exclusiveMaximum": when("number", lambda s, v, root: v < s["exclusiveMaximum"]),
    "multipleOf": when("number", lambda s, v, root: is_step(v, s["multipleOf"])),
}  # fmt: skip
