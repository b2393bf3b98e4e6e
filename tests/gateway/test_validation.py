"""The vocabulary of rules: what passes, and the path, code and message of what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.validation import (
    Problem,
    anything,
    array,
    boolean,
    decimal,
    either,
    integer,
    missing,
    obj,
    one_of,
    render_path,
    string,
    tagged,
)

BODY = obj(
    {
        "name": string(max_length=5, pattern="[a-z]+"),
        "title": string(allow_empty=False),
        "size": one_of("small", "large"),
        "only": one_of("this"),
        "count": integer(1, 4),
        "heat": decimal(0, 2),
        "loud": boolean,
        "items": array(
            tagged("type", {"text": obj({"text": string()}, required=("text",)), "any": anything}),
            of="objects",
            minimum=1,
            maximum=2,
        ),
        "stop": either("a string or an array of strings", {str: string(), list: anything}),
    },
    required=("name",),
)


def refusal(body):
    """(param, code, message) of what BODY says."""
    with pytest.raises(Problem) as caught:
        BODY(body)
    error = caught.value.error()
    assert error.status == 400
    return error.param, error.code, error.message


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"unknown": {"anything": [None]}},
        {"heat": 1, "count": 4, "loud": False},
        {"heat": 0.0, "size": "small", "only": "this"},
        {"heat": None, "items": None, "stop": None, "size": None},
        {"items": [{"type": "text", "text": ""}, {"type": "any"}]},
        {"stop": "x"},
        {"stop": []},
    ],
)
def test_a_valid_body_passes(more):
    assert BODY({"name": "ada", **more}) is None


CASES = [
    ({"count": "3"}, "count", "invalid_type", "expected an integer, but got a string instead."),
    ({"count": 3.0}, "count", "invalid_type", "an integer, but got a decimal number instead."),
    ({"count": True}, "count", "invalid_type", "expected an integer, but got a boolean instead."),
    ({"count": 5}, "count", "integer_above_max_value", "a value <= 4, but got 5 instead."),
    ({"count": 0}, "count", "integer_below_min_value", "a value >= 1, but got 0 instead."),
    ({"heat": "1"}, "heat", "invalid_type", "expected a decimal, but got a string instead."),
    ({"heat": True}, "heat", "invalid_type", "expected a decimal, but got a boolean instead."),
    ({"heat": 2.5}, "heat", "decimal_above_max_value", "a value <= 2, but got 2.5 instead."),
    ({"heat": -1}, "heat", "decimal_below_min_value", "a value >= 0, but got -1 instead."),
    ({"loud": 1}, "loud", "invalid_type", "expected a boolean, but got an integer instead."),
    ({"size": "big"}, "size", "invalid_value", "Supported values are: 'small', and 'large'."),
    ({"size": 1}, "size", "invalid_type", "expected one of 'small', and 'large', but got an int"),
    ({"only": "that"}, "only", "invalid_value", "Supported values are: 'this'."),
    ({"name": []}, "name", "invalid_type", "expected a string, but got an array instead."),
    ({"name": None}, "name", "invalid_type", "expected a string, but got null instead."),
    ({"name": "abcdef"}, "name", "string_above_max_length", "maximum length 5, but got a string"),
    ({"name": "A"}, "name", "invalid_value", "matches the pattern '^[a-z]+$'."),
    ({"name": "a\n"}, "name", "invalid_value", "matches the pattern '^[a-z]+$'."),
    ({"title": ""}, "title", "invalid_value", "minimum length 1, but got an empty string"),
    ({"items": {}}, "items", "invalid_type", "expected an array of objects, but got an object"),
    ({"items": []}, "items", "empty_array", "minimum length 1, but got an empty array instead."),
    ({"items": [{}] * 3}, "items", "array_above_max_length", "got an array with length 3 instead."),
    ({"items": ["x"]}, "items[0]", "invalid_type", "expected an object, but got a string instead."),
    ({"items": [{}]}, "items[0].type", "missing_required_parameter", "parameter: 'items[0].type'."),
    (
        {"items": [{"type": "any"}, {"type": None}]},
        "items[1].type",
        "invalid_type",
        "expected one of 'text', and 'any', but got null instead.",
    ),
    (
        {"items": [{"type": "any"}, {"type": "video"}]},
        "items[1].type",
        "invalid_value",
        "Invalid value: 'video'.",
    ),
    (
        {"items": [{"type": "any"}, {"type": "text", "text": 1}]},
        "items[1].text",
        "invalid_type",
        "Invalid type for 'items[1].text': expected a string",
    ),
    (
        {"items": [{"type": "text"}]},
        "items[0].text",
        "missing_required_parameter",
        "Missing required parameter: 'items[0].text'.",
    ),
    ({"stop": 1}, "stop", "invalid_type", "expected a string or an array of strings, but got an"),
]


@pytest.mark.parametrize(("more", "param", "code", "message"), CASES)
def test_a_problem_has_path_code_and_message(more, param, code, message):
    found = refusal({"name": "ada", **more})
    assert found[:2] == (param, code)
    assert message in found[2]
    assert "{path}" not in found[2]


def test_what_is_required_is_missed_by_name():
    expected = ("name", "missing_required_parameter", "Missing required parameter: 'name'.")
    assert refusal({}) == expected


def test_a_body_that_is_no_object_has_no_param():
    assert refusal([])[:2] == (None, "invalid_type")


def test_a_wrong_value_is_quoted_in_part_only():
    with pytest.raises(Problem) as caught:
        one_of("a")("x" * 1000)
    assert len(caught.value.error().message) < 200


def test_paths_are_written_as_openai_does():
    assert render_path(["messages", 1, "content", 0, "text"]) == "messages[1].content[0].text"
    assert render_path([]) == ""
    assert missing("x").within(2).within("tools").error().param == "tools[2].x"


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["name", "title", "size", "count", "heat", "loud", "items", "stop"], JSONISH
)))  # fmt: skip
def test_any_json_passes_or_is_a_problem(body):
    try:
        BODY(body)
    except Problem as problem:
        error = problem.error()
        assert error.param and error.message
