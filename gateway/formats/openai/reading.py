"""Answers of an OpenAI-compatible upstream to events, mended where it breaks the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.formats.openai.wire import FINISH_REASONS, read_usage
from gateway.tool_names import call_id
from gateway.types import (
    JSON,
    PAUSE,
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
from gateway.upstream_errors import UNAVAILABLE


@dataclass(slots=True)
class _Call:
    """A tool call while its fragments arrive. `place` counts those whose name is known."""

    id: str | None
    name: str = ""
    signature: str | None = None
    place: int | None = None
    arguments: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Are its arguments an object already? Then nothing can follow."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            orjson.loads("".join(self.arguments))
        except orjson.JSONDecodeError:
            return False
        return True

    def can_be(self, name: str | None) -> bool:
        return not name or self.name in ("", name)


@dataclass(slots=True)
class _Choice:
    """What is known of one choice while its chunks arrive."""

    calls: list[_Call] = field(default_factory=list)
    by_id: dict[str, _Call] = field(default_factory=dict)
    by_number: dict[int, _Call] = field(default_factory=dict)
    last_call: _Call | None = None
    reason: FinishReason | None = None
    raw: str | None = None

    @property
    def call_count(self) -> int:
        return sum(call.place is not None for call in self.calls)

    @property
    def bare(self) -> list[int]:
        """The places of calls without arguments."""
        return [c.place for c in self.calls if c.place is not None and not c.arguments]

    def call_of(self, id_: str | None, number: int | None, name: str | None) -> _Call:
        """The call that a fragment belongs to, a new one if it goes on with none.

        Servers leave out the number, or give one to all, or repeat id and name.
        """
        call = self._known(id_, number, name)
        if call is None:
            call = _Call(None if id_ in self.by_id else id_)
            self.calls.append(call)
        if id_ is not None:
            self.by_id.setdefault(id_, call)
        if number is not None and (id_ or name or number not in self.by_number):
            self.by_number[number] = call
        self.last_call = call
        return call

    def _known(self, id_: str | None, number: int | None, name: str | None) -> _Call | None:
        if id_ in self.by_id and self.by_id[id_].can_be(name):
            return self.by_id[id_]
        numbered = self.by_number.get(number) if number is not None else None
        if id_ is None and name is None:
            return self._open(numbered)
        if number is None and id_ is None:
            numbered = self.last_call
        if numbered is None or not numbered.can_be(name):
            return None
        if id_ is None or name is None:
            return None if name and numbered.is_whole() else numbered
        # A new id, yet the same name: some make up an id for every fragment.
        return numbered if numbered.arguments and not numbered.is_whole() else None

    def _open(self, numbered: _Call | None) -> _Call | None:
        """What a bare fragment goes on with: never a call that is complete while another is not."""
        last = self.last_call
        if numbered is None or (numbered is not last and last and numbered.is_whole()):
            return last
        return numbered


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
        self._note_usage(chunk)
        self._note_usage(_object(chunk.get("x_groq")))
        for position, wire in enumerate(_each(chunk.get("choices"))):
            if isinstance(wire, dict):
                self._note_usage(wire)  # Moonshot puts it there
                yield from self._choice(position, wire)

    def _note_usage(self, place: JSON) -> None:
        if usage := place.get("usage"):
            self.usage = read_usage(usage) or self.usage

    def _choice(self, position: int, wire: JSON) -> Iterator[Event]:
        number = _number(wire.get("index"))
        index = position if number is None else number
        choice = self.choices.setdefault(index, _Choice())
        delta = _object(wire.get("delta")) or _object(wire.get("message"))
        if reasoning := _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")):
            yield ReasoningDelta(reasoning, index)
        if text := _joined(delta.get("content")):
            yield TextDelta(text, index)
        if refusal := _text(delta.get("refusal")):
            yield RefusalDelta(refusal, index)
        for call in _each(delta.get("tool_calls")):
            if isinstance(call, dict):
                yield from self._tool_call(choice, index, call)
        if function := _object(delta.get("function_call")):
            yield from self._tool_call(choice, index, {"function": function})
        logprobs = wire.get("logprobs")
        if logprobs and (logprobs := _logprobs(_object(logprobs).get("content"))):
            yield LogprobsDelta(logprobs, index)
        if raw := _text(wire.get("finish_reason")):
            choice.raw, choice.reason = raw, FINISH_REASONS.get(raw, "other")

    def _tool_call(self, choice: _Choice, index: int, wire: JSON) -> Iterator[Event]:
        """A call begins once its name is known."""
        function = _object(wire.get("function"))
        name = _text(function.get("name"))
        call = choice.call_of(_text(wire.get("id")), _number(wire.get("index")), name)
        call.name = call.name or name or ""
        call.signature = call.signature or _signature(wire)
        arguments = _arguments(function.get("arguments"))
        if arguments:
            call.arguments.append(arguments)
        if call.place is None and call.name:
            call.place = choice.call_count
            yield ToolCallStart(call.place, call_id(call.id), call.name, index, call.signature)
            arguments = "".join(call.arguments)
        if arguments and call.place is not None:
            yield ToolCallDelta(call.place, arguments, index)

    def end(self) -> Iterator[Event]:
        """One Finish per choice, in order, then the usage."""
        if failed := self._failure():
            yield StreamFailed(UNAVAILABLE, reason=failed)
            return
        for index in sorted(self.choices):
            choice = self.choices[index]
            reason = choice.reason or ("tool_calls" if choice.call_count else "stop")
            if choice.call_count and reason in ("stop", "other"):
                reason = "tool_calls"
            if reason == "tool_calls":  # no arguments are an empty object, never no JSON
                yield from (ToolCallDelta(place, "{}", index) for place in choice.bare)
            yield Finish(reason, index, choice.raw)
        if self.usage is not None:
            yield UsageReport(self.usage)

    def _failure(self) -> str | None:
        for choice in self.choices.values():
            if choice.reason == "error":
                return f"the model stopped: {choice.raw}"
            if any(call.arguments and call.place is None for call in choice.calls):
                return "a tool call has no name"
        return None

    @property
    def is_complete(self) -> bool:
        return bool(self.choices) and all(c.reason for c in self.choices.values())


def read_stream(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of an SSE body. Ends with `StreamFailed` if the upstream broke off."""
    reading = _Reading()
    is_done = False
    for data in sse.read_bursts(chunks):
        if not data:
            yield PAUSE if data is None else Silence()
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
    if not isinstance(answer, dict) or answer.get("error"):
        raise ValueError("not a chat completion")
    reading = _Reading()
    events = list(reading.chunk(answer))
    if not reading.choices:
        raise ValueError("a chat completion without choices")
    yield from events
    yield from reading.end()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def _each(value: Any) -> list[Any]:
    """A list, also where a server sends its only item without one."""
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _arguments(value: Any) -> str:
    """Arguments as JSON text, which some servers send as the JSON itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()


def _logprobs(content: Any) -> list[JSON]:
    """The entries that are some, each with the alternatives that are."""
    entries = [entry for entry in content if _is_entry(entry)] if isinstance(content, list) else []
    for entry in entries:
        if "top_logprobs" in entry:
            entry["top_logprobs"] = _logprobs(entry["top_logprobs"])
    return entries


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("token"), str):
        return False
    return isinstance(value.get("logprob"), int | float)


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _joined(content: Any) -> str | None:
    """Text, also where a server sends a list of text parts."""
    if isinstance(content, list):
        return "".join(_text(_object(part).get("text")) or "" for part in content) or None
    return _text(content)


def _signature(call: JSON) -> str | None:
    """What Google's OpenAI-compatible servers want back with the call."""
    google = _object(_object(call.get("extra_content")).get("google"))
    return _text(google.get("thought_signature"))
