"""Kept reasoning: a day at most, bounded, and never another user's."""

from __future__ import annotations

from gateway.reasoning import KEPT_FOR, MAX_ENTRY_BYTES, MemoryReasoningStore


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


def test_what_was_put_comes_back_to_its_owner_only():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", {"signature": "x"}, 10)
    assert store.get("ada", "call_1") == {"signature": "x"}
    assert store.get("eve", "call_1") is None
    assert store.get("ada", "call_2") is None


def test_the_same_call_id_of_two_users_is_two_entries():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", {"of": "ada"}, 10)
    store.put("eve", "call_1", {"of": "eve"}, 10)
    assert store.get("ada", "call_1") == {"of": "ada"}


def test_it_is_gone_after_a_day():
    clock = Clock()
    store = MemoryReasoningStore(clock=clock)
    store.put("ada", "call_1", {}, 1)
    clock.now += KEPT_FOR - 1
    assert store.get("ada", "call_1") == {}
    clock.now += 2
    assert store.get("ada", "call_1") is None
    assert not store._entries


def test_putting_again_starts_a_new_day():
    clock = Clock()
    store = MemoryReasoningStore(clock=clock)
    store.put("ada", "call_1", {"turn": 1}, 1)
    clock.now += KEPT_FOR - 1
    store.put("ada", "call_1", {"turn": 2}, 1)
    clock.now += KEPT_FOR - 1
    assert store.get("ada", "call_1") == {"turn": 2}


def test_the_least_recently_used_entries_go_first():
    store = MemoryReasoningStore(max_entries=3)
    for number in range(3):
        store.put("ada", f"call_{number}", {"n": number}, 1)
    store.get("ada", "call_0")
    store.put("ada", "call_3", {}, 1)
    assert store.get("ada", "call_1") is None
    assert store.get("ada", "call_0") == {"n": 0}
    assert len(store._entries) == 3


def test_too_large_a_state_is_not_kept():
    store = MemoryReasoningStore()
    store.put("ada", "call_1", {}, MAX_ENTRY_BYTES + 1)
    assert store.get("ada", "call_1") is None
    store.put("ada", "call_1", {}, MAX_ENTRY_BYTES)
    assert store.get("ada", "call_1") == {}
