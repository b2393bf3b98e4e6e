"""The shapes of JSON bodies: a check is a function of a path and a value that raises `Mismatch`.

A mismatch says what is wrong in neutral terms; each dialect puts it in the words of its service.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

Path = tuple[str | int, ...]
Check = Callable[[Path, Any], None]


class Mismatch(Exception):
    """`problem` is one of unknown, missing, type, choice, low, high, pattern, short, long, tag,
    base64; `detail` is the name, kind, values or bound that it is about."""

    def __init__(self, path: Path, problem: str, detail: Any = None, value: Any = None) -> None:
        super().__init__(path, problem, detail)
        self.path = path
        self.problem = problem
        self.detail = detail
        self.value = value


def anything(path: Path, value: Any) -> None:
    """User data: whatever it is."""


def _of(kind: str, *types: type) -> Check:
    def check(path: Path, value: Any) -> None:
        wrong_bool = isinstance(value, bool) and bool not in types
        if not isinstance(value, types) or wrong_bool:
            raise Mismatch(path, "type", kind, value)

    return check


boolean = _of("boolean", bool)
mapping = _of("object", dict)


def string(pattern: str = "", *, low: int = 0, high: int | None = None) -> Check:
    is_string = _of("string", str)

    def check(path: Path, value: Any) -> None:
        is_string(path, value)
        if len(value) < low:
            raise Mismatch(path, "short", low, value)
        if high is not None and len(value) > high:
            raise Mismatch(path, "long", high, value)
        if pattern and not re.fullmatch(pattern, value):
            raise Mismatch(path, "pattern", pattern, value)

    return check


def _bounded(is_kind: Check, low: float | None, high: float | None) -> Check:
    def check(path: Path, value: Any) -> None:
        is_kind(path, value)
        if low is not None and value < low:
            raise Mismatch(path, "low", low, value)
        if high is not None and value > high:
            raise Mismatch(path, "high", high, value)

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    return _bounded(_of("integer", int), low, high)


def number(low: float | None = None, high: float | None = None) -> Check:
    return _bounded(_of("number", int, float), low, high)


def choice(*values: Any) -> Check:
    def check(path: Path, value: Any) -> None:
        if not isinstance(value, str) or value not in values:
            raise Mismatch(path, "choice", values, value)

    return check


def nullable(inner: Check) -> Check:
    def check(path: Path, value: Any) -> None:
        if value is not None:
            inner(path, value)

    return check


def array(item: Check, *, low: int = 0, high: int | None = None) -> Check:
    is_list = _of("array", list)

    def check(path: Path, value: Any) -> None:
        is_list(path, value)
        if len(value) < low:
            raise Mismatch(path, "short", low, value)
        if high is not None and len(value) > high:
            raise Mismatch(path, "long", high, value)
        for i, one in enumerate(value):
            item((*path, i), one)

    return check


def mapping_of(item: Check) -> Check:
    def check(path: Path, value: Any) -> None:
        mapping(path, value)
        for name, one in value.items():
            item((*path, name), one)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these fields and no others."""
    fields = {**required, **(optional or {})}

    def check(path: Path, value: Any) -> None:
        mapping(path, value)
        for name in value:
            if name not in fields:
                raise Mismatch((*path, name), "unknown", name, value[name])
        for name in required:
            if name not in value:
                raise Mismatch((*path, name), "missing", name)
        for name, one in value.items():
            fields[name]((*path, name), one)

    return check


def tagged(variants: Mapping[str, Check], default: str = "") -> Check:
    """An object whose `type` says which shape it has; the tag becomes part of the path."""

    def check(path: Path, value: Any) -> None:
        mapping(path, value)
        tag = value.get("type", default)
        if tag == "":
            raise Mismatch((*path, "type"), "missing", "type")
        if not isinstance(tag, str) or tag not in variants:
            raise Mismatch(path, "tag", tuple(variants), tag)
        variants[tag]((*path, tag), value)

    return check


def text_or(item: Check) -> Check:
    """A string, or what `item` accepts."""

    def check(path: Path, value: Any) -> None:
        if not isinstance(value, str):
            item(path, value)

    return check


def later(find: Callable[[], Check]) -> Check:
    """A shape that contains itself."""

    def check(path: Path, value: Any) -> None:
        find()(path, value)

    return check


def decode(data: str, *, url_safe: bool = False) -> bytes | None:
    """Standard base64, or both alphabets with or without padding; None if it is neither."""
    if url_safe:
        data = data.replace("-", "+").replace("_", "/").rstrip("=")
        data += "=" * (-len(data) % 4)
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


PICTURES = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypheic", 4, "image/heic"),
    (b"ftypmif1", 4, "image/heif"),
)


def picture_type(data: bytes) -> str | None:
    """What a picture is by its first bytes."""
    return next((kind for magic, at, kind in PICTURES if data[at:].startswith(magic)), None)
