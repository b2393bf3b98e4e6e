"""Events to answers in this format, whole or as a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.errors import UpstreamFailed
from gateway.formats.openai.wire import error_event, write_usage
from gateway.metering import Meter
from gateway.types import (
    JSON,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    LogprobsDelta,
    Pause,
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

WIRE_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "error": "stop",
    "other": "stop",
}
QUIET = 9.5
"""Seconds without a write after which an upstream's own sign of life is passed on."""


def completion_id(token: str | None) -> str:
    if token and token.startswith("chatcmpl"):
        return token
    return "chatcmpl-" + (token or secrets.token_urlsafe(21).replace("-", "x").replace("_", "y"))


@dataclass(slots=True)
class _Answer:
    """One choice of a whole answer while its events are folded."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[tuple[ToolCallStart, list[str]]] = field(default_factory=list)
    logprobs: list[JSON] = field(default_factory=list)
    reason: FinishReason = "stop"

    def wire(self, index: int) -> JSON:
        message: JSON = {
            "role": "assistant",
            "content": "".join(self.text) or (None if self.calls or self.refusal else ""),
            "refusal": "".join(self.refusal) or None,
            "annotations": [],
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [_call(start, pieces) for start, pieces in self.calls]
        return {
            "index": index,
            "message": message,
            "logprobs": {"content": self.logprobs, "refusal": None} if self.logprobs else None,
            "finish_reason": WIRE_REASONS[self.reason],
        }


def write_response(events: Iterable[Event], request: ChatRequest, meter: Meter) -> JSON:
    """Fold events into a `chat.completion`. Raises `UpstreamFailed` if they end in failure."""
    started, usage = Started(), Usage()
    answers: dict[int, _Answer] = {}
    for event in events:
        if isinstance(event, Started):
            started = event
            meter.start(event)
        elif isinstance(event, UsageReport):
            usage = event.usage
            meter.count(event)
        elif isinstance(event, StreamFailed):
            raise UpstreamFailed(event.message, reason=event.reason, retry_after=1)
        elif not isinstance(event, Silence | Pause):
            meter.frames += 1
            _fold(answers.setdefault(event.choice, _Answer()), event)
    if answers:
        meter.finish_reason = answers[min(answers)].reason
    return {
        "id": completion_id(started.id),
        "object": "chat.completion",
        "created": started.created or int(time.time()),
        "model": started.model or request.model,
        "choices": [answers[index].wire(place) for place, index in enumerate(sorted(answers))],
        "usage": write_usage(usage),
        "system_fingerprint": started.fingerprint,
    }


def _fold(answer: _Answer, event: Event) -> None:
    match event:
        case TextDelta(text=text):
            answer.text.append(text)
        case ReasoningDelta(text=text):
            answer.reasoning.append(text)
        case RefusalDelta(text=text):
            answer.refusal.append(text)
        case ToolCallStart():
            answer.calls.append((event, []))
        case ToolCallDelta(index=index, arguments=arguments):
            answer.calls[index][1].append(arguments)
        case LogprobsDelta(content=content):
            answer.logprobs += content
        case Finish(reason=reason):
            answer.reason = reason


class StreamWriter:
    """Writes the events of one stream as chunks, each one event of SSE.

    Role goes into the first delta of a choice only, a call's id and name into the first delta of
    that call only, usage into one last chunk and only if asked for (openai-wire.md section 0).
    """

    def __init__(self, request: ChatRequest, meter: Meter) -> None:
        self._request = request
        self._meter = meter
        self._wants_usage = request.include_usage
        self._places: dict[int, int] = {}
        self._written = time.monotonic()
        self._usage: Usage | None = None
        self._head = b""
        self._text_ends: dict[int, tuple[bytes, bytes]] = {}
        self._tail = b',"usage":null}' if self._wants_usage else b"}"

    def write(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Chunks for events; ends with `[DONE]`, or with an error event and nothing after it.

        What arrived together goes out together: a write costs more than a chunk.
        """
        waiting: list[bytes] = []
        for event in events:
            if isinstance(event, Pause):
                if waiting:
                    self._written = time.monotonic()
                    yield b"".join(waiting)
                    waiting.clear()
            elif isinstance(event, Started):
                self._start(event)
            elif isinstance(event, UsageReport):
                self._usage = event.usage
                self._meter.count(event)
            elif isinstance(event, Silence):
                if not event.is_hint or time.monotonic() - self._written > QUIET:
                    self._written = time.monotonic()
                    yield sse.KEEP_ALIVE
            elif isinstance(event, StreamFailed):
                if waiting:
                    yield b"".join(waiting)
                self._meter.failed = event.reason or event.message
                yield error_event(UpstreamFailed(event.message, reason=event.reason))
                return
            else:
                self._meter.frames += 1
                waiting.append(self._chunk(event))
        yield b"".join([*waiting, self._end()])

    def _start(self, started: Started) -> None:
        self._meter.start(started)
        head = {
            "id": completion_id(started.id),
            "object": "chat.completion.chunk",
            "created": started.created or int(time.time()),
            "model": started.model or self._request.model,
        }
        if started.fingerprint:
            head["system_fingerprint"] = started.fingerprint
        self._head = b"data: " + _dumps(head)[:-1] + b',"choices":['

    def _chunk(self, event: Event) -> bytes:
        if isinstance(event, TextDelta) and (ends := self._text_ends.get(event.choice)):
            return ends[0] + _dumps(event.text) + ends[1]  # nearly every chunk, so a short cut
        index: int = event.choice  # type: ignore[union-attr]  # all that reach here have one
        choice = self._places.get(index, len(self._places))  # SDKs want them in order
        opening = b""
        if index not in self._places:
            self._places[index] = choice
            before, _, after = self._wire(choice, {"content": ""}, None, None).partition(b'""')
            self._text_ends[index] = (before, after)
            content = None if isinstance(event, ToolCallStart) else ""
            opening = self._wire(
                choice, {"role": "assistant", "content": content, "refusal": None}, None, None
            )
        if isinstance(event, Finish):
            self._meter.finish_reason = event.reason
            self._meter.is_done = True
            return opening + self._wire(choice, {}, None, WIRE_REASONS[event.reason])
        logprobs = event.content if isinstance(event, LogprobsDelta) else None
        return opening + self._wire(choice, _delta(event), logprobs, None)

    def _wire(
        self, choice: int, delta: JSON, logprobs: list[JSON] | None, reason: str | None
    ) -> bytes:
        body = {
            "index": choice,
            "delta": delta,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": reason,
        }
        return b"%b%b]%b\n\n" % (self._head, _dumps(body), self._tail)

    def _end(self) -> bytes:
        if not (self._wants_usage and self._usage):
            return sse.DONE
        usage = _dumps(write_usage(self._usage))
        return self._head + b'],"usage":' + usage + b"}\n\n" + sse.DONE


def _call(start: ToolCallStart, pieces: Iterable[str] = ()) -> JSON:
    """A call with the arguments that are there: none yet where it begins."""
    call: JSON = {
        "id": start.id,
        "type": "function",
        "function": {"name": start.name, "arguments": "".join(pieces)},
    }
    if start.signature:
        # Where Google's own OpenAI layer carries it; our reader finds it there again.
        call["extra_content"] = {"google": {"thought_signature": start.signature}}
    return call


def _delta(event: Event) -> JSON:
    match event:
        case TextDelta(text=text):
            return {"content": text}
        case ReasoningDelta(text=text):
            return {"reasoning_content": text}
        case RefusalDelta(text=text):
            return {"refusal": text}
        case ToolCallStart(index=index):
            return {"tool_calls": [{"index": index, **_call(event)}]}
        case ToolCallDelta(index=index, arguments=arguments):
            return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
    return {}


def _dumps(value: Any) -> bytes:
    return sse.on_one_line(orjson.dumps(value))
