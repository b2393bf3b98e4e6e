"""Schemas in other dialects: nothing the target refuses, nothing the caller needs missing."""

from __future__ import annotations

import copy
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.instances import Unsatisfiable, instance
from gateway.schemas import (
    closed,
    fits_anthropic_strict,
    for_anthropic_format,
    for_anthropic_tool,
    for_gemini,
    from_gemini,
    is_openai_strict,
)
from gateway.validation import Problem
from tests.gateway.schema_check import fits

TEXT = {"type": "string"}
NODE = {
    "type": "object",
    "properties": {
        "value": TEXT,
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
TREE = {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}


def obj(properties, **more):
    return {"type": "object", "properties": properties, **more}


def shut(properties, **more):
    return obj(properties, additionalProperties=False, **more)


def as_response(schema):
    return for_gemini(schema, is_tool=False)


def as_tool(schema):
    return for_gemini(schema, is_tool=True)


PASSES = {
    "gemini response": as_response,
    "gemini tool": as_tool,
    "anthropic tool": for_anthropic_tool,
    "anthropic format": for_anthropic_format,
}


def on_property(adapt, schema):
    """What becomes of a schema inside an object, and what was lost."""
    adapted = adapt(shut({"p": schema}))
    return adapted.schema["properties"]["p"], adapted.lost


# ----------------------------------------------------------------------------- 9.7, row by row


@pytest.mark.parametrize(("given_", "wanted", "lost"), [
    ({"type": ["string", "null"]}, {"type": ["string", "null"]}, []),
    (obj({"a": TEXT}, additionalProperties=False), shut({"a": TEXT}), []),
    ({"type": "object", "additionalProperties": TEXT},
     {"type": "object", "additionalProperties": TEXT}, []),
    (obj({"a": TEXT}, required=["a"]), obj({"a": TEXT}, required=["a"]), []),
    ({"anyOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}, []),
    ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}, []),
    ({"allOf": [obj({"a": TEXT}, required=["a"])], "title": "T"},
     obj({"a": TEXT}, required=["a"], title="T"), []),
    ({"allOf": [obj({"a": TEXT}, required=["a"]), obj({"b": TEXT}, required=["b"])]},
     obj({"a": TEXT, "b": TEXT}, required=["a", "b"]), []),
    ({"const": "x"}, {"enum": ["x"]}, []),
    ({"type": "string", "const": "x"}, {"type": "string", "enum": ["x"]}, []),
    ({"const": None}, {"type": "null"}, []),
    ({"const": True}, {"type": "boolean", "description": "Always true."}, ["const"]),
    ({"const": {"a": 1}}, {"description": 'Always {"a": 1}.'}, ["const"]),
    ({"enum": ["a", 1]}, {"enum": ["a", 1]}, []),
    ({"type": ["string", "null"], "enum": ["a", None]},
     {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}, []),
    ({"enum": [True, False]}, {"type": "boolean"}, []),
    ({"enum": [[1], "a"]}, {"description": 'One of [[1], "a"].'}, ["enum"]),
    ({"type": "number", "minimum": 1, "maximum": 2}, {"type": "number", "minimum": 1, "maximum": 2}, []),
    ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 9},
     {"type": "integer", "minimum": 2, "maximum": 8}, []),
    ({"type": "integer", "exclusiveMinimum": 1.5, "minimum": 1}, {"type": "integer", "minimum": 2}, []),
    ({"type": "number", "exclusiveMinimum": 0},
     {"type": "number", "minimum": 0, "description": "More than 0."}, ["exclusiveMinimum"]),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, {"type": "integer", "minimum": 4}, []),
    ({"type": "number", "multipleOf": 5}, {"type": "number", "description": "A multiple of 5."}, ["multipleOf"]),
    ({"type": "string", "minLength": 1, "maxLength": 9, "description": "A name."},
     {"type": "string", "description": "A name. At least 1 characters. At most 9 characters."},
     ["maxLength", "minLength"]),
    ({"type": "string", "pattern": "^a+$"},
     {"type": "string", "description": "Matches the pattern ^a+$."}, ["pattern"]),
    ({"type": "string", "format": "uri"}, {"type": "string", "format": "uri"}, []),
    ({"type": "array", "items": TEXT, "minItems": 2, "maxItems": 3},
     {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 3}, []),
    ({"type": "array", "items": [TEXT], "additionalItems": False},
     {"type": "array", "prefixItems": [TEXT], "description": "No further items."}, ["items"]),
    ({"type": "string", "default": "a", "examples": ["b"]},
     {"type": "string", "description": 'Default: "a". Examples: ["b"].'}, ["default", "examples"]),
    ({"type": "string", "title": "T", "$schema": "s", "$id": "i", "$comment": "c", "x-order": 1},
     {"type": "string", "title": "T"}, []),
    ({"not": {"type": "null"}}, {"description": 'Must not match {"type": "null"}.'}, ["not"]),
    ({"type": "object", "patternProperties": {"^x": TEXT}, "propertyNames": {"maxLength": 1}},
     {"type": "object", "description": 'Properties by pattern: {"^x": {"type": "string"}}. '
                                       'Property names match {"maxLength": 1}.'},
     ["patternProperties", "propertyNames"]),
    ({"type": "array", "uniqueItems": True}, {"type": "array", "description": "No two items alike."}, ["uniqueItems"]),
    ({"type": "array", "uniqueItems": False}, {"type": "array"}, []),
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}, []),
    (True, {}, []),
    (False, {"description": "Never give this."}, ["false"]),
    ({"type": "object", "properties": {}}, {"type": "object"}, []),
])  # fmt: skip
def test_a_keyword_for_gemini(given_, wanted, lost):
    assert on_property(as_response, given_) == (wanted, lost)
    assert on_property(as_tool, given_) == (wanted, lost)


@pytest.mark.parametrize(("given_", "wanted", "lost"), [
    ({"type": ["string", "null"]}, {"type": ["string", "null"]}, []),
    (obj({"a": TEXT}), shut({"a": TEXT}), []),
    (obj({"a": TEXT}, additionalProperties=True), shut({"a": TEXT}), ["additionalProperties"]),
    ({"type": "object"}, {"type": "object", "additionalProperties": False}, ["additionalProperties"]),
    ({"anyOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}, []),
    ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}, []),
    ({"allOf": [obj({"a": TEXT}), {"required": ["a"]}]}, shut({"a": TEXT}, required=["a"]), []),
    (obj({"a": TEXT}, anyOf=[obj({"b": TEXT}), {"required": ["a"]}], description="D"),
     {"description": "D", "anyOf": [shut({"a": TEXT, "b": TEXT}), shut({"a": TEXT}, required=["a"])]}, []),
    ({"const": True}, {"const": True}, []),
    ({"const": [1]}, {"description": "Always [1]."}, ["const"]),
    ({"enum": ["a", 1, None, True]}, {"enum": ["a", 1, None, True]}, []),
    ({"enum": [{}]}, {"description": "One of [{}]."}, ["enum"]),
    ({"type": "integer", "minimum": 1, "maximum": 9},
     {"type": "integer", "description": "At least 1. At most 9."}, ["maximum", "minimum"]),
    ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 2},
     {"type": "number", "description": "More than 0. A multiple of 2."}, ["exclusiveMinimum", "multipleOf"]),
    ({"type": "string", "maxLength": 9}, {"type": "string", "description": "At most 9 characters."}, ["maxLength"]),
    ({"type": "string", "pattern": "^[a-z]{2,3}$"}, {"type": "string", "pattern": "^[a-z]{2,3}$"}, []),
    ({"type": "string", "pattern": "^(?=a)"},
     {"type": "string", "description": "Matches the pattern ^(?=a)."}, ["pattern"]),
    ({"type": "string", "pattern": r"(a)\1"},
     {"type": "string", "description": r"Matches the pattern (a)\1."}, ["pattern"]),
    ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}, []),
    ({"type": "string", "format": "byte"}, {"type": "string", "description": "Format: byte."}, ["format"]),
    ({"type": "array", "items": TEXT, "minItems": 1}, {"type": "array", "items": TEXT, "minItems": 1}, []),
    ({"type": "array", "items": TEXT, "minItems": 3, "maxItems": 4},
     {"type": "array", "items": TEXT, "minItems": 1, "description": "At least 3 items. At most 4 items."},
     ["maxItems", "minItems"]),
    ({"type": "array", "prefixItems": [TEXT, {"type": "null"}, TEXT]},
     {"type": "array", "items": {"anyOf": [TEXT, {"type": "null"}]}, "description": "The items come in a fixed order."},
     ["prefixItems"]),
    ({"type": "string", "default": "a", "examples": ["b"], "title": "T", "$comment": "c"},
     {"type": "string", "default": "a", "title": "T", "description": 'Examples: ["b"].'}, ["examples"]),
    ({"if": {"required": ["a"]}, "then": False},
     {"description": 'Only if it matches {"required": ["a"]}:'}, ["if"]),
])  # fmt: skip
def test_a_keyword_for_anthropics_grammar(given_, wanted, lost):
    assert on_property(for_anthropic_format, given_) == (wanted, lost)


@pytest.mark.parametrize("schema", [
    {"oneOf": [TEXT, {"type": "null"}]},
    {"allOf": [TEXT], "not": {"const": ""}},
    {"type": "number", "exclusiveMinimum": 0, "multipleOf": 2, "default": 4},
    {"$ref": "#/properties/other", "description": "D"},
])  # fmt: skip
def test_a_plain_anthropic_tool_keeps_what_is_below_its_root(schema):
    root = obj({"p": schema, "other": TEXT}, **{"$defs": {"A": TEXT}})
    assert for_anthropic_tool(root).schema == root


# ----------------------------------------------------------------------------- roots


@pytest.mark.parametrize("schema", [
    None, {}, {"type": "object"}, {"properties": {}}, {"$schema": "s", "title": "T"},
    obj({}, additionalProperties=False), {"$ref": "#/$defs/A", "$defs": {"A": obj({})}}, True,
])  # fmt: skip
def test_a_gemini_tool_without_parameters_has_no_schema(schema):  # pitfall 14
    assert as_tool(schema).schema is None
    assert as_tool(schema).lost == []


def test_a_gemini_tool_of_free_arguments_says_what_it_lost():
    adapted = as_tool({"type": "object", "additionalProperties": TEXT})
    assert (adapted.schema, adapted.lost) == (None, ["additionalProperties"])


def test_a_schema_without_a_type_is_an_object_at_the_root():
    assert as_response({"properties": {"a": TEXT}}).schema == obj({"a": TEXT})
    assert as_response({}).schema == {"type": "object"}
    assert as_response({"anyOf": [TEXT]}).schema == {"anyOf": [TEXT]}
    assert for_anthropic_format({"title": "T"}).schema["type"] == "object"
    assert as_response(
        {"additionalProperties": {"$ref": "#/definitions/A"}, "definitions": {"A": TEXT}}
    ).schema == {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/A"},
        "$defs": {"A": TEXT},
    }


def test_an_anthropic_tool_is_an_object():
    empty = {"type": "object", "properties": {}}
    assert for_anthropic_tool(None).schema == for_anthropic_tool(True).schema == empty
    assert for_anthropic_tool({"properties": {"a": TEXT}}).schema == obj({"a": TEXT})
    assert for_anthropic_tool({"type": ["object", "null"]}).schema == {"type": "object"}
    assert for_anthropic_tool({"type": "array"}).lost == ["type"]


UNION = {
    "description": "Draws.",
    "oneOf": [
        obj({"kind": {"const": "circle"}, "r": {"type": "number"}}, required=["kind", "r"]),
        obj({"kind": {"const": "square"}, "side": {"type": "number"}}, required=["kind", "side"]),
    ],
}


@pytest.mark.parametrize("adapt", [for_anthropic_tool, as_tool])
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_union_at_a_tools_root_becomes_one_object(adapt, keyword):  # pitfall 28
    adapted = adapt({"description": "Draws.", keyword: UNION["oneOf"]})
    number = {"type": "number"}
    assert adapted.schema == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["circle", "square"]},
            "r": number,
            "side": number,
        },
        "required": ["kind"],
        "description": 'Draws. Give one of: `kind` ("circle"), `r`; or `kind` ("square"), `side`.',
    }
    assert adapted.lost == [keyword]


def test_a_union_joins_with_what_stands_beside_it():
    adapted = for_anthropic_tool(
        obj(
            {"id": TEXT, "a": {"type": "integer"}},
            required=["id"],
            anyOf=[{"required": ["a"]}, obj({"b": TEXT, "id": {"minLength": 1}}, required=["b"])],
        )
    )
    assert adapted.schema == obj(
        {"id": TEXT, "a": {"type": "integer"}, "b": TEXT},
        required=["id"],
        description="Give one of: `a`; or `b`.",
    )


def test_variants_of_one_property_stay_apart():
    union = {"anyOf": [obj({"v": TEXT}), obj({"v": {"type": "integer"}}), {"type": "null"}]}
    assert for_anthropic_tool(union).schema["properties"]["v"] == {
        "anyOf": [TEXT, {"type": "integer"}]
    }


def test_all_of_at_a_tools_root_is_merged():
    parts = {
        "allOf": [{"$ref": "#/definitions/A"}, obj({"b": TEXT}, required=["b"])],
        "definitions": {"A": obj({"a": TEXT}, required=["a"])},
    }
    assert for_anthropic_tool(parts).schema == obj({"a": TEXT, "b": TEXT}, required=["a", "b"])


def test_a_union_that_holds_itself_ends():
    adapted = for_anthropic_tool({"anyOf": [{"$ref": "#"}, obj({"a": {"$ref": "#"}})]}).schema
    assert list(adapted["properties"]) == ["a"]
    assert references(adapted) <= {f"#/$defs/{name}" for name in adapted["$defs"]}


def test_a_reference_into_a_joined_union_still_leads_somewhere():
    union = {
        "anyOf": [obj({"a": TEXT}), obj({"b": {"$ref": "#/anyOf/0/properties/a"}})],
    }
    for adapt in (for_anthropic_tool, as_tool):
        adapted = adapt(union).schema
        assert adapted["properties"]["b"] == {"$ref": "#/$defs/a"}
        assert adapted["$defs"] == {"a": TEXT}


def test_a_tools_root_has_no_list_of_values():
    for adapt in (for_anthropic_tool, as_tool):
        adapted = adapt({"anyOf": [obj({"a": TEXT})], "enum": [None, "x"]})
        assert adapted.schema == obj({"a": TEXT})
        assert adapted.lost == ["anyOf", "enum"]


# ----------------------------------------------------------------------------- names


KEYWORDS = ["default", "const", "anyOf", "oneOf", "$ref", "$defs", "type", "properties", "required",
            "enum", "format", "nullable", "items", "not", "propertyOrdering", "example", "pattern"]  # fmt: skip


@pytest.mark.parametrize("name", [*PASSES, "from gemini", "closed"])
def test_a_property_may_be_named_like_a_keyword(name):
    properties = {keyword: dict(TEXT) for keyword in KEYWORDS}
    schema = shut({"deep": shut(properties, required=KEYWORDS)})
    adapt = {"from gemini": from_gemini, "closed": closed}.get(name)
    adapted = adapt(schema) if adapt else PASSES[name](schema).schema
    assert adapted == schema


def test_data_that_looks_like_a_schema_is_data():
    data = {"$ref": "#/nowhere", "type": "X", "oneOf": 1}
    assert on_property(for_anthropic_format, {"type": "object", "properties": {}, "default": data,
                                              "additionalProperties": False})[0]["default"] == data  # fmt: skip
    assert from_gemini({"enum": [data], "default": data}) == {"enum": [data], "default": data}


def test_required_names_are_properties():
    """Google refuses a required name that is none; Anthropic's closed object could not have it."""
    assert on_property(as_response, {"required": ["a"]})[0] == obj({"a": {}}, required=["a"])
    assert on_property(for_anthropic_format, obj({"b": TEXT}, required=["a"]))[0] == shut(
        {"b": TEXT, "a": {}}, required=["a"]
    )


# ----------------------------------------------------------------------------- references


def references(schema):
    return {node["$ref"] for node in every_node(schema) if "$ref" in node}


def test_a_reference_alone_stays_one_and_one_with_siblings_is_inlined():
    schema = obj(
        {"a": {"$ref": "#/definitions/A"}, "b": {"$ref": "#/definitions/A", "description": "B"}},
        definitions={"A": shut({"x": TEXT}, description="A"), "Unused": {"not": {}}},
    )
    for adapt in (as_response, for_anthropic_format):
        adapted = adapt(schema)
        assert adapted.schema["properties"]["a"] == {"$ref": "#/$defs/A"}
        assert adapted.schema["properties"]["b"] == shut({"x": TEXT}, description="B")
        assert adapted.schema["$defs"] == {"A": shut({"x": TEXT}, description="A")}
        assert adapted.lost == []


@pytest.mark.parametrize("reference", ["#/properties/a", "#/$defs/x~1y", "#/$defs/x%2Fy", "#/$defs/alias"])  # fmt: skip
def test_a_reference_may_point_anywhere_in_the_schema(reference):
    schema = obj({"a": TEXT, "b": {"$ref": reference}})
    schema["$defs"] = {"x/y": TEXT, "alias": {"$ref": "#/$defs/x~1y"}}
    if reference.startswith("#/$defs/x%2F"):
        schema["$defs"] = {"x": {"y": TEXT}}  # an encoded slash parts the steps, as any slash does
    adapted = as_response(schema).schema
    assert adapted["$defs"][adapted["properties"]["b"]["$ref"].removeprefix("#/$defs/")] == TEXT


@pytest.mark.parametrize("reference", ["#/$defs/None", "https://example.com/a", "#anchor", 5, "#/$defs/loop"])  # fmt: skip
def test_a_reference_into_nowhere_takes_anything(reference):
    schema = obj({"a": {"$ref": reference}}, **{"$defs": {"loop": {"$ref": "#/$defs/loop"}}})
    for adapt in (as_response, for_anthropic_format):
        adapted = adapt(schema)
        assert adapted.schema["properties"] == {"a": {}}
        assert adapted.lost == ["$ref"]


def test_definitions_of_one_name_stay_apart():
    schema = obj({"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/A"}},
                 **{"$defs": {"A": TEXT}, "definitions": {"A": {"type": "integer"}}})  # fmt: skip
    adapted = as_response(schema).schema
    assert adapted["properties"]["b"] == {"$ref": "#/$defs/A_2"}
    assert adapted["$defs"] == {"A": TEXT, "A_2": {"type": "integer"}}


def test_a_number_too_big_for_a_float_is_one():
    huge = {"type": "integer", "minimum": 10**400}
    assert on_property(as_response, huge) == (huge, [])


def test_gemini_follows_a_circle_only_through_optional_properties():
    adapted = as_tool(TREE)
    node = adapted.schema["$defs"]["Node"]
    assert node["required"] == ["value"]
    assert node["description"] == "Always give `next`."
    assert adapted.lost == ["required"]
    assert adapted.schema["required"] == ["value", "next"]  # the root is no part of the circle


def test_an_optional_circle_loses_nothing():
    node = {"type": "array", "items": obj({"children": {"$ref": "#/$defs/Node"}})}
    adapted = as_response({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert adapted.schema == {**node, "$defs": {"Node": node}}
    assert adapted.lost == []


@pytest.mark.parametrize("inner", [
    {"$ref": "#/$defs/Node", "description": "the next"},
    {"allOf": [{"$ref": "#/$defs/Node"}], "description": "the next"},
])  # fmt: skip
def test_a_circle_with_siblings_ends(inner):
    """What older pydantic writes for a field with a description."""
    node = obj({"next": inner})
    adapted = as_response({"$ref": "#/$defs/Node", "$defs": {"Node": node}}).schema
    loop = {"anyOf": [{"$ref": "#/$defs/Node"}], "description": "the next"}
    assert adapted["properties"]["next"] == loop
    assert adapted["$defs"]["Node"] == obj({"next": loop})


@pytest.mark.parametrize("schema", [
    TREE,
    obj({"a": {"$ref": "#"}}),
    obj({"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/B"}},
                                                   "B": obj({"a": {"$ref": "#/$defs/A", "title": "T"}})}}),
])  # fmt: skip
def test_anthropics_grammar_refuses_recursion(schema):
    with pytest.raises(Problem) as caught:
        for_anthropic_format(schema)
    assert caught.value.code == "invalid_value"
    assert "recursive" in caught.value.template
    assert not fits_anthropic_strict(schema)


def test_recursion_that_nobody_uses_is_none():
    schema = shut({"a": TEXT}, **{"$defs": {"Node": NODE}})
    assert for_anthropic_format(schema).schema == shut({"a": TEXT})


def doubling(levels, inner):
    """Definitions of which each holds the next one twice."""
    definitions = {f"D{n}": inner(f"#/$defs/D{n + 1}") for n in range(levels)}
    return {**definitions, f"D{levels}": TEXT}


@pytest.mark.parametrize("inner", [
    lambda ref: obj({name: {"$ref": ref, "description": name} for name in "ab"}),
    lambda ref: {"anyOf": [{"$ref": ref, "title": "a"}, {"$ref": ref, "title": "b"}]},
    lambda ref: {"items": {"allOf": [{"$ref": ref, "title": "a"}]}, "not": {}, "contains": {},
                 "prefixItems": [{"$ref": ref, "title": "b"}]},
])  # fmt: skip
@pytest.mark.parametrize("name", PASSES)
def test_inlining_cannot_explode(name, inner):
    schema = obj({"a": {"$ref": "#/$defs/D0", "title": "a"}}, **{"$defs": doubling(40, inner)})
    schema["anyOf"] = [{"$ref": "#/$defs/D0"}, obj({})]
    start = time.perf_counter()
    try:
        PASSES[name](schema)
    except Problem as problem:
        assert problem.code == "invalid_value"
        assert "too large" in problem.template
    else:
        assert name == "anthropic tool"  # which inlines nothing below the root
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("build", [
    lambda inner: {"type": "array", "items": inner},
    lambda inner: {"anyOf": [inner]},
    lambda inner: obj({"a": inner}),
])  # fmt: skip
@pytest.mark.parametrize("name", PASSES)
def test_depth_is_bounded(name, build):
    schema = {"anyOf": [TEXT]}
    for _ in range(90):
        schema = build(schema)
    with pytest.raises(Problem, match="too deeply"):
        PASSES[name]({"anyOf": [obj({"a": schema}), obj({})]})


def test_many_branches_with_many_properties_are_bounded():
    wide = obj({f"p{n}": TEXT for n in range(3_000)})
    branches = [{"$ref": "#/$defs/Wide", "title": str(n)} for n in range(3_000)]
    start = time.perf_counter()
    with pytest.raises(Problem):
        for_anthropic_tool({"anyOf": branches, "$defs": {"Wide": wide}})
    assert time.perf_counter() - start < 5


# ----------------------------------------------------------------------------- strict


STRICT = shut({"a": TEXT, "b": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]}}, required=["a", "b"],
              title="T", **{"$defs": {"B": shut({}, title="B")}})  # fmt: skip


def test_what_pydantic_writes_for_openais_strict_mode_is_strict():
    assert is_openai_strict(STRICT)
    assert is_openai_strict({**STRICT, "$schema": "http://json-schema.org/draft-07/schema#"})
    assert fits_anthropic_strict(STRICT)
    assert is_openai_strict({"type": "object", **{k: v for k, v in NODE.items() if k != "properties"},
                             "properties": {"value": TEXT, "next": {"$ref": "#"}}})  # fmt: skip


@pytest.mark.parametrize("schema", [
    {}, True, {"type": "object"}, {"anyOf": [STRICT]}, {"$ref": "#/$defs/B", "$defs": STRICT["$defs"]},
    obj({"a": TEXT}, required=["a"]),
    shut({"a": TEXT}),
    shut({"a": TEXT}, required=["a", "b"]),
    shut({"a": TEXT}, required=["a"], anyOf=[{}]),
    {**STRICT, "allOf": [TEXT]},
    {**STRICT, "type": ["object", "null"]},
])  # fmt: skip
def test_a_root_that_openai_refuses_with_strict(schema):  # pitfall 54
    assert not is_openai_strict(schema)


@pytest.mark.parametrize("inner", [
    {}, True, {"enum": ["a"]}, {"type": "array"}, {"type": "array", "items": True},
    {"oneOf": [TEXT]}, {"allOf": [TEXT]}, {"type": "string", "default": "a"},
    {"type": "string", "minLength": 1}, {"type": "string", "format": "int32"},
    {"type": "string", "not": {"const": ""}}, obj({"x": TEXT}, required=["x"]),
    {"$ref": "#/$defs/None"}, {"$ref": "#/properties/b", "description": "D"}, {"anyOf": [True]},
    {"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": TEXT},
    {"type": "string", "x-order": 1},
])  # fmt: skip
def test_a_schema_that_openai_refuses_with_strict(inner):
    assert not is_openai_strict(shut({"a": inner, "b": TEXT}, required=["a", "b"]))


def test_nesting_that_openai_refuses_with_strict():
    schema = shut({"a": TEXT}, required=["a"])
    for _ in range(9):
        schema = shut({"a": schema}, required=["a"])
    assert is_openai_strict(schema)
    assert not is_openai_strict(shut({"a": schema}, required=["a"]))


@pytest.mark.parametrize("schema", [
    obj({"a": TEXT}), shut({"a": {"type": "integer", "minimum": 1}}), {"oneOf": [STRICT]},
    {"anyOf": [STRICT]}, shut({"a": {"$ref": "#/$defs/A", "title": "T"}}, **{"$defs": {"A": TEXT}}), TEXT,
    shut({f"p{n}": TEXT for n in range(25)}), shut({f"p{n}": {"anyOf": [TEXT]} for n in range(17)},
                                                   required=[f"p{n}" for n in range(17)]),
])  # fmt: skip
def test_a_tool_that_anthropic_refuses_with_strict(schema):
    assert not fits_anthropic_strict(schema)


def test_closed_closes_what_does_not_say():
    schema = obj({"a": obj({"b": TEXT}), "c": {"type": "array", "items": obj({})},
                  "open": obj({}, additionalProperties=True), "map": {"type": "object"}})  # fmt: skip
    assert closed(schema) == shut({
        "a": shut({"b": TEXT}), "c": {"type": "array", "items": shut({})},
        "open": obj({}, additionalProperties=True), "map": {"type": "object"},
    })  # fmt: skip
    assert closed({"anyOf": [obj({}), TEXT]}) == {"anyOf": [shut({}), TEXT]}


@pytest.mark.parametrize("schema", [
    {"allOf": [obj({"a": TEXT}), obj({"b": TEXT})]},
    obj({"a": TEXT}, anyOf=[obj({"b": TEXT}), obj({"c": TEXT})]),
    {"not": obj({"a": TEXT})},
])  # fmt: skip
def test_closed_leaves_parts_of_one_object_open(schema):
    assert closed(schema) == schema
    assert not is_openai_strict(closed(schema))


# ----------------------------------------------------------------------------- T2


@pytest.mark.parametrize(("ours", "theirs"), [
    ({"type": "STRING"}, {"type": "string"}),
    ({"type": ["STRING", "NULL"]}, {"type": ["string", "null"]}),
    ({"type": 6, "properties": {"n": {"type": 3}}}, obj({"n": {"type": "integer"}})),
    ({"type": "TYPE_UNSPECIFIED", "enum": ["a"]}, {"enum": ["a"]}),
    ({"type": 0}, {}),
    ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
    ({"type": "STRING", "nullable": False}, {"type": "string"}),
    ({"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
     {"type": ["string", "null"], "enum": ["a", None]}),
    ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ({"ref": "#/defs/A", "nullable": True, "defs": {"A": {"type": "STRING"}}},
     {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": TEXT}}),
    ({"ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}),
    ({"type": "ARRAY", "items": {"type": "NUMBER", "minimum": "-1.5", "maximum": "2"}, "minItems": "2", "maxItems": 3},
     {"type": "array", "items": {"type": "number", "minimum": -1.5, "maximum": 2}, "minItems": 2, "maxItems": 3}),
    ({"minItems": "x", "maximum": "NaN"}, {"minItems": "x", "maximum": "NaN"}),
    ({"prefixItems": [{"type": "STRING"}], "additionalProperties": {"type": "STRING"}},
     {"prefixItems": [TEXT], "additionalProperties": TEXT}),
    ({"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "example": {"type": "STRING"}}, "example": 1},
     obj({"type": TEXT, "example": TEXT})),
    ({"type": "STRING", "format": "date-time", "default": "STRING"},
     {"type": "string", "format": "date-time", "default": "STRING"}),
    (5, 5), (None, None), (True, True),
])  # fmt: skip
def test_gemini_schemas_become_json_schema(ours, theirs):
    before = copy.deepcopy(ours)
    assert from_gemini(ours) == theirs
    assert ours == before
    assert from_gemini(theirs) == theirs


@pytest.mark.parametrize(("order", "wanted"), [
    (["c", "a", "b"], ["c", "a", "b"]), (["c"], ["c", "a", "b"]), (["x", "b", "b"], ["b", "a", "c"]),
    (None, ["a", "b", "c"]), ("cba", ["a", "b", "c"]), ([{}, 1], ["a", "b", "c"]),
])  # fmt: skip
def test_properties_come_in_the_order_asked_for(order, wanted):
    schema = {"properties": dict.fromkeys("abc", {"type": "STRING"}), "propertyOrdering": order}
    assert list(from_gemini(schema)["properties"]) == wanted


# ----------------------------------------------------------------------------- any schema at all


def every_node(schema):
    """Every schema in a schema; the walk of the tests' own."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in (
            "properties",
            "$defs",
            "definitions",
            "patternProperties",
            "dependentSchemas",
        ):
            inner = list(value.values()) if isinstance(value, dict) else []
        elif keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            inner = value if isinstance(value, list) else []
        elif keyword in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
            inner = [value]
        else:
            inner = []
        for own in inner:
            yield from every_node(own)


GEMINI_WORDS = {"$defs", "$ref", "type", "format", "title", "description", "enum", "items", "prefixItems",
                "minItems", "maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties",
                "required", "propertyOrdering"}  # fmt: skip
ANTHROPIC_WORDS = {"$defs", "$ref", "type", "format", "title", "description", "enum", "const", "items",
                   "minItems", "anyOf", "properties", "additionalProperties", "required", "default",
                   "pattern"}  # fmt: skip

NAMES = st.sampled_from(["a", "b", "type", "anyOf", "$ref"])
LEAVES = st.sampled_from([
    TEXT, {"type": "integer", "exclusiveMinimum": 1, "maximum": 9}, {"const": "x"}, {"const": True},
    {"enum": ["a", None]}, {"enum": [1, 2.5, True]}, {"type": ["string", "null"], "default": None},
    {"type": "string", "format": "byte", "minLength": 2, "description": "D"}, {}, True,
    {"type": "number", "multipleOf": 2, "minimum": 0},
])  # fmt: skip
POINTERS = st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/definitions/A", "#/properties/a",
                            "#/anyOf/0", "#/$defs/None", "other.json"])  # fmt: skip
JUNK = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.just("x"), st.just([]), st.just({}),
                 st.just([1, "a", {}]), st.just({"a": 1}), st.just([False, True]))  # fmt: skip
JUNK_WORDS = st.sampled_from([
    "type", "format", "enum", "const", "items", "prefixItems", "minItems", "minimum", "exclusiveMinimum",
    "anyOf", "oneOf", "allOf", "properties", "required", "additionalProperties", "additionalItems",
    "propertyOrdering", "description", "nullable", "not", "if", "default", "pattern", "$ref", "$defs",
    "definitions", "patternProperties", "dependentSchemas", "title", "examples",
])  # fmt: skip


def objects(inner):
    return st.builds(
        lambda properties, required, more: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
            **more,
        },
        st.dictionaries(NAMES, inner, max_size=3),
        st.sets(NAMES),
        st.sampled_from([{}, {"additionalProperties": False}, {"title": "T", "minProperties": 0}]),
    )


def compound(inner):
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        objects(inner),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 2),
        ),
        st.builds(lambda items: {"type": "array", "prefixItems": items}, lists),
        st.builds(lambda union: {"anyOf": union, "description": "U"}, lists),
    )


SANE = st.recursive(LEAVES, compound, max_leaves=8)
"""Schemas of which an instance is easily made."""


def wild(inner):
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        compound(inner),
        st.builds(lambda own, parts, kind: {**own, kind: parts}, objects(inner), lists,
                  st.sampled_from(["anyOf", "oneOf", "allOf"])),
        st.builds(lambda a, b: {"anyOf": a, "oneOf": b}, lists, lists),
        st.builds(lambda own, reference: {**own, "$ref": reference}, objects(inner), POINTERS),
        st.builds(lambda reference: {"$ref": reference}, POINTERS),
        st.builds(lambda own: {"not": own, "items": [own, False], "additionalItems": own}, inner),
        st.sampled_from([False, {"type": "string", "nullable": True}]),
    )  # fmt: skip


WILD = st.builds(
    lambda root, a, b, junk: {**(root if isinstance(root, dict) else {}), "$defs": {"A": a, "B": b},
                              "definitions": {"A": b}, **junk},
    st.recursive(LEAVES, wild, max_leaves=10), st.recursive(LEAVES, wild, max_leaves=5),
    st.recursive(LEAVES, wild, max_leaves=5), st.dictionaries(JUNK_WORDS, JUNK, max_size=2),
)  # fmt: skip
"""Schemas with all there is, contradictions, circles and values of the wrong type included."""


def adapted_or_skipped(name, schema):
    try:
        return PASSES[name](schema)
    except Problem:
        assume(False)


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=150)
@given(schema=WILD)
def test_a_pass_is_pure_and_its_own_result_passes_unchanged(name, schema):
    before = copy.deepcopy(schema)
    adapted = adapted_or_skipped(name, schema)
    assert schema == before
    assert PASSES[name](adapted.schema).schema == adapted.schema or adapted.schema is None
    assert adapted.lost == sorted(set(adapted.lost))


@settings(max_examples=150)
@given(schema=WILD)
def test_the_simple_passes_are_pure_and_idempotent(schema):
    before = copy.deepcopy(schema)
    for turned in (closed, from_gemini):
        once = turned(schema)
        assert turned(once) == once
    assert schema == before
    assert is_openai_strict(schema) in (True, False)
    assert fits_anthropic_strict(schema) in (True, False)


@pytest.mark.parametrize("name", ["gemini response", "gemini tool", "anthropic format"])
@settings(max_examples=150)
@given(schema=WILD)
def test_nothing_remains_that_the_target_does_not_know(name, schema):
    said = adapted_or_skipped(name, schema).schema or {}
    for node in every_node(said):
        assert node.keys() <= (ANTHROPIC_WORDS if name == "anthropic format" else GEMINI_WORDS), (
            node
        )
        assert "$ref" not in node or set(node) == {"$ref"}
        assert set(node.get("required", ())) <= set(node.get("properties", ()))
        is_about_objects = "object" in node.get("type", ())
        if name == "anthropic format":
            assert node.get("additionalProperties") is (False if is_about_objects else None)
            assert node.get("minItems", 0) in (0, 1)
        else:
            assert node.get("properties") != {}
            assert all(type(value) in (str, int, float) for value in node.get("enum", ()))
    assert references(said) == {
        f"#/$defs/{key}" for key in said.get("$defs", {})
    } or not references(said)


@settings(max_examples=150)
@given(schema=WILD)
def test_a_tools_root_is_always_one_plain_object(schema):
    for name in ("gemini tool", "anthropic tool"):
        said = adapted_or_skipped(name, schema).schema
        assert said is None or said["type"] == "object"
        assert not (said or {}).keys() & {"anyOf", "oneOf", "allOf", "$ref"}


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=200)
@given(schema=objects(SANE), salt=st.integers(0, 5))
def test_what_the_caller_may_give_can_still_be_said(name, schema, salt):
    """A value of the caller's schema satisfies the adapted one."""
    try:
        value = instance(schema, salt=salt)
    except Unsatisfiable:
        assume(False)
    assume(fits(schema, value))
    adapted = adapted_or_skipped(name, schema)
    assert adapted.schema is None or fits(adapted.schema, value)


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=100)
@given(schema=objects(SANE))
def test_property_names_and_requirements_survive(name, schema):
    said = adapted_or_skipped(name, schema).schema
    assume(said is not None)
    assert list(said.get("properties", {})) == list(schema["properties"])
    assert said.get("required", []) == schema["required"]


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=200)
@given(schema=objects(SANE), salt=st.integers(0, 5))
def test_only_what_is_said_to_be_lost_is_lost(name, schema, salt):
    """Where nothing was lost, a value of the adapted schema satisfies the caller's."""
    adapted = adapted_or_skipped(name, schema)
    assume(adapted.schema is not None and not adapted.lost)
    try:
        value = instance(adapted.schema, salt=salt)
    except Unsatisfiable:
        assume(False)
    assert not fits(adapted.schema, value) or fits(schema, value)
