"""Limits: never more than N in a UTC minute, checked against a model with a clock of its own."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import LimitExceeded
from gateway.quota import WINDOW, Demand, MemoryQuota

MINUTE = 1_700_000_040  # a multiple of 60
KEYS = st.sampled_from(["key_a", "key_b"])
KINDS = st.sampled_from(["chat", "image"])
LIMITS = st.integers(0, 4)


class Clock:
    """Time that moves only when told."""

    def __init__(self, now=float(MINUTE)):
        self.now = now

    def __call__(self):
        return self.now


class QuotaMachine(RuleBasedStateMachine):
    """`MemoryQuota` beside a Counter by (minute, key, kind): they must never differ."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.quota = MemoryQuota(self.clock)
        self.model: Counter = Counter()

    def place(self, key, kind):
        return int(self.clock.now) // WINDOW, key, kind

    @rule(key=KEYS, kind=KINDS, limit=LIMITS)
    def admit(self, key, kind, limit):
        place, demand = self.place(key, kind), Demand(key, kind, limit)
        if self.model[place] >= limit:
            with pytest.raises(LimitExceeded) as caught:
                self.quota.admit(demand)
            self.check_refusal(caught.value)
            return
        self.model[place] += 1
        standing = self.quota.admit(demand)
        assert standing.remaining == limit - self.model[place]
        assert standing.limit == limit
        assert standing.reset == self.end_of_minute()

    @rule(key=KEYS, kind=KINDS, limit=LIMITS)
    def peek(self, key, kind, limit):
        standing = self.quota.peek(Demand(key, kind, limit))
        assert standing.remaining == max(0, limit - self.model[self.place(key, kind)])
        assert standing.limit == limit
        assert standing.reset == self.end_of_minute()

    @rule(key=KEYS, kind=KINDS, count=st.integers(0, 3))
    def restore(self, key, kind, count):
        self.quota.restore({(key, kind): count})
        self.model[self.place(key, kind)] += count

    @rule(seconds=st.floats(0.001, 130, allow_nan=False))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def wait_until_just_before_the_minute_turns(self):
        self.clock.now = self.end_of_minute() - 0.001

    @rule()
    def wait_until_the_minute_turns(self):
        self.clock.now = float(self.end_of_minute())

    def end_of_minute(self):
        return (int(self.clock.now) // WINDOW + 1) * WINDOW

    def check_refusal(self, error):
        assert (error.status, error.code) == (429, "rate_limit_exceeded")
        assert 1 <= error.retry_after <= WINDOW
        assert self.clock.now + error.retry_after >= self.end_of_minute(), "it leads out of it"

    @invariant()
    def only_the_current_window_is_kept(self):
        assert len(self.quota._counts) <= 4


TestQuota = QuotaMachine.TestCase
TestQuota.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def admitted(quota, demand, tries):
    count = 0
    for _ in range(tries):
        try:
            quota.admit(demand)
        except LimitExceeded:
            continue
        count += 1
    return count


def test_windows_begin_with_the_utc_minute():
    clock = Clock(MINUTE + 59.9)
    quota = MemoryQuota(clock)
    assert admitted(quota, Demand("key", "chat", 10), 15) == 10
    clock.now = MINUTE + 60.0
    assert admitted(quota, Demand("key", "chat", 10), 15) == 10


def test_refusals_take_nothing():
    quota = MemoryQuota(Clock())
    assert admitted(quota, Demand("key", "chat", 3), 100) == 3
    assert admitted(quota, Demand("key", "chat", 5), 100) == 2, "a raised limit counts on from 3"


def test_keys_and_kinds_do_not_share():
    quota = MemoryQuota(Clock())
    for demand in (Demand("a", "chat", 2), Demand("a", "image", 2), Demand("b", "chat", 2)):
        assert admitted(quota, demand, 5) == 2


def test_restored_counts_fill_the_window_and_end_with_it():
    clock = Clock(MINUTE + 5.0)
    quota = MemoryQuota(clock)
    quota.restore({("key", "chat"): 9})
    assert quota.peek(Demand("key", "chat", 10)).remaining == 1
    assert admitted(quota, Demand("key", "chat", 10), 5) == 1
    clock.now += WINDOW
    assert quota.peek(Demand("key", "chat", 10)).remaining == 10


def test_a_clock_that_is_set_back_gives_nobody_a_second_allowance():
    """NTP steps clocks; N requests a window holds for the window that comes round again, too."""
    clock = Clock(MINUTE + 0.5)
    quota = MemoryQuota(clock)
    assert admitted(quota, Demand("key", "chat", 3), 9) == 3
    clock.now = MINUTE - 0.5
    quota.peek(Demand("key", "chat", 3))
    clock.now = MINUTE + 0.5
    assert admitted(quota, Demand("key", "chat", 3), 9) == 0


def test_headers_are_the_promised_ones():
    headers = dict(MemoryQuota(Clock(MINUTE + 1.0)).admit(Demand("key", "chat", 10)).headers())
    assert headers == {
        "X-RateLimit-Limit-Requests": "10",
        "X-RateLimit-Remaining-Requests": "9",
        "X-RateLimit-Reset-Requests": str(MINUTE + 60),
    }


@pytest.mark.parametrize(("second", "wait"), [(0.0, 60), (0.5, 60), (30.2, 30), (59.999, 1)])
def test_retry_after_is_the_rest_of_the_minute(second, wait):
    quota = MemoryQuota(Clock(MINUTE + second))
    with pytest.raises(LimitExceeded) as caught:
        quota.admit(Demand("key", "chat", 0))
    assert caught.value.retry_after == wait
    assert f"{wait}s" in caught.value.message
