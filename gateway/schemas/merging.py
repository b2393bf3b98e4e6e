"""Schemas laid into each other: `allOf`, a `$ref` beside other keywords, two unions at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.schemas.documents import Active, Document, Pointer
from gateway.schemas.nodes import (
    ANNOTATIONS,
    HOMES,
    as_list,
    identity,
    is_number,
    types_of,
    with_null,
)
from gateway.types import JSON


def laid_open(document: Document, schema: JSON, active: Active) -> tuple[JSON, Active]:
    """The schema with `$ref` and `allOf` laid into it, and the pointers that this took.

    The outer schema wins over what it includes, a later branch over an earlier one.
    """
    said: JSON = {}
    seen: set[Pointer] = set()
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if part is False:
            part = {"not": {}}
        if not isinstance(part, dict):
            continue
        document.spend(amount=_size(part))
        own = {key: value for key, value in part.items() if key not in ("$ref", "allOf", *HOMES)}
        said = merged(document, own, said)
        if "$ref" in part:
            parts += _included(document, part["$ref"], active, seen)
        parts += as_list(part.get("allOf"))
    return said, active | seen


def _size(schema: JSON) -> int:
    return 1 + sum(len(value) for value in schema.values() if isinstance(value, dict | list))


def _included(document: Document, reference: Any, active: Active, seen: set[Pointer]) -> list[Any]:
    """What a `$ref` adds to the schema it stands in."""
    found = document.find(reference)
    if found is None:
        document.lost.add("$ref")
        return []
    pointer, schema = found
    if pointer in seen:
        return []
    if pointer in active:  # laid in again it would never end; alone in a union it may stay
        return [{"anyOf": [{"$ref": reference}]}]
    seen.add(pointer)
    return [schema]


def merged(document: Document, below: JSON, above: JSON) -> JSON:
    """The schema of what satisfies both. Annotations are those above."""
    said = {**below, **above}
    for keyword in below:
        if keyword in above and below[keyword] != above[keyword]:
            combine = COMBINED.get(keyword)
            if combine:
                said[keyword] = combine(below[keyword], above[keyword])
            elif keyword not in ANNOTATIONS:
                document.lost.add(keyword)
    return said


# ----------------------------------------------------------------------------- keyword by keyword


def both(below: Any, above: Any) -> Any:
    """The schema of what satisfies both schemas."""
    if below is True or above is True:
        return above if below is True else below
    if below is False or above is False:
        return False
    return above if below == above else {"allOf": [below, above]}


def _each_both(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    shared = {name: both(below[name], above[name]) for name in below if name in above}
    return {**below, **above, **shared}


def all_names(below: Any, above: Any) -> list[str]:
    names = [*as_list(below), *as_list(above)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _common_types(below: Any, above: Any) -> Any:
    """The types in both; an integer is a number. Types that exclude each other: those above."""
    left, right = set(types_of({"type": below})), types_of({"type": above})
    common = [kind for kind in right if kind in left or (kind == "integer" and "number" in left)]
    if "integer" in left and "number" in right and "integer" not in common:
        common.append("integer")
    return (common[0] if len(common) == 1 else common) or above


def _common_values(below: Any, above: Any) -> Any:
    known = {identity(value) for value in as_list(below)}
    return [value for value in as_list(above) if identity(value) in known] or above


def larger(below: Any, above: Any) -> Any:
    return max(below, above) if is_number(below) and is_number(above) else above


def smaller(below: Any, above: Any) -> Any:
    return min(below, above) if is_number(below) and is_number(above) else above


def _product(keyword: str) -> Callable[[Any, Any], Any]:
    """Two unions as one: each branch of the one with the other inside."""

    def combined(below: Any, above: Any) -> Any:
        if not as_list(below) or not as_list(above):
            return as_list(below) or above
        return [{"allOf": [{keyword: below}, own]} for own in above]

    return combined


COMBINED: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _each_both),
    **dict.fromkeys(("items", "additionalItems", "additionalProperties", "propertyNames"), both),
    **dict.fromkeys(("minimum", "exclusiveMinimum"), larger),
    **dict.fromkeys(("minLength", "minItems", "minProperties"), larger),
    **dict.fromkeys(("maximum", "exclusiveMaximum"), smaller),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), smaller),
    "required": all_names,
    "type": _common_types,
    "enum": _common_values,
    "anyOf": _product("anyOf"),
    "oneOf": _product("oneOf"),
}
"""How one keyword in two schemas becomes one. For others the outer schema's value stands."""


# ----------------------------------------------------------------------------- one spelling


def modern(schema: JSON) -> JSON:
    """One spelling for what has several: tuples, `nullable`, and unions as one `anyOf`."""
    said = {key: value for key, value in schema.items() if key != "nullable"}
    said = _one_union(with_null(said) if schema.get("nullable") is True else said)
    if isinstance(said.get("items"), list):
        said["prefixItems"] = said.pop("items")
        if "additionalItems" in said:
            said["items"] = said["additionalItems"]
    said.pop("additionalItems", None)
    return said


def _one_union(schema: JSON) -> JSON:
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    union = _product("anyOf")(schema.get("oneOf"), schema.get("anyOf"))
    return {**rest, "anyOf": union} if as_list(union) else rest
