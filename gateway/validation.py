"""A small vocabulary for saying what a request body may be, with OpenAI's own messages.

A rule is a function of a value that returns nothing or raises `Problem`. Rules are built once, from
tables; containers prepend their key on the way out of a problem, so that a valid body pays nothing
for the paths. Wording after reference/openai-wire.md 1.6, codes after the table of the design.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import InvalidRequest
from gateway.types import JSON

Rule = Callable[[Any], None]


class Problem(Exception):
    """What is wrong, and where: `path` grows outwards, `template` may contain `{path}`."""

    def __init__(self, code: str, template: str, *path: str | int) -> None:
        super().__init__(template)
        self.code = code
        self.template = template
        self.path: list[str | int] = list(path)

    def within(self, key: str | int) -> Problem:
        self.path.insert(0, key)
        return self

    def error(self) -> InvalidRequest:
        path = render_path(self.path)
        message = self.template.replace("{path}", path)
        return InvalidRequest(message, code=self.code, param=path or None)


def render_path(path: list[str | int]) -> str:
    """`["messages", 1, "content"]` as `messages[1].content`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a decimal number",
    bool: "a boolean",
    type(None): "null",
}


def wrong_type(expected: str, value: Any) -> Problem:
    got = NAMES.get(type(value), "something else")
    return Problem(
        "invalid_type", f"Invalid type for '{{path}}': expected {expected}, but got {got} instead."
    )


def missing(name: str) -> Problem:
    return Problem("missing_required_parameter", "Missing required parameter: '{path}'.", name)


# ----------------------------------------------------------------------------- scalars


def anything(_value: Any) -> None:
    """Accept whatever it is; the upstream judges it."""


def boolean(value: Any) -> None:
    if type(value) is not bool:
        raise wrong_type("a boolean", value)


def string(
    *, max_length: int | None = None, pattern: str | None = None, allow_empty: bool = True
) -> Rule:
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any) -> None:
        if type(value) is not str:
            raise wrong_type("a string", value)
        if max_length is not None and len(value) > max_length:
            raise _too_long("string", "string", max_length, len(value))
        if not allow_empty and not value:
            raise Problem(
                "invalid_value",
                "Invalid '{path}': empty string. Expected a string "
                "with minimum length 1, but got an empty string instead.",
            )
        if compiled and not compiled.fullmatch(value):
            raise Problem(
                "invalid_value",
                "Invalid '{path}': string does not match pattern. "
                f"Expected a string that matches the pattern '^{pattern}$'.",
            )

    return check


def integer(minimum: int | None = None, maximum: int | None = None) -> Rule:
    def check(value: Any) -> None:
        if type(value) is not int:
            raise wrong_type("an integer", value)
        _check_range("integer", value, minimum, maximum)

    return check


def decimal(minimum: float | None = None, maximum: float | None = None) -> Rule:
    def check(value: Any) -> None:
        if type(value) is not float and type(value) is not int:
            raise wrong_type("a decimal", value)
        _check_range("decimal", value, minimum, maximum)

    return check


def one_of(*values: str) -> Rule:
    allowed = frozenset(values)
    quoted = [f"'{value}'" for value in values]
    listing = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"

    def check(value: Any) -> None:
        if type(value) is not str:
            raise wrong_type(f"one of {listing}", value)
        if value not in allowed:
            raise Problem(
                "invalid_value", f"Invalid value: {value[:64]!r}. Supported values are: {listing}."
            )

    return check


def _check_range(noun: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if maximum is not None and value > maximum:
        raise Problem(
            f"{noun}_above_max_value",
            f"Invalid '{{path}}': {noun} above maximum value. "
            f"Expected a value <= {maximum}, but got {value} instead.",
        )
    if minimum is not None and value < minimum:
        raise Problem(
            f"{noun}_below_min_value",
            f"Invalid '{{path}}': {noun} below minimum value. "
            f"Expected a value >= {minimum}, but got {value} instead.",
        )


def _too_long(code: str, noun: str, limit: int, length: int) -> Problem:
    article = "an" if noun == "array" else "a"
    return Problem(
        f"{code}_above_max_length",
        f"Invalid '{{path}}': {noun} too long. Expected "
        f"{article} {noun} with maximum length {limit}, but got {article} {noun} with "
        f"length {length} instead.",
    )


# ----------------------------------------------------------------------------- containers


def array(item: Rule, *, of: str, minimum: int = 0, maximum: int | None = None) -> Rule:
    """A list of `of` (a plural noun for the message)."""

    def check(value: Any) -> None:
        if type(value) is not list:
            raise wrong_type(f"an array of {of}", value)
        if len(value) < minimum:
            raise Problem(
                "empty_array",
                "Invalid '{path}': empty array. Expected an array with "
                f"minimum length {minimum}, but got an empty array instead.",
            )
        if maximum is not None and len(value) > maximum:
            raise _too_long("array", "array", maximum, len(value))
        index = 0
        try:
            for index, element in enumerate(value):  # noqa: B007  (the index names the culprit)
                item(element)
        except Problem as problem:
            raise problem.within(index) from None

    return check


def obj(fields: Mapping[str, Rule], *, required: tuple[str, ...] = ()) -> Rule:
    """An object. A null field means "not given"; fields without a rule are let through."""

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise wrong_type("an object", value)
        check_fields(value, fields, required)

    return check


def check_fields(value: JSON, fields: Mapping[str, Rule], required: tuple[str, ...]) -> None:
    for name in required:
        if value.get(name) is None:
            if name not in value:
                raise missing(name)
            _refuse_null(name, fields.get(name, anything))
    for name, element in value.items():
        rule = fields.get(name)
        if rule is not None and element is not None:
            try:
                rule(element)
            except Problem as problem:
                raise problem.within(name) from None


def _refuse_null(name: str, rule: Rule) -> None:
    """Say what was expected of a required field, in the words of its own rule."""
    try:
        rule(None)
    except Problem as problem:
        raise problem.within(name) from None
    raise wrong_type("a value", None).within(name)


def tagged(tag: str, variants: Mapping[str, Rule], *, expected: str = "an object") -> Rule:
    """An object whose `tag` field says which rule applies."""
    tag_rule = one_of(*variants)

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise wrong_type(expected, value)
        name = value.get(tag)
        if name is None and tag not in value:
            raise missing(tag)
        try:
            tag_rule(name)
        except Problem as problem:
            raise problem.within(tag) from None
        variants[str(name)](value)

    return check


def either(expected: str, by_type: Mapping[type, Rule]) -> Rule:
    """One rule per JSON type; any other type is refused as not `expected`."""

    def check(value: Any) -> None:
        rule = by_type.get(type(value))
        if rule is None:
            raise wrong_type(expected, value)
        rule(value)

    return check


# ----------------------------------------------------------------------------- the whole

MAX_NESTING = 100
"""How deep a body may nest, as in Google's own parser."""


def check_nesting(body: JSON) -> None:
    """Raise `InvalidRequest` for a body that nests deeper than anything here can follow."""
    level: list[Any] = [body]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) in (dict, list)
        ]
        if not level:
            return
    raise InvalidRequest(
        f"The JSON body nests deeper than {MAX_NESTING} levels.", code="invalid_request"
    )
