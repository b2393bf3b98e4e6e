"""Answers that pass through untouched: what is read off them while they go by."""

from __future__ import annotations

import re

import orjson

from gateway import sse
from gateway.formats.openai.wire import FINISH_REASONS, read_usage
from gateway.metering import Meter


def meter_response(body: bytes, meter: Meter) -> None:
    """Read usage from a whole answer. Raises `ValueError` if it is not one."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise ValueError("not a chat completion")
    meter.usage = read_usage(answer.get("usage"))
    meter.upstream_model = answer.get("model")
    meter.output_bytes = len(body)
    if answer["choices"]:
        meter.finish_reason = FINISH_REASONS.get(answer["choices"][0].get("finish_reason"))


FINISH = re.compile(rb'"finish_reason":\s?"(\w+)"')


class Tap:
    """Watches a stream's bytes go by: meters, withholds what the client did not ask for.

    Feed it whole events (`sse.FrameSplitter`). Looks inside only where a usage or error object can
    be: in a JSON string the quotes around the word would be escaped, so a hit is never content.
    """

    __slots__ = ("_meter", "_wants_usage", "error", "_last")

    keep_alive = sse.KEEP_ALIVE
    """What may fill a silence."""

    def __init__(self, meter: Meter, wants_usage: bool) -> None:
        self._meter = meter
        self._wants_usage = wants_usage
        self._last = (b"", b"", b"")
        self.error: str | None = None

    def pass_on(self, events: bytes) -> bytes:
        """The bytes for the client."""
        self._meter.frames += events.count(b"data: {")
        if b'"usage":{' in events or b'"usage": {' in events or b'"error":' in events:
            events = self._inspect(events)
        if b"[DONE]" in events:
            events = self._until_done(events)
        # Finish reason, usage and [DONE] are the last three events, at worst a read each.
        self._last = (self._last[1], self._last[2], events)
        return events

    def finish(self) -> None:
        """At the end of the stream: note how the model says it ended."""
        found = FINISH.findall(b"".join(self._last))
        if found and self._meter.finish_reason is None:
            self._meter.finish_reason = FINISH_REASONS.get(found[-1].decode())

    def leave(self) -> None:
        """Where the stream broke off: no chunk before the last says what it used."""

    def _until_done(self, events: bytes) -> bytes:
        """Up to the end marker, if there is one: a text may speak of it, too."""
        kept = []
        for frame in sse.frames(events):
            kept.append(frame)
            if sse.data_of(frame) == b"[DONE]":
                self._meter.is_done = True
                break
        return b"".join(kept) if self._meter.is_done else events

    def _inspect(self, events: bytes) -> bytes:
        """What may go on of events that hold a usage or an error: nothing from an error on."""
        kept = []
        for frame in sse.frames(events):
            if self._keeps(frame):
                kept.append(frame)
            if self.error:
                break
        return b"".join(kept)

    def _keeps(self, frame: bytes) -> bool:
        data = sse.data_of(frame)
        if data is None or not data.startswith(b"{"):
            return True
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = "the stream holds an event that is not JSON"
            return False
        if chunk.get("error"):
            self.error = str(chunk["error"])[:300]
            return False
        usage = read_usage(chunk.get("usage"))
        if usage is None:
            return True
        self._meter.usage = usage
        self._meter.upstream_model = chunk.get("model")
        if chunk.get("choices"):
            finish = chunk["choices"][0].get("finish_reason")
            self._meter.finish_reason = FINISH_REASONS.get(finish, self._meter.finish_reason)
            return True
        return self._wants_usage
