"""Gemini's own bytes on their way to a Gemini client: what is read off them while they go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway import sse
from gateway.formats.gemini.checks import OUR_FIELDS
from gateway.formats.gemini.outgoing import SENTINEL, fitting_thinking
from gateway.formats.gemini.reading import REASONS
from gateway.formats.gemini.wire import read_usage
from gateway.metering import Meter
from gateway.reasoning import is_sealed
from gateway.target import Target
from gateway.types import JSON, Usage, UsageReport


def patch_request(raw: bytes, body: JSON, target: Target, defaults: Mapping[str, Any]) -> bytes:
    """The body for a Gemini model: the caller's bytes, or with `defaults` laid under them, and
    without what this very model refuses."""
    changes: JSON = {}
    config = fitting(body.get("generationConfig") or {}, target)
    if config is not None:  # all of it may be gone
        changes["generationConfig"] = config
    if target.can("adaptive") and (contents := with_signatures(body["contents"])):
        changes["contents"] = contents
    if not defaults and not changes and not any(b'"%b"' % name in raw for name in RAW_FIELDS):
        return raw
    merged = {**defaults, **body, **changes}
    return orjson.dumps({name: v for name, v in merged.items() if name not in OUR_FIELDS})


RAW_FIELDS = tuple(name.encode() for name in OUR_FIELDS)


def with_signatures(contents: list[JSON]) -> list[JSON] | None:
    """The contents with Google's own stand-in where the first call of a turn has no signature, or
    one that we sealed for another provider's model.

    The oldest SDK loses signatures, and newer models refuse calls that come back without.
    None if nothing is missing.
    """
    signed, is_first, is_changed = [], True, False
    for content in contents:
        is_first = is_first or content.get("role") != "model"
        parts = list(content.get("parts") or ())
        for place, part in enumerate(parts):
            is_ours = is_sealed(part.get("thoughtSignature") or "")
            needs_one = is_first and "functionCall" in part
            if is_ours or (needs_one and "thoughtSignature" not in part):
                parts[place], is_changed = {**part, "thoughtSignature": SENTINEL}, True
            is_first = is_first and not needs_one
        signed.append({**content, "parts": parts})
    return signed if is_changed else None


SAMPLING = {"temperature": "temperature", "topP": "top_p", "topK": "top_k"}


def fitting(config: JSON, target: Target) -> JSON | None:
    """A generationConfig that the model takes, None if it is this one."""
    found = dict(config)
    for name in () if target.can("sampling") else [name for name in SAMPLING if name in found]:
        target.losses.leave_out(SAMPLING[name], found.pop(name))
    if thinking := fitting_thinking(config.get("thinkingConfig") or {}, target):
        found["thinkingConfig"] = thinking
    return found if found != config else None


def can_pass(body: JSON, target: Target) -> bool:
    return True


def meter_response(body: bytes, meter: Meter) -> None:
    """Read usage from a whole answer. Raises `ValueError` if it is not one."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not (answer.get("candidates") or "promptFeedback" in answer):
        raise ValueError("not a generateContent answer")
    meter.output_bytes = len(body)
    _note(answer, meter)


def _note(answer: JSON, meter: Meter) -> None:
    meter.usage = read_usage(answer.get("usageMetadata")) or meter.usage
    meter.upstream_model = answer.get("modelVersion") or meter.upstream_model
    candidates = answer.get("candidates") or [{}]
    if answer.get("promptFeedback") and "finishReason" not in candidates[0]:
        meter.finish_reason = "content_filter"
    elif reason := candidates[0].get("finishReason"):
        meter.finish_reason = REASONS.get(reason, "error")


ENDED = re.compile(rb'"(?:finishReason|blockReason)":\s?"')
FAILED = re.compile(rb'data:\s?\{\s*"error"')


class Tap:
    """Watches a stream's bytes go by. Only its last event is parsed: usage is cumulative."""

    __slots__ = ("_meter", "_before", "_last", "_has_ended", "error")

    keep_alive = b""
    """What may fill a silence: nothing, Google's SDKs fail at comments."""

    def __init__(self, meter: Meter, wants_usage: bool) -> None:
        self._meter = meter
        self._before = self._last = b""
        self._has_ended = False
        self.error: str | None = None

    def pass_on(self, events: bytes) -> bytes:
        """The bytes for the client; nothing of an upstream's error."""
        self._meter.frames += events.count(b"data:")
        if FAILED.search(events) or not is_sound(events):
            events = self._until_error(events)
        if not self.error and ENDED.search(events):
            self._has_ended = True
        if events.startswith(b":") or b"\n:" in events:
            events = b"".join(frame for frame in sse.frames(events) if sse.data_of(frame))
        self._before, self._last = self._last, events
        return sse.on_one_line(events)

    def finish(self) -> None:
        """At the end of the body: the answer is complete if it said why it ended."""
        for frame in sse.frames(self._last):
            data = sse.data_of(frame)
            if data is not None and data.startswith(b"{") and not self._reads(data):
                return
        self._meter.is_done = self._has_ended

    def leave(self) -> None:
        """Where the stream broke off: what it had used by then is the least that it costs."""
        usage = self._told()
        if usage is not None:
            usage.output_tokens = max(usage.output_tokens, self._meter.frames)
            self._meter.count(UsageReport(usage, is_estimate=True))

    def _told(self) -> Usage | None:
        """The last usage that arrived, though the very last event may be broken."""
        for frame in reversed(sse.frames(self._before) + sse.frames(self._last)):
            try:
                usage = read_usage(orjson.loads(sse.data_of(frame) or b"{}").get("usageMetadata"))
            except (ValueError, AttributeError):
                continue
            if usage is not None:
                return usage
        return None

    def _reads(self, data: bytes) -> bool:
        try:
            _note(orjson.loads(data), self._meter)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.error = "the stream holds an event that is none"
            return False
        return True

    def _until_error(self, events: bytes) -> bytes:
        kept = []
        for frame in sse.frames(events):
            self.error = problem_of(frame)
            if self.error:
                break
            kept.append(frame)
        return b"".join(kept)


def is_sound(events: bytes) -> bool:
    """Does it look like whole events? Cheap: the end of JSON at the end, and nothing but UTF-8."""
    try:
        return events.endswith(b"}\n\n") and (events.isascii() or bool(events.decode()))
    except UnicodeDecodeError:
        return False


def problem_of(frame: bytes) -> str | None:
    """Why an event must not go on: it is an error, or nothing that a caller could read."""
    data = sse.data_of(frame)
    if data is None:
        return None
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return "the stream holds an event that is not JSON"
    if not isinstance(chunk, dict) or chunk.get("error"):
        return data.decode()[:300]
    return None
