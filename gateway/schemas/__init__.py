"""JSON Schema dialects: one schema in the words of OpenAI, Anthropic and Gemini.

Pure functions after reference/translation.md 9.7; T1 to T5 are its passes. No input is changed, and
a pass over its own result changes nothing. What a dialect cannot say goes into the description as a
short hint, so that the model can still follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.schemas.dialects import ANTHROPIC, GEMINI
from gateway.schemas.documents import Document
from gateway.schemas.nodes import as_dict, may_be, nodes, required_of
from gateway.schemas.openapi import from_gemini
from gateway.schemas.recursion import loosen_recursion, refuse_recursion
from gateway.schemas.rewriting import Rewrite
from gateway.schemas.strict import closed, is_openai_strict
from gateway.schemas.tool_roots import object_root, rehomed
from gateway.types import JSON
from gateway.validation import Problem

__all__ = [
    "Adapted",
    "closed",
    "described",
    "fits_anthropic_strict",
    "for_anthropic_format",
    "for_anthropic_tool",
    "for_gemini",
    "from_gemini",
    "is_openai_strict",
]

MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""Anthropic's limits for all strict schemas of one request; here each schema is held to them."""


@dataclass(slots=True)
class Adapted:
    """A schema in the target's dialect.

    `schema` is None where it is best left out altogether. `lost` names the keywords whose meaning
    did not survive, sorted; bookkeeping such as `$schema` or `$comment` is not worth a mention.
    """

    schema: JSON | None
    lost: list[str]


def described(schema: JSON, description: str | None) -> JSON:
    """The schema with a further description, which says what it is for."""
    if not description:
        return schema
    words = [text for text in (description, schema.get("description")) if text]
    return {**schema, "description": "\n".join(words)}


def for_gemini(schema: JSON | None, *, is_tool: bool) -> Adapted:
    """T1: for `parametersJsonSchema` (a tool's) or `responseJsonSchema`.

    A tool without parameters has no schema at all, and a union at a tool's root becomes one object
    as in T5. Raises Problem for a schema too large to follow.
    """
    if schema is None:
        return Adapted(None, [])
    document = Document(as_dict(schema))
    said = Rewrite(document, GEMINI).whole(object_root(document) if is_tool else document.root)
    loosen_recursion(said, document.lost)
    if is_tool and not said.get("properties"):
        document.lost |= {key for key in ("additionalProperties",) if as_dict(said.get(key))}
        return Adapted(None, sorted(document.lost))
    return Adapted(said, sorted(document.lost))


def for_anthropic_tool(schema: JSON | None) -> Adapted:
    """T5: for a plain tool's `input_schema`: an object at the root, everything else as it came.

    Raises Problem for a schema too large to follow.
    """
    if not isinstance(schema, dict):
        return Adapted({"type": "object", "properties": {}}, [])
    if not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
        lost = [] if may_be("object", schema) else ["type"]
        return Adapted({**schema, "type": "object"}, lost)
    document = Document(schema)
    said = rehomed(document, object_root(document))
    return Adapted(said, sorted(document.lost))


def for_anthropic_format(schema: JSON) -> Adapted:
    """T4: for `output_config.format` and, after `for_anthropic_tool`, for strict tools.

    `lost` has `additionalProperties` where a free-form object became one that can only be empty, or
    lost what else it could hold. Raises Problem for a recursive schema, or one too large to follow.
    """
    document = Document(as_dict(schema))
    said = Rewrite(document, ANTHROPIC).whole(document.root)
    refuse_recursion(said)
    return Adapted(said, sorted(document.lost))


def fits_anthropic_strict(schema: JSON) -> bool:
    """May a tool with this schema be sent to Anthropic with `strict: true`, unchanged?"""
    if as_dict(schema).get("type") != "object" or "anyOf" in schema:
        return False
    try:
        adapted = for_anthropic_format(schema)
    except Problem:
        return False
    return adapted.schema == schema and _is_small(schema)


def _is_small(schema: JSON) -> bool:
    """Is it within Anthropic's limits for optional properties and unions?"""
    optional = unions = 0
    for node, _ in nodes(schema):
        optional += len(as_dict(node.get("properties")).keys() - set(required_of(node)))
        unions += "anyOf" in node or isinstance(node.get("type"), list)
    return optional <= MAX_OPTIONAL and unions <= MAX_UNIONS
