"""Reasoning state that a provider wants back with the next turn of a tool conversation.

Claude, Gemini 3 and DeepSeek refuse, or forget, a turn that comes back without what they thought
before their tool calls; the OpenAI API has no field for it. So the state travels in two ways: kept
here under (user, tool call id), since every client echoes ids, and, for Google's clients, sealed in
the signature that their SDKs echo anyway. Facts: reference/translation.md 8 and 9.3.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson

from gateway.types import JSON, Clock, Reasoning, ToolCall

KEPT_FOR = 24 * 3600.0
"""Seconds."""
MAX_ENTRIES = 20_000
MAX_ENTRY_BYTES = 256 * 1024
MAX_TOTAL_BYTES = 32 * 1024 * 1024
MAX_SEALED = 64 * 1024
SEAL = b"sy1."


@dataclass(frozen=True, slots=True)
class State:
    """What `vendor`'s `model` wants back: blocks of reasoning, or one signature for a call."""

    vendor: str
    model: str
    blocks: tuple[Reasoning, ...] = ()
    signature: str | None = None

    def wire(self) -> JSON:
        blocks = [asdict(block) for block in self.blocks]
        return {"p": self.vendor, "m": self.model, "b": blocks, "s": self.signature}


def read_state(wire: Any) -> State | None:
    """The state of what `State.wire` made, None for anything else."""
    try:
        blocks = tuple(Reasoning(**block) for block in wire["b"])
        return State(wire["p"], wire["m"], blocks, wire["s"])
    except (TypeError, KeyError):
        return None


class ReasoningStore(Protocol):
    """Where reasoning state waits for the next turn. Losing an entry is allowed; mixing is not."""

    def put(self, user_id: str, call_id: str, state: bytes) -> None:
        """Keep `state` for a day. Too large a state is not kept."""

    def get(self, user_id: str, call_id: str) -> bytes | None:
        """What was kept, None if nothing was or it is gone."""


class MemoryReasoningStore:
    """In this process, bounded in entries and bytes: the least recently used go first."""

    def __init__(
        self,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_TOTAL_BYTES,
        clock: Clock = time.time,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._size = 0
        self._entries: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()

    def put(self, user_id: str, call_id: str, state: bytes) -> None:
        if len(state) > MAX_ENTRY_BYTES:
            return
        self._forget((user_id, call_id))
        self._entries[user_id, call_id] = (self._clock() + KEPT_FOR, state)
        self._size += len(state)
        while len(self._entries) > self._max_entries or self._size > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def get(self, user_id: str, call_id: str) -> bytes | None:
        entry = self._entries.get((user_id, call_id))
        if entry is None:
            return None
        if entry[0] < self._clock():
            self._forget((user_id, call_id))
            return None
        self._entries.move_to_end((user_id, call_id))
        return entry[1]

    def _forget(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= len(entry[1])


class Memory:
    """The reasoning state of one user: kept by tool call id, or sealed into a signature.

    A sealed state is authenticated for its user: nobody can make up, or bring, another's.
    """

    __slots__ = ("_store", "_user_id", "_secret")

    def __init__(self, store: ReasoningStore, user_id: str, secret: bytes) -> None:
        self._store = store
        self._user_id = user_id
        self._secret = secret

    def remember(self, call_id: str, state: State) -> None:
        self._store.put(self._user_id, call_id, orjson.dumps(state.wire()))

    def recall(self, call: ToolCall) -> State | None:
        """What belongs to a call of the history: sealed in its signature, or kept by its id.

        A signature that is not our seal is the Gemini API's own.
        """
        if call.signature:
            sealed = self.unseal(call.signature)
            if sealed is not None:
                return sealed
            if not is_sealed(call.signature):
                return State("gemini", "", signature=call.signature)
        kept = self._store.get(self._user_id, call.id)
        return read_state(orjson.loads(kept)) if kept else None

    def seal(self, state: State) -> str | None:
        """The state as base64 that only this user can bring back; None if it is too long."""
        body = orjson.dumps(state.wire())
        if len(body) > MAX_SEALED:
            return None
        return base64.b64encode(SEAL + self._tag(body) + body).decode()

    def unseal(self, signature: str) -> State | None:
        data = _decoded(signature)
        if not data.startswith(SEAL):
            return None
        tag, body = data[len(SEAL) : len(SEAL) + 32], data[len(SEAL) + 32 :]
        if not hmac.compare_digest(tag, self._tag(body)):
            return None
        return read_state(orjson.loads(body))

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, self._user_id.encode() + b"\0" + body, "sha256")


def is_sealed(signature: str) -> bool:
    """Is it one of our seals, whoever's?"""
    return _decoded(signature[:8]).startswith(SEAL)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return b""
