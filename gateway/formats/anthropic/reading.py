"""Answers of the Messages API, whole or streamed, to events (reference/translation.md 3).

A whole answer is read as the stream that it could have been. Nothing that is JSON makes a stream
raise: what is unknown is passed over, what is missing counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.formats.anthropic.wire import (
    FINISH_REASONS,
    REFUSED,
    as_object,
    as_text,
    describe_error,
    read_usage,
)
from gateway.tool_names import call_id
from gateway.types import (
    JSON,
    PAUSE,
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Silence,
    Started,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from gateway.upstream_errors import UNAVAILABLE


class _Failed(Exception):
    """The upstream broke its answer off; the message is for the log."""


@dataclass(slots=True)
class _Block:
    """A content block that is still open. `call` numbers a tool's, in order of appearance."""

    call: int | None = None
    given: Any = None
    has_arguments: bool = False
    signature: str = ""


@dataclass(slots=True)
class _Reading:
    """One answer while its events arrive."""

    has_started: bool = False
    is_done: bool = False
    pings: int = 0
    call_count: int = 0
    blocks: dict[int, _Block] = field(default_factory=dict)
    last_block: int = 0
    usage: JSON = field(default_factory=dict)
    raw: str = ""
    details: JSON = field(default_factory=dict)

    def event(self, event: JSON) -> Iterator[Event]:
        """Raises `_Failed` for an error."""
        kind = as_text(event.get("type"))
        if kind == "error":
            raise _Failed(f"error in mid-stream: {describe_error(event.get('error'))}")
        if kind == "message_start":
            yield from self.start(as_object(event.get("message")))
        elif kind == "ping":
            yield from self._ping()
        elif kind in ON_EVENT:
            if not self.has_started:
                yield from self.start({})
            yield from ON_EVENT[kind](self, event)

    def start(self, message: JSON) -> Iterator[Event]:
        self._count(message.get("usage"))
        if not self.has_started:
            self.has_started = True
            usage = read_usage(self.usage)
            yield Started(
                as_text(message.get("id")) or None,
                as_text(message.get("model")) or None,
                input_tokens=usage.input_tokens if usage else None,
            )

    def _ping(self) -> Iterator[Event]:
        """The first one belongs to every stream's opening; later ones fill a silence."""
        self.pings += 1
        if self.pings > 1:
            yield Silence(is_hint=True)

    # ------------------------------------------------------------------------- blocks

    def open_block(self, event: JSON) -> Iterator[Event]:
        content = as_object(event.get("content_block"))
        place = self._place(event)
        yield from self._close(place)
        block = self.blocks[place] = _Block()
        kind = as_text(content.get("type"))
        if kind == "tool_use":
            block.call, self.call_count = self.call_count, self.call_count + 1
            block.given = content.get("input")
            name = as_text(content.get("name"))
            yield ToolCallStart(block.call, call_id(as_text(content.get("id"))), name)
        elif kind == "redacted_thinking" and (data := as_text(content.get("data"))):
            yield ReasoningDelta("", redacted=data)
        elif kind in ("text", "thinking"):
            yield from self._add(block, content)

    def delta(self, event: JSON) -> Iterator[Event]:
        block = self.blocks.setdefault(self._place(event), _Block())
        delta = as_object(event.get("delta"))
        if as_text(delta.get("type")) in DELTAS:
            yield from self._add(block, delta)

    def _add(self, block: _Block, delta: JSON) -> Iterator[Event]:
        """What a delta holds, or the beginning of a block, which has the same fields."""
        if text := as_text(delta.get("text")):
            yield TextDelta(text)
        if text := as_text(delta.get("thinking")):
            yield ReasoningDelta(text)
        if signature := as_text(delta.get("signature")):
            block.signature = signature
        arguments = as_text(delta.get("partial_json"))
        if arguments and block.call is not None:
            block.has_arguments = True
            yield ToolCallDelta(block.call, arguments)

    def close_block(self, event: JSON) -> Iterator[Event]:
        yield from self._close(self._place(event))

    def _close(self, place: int) -> Iterator[Event]:
        block = self.blocks.pop(place, None)
        if block is None:
            return
        if block.signature:
            yield ReasoningDelta("", signature=block.signature)
        if block.call is not None and not block.has_arguments:
            yield ToolCallDelta(block.call, _arguments(block.given))

    def _place(self, event: JSON) -> int:
        """Which block an event is about: the last one where it does not say."""
        if isinstance(place := event.get("index"), int):
            self.last_block = place
        return self.last_block

    # ------------------------------------------------------------------------- the end

    def close_message(self, event: JSON) -> Iterator[Event]:
        """Counters are totals: the last ones count."""
        delta = as_object(event.get("delta"))
        self.raw = as_text(delta.get("stop_reason")) or self.raw
        self.details = as_object(delta.get("stop_details")) or self.details
        self._count(event.get("usage"))
        yield from ()

    def stop(self, _: JSON) -> Iterator[Event]:
        """Raises `_Failed` for an answer that does not say why it ended."""
        if not self.raw:
            raise _Failed("the answer ended without a stop reason")
        for place in sorted(self.blocks):
            yield from self._close(place)
        self.is_done = True
        reason = self._reason()
        if self.raw == "refusal":
            yield RefusalDelta(as_text(self.details.get("explanation")) or REFUSED)
        yield Finish(reason, raw=self.raw)
        if (usage := read_usage(self.usage)) is not None:
            yield UsageReport(usage)

    def _reason(self) -> FinishReason:
        reason = FINISH_REASONS.get(self.raw, "other")
        return "tool_calls" if self.call_count and reason in ("stop", "other") else reason

    def _count(self, usage: Any) -> None:
        self.usage |= {k: v for k, v in as_object(usage).items() if v is not None}


ON_EVENT: dict[str, Callable[[_Reading, JSON], Iterator[Event]]] = {
    "content_block_start": _Reading.open_block,
    "content_block_delta": _Reading.delta,
    "content_block_stop": _Reading.close_block,
    "message_delta": _Reading.close_message,
    "message_stop": _Reading.stop,
}
"""What is done at each event; others are passed over."""
DELTAS = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})


def _arguments(given: Any) -> str:
    """The arguments of a call that came whole: none at all are an empty object."""
    try:
        return orjson.dumps(given).decode() if given else "{}"
    except orjson.JSONEncodeError:  # nests deeper than anyone can write
        raise _Failed("the arguments of a call cannot be written as JSON") from None


def read_stream(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of an SSE body. Ends with `StreamFailed` if the upstream broke off."""
    reading = _Reading()
    try:
        for data in sse.read_bursts(chunks):
            if not data:
                yield PAUSE if data is None else Silence()
                continue
            yield from reading.event(_parsed(data))
            if reading.is_done:
                return
        raise _Failed("the stream ended before the answer did")
    except _Failed as failure:
        yield StreamFailed(UNAVAILABLE, reason=str(failure))


def _parsed(data: bytes) -> JSON:
    try:
        return as_object(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise _Failed("the stream holds an event that is not JSON") from None


def read_response(body: bytes) -> Iterator[Event]:
    """A whole answer as the stream that it could have been. Raises `ValueError` for garbage."""
    answer = as_object(orjson.loads(body))
    if answer.get("error"):
        raise ValueError(f"an error instead of an answer: {describe_error(answer['error'])}")
    if not isinstance(answer.get("content"), list):
        raise ValueError("not a message")
    try:
        yield from _whole(_Reading(), answer)
    except _Failed as failure:
        raise ValueError(str(failure)) from None


def _whole(reading: _Reading, answer: JSON) -> Iterator[Event]:
    yield from reading.start(answer)
    for place, block in enumerate(answer["content"]):
        yield from reading.open_block({"index": place, "content_block": block})
        yield from reading.close_block({"index": place})
    yield from reading.close_message({"delta": answer})
    yield from reading.stop({})
