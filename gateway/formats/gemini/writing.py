"""Events to answers in this format, whole or as a stream."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from gateway import sse
from gateway.errors import GatewayError, UpstreamFailed
from gateway.formats.gemini.wire import FINISH_REASONS, ascii_json, error_event, write_usage
from gateway.metering import Meter
from gateway.types import (
    JSON,
    ChatRequest,
    Event,
    Finish,
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


@dataclass(slots=True)
class _Candidate:
    """One candidate while events are folded into it; calls wait until they are whole."""

    shows_thoughts: bool = False
    logprobs: list[JSON] = field(default_factory=list)
    texts: list[tuple[bool, list[str]]] = field(default_factory=list)
    calls: dict[int, tuple[ToolCallStart, list[str]]] = field(default_factory=dict)
    reason: str = "STOP"
    has_refused: bool = False
    held: str = ""

    def add(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._say(text)
            case RefusalDelta(text=text):
                self.has_refused = True
                self._say(text)
            case ReasoningDelta(text=text) if self.shows_thoughts:
                self._say(text, is_thought=True)
            case ToolCallStart(index=index):
                self.calls[index] = (event, [])
            case ToolCallDelta(index=index, arguments=arguments):
                self.calls[index][1].append(arguments)
            case LogprobsDelta(content=content):
                self.logprobs += content
            case Finish(reason=reason):
                refused = self.has_refused and reason == "stop"
                self.reason = "SAFETY" if refused else FINISH_REASONS[reason]

    def _say(self, text: str, *, is_thought: bool = False) -> None:
        if self.texts and self.texts[-1][0] == is_thought:
            self.texts[-1][1].append(text)
        elif text:
            self.texts.append((is_thought, [text]))

    def text_parts(self) -> list[JSON]:
        """What was thought and said, in its order."""
        return [
            {"text": "".join(pieces), **({"thought": True} if is_thought else {})}
            for is_thought, pieces in self.texts
        ]

    def call_parts(self) -> list[JSON]:
        """The calls as parts. One whose arguments are no JSON changes the reason instead."""
        parts = []
        for index in sorted(self.calls):
            part = _call_part(*self.calls[index])
            if part is not None:
                parts.append(part)
            elif self.reason == "STOP":
                self.reason = "MALFORMED_FUNCTION_CALL"
        return parts

    def wire(self, index: int) -> JSON:
        content = {"parts": self.text_parts() + self.call_parts(), "role": "model"}
        wire = {"content": content, "finishReason": self.reason, "index": index}
        return wire | write_logprobs(self.logprobs)


def write_logprobs(entries: list[JSON]) -> JSON:
    """OpenAI's entries as `logprobsResult` (reference/translation.md 9.4c)."""
    if not entries:
        return {}
    mean = sum(entry["logprob"] for entry in entries) / len(entries)
    return {
        "avgLogprobs": mean,
        "logprobsResult": {
            "chosenCandidates": [_token(entry) for entry in entries],
            "topCandidates": [
                {"candidates": [_token(top) for top in entry.get("top_logprobs") or ()]}
                for entry in entries
            ],
        },
    }


def _token(entry: JSON) -> JSON:
    return {"token": entry["token"], "logProbability": entry["logprob"]}


def _call_part(start: ToolCallStart, pieces: list[str]) -> JSON | None:
    """A whole call; None if its arguments broke off or were never JSON."""
    try:
        args = orjson.loads("".join(pieces) or "{}")
    except orjson.JSONDecodeError:
        return None
    args = args if type(args) is dict else {"value": args}
    part: JSON = {"functionCall": {"id": start.id, "name": start.name, "args": args}}
    if start.signature:
        part["thoughtSignature"] = start.signature
    return part


def write_response(events: Iterable[Event], request: ChatRequest, meter: Meter) -> JSON:
    """Fold events into a GenerateContentResponse. Raises `UpstreamFailed` if they end so."""
    started, usage = Started(), Usage()
    candidates: dict[int, _Candidate] = {}
    for event in events:
        match event:
            case Started():
                started = event
                meter.start(event)
            case UsageReport():
                usage = event.usage
                meter.count(event)
            case StreamFailed():
                raise UpstreamFailed(event.message, reason=event.reason, retry_after=1)
            case Silence() | Pause():
                pass
            case _:
                meter.frames += 1
                if isinstance(event, Finish):
                    meter.finish_reason = event.reason
                candidates.setdefault(event.choice, _Candidate(request.shows_reasoning)).add(event)
    return {
        "candidates": [candidates[index].wire(index) for index in sorted(candidates)],
        "usageMetadata": write_usage(usage),
        "modelVersion": started.model or request.model,
        "responseId": started.id or secrets.token_hex(12),
    }


class StreamWriter:
    """Writes events as chunks, each a whole GenerateContentResponse with what is new.

    The last chunk of a candidate carries the finish reason and the usage, which ends the stream;
    there is no end marker. It must have a part of its own: chats of Google's SDKs forget a turn
    with a chunk that has none, and the oldest one forgets a turn with an empty text. So the last
    character of a text waits for the end. Calls wait until they are whole and go out one a chunk,
    because the oldest SDK mixes up those that share one; `joins_calls` is for SDKs that look for
    calls in the last chunk only.
    """

    def __init__(self, request: ChatRequest, meter: Meter) -> None:
        self._request = request
        self._meter = meter
        self._shows_thoughts = request.shows_reasoning
        self._candidates: dict[int, _Candidate] = {}
        self._finished: list[int] = []
        self._usage: Usage | None = None
        self._started = Started(id=secrets.token_hex(12))

    def write(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Chunks for events. What arrived together goes out together."""
        try:
            yield from self._written(events)
        except GatewayError:
            if rest := self._all_held():
                yield rest
            raise

    def _written(self, events: Iterable[Event]) -> Iterator[bytes]:
        waiting: list[bytes] = []
        for event in events:
            match event:
                case Pause():
                    if waiting:
                        yield b"".join(waiting)
                        waiting.clear()
                case Started():
                    self._start(event)
                case UsageReport():
                    self._usage = event.usage
                    self._meter.count(event)
                case StreamFailed():
                    if rest := b"".join(waiting) + self._all_held():
                        yield rest
                    self._meter.failed = event.reason or event.message
                    yield error_event(UpstreamFailed(event.message, reason=event.reason))
                    return
                case Silence():
                    pass  # this stream knows no comments
                case _:
                    self._meter.frames += 1
                    waiting += self._candidate(event)
        for index in self._finished:
            waiting += self._finish(index)
        if waiting:
            yield b"".join(waiting)

    def _start(self, started: Started) -> None:
        self._meter.start(started)
        self._started.model = started.model
        self._started.id = started.id or self._started.id

    def _candidate(self, event: Event) -> Iterator[bytes]:
        index: int = event.choice  # type: ignore[union-attr]  # all that reach here have one
        candidate = self._candidates.setdefault(index, _Candidate())
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                candidate.has_refused |= isinstance(event, RefusalDelta)
                text = candidate.held + text
                candidate.held = text[-1:]
                if len(text) > 1:
                    yield self._chunk(index, [{"text": text[:-1]}])
            case ReasoningDelta(text=text):
                if text and self._shows_thoughts:
                    yield from self._held(index)
                    yield self._chunk(index, [{"text": text, "thought": True}])
            case Finish():
                self._meter.finish_reason = event.reason
                self._meter.is_done = True
                candidate.add(event)
                self._finished.append(index)
            case _:
                candidate.add(event)

    def _all_held(self) -> bytes:
        return b"".join(chunk for index in self._candidates for chunk in self._held(index))

    def _held(self, index: int) -> Iterator[bytes]:
        """The character that waited, where something else follows it."""
        candidate = self._candidates[index]
        if candidate.held:
            yield self._chunk(index, [{"text": candidate.held}])
            candidate.held = ""

    def _finish(self, index: int) -> Iterator[bytes]:
        candidate = self._candidates[index]
        last: list[JSON] = candidate.call_parts()
        if not last and candidate.held:
            last, candidate.held = [{"text": candidate.held}], ""
        yield from self._held(index)
        if not self._request.joins_calls:
            for part in last[:-1]:
                yield self._chunk(index, [part])
            last = last[-1:]
        yield self._chunk(index, last, {"finishReason": candidate.reason}, self._usage)

    def _chunk(
        self, index: int, parts: list[JSON], more: JSON | None = None, usage: Usage | None = None
    ) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": index, **(more or {})}
        if logprobs := self._candidates[index].logprobs:
            candidate |= write_logprobs(logprobs)
            logprobs.clear()
        chunk: JSON = {"candidates": [candidate]}
        if usage is not None:
            chunk["usageMetadata"] = write_usage(usage)
        chunk["modelVersion"] = self._started.model or self._request.model
        chunk["responseId"] = self._started.id
        return sse.event(ascii_json(chunk))
