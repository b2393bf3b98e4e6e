"""Instances of schemas: valid whatever the schema, and cheap however hostile it is."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.instances import Unsatisfiable, instance
from tests.gateway.schema_check import FORMAT_CHECKS, fits

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "string"},
        "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "left", "right", "children"],
    "additionalProperties": False,
}

SCHEMAS = {
    "anything": {},
    "nullable": {"type": ["string", "null"]},
    "const": {"const": {"a": [1]}},
    "typed enum": {"type": "integer", "enum": ["x", None, 3]},
    "strict": WEATHER,
    "no type": {"properties": {"a": {"minimum": 3}}, "required": ["a", "b"]},
    "recursive": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "recursive root": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "definitions": {"definitions": {"a": {"type": "integer"}}, "type": "array",
                    "items": {"$ref": "#/definitions/a"}, "minItems": 3, "uniqueItems": True},
    "union": {"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
         "required": ["kind", "lives"], "additionalProperties": False},
        {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"],
         "additionalProperties": False}]},
    "union beside properties": {"type": "object", "properties": {"a": {"type": "string"}},
                                "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "first branch impossible": {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 1},
                                          {"type": "boolean"}]},
    "merged": {"$defs": {"a": {"type": "object", "properties": {"x": {"type": "integer"}},
                               "required": ["x"]}},
               "allOf": [{"$ref": "#/$defs/a"},
                         {"properties": {"y": {"type": "string"}}, "required": ["y"]}]},
    "map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 7}},
    "map with a least size": {"type": "object", "minProperties": 3,
                              "additionalProperties": {"type": "boolean"}},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}],
              "items": False},
    "empty array": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    "unique booleans": {"type": "array", "items": {"type": "boolean"}, "minItems": 2,
                        "uniqueItems": True},
    "open bounds": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "open integer bounds": {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    "steps": {"type": "number", "multipleOf": 0.1, "minimum": 5.05},
    "integer steps": {"type": "integer", "multipleOf": 7, "minimum": -20, "maximum": -10},
    "negative": {"type": "integer", "maximum": -5},
    "lengths": {"type": "string", "minLength": 30, "maxLength": 31},
    "short": {"type": "string", "maxLength": 2},
    **{f"format {name}": {"type": "string", "format": name} for name in FORMAT_CHECKS},
    **{f"pattern {pattern}": {"type": "string", "pattern": pattern} for pattern in (
        r"^[A-Z]{2}\d{4}$", r"^(foo|bar)-[a-f0-9]+$", r"^\+?[1-9]\d{1,14}$", r"^[^a-c\s]x*?$",
        r"^(?:ab){3}(?P<n>\.\w)?$", r"^[\w.+-]+@[\w-]+\.[a-z]{2,}$", r"^#[0-9a-fA-F]{6}$", "",
        r"^a\x41\u0042\/$", r"^[]a]b$", r"^v\d+(\.\d+){2}$", r"^[a-]{2}$")},
    "pattern and length": {"type": "string", "pattern": "^[a-z]+$", "minLength": 12,
                           "maxLength": 12},
}  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
@pytest.mark.parametrize("salt", [0, 1, 5])
def test_an_instance_fits_its_schema(schema, salt):
    value = instance(schema, salt=salt, words="hello")
    assert fits(schema, value), value
    assert value == instance(schema, salt=salt, words="hello")
    assert json.loads(json.dumps(value)) == value


def test_gemini_spellings_are_read():
    assert instance({"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}) == {"n": 1}


def test_words_of_the_user_fill_a_query():
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    assert instance(schema, words="red shoes") == {"query": "red shoes"}


@pytest.mark.parametrize("schema", [
    False,
    {"enum": []},
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
    {"$ref": "#/$defs/absent"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    {"type": "quark"},
    {"type": "string", "pattern": "^a$", "minLength": 2},
])  # fmt: skip
def test_what_nothing_satisfies_is_said(schema):
    with pytest.raises(Unsatisfiable):
        instance(schema)


HOSTILE = {
    "many items": {"type": "array", "minItems": 10**9, "items": {"type": "string"}},
    "long string": {"type": "string", "minLength": 10**9},
    "nested repeats": {"type": "string", "pattern": "((((a{999}){999}){999}){999})"},
    "catastrophic pattern": {"type": "string", "pattern": "^(a+)+(?=b)$", "minLength": 200},
    "wide recursion": {"type": "object", "required": list("abcdefgh"),
                       "properties": {k: {"$ref": "#"} for k in "abcdefgh"}},
    "branching recursion": {"anyOf": [{"type": "array", "minItems": 4, "items": {"$ref": "#"}},
                                      {"type": "array", "minItems": 5, "items": {"$ref": "#"}}]},
    "many properties": {"type": "object", "minProperties": 10**9},
    "doubling": {"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2}
                           for i in range(60)} | {"d60": {}}, "$ref": "#/$defs/d0"},
}  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_schema_costs_little(schema):
    started = time.perf_counter()
    with contextlib.suppress(Unsatisfiable):
        instance(schema)
    assert time.perf_counter() - started < 2


def scalars():
    return st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(
            lambda low, span, kind: {"type": kind, "minimum": low, "maximum": low + span},
            st.integers(-50, 50), st.integers(0, 20), st.sampled_from(["integer", "number"]),
        ),
        st.builds(
            lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
            st.integers(0, 20), st.integers(0, 20),
        ),
        st.builds(lambda step: {"type": "number", "multipleOf": step},
                  st.sampled_from([0.01, 0.25, 3, 7.5])),
        st.builds(lambda values: {"enum": values},
                  st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=4)),
        st.builds(lambda name: {"type": "string", "format": name},
                  st.sampled_from(sorted(FORMAT_CHECKS))),
        st.just({"$ref": "#/$defs/shared"}),
    )  # fmt: skip


def compounds(inner):
    keys = st.text("abcdef", min_size=1, max_size=3)
    objects = st.builds(
        lambda properties, optional, closed: {
            "type": "object",
            "properties": properties,
            "required": [key for key in properties if key not in optional],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(keys, inner, max_size=4), st.sets(keys, max_size=2), st.booleans(),
    )  # fmt: skip
    arrays = st.builds(
        lambda items, low, span: {
            "type": "array", "items": items, "minItems": low, "maxItems": low + span
        },
        inner, st.integers(0, 3), st.integers(0, 2),
    )  # fmt: skip
    unions = st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
    return st.one_of(objects, arrays, unions)


@settings(max_examples=300, deadline=None)
@given(st.recursive(scalars(), compounds, max_leaves=12), st.integers(0, 9))
def test_instances_fit_whatever_the_schema(schema, salt):
    shared = {"type": "object", "properties": {"again": {"$ref": "#/$defs/shared"}}}
    root = {"type": "object", "properties": {"it": schema}, "required": ["it"],
            "$defs": {"shared": shared}}  # fmt: skip
    assert fits(root, instance(root, salt=salt, words="some words"))


def test_a_number_of_any_size_is_one():
    assert instance({"type": "integer", "minimum": 10**400}) >= 10**400
