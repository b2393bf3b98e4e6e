"""Reasoning state that a provider wants back, kept for clients that can't carry it.

Some models sign their thinking and refuse the next turn without it, while the OpenAI API has no
field for it. Every client echoes tool call ids, so the state is kept under (user, tool call id).
Facts: reference/translation.md 9.3.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Protocol

from gateway.types import JSON, Clock

KEPT_FOR = 24 * 3600.0
MAX_ENTRIES = 20_000
MAX_ENTRY_BYTES = 256 * 1024


class ReasoningStore(Protocol):
    """Where reasoning state waits for the next turn. Losing an entry is allowed; mixing is not."""

    def put(self, user_id: str, call_id: str, state: JSON, size: int) -> None:
        """Keep `state` (about `size` bytes) for a day. Too large a state is not kept."""

    def get(self, user_id: str, call_id: str) -> JSON | None:
        """What was kept, None if nothing was or it is gone."""


class MemoryReasoningStore:
    """In this process, bounded: the least recently used entries go first."""

    def __init__(self, max_entries: int = MAX_ENTRIES, clock: Clock = time.time) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], tuple[float, JSON]] = OrderedDict()

    def put(self, user_id: str, call_id: str, state: JSON, size: int) -> None:
        if size > MAX_ENTRY_BYTES:
            return
        self._entries[user_id, call_id] = (self._clock() + KEPT_FOR, state)
        self._entries.move_to_end((user_id, call_id))
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def get(self, user_id: str, call_id: str) -> JSON | None:
        entry = self._entries.get((user_id, call_id))
        if entry is None or entry[0] < self._clock():
            self._entries.pop((user_id, call_id), None)
            return None
        self._entries.move_to_end((user_id, call_id))
        return entry[1]
