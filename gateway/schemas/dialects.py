"""The dialects: what Gemini and Anthropic know of JSON Schema, as tables of rules.

After reference/translation.md 9.7, gemini-wire.md 6 and anthropic-wire.md 7.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.schemas.merging import COMBINED
from gateway.schemas.nodes import (
    ANNOTATIONS,
    BOOKKEEPING,
    as_dict,
    as_list,
    distinct,
    is_number,
    is_object,
    is_scalar,
    required_of,
    types_of,
)
from gateway.schemas.rewriting import Dialect, Node
from gateway.types import JSON

# ----------------------------------------------------------------------------- rules for both


def _kept(node: Node, keyword: str, value: Any) -> None:
    node.said[keyword] = value


def _silent(_node: Node, _keyword: str, _value: Any) -> None:
    """Leave it out without a word."""


def _text(node: Node, keyword: str, value: Any) -> None:
    if isinstance(value, str):
        node.said[keyword] = value


def _typed(node: Node, keyword: str, value: Any) -> None:
    if types_of(node.given):
        node.said[keyword] = value


def _names(node: Node, keyword: str, value: Any) -> None:
    names = required_of({"required": value})
    if names:
        node.said[keyword] = names


def _named(node: Node, keyword: str, value: Any) -> None:
    if isinstance(value, dict):
        node.said[keyword] = {name: node.child(own) for name, own in value.items()}


def _items(node: Node, keyword: str, value: Any) -> None:
    if value is False:
        node.lose(keyword, value)
    elif isinstance(value, dict):
        node.said[keyword] = node.child(value)


def _union(node: Node, keyword: str, value: Any) -> None:
    """The branches that something can match; all of them if there are none."""
    branches = [own for own in as_list(value) if own is not False] or as_list(value)
    if branches:
        node.said[keyword] = [node.child(own) for own in branches]


# ----------------------------------------------------------------------------- Gemini


def _others(node: Node, keyword: str, value: Any) -> None:
    if isinstance(value, bool | dict):
        node.said[keyword] = value if isinstance(value, bool) else node.child(value)


def _tuple(node: Node, keyword: str, value: Any) -> None:
    if isinstance(value, list) and value:
        node.said[keyword] = [node.child(own) for own in value]


def _bound(node: Node, keyword: str, value: Any) -> None:
    if is_number(value):
        node.said[keyword] = COMBINED[keyword](node.said.get(keyword), value)


CLOSED_BOUNDS: Mapping[str, tuple[str, Callable[[float], int]]] = {
    "exclusiveMinimum": ("minimum", lambda value: math.floor(value) + 1),
    "exclusiveMaximum": ("maximum", lambda value: math.ceil(value) - 1),
}
"""The closed bound for an open one, and the nearest integer within."""


def _open_bound(node: Node, keyword: str, value: Any) -> None:
    """An open bound as a closed one: exact for integers, a little wide for other numbers.

    Draft 4 says `true` here and the number in the closed bound.
    """
    closed, nearest = CLOSED_BOUNDS[keyword]
    if isinstance(value, bool):
        value = node.given.get(closed) if value else None
    if not is_number(value):
        return
    if set(types_of(node.given)) - {"null"} == {"integer"}:
        value = nearest(value)
    else:
        node.lose(keyword, value)
    _bound(node, closed, value)


def _kinds_apart(schema: JSON) -> JSON:
    """`const` as `enum`, and an `enum` of strings and numbers only: other kinds by their types."""
    values = [schema["const"]] if "const" in schema else as_list(schema.get("enum"))
    kinds = _kinds(values) if all(map(is_scalar, values)) else []
    rest = {key: value for key, value in schema.items() if key not in ("const", "enum")}
    if len(kinds) == 1:
        return {**rest, **kinds[0]}
    if len(kinds) > 1 and "anyOf" not in schema:
        rest.pop("type", None)
        return {**rest, "anyOf": [_with_type(kind) for kind in kinds]}
    return schema


def _kinds(values: list[Any]) -> list[JSON]:
    """One schema per kind of value: strings and numbers, booleans, null."""
    plain = [value for value in values if _is_plain(value)]
    booleans = distinct(value for value in values if isinstance(value, bool))
    kinds: list[JSON] = [{"enum": plain}] if plain else []
    if booleans:
        constant = {"const": booleans[0]} if len(booleans) == 1 else {}
        kinds.append({"type": "boolean", **constant})
    if None in values:
        kinds.append({"type": "null"})
    return kinds


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)


def _with_type(kind: JSON) -> JSON:
    values = kind.get("enum")
    if not values:
        return kind
    if all(isinstance(value, str) for value in values):
        return {"type": "string", **kind}
    return {"type": "number", **kind} if all(map(is_number, values)) else kind


def _plain_values(node: Node, keyword: str, value: Any) -> None:
    if isinstance(value, list) and value and all(map(_is_plain, value)):
        node.said[keyword] = value
    else:
        node.lose(keyword, value)


def _constant(node: Node, keyword: str, value: Any) -> None:
    """What `_kinds_apart` left: one boolean, or a value of which `enum` cannot tell."""
    node.lose(keyword, value)


# ----------------------------------------------------------------------------- Anthropic

FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"]
)
NOT_SIMPLE = re.compile(r"\(\?(?!:)|\\[1-9bBAzZGkpP]|\{[0-9]*,?[0-9]{4,}|[*+?}][+]")
"""What a grammar has no words for: look-around, back references, word boundaries and the like."""


def _spread(schema: JSON) -> JSON:
    """An object with a union gives itself to every branch: closed, the parts exclude each other."""
    union = schema.get("anyOf")
    if not isinstance(union, list) or not is_object(schema):
        return schema
    outside = {key: value for key, value in schema.items() if key in ANNOTATIONS}
    inside = {key: value for key, value in schema.items() if key not in {"anyOf", *outside}}
    branches = [own if own is False else {"allOf": [inside, own]} for own in union]
    return {**outside, "anyOf": branches}


def _scalar(node: Node, keyword: str, value: Any) -> None:
    _kept(node, keyword, value) if is_scalar(value) else node.lose(keyword, value)


def _scalars(node: Node, keyword: str, value: Any) -> None:
    is_simple = bool(as_list(value)) and all(map(is_scalar, value))
    _kept(node, keyword, value) if is_simple else node.lose(keyword, value)


def _format(node: Node, keyword: str, value: Any) -> None:
    is_known = isinstance(value, str) and value in FORMATS
    _kept(node, keyword, value) if is_known else node.lose(keyword, value)


def _simple_pattern(node: Node, keyword: str, value: Any) -> None:
    is_simple = isinstance(value, str) and not NOT_SIMPLE.search(value)
    _kept(node, keyword, value) if is_simple else node.lose(keyword, value)


def _at_most_one(node: Node, keyword: str, value: Any) -> None:
    """`minItems` as far as it may go."""
    if is_number(value):
        node.said[keyword] = int(value > 0)
        if value > 1:
            node.lose(keyword, value)


def _nothing_else(node: Node, keyword: str, value: Any) -> None:
    if value is not False:
        node.lose(keyword)


def _items_unless_tuple(node: Node, keyword: str, value: Any) -> None:
    if not as_list(node.given.get("prefixItems")):
        _items(node, keyword, value)


def _tuple_as_items(node: Node, keyword: str, value: Any) -> None:
    """A tuple as a list of whatever may come at any place."""
    rest = node.given.get("items")
    kinds = distinct([*as_list(value), *([rest] if isinstance(rest, dict) else [])])
    if as_list(value):
        node.said["items"] = node.child({"anyOf": kinds} if len(kinds) > 1 else kinds[0])
        node.lose(keyword, value)


# ----------------------------------------------------------------------------- together


def _require_properties(node: Node) -> None:
    """Every required name a property: upstreams refuse, or cannot give, one that is none."""
    known = as_dict(node.said.get("properties"))
    missing: JSON = {name: {} for name in node.said.get("required", ()) if name not in known}
    if missing:
        node.said["properties"] = {**known, **missing}


def _finish_gemini(node: Node) -> None:
    _require_properties(node)
    if node.said.get("properties") == {}:
        del node.said["properties"]


def _finish_anthropic(node: Node) -> None:
    _require_properties(node)
    if "object" not in types_of(node.said):
        return
    if "properties" not in node.said and node.given.get("additionalProperties") is not False:
        node.lose("additionalProperties")
    node.said["additionalProperties"] = False


GEMINI = Dialect(
    rules={
        **dict.fromkeys(BOOKKEEPING, _silent),
        **dict.fromkeys(("title", "description", "format"), _text),
        **dict.fromkeys(("minItems", "maxItems"), _kept),
        **dict.fromkeys(("minimum", "maximum"), _bound),
        **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _open_bound),
        **dict.fromkeys(("required", "propertyOrdering"), _names),
        "type": _typed,
        "properties": _named,
        "additionalProperties": _others,
        "items": _items,
        "prefixItems": _tuple,
        "anyOf": _union,
        "const": _constant,
        "enum": _plain_values,
    },
    prepare=_kinds_apart,
    finish=_finish_gemini,
)
"""`responseJsonSchema` and `parametersJsonSchema`."""
ANTHROPIC = Dialect(
    rules={
        **dict.fromkeys(BOOKKEEPING, _silent),
        **dict.fromkeys(("title", "description"), _text),
        "default": _kept,
        "type": _typed,
        "required": _names,
        "properties": _named,
        "additionalProperties": _nothing_else,
        "items": _items_unless_tuple,
        "prefixItems": _tuple_as_items,
        "minItems": _at_most_one,
        "anyOf": _union,
        "const": _scalar,
        "enum": _scalars,
        "format": _format,
        "pattern": _simple_pattern,
    },
    prepare=_spread,
    finish=_finish_anthropic,
)
"""`output_config.format` and strict tools. Official SDKs keep `title`, so it is safe."""
