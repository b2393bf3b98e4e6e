"""A conversation as Anthropic and Gemini demand it: instructions apart, then turns that alternate.

OpenAI takes messages in nearly any order. The other two want a user's and a model's turns by
turns, every tool result in the turn after its call and before anything else in it, a user's turn at
the end, and no empty ones (reference/translation.md 2 and 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.types import ChatRequest, Message, Part, Text, ToolCall, ToolResult

CONTINUE = "Continue."
"""What the user is taken to say where a conversation ends with the model, or begins with it."""


@dataclass(slots=True)
class Turn:
    """What one side says at once. In a user's turn the tool results come first, in call order."""

    role: Literal["user", "assistant"]
    parts: list[Part]

    def calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]

    def results(self) -> list[ToolResult]:
        return [part for part in self.parts if isinstance(part, ToolResult)]


def split(request: ChatRequest) -> tuple[list[str], list[Turn]]:
    """The texts of system and developer messages, wherever they stand, and the turns.

    Instructions alone become the user's turn: there has to be one.
    """
    system = [text for message in request.messages for text in _instructions(message)]
    turns = list(_merged(request.messages))
    if not turns:
        return [], [Turn("user", [Text(text) for text in system] or [Text(CONTINUE)])]
    if turns[0].role == "assistant":
        turns.insert(0, Turn("user", [Text(CONTINUE)]))
    if turns[-1].role == "assistant":
        turns.append(Turn("user", [Text(CONTINUE)]))
    for before, turn in zip(turns, turns[1:], strict=False):
        _put_results_first(before, turn)
    return system, turns


def _instructions(message: Message) -> list[str]:
    if message.role not in ("system", "developer"):
        return []
    text = "\n".join(part.text for part in message.parts if isinstance(part, Text) and part.text)
    return [text] if text.strip() else []


def _merged(messages: list[Message]) -> Iterator[Turn]:
    """Turns of what user, model and tools say, without the empty ones."""
    current: Turn | None = None
    for message in messages:
        parts = [part for part in message.parts if not _is_empty(part)]
        if message.role in ("system", "developer") or not parts:
            continue
        role: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if current is not None and current.role == role:
            current.parts += parts
            continue
        if current is not None:
            yield current
        current = Turn(role, parts)
    if current is not None:
        yield current


def _is_empty(part: Part) -> bool:
    """White space alone is refused as a text block, and says nothing."""
    return isinstance(part, Text) and not part.text.strip()


def _put_results_first(before: Turn, turn: Turn) -> None:
    results = turn.results()
    if not results:
        return
    order = {call.id: place for place, call in enumerate(before.calls())}
    results.sort(key=lambda result: order.get(result.call_id, len(order)))
    turn.parts = [*results, *(part for part in turn.parts if not isinstance(part, ToolResult))]
