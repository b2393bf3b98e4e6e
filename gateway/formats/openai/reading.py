"""Answers of an OpenAI-compatible upstream to events, mended where it breaks the rules."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.formats.openai.wire import FINISH_REASONS, UNAVAILABLE, read_usage
from gateway.types import (
    JSON,
    Event,
    Finish,
    FinishReason,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Silence,
    Started,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageReport,
)


@dataclass(slots=True)
class _Choice:
    """What is known of one choice while its chunks arrive."""

    call_count: int = 0
    by_id: dict[str, int] = field(default_factory=dict)
    by_number: dict[Any, int] = field(default_factory=dict)
    last_call: int | None = None
    reason: FinishReason | None = None
    raw: str | None = None

    def start(self, call: JSON) -> int:
        """Note a new call; returns its place in order of appearance."""
        place, self.call_count = self.call_count, self.call_count + 1
        if id_ := _text(call.get("id")):
            self.by_id[id_] = place
        if isinstance(call.get("index"), int):
            self.by_number[call["index"]] = place
        return place


@dataclass(slots=True)
class _Reading:
    """A stream of one upstream, mended where the server breaks the rules of the format."""

    choices: dict[int, _Choice] = field(default_factory=dict)
    usage: Usage | None = None
    has_started: bool = False

    def chunk(self, chunk: JSON) -> Iterator[Event]:
        if not self.has_started:
            self.has_started = True
            yield Started(
                _text(chunk.get("id")),
                _text(chunk.get("model")),
                _integer(chunk.get("created")),
                _text(chunk.get("system_fingerprint")),
            )
        self.usage = read_usage(chunk.get("usage")) or self.usage
        for position, wire in enumerate(chunk.get("choices") or ()):
            if isinstance(wire, dict):
                yield from self._choice(position, wire)

    def _choice(self, position: int, wire: JSON) -> Iterator[Event]:
        index = wire["index"] if isinstance(wire.get("index"), int) else position
        choice = self.choices.setdefault(index, _Choice())
        delta = wire.get("delta") or wire.get("message") or {}
        if reasoning := _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")):
            yield ReasoningDelta(reasoning, index)
        if text := _joined(delta.get("content")):
            yield TextDelta(text, index)
        if refusal := _text(delta.get("refusal")):
            yield RefusalDelta(refusal, index)
        for call in delta.get("tool_calls") or ():
            if isinstance(call, dict):
                yield from self._tool_call(choice, index, call)
        logprobs = (wire.get("logprobs") or {}).get("content")
        if logprobs:
            yield LogprobsDelta(logprobs, index)
        if raw := wire.get("finish_reason"):
            choice.raw, choice.reason = str(raw), FINISH_REASONS.get(raw, "other")

    def _tool_call(self, choice: _Choice, index: int, call: JSON) -> Iterator[Event]:
        """Servers leave out `index`, repeat id and name, or number every call 0."""
        function = call.get("function") or {}
        place = self._known_call(choice, call, function)
        if place is None:
            place = choice.start(call)
            id_ = _text(call.get("id")) or new_call_id()
            yield ToolCallStart(place, id_, _text(function.get("name")) or "", index)
        choice.last_call = place
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = orjson.dumps(arguments).decode()
        if arguments:
            yield ToolCallDelta(place, str(arguments), index)

    def _known_call(self, choice: _Choice, call: JSON, function: JSON) -> int | None:
        """Which call a fragment goes on with; None if it begins one."""
        id_, number = call.get("id"), call.get("index")
        if id_ and id_ in choice.by_id:
            return choice.by_id[id_]
        begins = bool(function.get("name"))
        if number in choice.by_number and not (id_ and begins):
            return choice.by_number[number]
        return None if begins or id_ else choice.last_call

    def end(self) -> Iterator[Event]:
        """One Finish per choice, in order, then the usage."""
        for index in sorted(self.choices):
            choice = self.choices[index]
            reason = choice.reason or ("tool_calls" if choice.call_count else "stop")
            if choice.call_count and reason in ("stop", "other"):
                reason = "tool_calls"
            yield Finish(reason, index, choice.raw)
        if self.usage is not None:
            yield UsageReport(self.usage)

    @property
    def is_complete(self) -> bool:
        return bool(self.choices) and all(c.reason for c in self.choices.values())


def read_stream(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of an SSE body. Ends with `StreamFailed` if the upstream broke off."""
    reading = _Reading()
    is_done = False
    for data in sse.read_data(chunks):
        if not data:
            yield Silence()
            continue
        if data.startswith(b"[DONE]"):
            is_done = True
            break
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            yield StreamFailed(UNAVAILABLE, reason="the stream holds an event that is not JSON")
            return
        if not isinstance(chunk, dict) or chunk.get("error"):
            detail = chunk.get("error") if isinstance(chunk, dict) else chunk
            yield StreamFailed(UNAVAILABLE, reason=f"error in mid-stream: {str(detail)[:300]}")
            return
        yield from reading.chunk(chunk)
    if not reading.is_complete and not (is_done and reading.choices):
        yield StreamFailed(UNAVAILABLE, reason="the stream ended before the answer did")
        return
    yield from reading.end()


def read_response(body: bytes) -> Iterator[Event]:
    """A whole answer as the stream that it could have been. Raises `ValueError` for garbage."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise ValueError("not a chat completion")
    reading = _Reading()
    yield from reading.chunk(answer)
    yield from reading.end()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _joined(content: Any) -> str | None:
    """Text, also where a server sends a list of text parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict)) or None
    return _text(content)


def new_call_id() -> str:
    return "call_" + secrets.token_hex(12)
