"""Gemini's answers to events, whole or as a stream. Facts: reference/gemini-wire.md 7 and 8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.formats.gemini.wire import read_usage
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

REASONS: dict[str, FinishReason] = {
    "FINISH_REASON_UNSPECIFIED": "stop",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
            "ESCALATION",
        ),
        "content_filter",
    ),
}
"""What each reason means; every other one is a failure of the model."""


@dataclass(slots=True)
class _Candidate:
    call_count: int = 0
    has_said: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _Reading:
    """An answer while its chunks arrive; calls are counted over the whole of it."""

    candidates: dict[int, _Candidate] = field(default_factory=dict)
    usage: Usage | None = None
    told: Usage | None = None
    has_started: bool = False
    blocked: str | None = None

    def chunk(self, chunk: JSON) -> Iterator[Event]:
        self.usage = read_usage(chunk.get("usageMetadata")) or self.usage
        if not self.has_started:
            self.has_started = True
            yield Started(
                _text(chunk.get("responseId")),
                _text(chunk.get("modelVersion")),
                input_tokens=self.usage.input_tokens if self.usage else None,
            )
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            self.blocked = _text(feedback.get("blockReason")) or self.blocked
        for position, wire in enumerate(chunk.get("candidates") or ()):
            if isinstance(wire, dict):
                yield from self._candidate(position, wire)

    def _candidate(self, position: int, wire: JSON) -> Iterator[Event]:
        index = wire["index"] if isinstance(wire.get("index"), int) else position
        candidate = self.candidates.setdefault(index, _Candidate())
        content = wire.get("content")
        for part in (content.get("parts") or ()) if isinstance(content, dict) else ():
            if isinstance(part, dict):
                yield from _part(candidate, index, part)
        if logprobs := read_logprobs(wire.get("logprobsResult")):
            yield LogprobsDelta(logprobs, index)
        candidate.reason = _text(wire.get("finishReason")) or candidate.reason

    def so_far(self) -> Iterator[Event]:
        """The counts until now: all that is known should the answer break off."""
        if self.usage is not None and self.usage is not self.told:
            self.told = self.usage
            yield UsageReport(self.usage, is_estimate=True)

    def end(self) -> Iterator[Event]:
        """What the answer ends with: a Finish for each candidate, then the usage."""
        if self.blocked and not any(c.has_said for c in self.candidates.values()):
            yield RefusalDelta(f"The prompt was blocked by the provider: {self.blocked}.")
            yield Finish("content_filter", raw=self.blocked)
        else:
            for index in sorted(self.candidates):
                yield _finish(self.candidates[index], index)
        if self.usage is not None:
            yield UsageReport(self.usage)

    @property
    def is_complete(self) -> bool:
        said = self.candidates.values()
        return bool(self.blocked) or (bool(said) and all(c.reason for c in said))

    @property
    def failure(self) -> str | None:
        """The reason of a model that said nothing useful. Never an empty success."""
        if self.blocked:
            return None
        for candidate in self.candidates.values():
            if candidate.reason and candidate.reason not in REASONS and not candidate.has_said:
                return candidate.reason
        return None


def _part(candidate: _Candidate, index: int, part: JSON) -> Iterator[Event]:
    call = part.get("functionCall")
    if isinstance(call, dict):
        place, candidate.call_count = candidate.call_count, candidate.call_count + 1
        candidate.has_said = True
        signature = _text(part.get("thoughtSignature"))
        yield ToolCallStart(
            place, call_id(_text(call.get("id"))), _text(call.get("name")) or "", index, signature
        )
        yield ToolCallDelta(place, orjson.dumps(call.get("args") or {}).decode(), index)
        return
    text = _text(part.get("text"))
    if text is None:
        return
    if part.get("thought"):
        yield ReasoningDelta(text, index)
        return
    candidate.has_said = True
    yield TextDelta(text, index)


def _finish(candidate: _Candidate, index: int) -> Finish:
    """Gemini says STOP where it called a tool."""
    reason = REASONS.get(candidate.reason or "", "stop")
    if candidate.call_count and reason == "stop":
        reason = "tool_calls"
    return Finish(reason, index, candidate.reason)


def read_stream(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of an SSE body. Ends with `StreamFailed` if the upstream broke off."""
    reading = _Reading()
    for data in sse.read_bursts(chunks):
        if not data:
            yield from reading.so_far()
            yield PAUSE if data is None else Silence()
            continue
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
    yield from _ended(reading)


def _ended(reading: _Reading) -> Iterator[Event]:
    if not reading.is_complete:
        yield StreamFailed(UNAVAILABLE, reason="the stream ended before the answer did")
    elif reading.failure:
        message = f"The model gave no answer: {reading.failure}."
        yield StreamFailed(message, reason=f"the model stopped: {reading.failure}")
    else:
        yield from reading.end()


def read_response(body: bytes) -> Iterator[Event]:
    """A whole answer as the stream that it could have been. Raises `ValueError` for garbage."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not (answer.get("candidates") or "promptFeedback" in answer):
        raise ValueError("not a generateContent answer")
    reading = _Reading()
    yield from reading.chunk(answer)
    for candidate in reading.candidates.values():
        candidate.reason = candidate.reason or "STOP"
    yield from _ended(reading)


def read_logprobs(result: Any) -> list[JSON]:
    """`logprobsResult` as OpenAI's entries (reference/translation.md 9.4c)."""
    if not isinstance(result, dict):
        return []
    chosen = result.get("chosenCandidates") or []
    tops = result.get("topCandidates") or []
    entries = []
    for place, token in enumerate(chosen):
        others = tops[place].get("candidates") or [] if place < len(tops) else []
        entries.append(_entry(token) | {"top_logprobs": [_entry(other) for other in others]})
    return entries


def _entry(token: JSON) -> JSON:
    text = str(token.get("token") or "")
    return {
        "token": text,
        "logprob": token.get("logProbability", 0.0),
        "bytes": list(text.encode("utf-8", "replace")),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
