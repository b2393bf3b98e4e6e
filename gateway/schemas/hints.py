"""What a description says instead of a keyword that the target does not know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.types import JSON

MAX_HINT = 200

NEVER = "Never give this."
HINTS: Mapping[str, str] = {
    "minimum": "At least {}.",
    "maximum": "At most {}.",
    "exclusiveMinimum": "More than {}.",
    "exclusiveMaximum": "Less than {}.",
    "multipleOf": "A multiple of {}.",
    "minLength": "At least {} characters.",
    "maxLength": "At most {} characters.",
    "pattern": "Matches the pattern {}.",
    "format": "Format: {}.",
    "minItems": "At least {} items.",
    "maxItems": "At most {} items.",
    "uniqueItems": "No two items alike.",
    "minProperties": "At least {} properties.",
    "maxProperties": "At most {} properties.",
    "prefixItems": "The items come in a fixed order.",
    "items": "No further items.",
    "const": "Always {}.",
    "enum": "One of {}.",
    "default": "Default: {}.",
    "examples": "Examples: {}.",
    "not": "Must not match {}.",
    "if": "Only if it matches {}:",
    "then": "then {}.",
    "else": "else {}.",
    "patternProperties": "Properties by pattern: {}.",
    "propertyNames": "Property names match {}.",
    "contains": "Some item matches {}.",
    "dependentRequired": "Required together: {}.",
    "dependentSchemas": "With a property: {}.",
    "dependencies": "With a property: {}.",
    "unevaluatedProperties": "Other properties: {}.",
    "unevaluatedItems": "Other items: {}.",
}
"""`{}` is the keyword's value. A value too long to be a hint is left out altogether."""
PLAIN = ("pattern", "format")
"""Keywords whose value reads better without quotes."""


def hint(keyword: str, value: Any) -> str | None:
    """A short sentence for a keyword and its value; None if there is none."""
    template = HINTS.get(keyword)
    if template is None:
        return None
    is_words = keyword in PLAIN and isinstance(value, str)
    shown = value if is_words else json.dumps(value, ensure_ascii=False)
    text = template.format(shown)
    return text if len(text) <= MAX_HINT else None


def with_hints(schema: JSON, hints: Iterable[str]) -> JSON:
    """The schema with hints at the end of its description."""
    added = " ".join(dict.fromkeys(hints))
    if not added:
        return schema
    described = schema.get("description")
    text = described.rstrip() if isinstance(described, str) else ""
    return {**schema, "description": f"{text} {added}" if text else added}
