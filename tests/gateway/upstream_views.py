"""What a provider is told, read off the body it was sent, in one vocabulary for all of them.

Independent of the gateway's own readers: what is asserted here is what stands on the wire.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.play import JSON

Piece = tuple[Any, ...]
"""(side, kind, ...): ("user", "text", t), ("user", "image", bytes), ("user", "file", bytes),
("model", "text", t), ("model", "call", name, arguments), ("user", "result", text)."""


@dataclass
class View:
    """Instructions in order, then what the two sides say in order. `ids` are those of the calls,
    `answered` those of the results; Gemini has none of either."""

    system: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def add(self, *piece: Any) -> None:
        self.pieces.append(piece)

    def of(self, kind: str) -> list[Piece]:
        return [piece for piece in self.pieces if piece[1] == kind]


def view(provider: str, body: JSON) -> View:
    """The conversation in a body sent to this provider."""
    return {"anthropic": anthropic_view, "gemini": gemini_view}.get(provider, openai_view)(body)


def data_of(url: str) -> bytes | str:
    """The bytes of a data URL, any other URL as it is."""
    if not url.startswith("data:"):
        return url
    return base64.b64decode(url.partition(",")[2], validate=True)


# ----------------------------------------------------------------------------- OpenAI


def openai_view(body: JSON) -> View:
    found = View()
    for message in body["messages"]:
        role = message["role"]
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if role in ("system", "developer"):
            found.system += [part["text"] for part in parts]
        elif role == "tool":
            found.answered.append(message["tool_call_id"])
            found.add("user", "result", "".join(part["text"] for part in parts))
        else:
            side = "model" if role == "assistant" else "user"
            for part in parts:
                found.add(side, *_openai_part(part))
            for call in message.get("tool_calls") or ():
                found.ids.append(call["id"])
                function = call["function"]
                found.add("model", "call", function["name"], json.loads(function["arguments"]))
    found.pieces = [piece for piece in found.pieces if piece[1:] != ("text", "")]
    return found


def _openai_part(part: JSON) -> Piece:
    if part["type"] == "image_url":
        return "image", data_of(part["image_url"]["url"])
    if part["type"] == "file":
        return "file", data_of(part["file"]["file_data"])
    if part["type"] == "input_audio":
        return "audio", base64.b64decode(part["input_audio"]["data"])
    return "text", part["text"]


# ----------------------------------------------------------------------------- Anthropic


def anthropic_view(body: JSON) -> View:
    found = View(system=[block["text"] for block in body.get("system") or ()])
    for message in body["messages"]:
        side = "model" if message["role"] == "assistant" else "user"
        for block in message["content"]:
            if block["type"] == "tool_use":
                found.ids.append(block["id"])
                found.add("model", "call", block["name"], block["input"])
            elif block["type"] == "tool_result":
                found.answered.append(block["tool_use_id"])
                _add_result(found, block.get("content", ""))
            elif not block["type"].endswith("thinking"):
                found.add(side, *_anthropic_block(block))
    return found


def _add_result(found: View, content: str | list[JSON]) -> None:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    found.add("user", "result", "".join(b["text"] for b in blocks if b["type"] == "text"))
    for block in blocks:
        if block["type"] != "text":
            found.add("user", *_anthropic_block(block))


def _anthropic_block(block: JSON) -> Piece:
    if block["type"] == "text":
        return "text", block["text"]
    kind = {"image": "image", "document": "file"}[block["type"]]
    source = block["source"]
    return kind, source["url"] if source["type"] == "url" else base64.b64decode(source["data"])


# ----------------------------------------------------------------------------- Gemini


def gemini_view(body: JSON) -> View:
    instruction = body.get("systemInstruction") or {"parts": []}
    found = View(system=[part["text"] for part in instruction["parts"]])
    for content in body["contents"]:
        side = "model" if content.get("role") == "model" else "user"
        for part in content["parts"]:
            if call := part.get("functionCall"):
                found.add("model", "call", call["name"], call.get("args") or {})
            elif result := part.get("functionResponse"):
                found.add("user", "result", result["response"])
                for nested in result.get("parts") or ():
                    found.add("user", *_gemini_part(nested))
            elif not part.get("thought"):
                found.add(side, *_gemini_part(part))
    return found


KINDS = {"image": "image", "audio": "audio"}


def _gemini_part(part: JSON) -> Piece:
    if blob := part.get("inlineData"):
        kind = KINDS.get(blob["mimeType"].partition("/")[0], "file")
        return kind, base64.b64decode(blob["data"])
    return "text", part["text"]


def shown(response: Any) -> str:
    """The text of a Gemini function response, as the other providers would be told it."""
    if isinstance(response, str):
        return response
    if set(response) in ({"result"}, {"error"}):
        inner = next(iter(response.values()))
        return inner if isinstance(inner, str) else json.dumps(inner)
    return json.dumps(response)


def said_by(found: View, *sides: str) -> Iterator[Piece]:
    return (piece for piece in found.pieces if piece[0] in sides)
