"""Limits: one atomic check before a call, windows aligned to the UTC minute.

`Quota` is the seam: everything above it asks `admit`, `peek` and `settle`, whether the counters
live in this process or elsewhere. A refused call consumes nothing. Counters are keyed by the key's
lineage, so that rotating a key does not double its limit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.errors import LimitExceeded
from gateway.types import Clock

WINDOW = 60
MAX_STEP_BACK = 5
"""Windows by which a clock may be set back before its old time counts as the mistake."""
Kind = Literal["chat", "image"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call asks for. Limits: requests per minute of its kind."""

    key_id: str
    kind: Kind
    requests_per_minute: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands in the current window; `reset` in UTC epoch seconds."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> list[tuple[str, str]]:
        return [
            ("X-RateLimit-Limit-Requests", str(self.limit)),
            ("X-RateLimit-Remaining-Requests", str(self.remaining)),
            ("X-RateLimit-Reset-Requests", str(self.reset)),
        ]


class Quota(Protocol):
    def admit(self, demand: Demand) -> Standing:
        """Take one request from the window. Raises `LimitExceeded`, consuming nothing."""

    def peek(self, demand: Demand) -> Standing:
        """The standing, without taking anything."""

    def restore(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Fill the current window with what was admitted before a restart."""


class MemoryQuota:
    """Counters of one process. Atomic because nothing here waits."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._window = 0
        self._counts: dict[tuple[str, str], int] = {}

    def admit(self, demand: Demand) -> Standing:
        reset = self._turn()
        key = (demand.key_id, demand.kind)
        used = self._counts.get(key, 0)
        if used >= demand.requests_per_minute:
            raise self._exceeded(demand, reset)
        self._counts[key] = used + 1
        return Standing(demand.requests_per_minute, demand.requests_per_minute - used - 1, reset)

    def peek(self, demand: Demand) -> Standing:
        reset = self._turn()
        used = self._counts.get((demand.key_id, demand.kind), 0)
        return Standing(
            demand.requests_per_minute, max(0, demand.requests_per_minute - used), reset
        )

    def restore(self, counts: Mapping[tuple[str, str], int]) -> None:
        self._turn()
        for key, count in counts.items():
            self._counts[key] = self._counts.get(key, 0) + count

    def _turn(self) -> int:
        """Start an empty window when the minute has changed; returns when this one ends."""
        window = int(self._clock()) // WINDOW
        # A clock set back a little must not open the same window again; one set back far was wrong.
        if window > self._window or window < self._window - MAX_STEP_BACK:
            self._window = window
            self._counts = {}
        return (self._window + 1) * WINDOW

    def _exceeded(self, demand: Demand, reset: int) -> LimitExceeded:
        wait = min(WINDOW, max(1, math.ceil(reset - self._clock())))
        limit = demand.requests_per_minute
        return LimitExceeded(
            f"Rate limit reached: {limit} {demand.kind} requests per minute for this key. "
            f"Please try again in {wait}s.",
            retry_after=wait,
        )
