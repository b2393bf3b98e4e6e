"""T5: a tool's arguments are one object, whatever its schema's root is.

The branches of a union at the root are put together: every property of every branch, required what
all of them require. The alternatives survive as a sentence in the description.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.schemas.documents import ROOT, Active, Document
from gateway.schemas.hints import with_hints
from gateway.schemas.merging import all_names, both, laid_open, modern
from gateway.schemas.nodes import (
    HOMES,
    as_dict,
    as_list,
    distinct,
    is_plain_reference,
    may_be,
    over_children,
    required_of,
)
from gateway.types import JSON

MAX_ALTERNATIVES = 400
MAX_VALUES = 5
LISTS = frozenset(["const", "enum"])
TAG_WORDS = frozenset(["const", "enum", "type", "title", "description"])


def object_root(document: Document) -> JSON:
    """The document's root as one object, its references still the caller's."""
    said = _without_union(document, document.root, 0, ROOT)
    document.lost |= said.keys() & LISTS
    if not may_be("object", said):
        document.lost.add("type")
    return {**{key: said[key] for key in said if key not in LISTS}, "type": "object"}


def rehomed(document: Document, root: JSON) -> JSON:
    """A schema word by word, with definitions of its own for all that it refers to."""

    def write(schema: Any, depth: int) -> Any:
        document.spend(depth)
        if not isinstance(schema, dict):
            return schema
        rest = {key: value for key, value in schema.items() if key not in HOMES}
        said = over_children(rest, lambda own: write(own, depth + 1))
        found = document.find(schema.get("$ref"))
        return {**said, "$ref": document.address(found[0])} if found else said

    return document.with_definitions(write(root, 0), lambda schema, _active: write(schema, 1))


def _without_union(document: Document, schema: JSON, depth: int, active: Active) -> JSON:
    """The schema with the branches of its unions put together."""
    document.spend(depth)
    opened, active = laid_open(document, schema, active)
    given = modern(opened)
    union = given.pop("anyOf", None)
    if not isinstance(union, list):
        return given
    document.lost |= opened.keys() & {"anyOf", "oneOf"}
    branches = [
        _without_union(document, own, depth + 1, active)
        for own in union
        if isinstance(own, dict) and not _is_within(document, own, active)
    ]
    return _joined(given, [own for own in branches if may_be("object", own)])


def _is_within(document: Document, schema: JSON, active: Active) -> bool:
    """Is it a reference to what it is a branch of? Then it adds nothing."""
    found = document.find(schema["$ref"]) if is_plain_reference(schema) else None
    return found is not None and found[0] in active


def _joined(base: JSON, branches: list[JSON]) -> JSON:
    """One object that has room for every branch, and a hint at the alternatives."""
    if not branches:
        return base
    said = {**base, "properties": _joined_properties(base, branches)}
    everywhere = set(required_of(branches[0])).intersection(*map(required_of, branches))
    common = [name for name in required_of(branches[0]) if name in everywhere]
    required = all_names(base.get("required"), common)
    if required:
        said["required"] = required
    if all(own.get("additionalProperties") is False for own in branches):
        said.setdefault("additionalProperties", False)
    return with_hints(said, _alternatives(branches, set(required)))


def _joined_properties(base: JSON, branches: list[JSON]) -> JSON:
    own = as_dict(base.get("properties"))
    variants: dict[str, list[Any]] = {}
    for branch in branches:
        for name, schema in as_dict(branch.get("properties")).items():
            variants.setdefault(name, []).append(schema)
    said = dict(own)
    for name, schemas in variants.items():
        if name not in own:
            said[name] = _either(schemas)
        elif len(schemas) == len(branches):
            said[name] = both(own[name], _either(schemas))
    return said


def _either(schemas: list[Any]) -> Any:
    """The schema of what satisfies one of them."""
    different = distinct(schemas)
    if len(different) == 1:
        return different[0]
    return _one_enum(different) or {"anyOf": different}


def _one_enum(schemas: list[Any]) -> JSON | None:
    """Constants of one type as one `enum`, as the tags of a union are."""
    if any(not _values(own) or own.keys() - TAG_WORDS for own in schemas):
        return None
    kinds = distinct(own.get("type") for own in schemas)
    if len(kinds) > 1:
        return None
    values = distinct(value for own in schemas for value in _values(own))
    return {**({"type": kinds[0]} if kinds[0] else {}), "enum": values}


def _values(schema: Any) -> list[Any]:
    known = as_dict(schema)
    return [known["const"]] if "const" in known else as_list(known.get("enum"))


def _alternatives(branches: list[JSON], required: set[str]) -> list[str]:
    """A sentence with the properties that make each branch, as long as it stays short."""
    options = list(filter(None, dict.fromkeys(_option(own, required) for own in branches)))
    text = "; or ".join(options)
    return [f"Give one of: {text}."] if len(options) > 1 and len(text) <= MAX_ALTERNATIVES else []


def _option(branch: JSON, required: set[str]) -> str:
    properties = as_dict(branch.get("properties"))
    names = required_of(branch) or list(properties)
    special = [name for name in names if name not in required or _values(properties.get(name))]
    return ", ".join(_words(name, properties.get(name)) for name in special)


def _words(name: str, schema: Any) -> str:
    shown = _values(schema)[:MAX_VALUES]
    values = ", ".join(json.dumps(value, ensure_ascii=False) for value in shown)
    return f"`{name}` ({values})" if values else f"`{name}`"
