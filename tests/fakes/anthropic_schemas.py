"""The JSON Schemas that Anthropic takes: any sound one for a tool, a subset where it is enforced
(anthropic-wire, sections 5 and 7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

JSON = dict[str, Any]
Refuse = Callable[[str], Exception]

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
FORMATS = (
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
)  # fmt: skip
SUBSET = frozenset(
    {
        "type", "title", "description", "default", "enum", "const", "anyOf", "allOf", "$ref",
        "$defs", "definitions", "properties", "required", "additionalProperties", "items",
        "minItems", "format", "pattern",
    }
)  # fmt: skip
MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
UNION_ROOTS = ("oneOf", "allOf", "anyOf")
OPTIONAL_LIMIT, UNION_LIMIT, STRICT_LIMIT = 24, 16, 20


def nodes(schema: Any) -> Iterator[JSON]:
    """The schema and every schema inside it; names of properties are not schemas."""
    if not isinstance(schema, dict):
        return
    yield schema
    inner = [schema.get(word) for word in SINGLES]
    inner += [one for word in LISTS for one in _list(schema.get(word))]
    inner += [one for word in MAPS for one in _dict(schema.get(word)).values()]
    for one in inner:
        yield from nodes(one)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


# ----------------------------------------------------------------------------- plain tools


def check_tool_schema(schema: JSON, refuse: Refuse) -> None:
    """An object at the top, no union there, and sound by the 2020-12 draft."""
    if "type" not in schema:
        raise refuse(".type: Field required")
    if schema["type"] != "object":
        raise refuse(".type: Input should be 'object'")
    if any(word in schema for word in UNION_ROOTS):
        raise refuse(": input_schema does not support oneOf, allOf, or anyOf at the top level")
    if not all(_is_sound(node) for node in nodes(schema)):
        raise refuse(
            ": JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            "(https://json-schema.org/draft/2020-12). Learn more about tool use at "
            "https://docs.claude.com/en/docs/tool-use."
        )


def _is_sound(node: JSON) -> bool:
    kinds = node.get("type", [])
    required = node.get("required", [])
    return (
        all(kind in TYPES for kind in (kinds if isinstance(kinds, list) else [kinds]))
        and isinstance(required, list)
        and all(isinstance(name, str) for name in required)
        and all(isinstance(node.get(word, {}), dict) for word in MAPS)
        and all(isinstance(node.get(word, []), list) for word in (*LISTS, "enum"))
        and all(_is_bound(node.get(word, 0)) for word in ("minItems", "maxItems", "minLength"))
    )


def _is_bound(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# ----------------------------------------------------------------------------- the subset


def check_subset(schema: JSON, refuse: Refuse) -> None:
    """What can be compiled: closed objects, few keywords, no recursion."""
    for node in nodes(schema):
        for problem in _node_problems(node, schema):
            raise refuse(f": {problem}")
    if _recurses(schema, schema, ()):
        raise refuse(": Recursive schemas are not supported")


def _node_problems(node: JSON, root: JSON) -> Iterator[str]:
    kinds = node.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if unknown := [kind for kind in kinds if kind not in TYPES]:
        yield f"Invalid schema: '{unknown[0]}' is not a valid type"
    if foreign := sorted(node.keys() - SUBSET):
        kind = kinds[0] if kinds else "any"
        yield f"For '{kind}' type, properties {', '.join(foreign)} are not supported"
    is_object = "object" in kinds or "properties" in node
    if is_object and node.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if node.get("minItems", 0) not in (0, 1):
        yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if node.get("format", "uuid") not in FORMATS:
        yield f"For 'string' type, format '{node['format']}' is not supported"
    if any(isinstance(value, (dict, list)) for value in node.get("enum", [])):
        yield "Enum values must be scalars"
    if re.search(r"\(\?[=!<]|\\[1-9]", node.get("pattern", "")):
        yield "Lookaround and backreferences in 'pattern' are not supported"
    if any("$ref" in _dict(one) for one in _list(node.get("allOf"))):
        yield "'allOf' with '$ref' is not supported"
    if "$ref" in node and _target(node["$ref"], root) is None:
        yield f"Could not resolve $ref '{node['$ref']}': only local definitions are supported"


def _target(reference: Any, root: JSON) -> JSON | None:
    found = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(reference))
    return _dict(root.get(found[1])).get(found[2]) if found else None


def _recurses(node: Any, root: JSON, way: tuple[str, ...]) -> bool:
    """Whether a definition is met again on the way down to itself."""
    own = {name: value for name, value in node.items() if name not in ("$defs", "definitions")}
    for inner in nodes(own):
        reference = inner.get("$ref")
        if reference is None:
            continue
        if reference in way:
            return True
        target = _target(reference, root)
        if target is not None and _recurses(target, root, (*way, reference)):
            return True
    return False


def check_totals(schemas: list[JSON], refuse: Refuse) -> None:
    """The limits of one request over all its enforced schemas."""
    every = [node for schema in schemas for node in nodes(schema)]
    optional = sum(
        len(_dict(node.get("properties")).keys() - set(node.get("required", []))) for node in every
    )
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in every)
    if optional > OPTIONAL_LIMIT:
        raise refuse(
            f"Schemas contains too many optional parameters ({optional}), which would make "
            f"grammar compilation inefficient. Reduce the number of optional parameters in your "
            f"tool schemas (limit: {OPTIONAL_LIMIT})."
        )
    if unions > UNION_LIMIT:
        raise refuse(
            f"Schemas contains too many parameters with union types ({unions} parameters with "
            f"type arrays or anyOf). This causes exponential compilation cost. Reduce the number "
            f"of nullable or union-typed parameters (limit: {UNION_LIMIT})."
        )
