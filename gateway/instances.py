"""JSON values that a JSON Schema accepts: what the simulator fills arguments and answers with.

A schema comes from the caller, so the work it can cause is bounded, and a pattern in it is read but
never run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from gateway.types import JSON

GENEROUS_DEPTH = 3
MAX_DEPTH = 48
MAX_WORK = 20_000
MAX_TEXT = 10_000

FORMATS: Mapping[str, str] = {
    "date-time": "2026-01-{day:02}T12:00:00Z",
    "date": "2026-01-{day:02}",
    "time": "12:00:{day:02}Z",
    "duration": "P{day}D",
    "email": "user{day}@example.com",
    "idn-email": "user{day}@example.com",
    "hostname": "host{day}.example.com",
    "idn-hostname": "host{day}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{day}",
    "iri": "https://example.com/{day}",
    "url": "https://example.com/{day}",
    "uri-reference": "/{day}",
    "iri-reference": "/{day}",
    "uuid": "00000000-0000-4000-8000-{day:012}",
    "byte": "dGVzdA==",
    "json-pointer": "/{day}",
    "relative-json-pointer": "{day}",
    "regex": "^test{day}$",
}
"""A valid string for each `format` keyword; `day` is 1 to 28."""

HINTS: Mapping[str, tuple[str, ...]] = {
    "city": ("Paris", "Berlin", "Tokyo"),
    "location": ("Paris", "Berlin", "Tokyo"),
    "country": ("France", "Germany", "Japan"),
    "name": ("Ada Lovelace", "Alan Turing", "Grace Hopper"),
    "language": ("English", "French", "German"),
    "currency": ("EUR", "USD", "JPY"),
}
ECHOES = ("query", "question", "prompt", "input", "text", "message", "search", "q")
SIMPLE_TYPES = ("null", "boolean", "integer", "number", "string")


class Unsatisfiable(Exception):
    """No value was found that the schema accepts."""


def instance(schema: JSON, *, salt: int = 0, words: str = "") -> Any:
    """A JSON value that the schema accepts; another `salt` gives another one where it can.

    Knows types, enum, const, references, anyOf/oneOf/allOf, objects, arrays, bounds, formats and
    plain patterns. `words` fill strings whose name asks for them. Raises Unsatisfiable.
    """
    return _Builder(schema, words).build(schema, "value", salt, 0)


@dataclass(slots=True)
class _Builder:
    """Builds one instance. `work` bounds what a hostile schema can cost."""

    root: JSON
    words: str
    work: int = 0

    def build(self, schema: Any, name: str, salt: int, depth: int) -> Any:
        """A value for a schema. Down to GENEROUS_DEPTH it is complete, below it the smallest."""
        self.spend(1)
        if depth > MAX_DEPTH:
            raise Unsatisfiable("it nests without end.")
        if schema is False:
            raise Unsatisfiable("nothing matches the schema `false`.")
        node = self.flatten(schema) if isinstance(schema, dict) else {}
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return self.pick(node, salt)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(node.get(keyword), list):
                return self.branch(node, keyword, name, salt, depth)
        return self.typed(node, name, salt, depth)

    def spend(self, amount: int) -> None:
        self.work += amount
        if self.work > MAX_WORK:
            raise Unsatisfiable("it is too large or too deeply nested.")

    def flatten(self, schema: JSON) -> JSON:
        """The schema with `$ref` and `allOf` laid into it."""
        node = schema
        for _ in range(MAX_DEPTH):
            if isinstance(node.get("$ref"), str):
                rest = {key: value for key, value in node.items() if key != "$ref"}
                node = _merged(self.resolve(node["$ref"]), rest)
            elif isinstance(node.get("allOf"), list):
                rest = {key: value for key, value in node.items() if key != "allOf"}
                for part in node["allOf"]:
                    self.spend(1)
                    rest = _merged(rest, self.flatten_part(part))
                node = rest
            else:
                return node
        raise Unsatisfiable("its references lead in a circle.")

    def flatten_part(self, part: Any) -> JSON:
        """One branch of an `allOf`. References are followed once, the outer loop does the rest."""
        if not isinstance(part, dict):
            return {}
        if isinstance(part.get("$ref"), str):
            rest = {key: value for key, value in part.items() if key != "$ref"}
            return _merged(self.resolve(part["$ref"]), rest)
        return part

    def resolve(self, reference: str) -> JSON:
        """The schema that a pointer into this document names; anything, if it points elsewhere."""
        self.spend(1)
        if not reference.startswith("#"):
            return {}
        node: Any = self.root
        for step in reference[1:].split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                raise Unsatisfiable(f"`{reference}` points to nothing.")
        return node if isinstance(node, dict) else {}

    def pick(self, node: JSON, salt: int) -> Any:
        types = _types(node)
        listed = node["enum"] if isinstance(node["enum"], list) else []
        values = [v for v in listed if not types or any(_has_type(v, t) for t in types)]
        if not values:
            raise Unsatisfiable("an `enum` has no value of the right type.")
        return values[salt % len(values)]

    def branch(self, node: JSON, keyword: str, name: str, salt: int, depth: int) -> Any:
        """The first branch that works: real content near the top, the simplest further down."""
        rest = {key: value for key, value in node.items() if key != keyword}
        branches = [b for b in node[keyword] if b is not False]
        branches.sort(key=lambda b: _rank(b, is_generous=depth < GENEROUS_DEPTH))
        problem = Unsatisfiable(f"its `{keyword}` is empty.")
        for branch in branches:
            try:
                inner = self.flatten(branch) if isinstance(branch, dict) else {}
                return self.build(_merged(rest, inner), name, salt, depth + 1)
            except Unsatisfiable as error:
                problem = error
        raise problem

    def typed(self, node: JSON, name: str, salt: int, depth: int) -> Any:
        types = _types(node) or _implied(node)
        types.sort(key=lambda t: _rank({"type": t}, is_generous=depth < GENEROUS_DEPTH))
        match types[0]:
            case "object":
                return self.object(node, salt, depth)
            case "array":
                return self.array(node, name, salt, depth)
            case "string":
                return self.string(node, name, salt)
            case "integer" | "number" as kind:
                return _number(node, kind == "integer", salt)
            case "boolean":
                return salt % 2 == 0
            case "null":
                return None
            case other:
                raise Unsatisfiable(f"`{other}` is not a type.")

    def object(self, node: JSON, salt: int, depth: int) -> JSON:
        """Required properties always, the others while there is room for them."""
        properties = node.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = node.get("required")
        required = [key for key in required if type(key) is str] if type(required) is list else []
        found: JSON = {}
        for key, schema in properties.items():
            if key in required:
                found[key] = self.build(schema, key, salt, depth + 1)
            elif depth < GENEROUS_DEPTH:
                self.add_optional(found, key, schema, salt, depth)
        others = node.get("additionalProperties", {})
        for key in required:
            if key not in found:
                found[key] = self.build(others, key, salt, depth + 1)
        wanted = _whole(node.get("minProperties"), 0)
        if not properties and isinstance(others, dict) and others and depth < GENEROUS_DEPTH:
            wanted = max(wanted, 1)
        wanted = min(wanted, _whole(node.get("maxProperties"), wanted))
        for extra in range(1, wanted - len(found) + 1):
            found[f"key{extra}"] = self.build(others, f"key{extra}", salt + extra, depth + 1)
        return found

    def add_optional(self, found: JSON, key: str, schema: Any, salt: int, depth: int) -> None:
        try:
            found[key] = self.build(schema, key, salt, depth + 1)
        except Unsatisfiable:
            self.spend(1)

    def array(self, node: JSON, name: str, salt: int, depth: int) -> list[Any]:
        """The smallest length allowed, but one item where there is room; distinct if they must."""
        first = node.get("prefixItems")
        first = first if isinstance(first, list) else []
        rest = node.get("items", {})
        least = _whole(node.get("minItems"), 0)
        wanted = max(least, len(first), 1) if depth < GENEROUS_DEPTH else least
        wanted = min(wanted, _whole(node.get("maxItems"), wanted))
        self.spend(wanted)
        items: list[Any] = []
        seen: set[str] = set()
        for index in range(wanted):
            schema = first[index] if index < len(first) else rest
            try:
                item = self.item(schema, name, salt + index, depth, seen)
            except Unsatisfiable:
                if index < least:
                    raise
                break
            if node.get("uniqueItems") is True:
                seen.add(_identity(item))
            items.append(item)
        return items

    def item(self, schema: Any, name: str, salt: int, depth: int, seen: set[str]) -> Any:
        """An item that is none of those seen."""
        for attempt in range(len(seen) + 2):
            item = self.build(schema, name, salt + attempt, depth + 1)
            if _identity(item) not in seen:
                return item
        raise Unsatisfiable("there are not enough different items.")

    def string(self, node: JSON, name: str, salt: int) -> str:
        least = _whole(node.get("minLength"), 0)
        most = _whole(node.get("maxLength"), MAX_TEXT)
        if least > min(most, MAX_TEXT):
            raise Unsatisfiable("a string cannot have that length.")
        self.spend(least // 64)
        if isinstance(node.get("pattern"), str):
            text = self.pattern(node["pattern"], least, most, salt)
            if text is not None:
                return text
        template = FORMATS.get(str(node.get("format", "")))
        if template:
            return template.format(day=salt % 28 + 1)
        text = _wording(name, self.words, salt)[:most]
        return text + "x" * (least - len(text))

    def pattern(self, pattern: str, least: int, most: int, salt: int) -> str | None:
        """A string that a plain pattern matches, None where the pattern is not plain.

        The pattern is read, never run: a hostile one could keep the process busy for ever.
        """
        for extra in range(min(least, 256) + 1):
            self.spend(1 + len(pattern) // 64)
            try:
                text = _Pattern(pattern, extra, salt).sample()
            except _NotPlain:
                return None
            if least <= len(text) <= most:
                return text
        raise Unsatisfiable("no string has both that pattern and that length.")


def _merged(below: JSON, above: JSON) -> JSON:
    """Both schemas at once: properties and requirements add up, other keywords replace."""
    merged = {**below, **above}
    for key in ("properties", "$defs"):
        if isinstance(below.get(key), dict) and isinstance(above.get(key), dict):
            merged[key] = {**below[key], **above[key]}
    if isinstance(below.get("required"), list) and isinstance(above.get("required"), list):
        merged["required"] = [*below["required"], *above["required"]]
    if isinstance(below.get("allOf"), list) and isinstance(above.get("allOf"), list):
        merged["allOf"] = [*below["allOf"], *above["allOf"]]
    return merged


def _types(node: JSON) -> list[str]:
    value = node.get("type")
    values = value if isinstance(value, list) else [value] if value else []
    return [str(v).lower() for v in values]


IMPLIED_BY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "uniqueItems")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def _implied(node: JSON) -> list[str]:
    """The type that a schema without one is about."""
    for kind, keywords in IMPLIED_BY:
        if any(keyword in node for keyword in keywords):
            return [kind]
    return ["string"]


def _rank(schema: Any, *, is_generous: bool) -> int:
    """The order to try branches in: null last near the top, simple ones first further down."""
    types = _types(schema) if isinstance(schema, dict) else []
    if is_generous:
        return 1 if types == ["null"] else 0
    if types and types[0] in SIMPLE_TYPES:
        return SIMPLE_TYPES.index(types[0])
    return len(SIMPLE_TYPES) + (isinstance(schema, dict) and "$ref" in schema)


def _has_type(value: Any, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return (
                not isinstance(value, bool)
                and isinstance(value, int | float)
                and (value == int(value))
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _identity(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _is_number(value: Any) -> bool:
    """A number that can be calculated with. An integer of any size is one, which `isfinite` is not
    made for."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: Any, default: int) -> int:
    """A keyword's whole number; bounded, because it says how much to build."""
    if not _is_number(value):
        return default
    return max(0, min(int(value), MAX_WORK + 1))


def _wording(name: str, words: str, salt: int) -> str:
    """What a string of this name could say."""
    key = name.lower()
    if key in ECHOES and words.strip():
        return words.strip()
    if key in HINTS:
        return HINTS[key][salt % len(HINTS[key])]
    return f"{name} {salt + 1}"


def _number(node: JSON, is_integer: bool, salt: int) -> int | float:
    """A number between the bounds and on the step, near 1."""
    low, low_open = _bound(node, "minimum", "exclusiveMinimum", max)
    high, high_open = _bound(node, "maximum", "exclusiveMaximum", min)
    step = _step(node.get("multipleOf"), is_integer)
    value = Fraction(1 + salt)
    if high is not None and value > high:
        value = high
    if low is not None and value < low:
        value = low
    value = _on_step(value, step, low, high, low_open, high_open)
    below = low is not None and (value < low or (low_open and value == low))
    above = high is not None and (value > high or (high_open and value == high))
    if below or above:
        raise Unsatisfiable("no number lies between its bounds.")
    return int(value) if value.denominator == 1 else float(value)


def _on_step(
    value: Fraction,
    step: Fraction | None,
    low: Fraction | None,
    high: Fraction | None,
    low_open: bool,
    high_open: bool,
) -> Fraction:
    """The value moved onto a multiple of the step, or off an open bound."""
    if step is not None:
        up = -(-value // step) * step
        if low_open and up == low:
            up += step
        fits = high is None or up < high or (up == high and not high_open)
        if fits:
            return up
        down = value // step * step
        return down - step if high_open and down == high else down
    if low_open and value == low:
        return (low + high) / 2 if high is not None else value + 1
    if high_open and value == high:
        return (low + high) / 2 if low is not None else value - 1
    return value


def _bound(
    node: JSON, closed: str, opened: str, tighter: Callable[[Fraction, Fraction], Fraction]
) -> tuple[Fraction | None, bool]:
    """A bound, and whether it is open. Draft 4 says `exclusiveMinimum: true` beside `minimum`."""
    inner = _fraction(node.get(closed))
    outer = _fraction(node.get(opened))
    if outer is None:
        return inner, node.get(opened) is True
    if inner is None:
        return outer, True
    bound = tighter(inner, outer)
    return bound, bound == outer


def _step(value: Any, is_integer: bool) -> Fraction | None:
    """The distance between the numbers allowed; for integers a whole one."""
    step = _fraction(value)
    if step is None or step <= 0:
        return Fraction(1) if is_integer else None
    return Fraction(step.numerator) if is_integer else step


def _fraction(value: Any) -> Fraction | None:
    if not _is_number(value):
        return None
    return Fraction(str(value))


# ----------------------------------------------------------------------------- patterns

CLASSES: Mapping[str, str] = {
    "d": "1234567890",
    "w": "abcxyz019_",
    "s": " ",
    "D": "abcxyz",
    "W": "-",
    "S": "abcxyz019",
}
CONTROLS: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
PRINTABLE = "".join(map(chr, range(ord("a"), ord("z") + 1))) + "".join(map(chr, range(32, 97)))


class _NotPlain(Exception):
    """The pattern uses what this reader does not know: look-around, back references, properties."""


@dataclass(slots=True)
class _Pattern:
    """Reads a regular expression and writes the shortest text it matches.

    Repeats come `extra` times more often than they must, so that a length can be reached.
    """

    pattern: str
    extra: int
    salt: int
    at: int = 0

    def sample(self) -> str:
        text = self.alternatives()
        if self.at < len(self.pattern):
            raise _NotPlain
        return text

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def next(self) -> str:
        char = self.peek()
        if not char:
            raise _NotPlain
        self.at += 1
        return char

    def alternatives(self) -> str:
        """One of `a|b|c`, by the salt."""
        options = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence())
        return options[self.salt % len(options)]

    def sequence(self) -> str:
        text = ""
        while self.peek() not in ("", "|", ")"):
            atom = self.atom()
            text += atom * self.repeats(len(atom))
            if len(text) > MAX_TEXT:
                raise _NotPlain
        return text

    def atom(self) -> str:
        match char := self.next():
            case "^" | "$":
                return ""
            case "(":
                return self.group()
            case "[":
                return self.one_of()
            case "\\":
                return self.escape()[0:1]
            case ".":
                return "x"
            case "*" | "+" | "?" | "{":
                raise _NotPlain
            case _:
                return char

    def group(self) -> str:
        if self.peek() == "?":
            head = re.compile(r"\?:|\?P?<\w+>").match(self.pattern, self.at)
            if head is None:
                raise _NotPlain
            self.at = head.end()
        text = self.alternatives()
        if self.next() != ")":
            raise _NotPlain
        return text

    def escape(self) -> str:
        """The characters an escape stands for."""
        char = self.next()
        if char in CLASSES:
            return CLASSES[char]
        if char in CONTROLS:
            return CONTROLS[char]
        if char in "xu":
            size = 2 if char == "x" else 4
            digits = self.pattern[self.at : self.at + size]
            if not re.fullmatch(rf"[0-9a-fA-F]{{{size}}}", digits):
                raise _NotPlain
            self.at += size
            return chr(int(digits, 16))
        if char.isalnum():
            raise _NotPlain
        return char

    def one_of(self) -> str:
        """A character of a class like `[a-z_]`, or one outside `[^a-z]`."""
        is_negated = self.peek() == "^"
        self.at += is_negated
        members: list[str] = []
        ranges: list[tuple[str, str]] = []
        while (char := self.next()) != "]" or not (members or ranges):
            found = self.escape() if char == "\\" else char
            if len(found) == 1 and re.compile(r"-[^\]]").match(self.pattern, self.at):
                self.at += 1
                last = self.next()
                last = self.escape() if last == "\\" else last
                ranges.append((found, last[:1]))
            else:
                members.extend(found)
        if not is_negated:
            options = [first for first, _ in ranges] + members
            return options[self.salt % len(options)]
        for option in PRINTABLE:
            if option not in members and not any(a <= option <= b for a, b in ranges):
                return option
        raise _NotPlain

    def repeats(self, size: int) -> int:
        """How often the atom before comes, given the quantifier after it."""
        found = re.compile(r"(?:([*+?])|\{(\d{1,6})(,(\d{1,6})?)?\})[?+]?").match(
            self.pattern, self.at
        )
        if found is None:
            return 1
        self.at = found.end()
        sign, least, comma, most = found[1], found[2], found[3], found[4]
        low = int(least) if least else int(sign == "+")
        high = 1 if sign == "?" else int(most) if most else MAX_TEXT if sign or comma else low
        count = min(low + self.extra, high)
        if count * size > MAX_TEXT:
            raise _NotPlain
        return count
