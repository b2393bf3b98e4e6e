"""What only Chat Completions can say in a message.

Servers of the same format get it back as it came; callers hear of it where the format is another.
Facts: reference/openai-wire.md 1.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.formats.openai.schema import calls_of
from gateway.losses import Losses
from gateway.types import JSON

READ = frozenset(
    {
        "role",
        "content",
        "name",
        "refusal",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "reasoning_content",
        "reasoning",
    }
)
"""Fields of a message that are read, whoever it is for."""
READ_OF_PARTS = frozenset({"type", "text", "refusal", "image_url", "input_audio", "file"})
ESSENTIAL = ("audio", "custom")
"""Ends of paths without which the conversation would be another."""
CALLED_BY_NAME = ("tool", "function")
"""Roles whose `name` is a function's, and read."""


def unshared(messages: list[JSON]) -> JSON:
    """`kept`, the fields to lay over each message as it is written again, and `lost`, the paths
    of what no other format takes."""
    return {"kept": [_kept(message) for message in messages], "lost": list(_lost(messages))}


def account_for_unshared(found: JSON, losses: Losses) -> None:
    """Name, or refuse, what another format loses. Raises `InvalidRequest`."""
    for path in found.get("lost", ()):
        if path.endswith(ESSENTIAL):
            losses.refuse(path)
        losses.drop(path)


def _kept(message: JSON) -> JSON:
    kept = {name: value for name, value in message.items() if name not in READ and value}
    if any(call["type"] == "custom" for call in calls_of(message)):
        kept["tool_calls"] = message["tool_calls"]
    if any(part.keys() - READ_OF_PARTS for part in _parts(message)):
        kept["content"] = message["content"]
    return kept


def _lost(messages: list[JSON]) -> Iterator[str]:
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        for name, value in message.items():
            if value and (name not in READ or _is_label(name, message)):
                yield f"{where}.{name}"
        for number, call in enumerate(calls_of(message)):
            if call["type"] == "custom":
                yield f"{where}.tool_calls[{number}].custom"
        for number, part in enumerate(_parts(message)):
            yield from (f"{where}.content[{number}]{rest}" for rest in _lost_of(part))


def _is_label(name: str, message: JSON) -> bool:
    return name == "name" and message["role"] not in CALLED_BY_NAME


def _lost_of(part: JSON) -> Iterator[str]:
    yield from (f".{name}" for name, value in part.items() if name not in READ_OF_PARTS and value)
    if part["type"] == "image_url" and part["image_url"].get("detail") not in (None, "auto"):
        yield ".image_url.detail"


def _parts(message: JSON) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []
