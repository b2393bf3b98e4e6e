"""Turns to messages that keep every rule for tools (reference/anthropic-wire.md 3).

Every call is answered in the very next message, results first and in the order of the calls, with
ids that occur once; what a model thought before its calls goes back in front of them, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.formats.anthropic.blocks import BlockWriter, text_block
from gateway.losses import unsupported
from gateway.target import Target
from gateway.tool_names import plain_id
from gateway.turns import CONTINUE, Turn
from gateway.types import (
    JSON,
    ChatRequest,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.validation import check_nesting

VENDOR = "anthropic"
THOUGHTS = frozenset({"thinking", "redacted_thinking"})
NO_RESULT = "This call was not answered."


def write_messages(turns: list[Turn], request: ChatRequest, target: Target) -> list[JSON]:
    """The messages of a conversation, first and last ones of the user.

    Raises `InvalidRequest` for content that the model can't take.
    """
    return _Conversation(request, target).write(turns)


class _Conversation:
    """Knows which ids were given, and which calls the next message has to answer."""

    def __init__(self, request: ChatRequest, target: Target) -> None:
        self._target = target
        self._blocks = BlockWriter(request.model, target.capabilities)
        self._ids: set[str] = set()
        self._open: list[tuple[str, str]] = []

    def write(self, turns: list[Turn]) -> list[JSON]:
        messages: list[JSON] = []
        for turn in turns:
            content = self._said(turn) if turn.role == "assistant" else self._asked(turn)
            if not content:
                continue  # a model's turn of nothing but thoughts
            if messages and messages[-1]["role"] == turn.role:
                messages[-1]["content"] += content
            else:
                messages.append({"role": turn.role, "content": content})
        return messages

    # ------------------------------------------------------------------------- the model

    def _said(self, turn: Turn) -> list[JSON]:
        """Thoughts, then texts, then calls."""
        calls = turn.calls()
        texts = [block for part in turn.parts if (block := _said_text(part))]
        if texts:
            texts[-1]["text"] = texts[-1]["text"].rstrip()
        return [*self._thoughts(calls), *texts, *(self._call(call) for call in calls)]

    def _thoughts(self, calls: list[ToolCall]) -> list[JSON]:
        """What the model thought before these calls, if it was this model and we still know it."""
        recalled = (self._target.memory.recall(call) for call in calls)
        state = next((state for state in recalled if state is not None), None)
        if state is None or state.vendor != VENDOR or state.model != self._target.upstream_model:
            return []
        return [block for reasoning in state.blocks if (block := _thought(reasoning))]

    def _call(self, call: ToolCall) -> JSON:
        id_ = self._new_id(call.id)
        self._open.append((call.id, id_))
        name = self._target.tool_names.sent(call.name)
        return {"type": "tool_use", "id": id_, "name": name, "input": self._input(call)}

    def _new_id(self, own: str) -> str:
        """An id that occurs once; the same conversation always gets the same ones."""
        id_, count = plain_id(own), 0
        while id_ in self._ids:
            count += 1
            id_ = "call_" + sha256(f"{own}/{count}".encode("utf-8", "replace")).hexdigest()[:24]
        self._ids.add(id_)
        return id_

    def _input(self, call: ToolCall) -> JSON:
        """The arguments as the object that the API demands, whatever the model wrote."""
        try:
            value: Any = orjson.loads(call.arguments or "{}")
            check_nesting({"": value})
        except (orjson.JSONDecodeError, InvalidRequest):
            self._target.losses.emulate("arguments")
            return {"_raw": call.arguments}
        return value if isinstance(value, dict) else {"value": value}

    # ------------------------------------------------------------------------- the user

    def _asked(self, turn: Turn) -> list[JSON]:
        """The results of all open calls, then everything else."""
        results = turn.results()
        answers = [self._answer(own, id_, results) for own, id_ in self._open]
        self._open = []
        for result in results:
            answers += self._stray(result)
        rest = (part for part in turn.parts if not isinstance(part, ToolResult))
        return (answers + self._write(rest)) or [{"type": "text", "text": CONTINUE}]

    def _answer(self, own: str, id_: str, results: list[ToolResult]) -> JSON:
        """The result of a call, taken from `results`."""
        found = next((result for result in results if result.call_id == own), None)
        block: JSON = {"type": "tool_result", "tool_use_id": id_}
        if found is None:
            return {**block, "content": NO_RESULT, "is_error": True}
        results.remove(found)
        content = self._write(found.content)
        if len(content) == 1 and content[0]["type"] == "text":
            block["content"] = content[0]["text"]
        elif content:
            block["content"] = content
        if found.is_error:
            block["is_error"] = True
        return block

    def _stray(self, result: ToolResult) -> list[JSON]:
        """A result without its call: it would be refused, but its content may matter."""
        label = f"Result of {result.name or result.call_id}:"
        return [{"type": "text", "text": label}, *self._write(result.content)]

    def _write(self, parts: Iterable[Part]) -> list[JSON]:
        return [block for part in parts if (block := self._blocks.write(part))]


def _said_text(part: Part) -> JSON | None:
    match part:
        case Text(text=text) | Refusal(text=text):
            return text_block(text)
        case Media(where=where) | Opaque(where=where):
            raise unsupported("This model takes no media in messages of the assistant.", where)
    return None


def _thought(reasoning: Reasoning) -> JSON | None:
    """A block as it came. Without a signature it is none that the API would take."""
    if reasoning.redacted:
        return {"type": "redacted_thinking", "data": reasoning.redacted}
    if reasoning.signature:
        signed = {"thinking": reasoning.text, "signature": reasoning.signature}
        return {"type": "thinking", **signed}
    return None


def misses_thoughts(messages: list[JSON]) -> bool:
    """Is there a call in the current tool loop that comes without the thoughts before it?"""
    for place in range(len(messages) - 1, 0, -2):
        if messages[place]["content"][0]["type"] != "tool_result":
            return False
        if messages[place - 1]["content"][0]["type"] not in THOUGHTS:
            return True
    return False
