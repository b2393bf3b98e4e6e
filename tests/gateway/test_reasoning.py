"""Kept reasoning: a day at most, bounded, and never another user's, kept here or sealed."""

from __future__ import annotations

import base64

import pytest

from gateway.reasoning import (
    KEPT_FOR,
    MAX_ENTRY_BYTES,
    MAX_SEALED,
    Memory,
    MemoryReasoningStore,
    State,
)
from gateway.types import Reasoning, ToolCall


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


def test_what_was_put_comes_back_to_its_owner_only():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", b"x")
    assert store.get("ada", "call_1") == b"x"
    assert store.get("eve", "call_1") is None
    assert store.get("ada", "call_2") is None


def test_the_same_call_id_of_two_users_is_two_entries():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", b"ada's")
    store.put("eve", "call_1", b"eve's")
    assert store.get("ada", "call_1") == b"ada's"


def test_it_is_gone_after_a_day():
    clock = Clock()
    store = MemoryReasoningStore(clock=clock)
    store.put("ada", "call_1", b"x")
    clock.now += KEPT_FOR - 1
    assert store.get("ada", "call_1") == b"x"
    clock.now += 2
    assert store.get("ada", "call_1") is None
    assert not store._entries
    assert store._size == 0


def test_putting_again_starts_a_new_day():
    clock = Clock()
    store = MemoryReasoningStore(clock=clock)
    store.put("ada", "call_1", b"1")
    clock.now += KEPT_FOR - 1
    store.put("ada", "call_1", b"2")
    clock.now += KEPT_FOR - 1
    assert store.get("ada", "call_1") == b"2"


def test_the_least_recently_used_entries_go_first():
    store = MemoryReasoningStore(max_entries=3)
    for number in range(3):
        store.put("ada", f"call_{number}", b"%d" % number)
    store.get("ada", "call_0")
    store.put("ada", "call_3", b"3")
    assert store.get("ada", "call_1") is None
    assert store.get("ada", "call_0") == b"0"
    assert len(store._entries) == 3


def test_all_entries_together_stay_below_a_size():
    store = MemoryReasoningStore(max_bytes=100)
    for number in range(50):
        store.put("ada", f"call_{number}", b"x" * 30)
    assert store._size <= 100
    assert store.get("ada", "call_49") is not None


def test_too_large_a_state_is_not_kept():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", b"x" * (MAX_ENTRY_BYTES + 1))
    assert store.get("ada", "call_1") is None
    store.put("ada", "call_1", b"x" * MAX_ENTRY_BYTES)
    assert store.get("ada", "call_1") is not None


# ----------------------------------------------------------------------------- memory and seals

STATE = State("anthropic", "claude-x", (Reasoning("why", "sig"), Reasoning("", redacted="r")))


def memory(user: str = "ada", secret: bytes = b"secret", store=None) -> Memory:
    return Memory(store or MemoryReasoningStore(), user, secret)


def call(id_: str = "call_1", signature: str | None = None) -> ToolCall:
    return ToolCall(id_, "f", "{}", signature)


def test_a_state_is_recalled_by_its_call():
    mine = memory()
    mine.remember("call_1", STATE)
    assert mine.recall(call()) == STATE
    assert mine.recall(call("call_2")) is None


def test_a_sealed_state_needs_no_store():
    sealed = memory().seal(STATE)
    base64.b64decode(sealed, validate=True)  # SDKs refuse anything else
    assert memory().recall(call(signature=sealed)) == STATE
    urlsafe = sealed.replace("+", "-").replace("/", "_")
    assert memory().recall(call(signature=urlsafe)) == STATE


@pytest.mark.parametrize("other", [memory("eve"), memory(secret=b"another")])
def test_nobody_can_bring_anothers_state(other):
    assert memory().recall(call(signature=other.seal(STATE))) is None


def test_a_changed_seal_is_worth_nothing():
    data = bytearray(base64.b64decode(memory().seal(STATE)))
    data[-3] ^= 1
    forged = base64.b64encode(bytes(data)).decode()
    assert memory().recall(call(signature=forged)) is None


def test_any_other_signature_is_geminis_own():
    found = memory().recall(call(signature="CpUBAXLI2nw="))
    assert found == State("gemini", "", signature="CpUBAXLI2nw=")


def test_a_long_state_is_not_sealed():
    assert memory().seal(State("anthropic", "m", (Reasoning("x" * MAX_SEALED),))) is None
