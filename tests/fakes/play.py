"""What every dialect shares: a request, a refusal, and one answer being played.

A dialect module gives `HEADERS`, `check(request)` (raises `Refusal`) and `answer(request)`, which
checks and returns a `Reply` or a `Play`. The server knows nothing else about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

JSON = dict[str, Any]
WORDS = ["The", " capital", " of", " France", " is", " Paris", "."]
UNICODE = ["Zażółć ", "日本語", " 👩‍👩‍👧‍👦", "\u2028", "a\r\nb", "\u0000", " é́", "𝒳", " ñ\u0085."]
THOUGHTS = ["The user asks ", "about France. ", "Its capital ", "is Paris."]
CITIES = ("Paris", "Łódź")
HTML = (
    b"<!doctype html><html><head><title>%s</title></head><body>nginx sk-canary-html</body></html>"
)


@dataclass
class Request:
    """One request as it arrived; `body` is undecoded."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for header, value in self.headers if header.lower() == name]

    @property
    def content_type(self) -> str:
        return next(iter(self.values("content-type")), "").split(";")[0].strip()


class Refusal(Exception):
    """An HTTP error in the dialect's shape, before anything is played."""

    def __init__(self, status: int, message: str, body: JSON) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error = body["error"]
        self.body: Any = body


@dataclass
class Reply:
    """A whole answer that no scenario changes: lists, token counts, embeddings."""

    body: Any


class DuplicateField(ValueError):
    """The real services keep the last of two; ours must never send two."""


def strict_json(raw: bytes) -> Any:
    """Parse; `ValueError` for what is no JSON, NaN and Infinity included."""
    return json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)


def _once(pairs: list[tuple[str, Any]]) -> JSON:
    if len(pairs) != len({name for name, _ in pairs}):
        raise DuplicateField
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def scenario_of(text: str) -> tuple[str, str, str]:
    """The scenario, its argument and the tag that a prompt names."""
    named = re.search(r"scenario:([a-z0-9_]+)(?::([\w.:-]+))?", text)
    tag = re.search(r"tag:([\w-]+)", text)
    scenario, argument = (named[1], named[2] or "") if named else ("normal", "")
    return scenario, argument, tag[1] if tag else ""


def words_for(scenario: str, argument: str) -> list[str]:
    if scenario == "unicode":
        return list(UNICODE)
    if scenario == "big":
        return ["ü" * 524_288]
    if scenario == "chunks":
        return [f"w{i} " for i in range(int(argument))]
    return list(WORDS)


@dataclass
class Play:
    """One answer being given: what was asked, and which scenario was named.

    A dialect overrides the class attributes and the methods down to `usage`; what goes wrong on the
    way is the server's business. `credential` is repeated by the scenarios that leak it.
    """

    body: JSON
    scenario: str = "normal"
    argument: str = ""
    tag: str = ""
    credential: str = ""

    closing = 0
    """How many frames at the end mark the end, beyond the finish itself."""
    midway = 500
    """The status of an error in the middle of a stream."""
    html = frozenset({502})
    """The statuses that come from a proxy in front, as a page."""
    stream_type = "text/event-stream; charset=utf-8"
    garbage = b'data: {"id": nonsense\xff\xfe}\n\n'
    """An event that is no JSON and no UTF-8."""
    whole_only = False
    """Scenarios may fail before the answer, but there is no other way to give it."""

    @property
    def streams(self) -> bool:
        raise NotImplementedError

    @property
    def usage(self) -> JSON:
        raise NotImplementedError

    def frames(self) -> list[bytes]:
        """The stream as the writes of the real service; the first carries no text yet."""
        raise NotImplementedError

    def whole(self) -> JSON:
        raise NotImplementedError

    def error(self, status: int, message: str | None = None) -> Any:
        """The body of an error."""
        raise NotImplementedError

    def error_event(self, status: int, message: str | None = None, *, first: bool = False) -> bytes:
        """An error in a stream, or as its `first` event."""
        raise NotImplementedError

    def error_headers(self, status: int) -> list[str]:
        return []

    @cached_property
    def words(self) -> list[str]:
        return words_for(self.scenario, self.argument)

    @property
    def number(self) -> int:
        return int(self.argument.partition(":")[0] or 3)

    @property
    def second_number(self) -> int | None:
        second = self.argument.partition(":")[2]
        return int(second) if second else None

    @property
    def seconds(self) -> float:
        return float(self.argument or 1)


# ------------------------------------------------------------- instances of a schema

INSTANCES: dict[str, Any] = {
    "string": "Paris",
    "integer": 3,
    "number": 1.5,
    "boolean": True,
    "null": None,
}
FORMATS = {
    "date-time": "2026-11-22T10:00:00Z",
    "date": "2026-11-22",
    "time": "10:00:00Z",
    "duration": "PT1H",
    "email": "paris@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEPTH = 12


def instance_of(schema: JSON, definitions: JSON, depth: int = 0) -> Any:
    """A value that the schema accepts: just enough of JSON Schema for the SDKs' helpers."""
    if "$ref" in schema:
        schema = definitions.get(schema["$ref"].rpartition("/")[2], {})
    for word in ("const", "enum"):
        if word in schema:
            return schema[word][0] if word == "enum" else schema[word]
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return instance_of(schema[word][0], definitions, depth + 1)
    if schema.get("allOf"):
        merged: JSON = {}
        for one in schema["allOf"]:
            merged |= one
        return instance_of(merged, definitions, depth + 1)
    return value_of(type_of(schema), schema, definitions, depth)


def type_of(schema: JSON) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(kind[0] if isinstance(kind, list) else kind).lower()


def value_of(kind: str, schema: JSON, definitions: JSON, depth: int) -> Any:
    if kind == "object":
        names = schema.get("properties", {})
        if depth > DEPTH:
            names = {name: names[name] for name in schema.get("required", [])}
        return {name: instance_of(one, definitions, depth + 1) for name, one in names.items()}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        items: Sequence[JSON] = schema.get("prefixItems") or [schema.get("items", {})] * count
        return [instance_of(item, definitions, depth + 1) for item in items]
    if kind == "string":
        return string_of(schema)
    value = INSTANCES.get(kind)
    return bounded(value, schema) if kind in ("integer", "number") else value


def string_of(schema: JSON) -> str:
    text = FORMATS.get(schema.get("format", ""), "Paris")
    return text.ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", 9999))]


def bounded(value: float, schema: JSON) -> float:
    value = max(value, schema.get("minimum", value))
    return min(value, schema.get("maximum", value))


def page(status: int) -> bytes:
    """What a proxy says in front of the service."""
    titles = {413: b"413 Request Entity Too Large"}
    return HTML % titles.get(status, b"502 Bad Gateway")


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
