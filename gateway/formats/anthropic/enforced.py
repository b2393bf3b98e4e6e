"""The schemas that a request asks to be enforced, within the API's limits for all of them together.

Facts: reference/anthropic-wire.md 7. A schema beyond the limits would be refused with everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway import schemas
from gateway.types import JSON
from gateway.validation import Problem

MAX_TOOLS = 20


class Enforced:
    """Adapts schemas and counts what they use of the limits of one request."""

    def __init__(self) -> None:
        self._tools = MAX_TOOLS
        self._optional = schemas.MAX_OPTIONAL
        self._unions = schemas.MAX_UNIONS

    def for_format(self, schema: JSON) -> schemas.Adapted | None:
        """The schema of an answer, None for one that would be refused, or mean something else."""
        adapted = _adapted(schema)
        if adapted is None or "additionalProperties" in adapted.lost:
            return None
        return adapted if self._fits(adapted.schema or {}) else None

    def for_tool(self, schema: JSON) -> JSON | None:
        """The schema of a strict tool, None where not all of it could be enforced."""
        adapted = _adapted(schema)
        if adapted is None or adapted.schema is None or adapted.lost or not self._tools:
            return None
        if not schemas.fits_anthropic_strict(adapted.schema) or not self._fits(adapted.schema):
            return None
        self._tools -= 1
        return adapted.schema

    def _fits(self, schema: JSON) -> bool:
        nodes = list(_objects(schema))
        optional = sum(_optional(node) for node in nodes)
        unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
        if optional > self._optional or unions > self._unions:
            return False
        self._optional -= optional
        self._unions -= unions
        return True


def _adapted(schema: JSON) -> schemas.Adapted | None:
    try:
        return schemas.for_anthropic_format(schema)
    except Problem:
        return None


def _objects(value: Any) -> Iterator[JSON]:
    """Every object in it: at least all the schemas."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _objects(one)


def _optional(node: JSON) -> int:
    properties, required = node.get("properties"), node.get("required")
    names = required if isinstance(required, list) else []
    return sum(name not in names for name in properties) if isinstance(properties, dict) else 0
