"""Slowing down guessers: log-in per account and per address, sign-up per address.

Flask-Limiter counts what comes from an address. An account is never locked: after five wrong
passwords in a row the next try has to wait 1, 2, 4 … 60 seconds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import RateLimitItem, parse
from werkzeug.exceptions import TooManyRequests

LOGIN_FAILURES = parse("30 per 10 minutes")
SIGNUPS = parse("40 per 10 minutes")
FREE_FAILURES = 5
LONGEST_WAIT = 60
FORGET_AFTER = 3600
MOST_ACCOUNTS = 10_000


class FailureLog:
    """Wrong passwords in a row, per account. Holds at most `MOST_ACCOUNTS`, oldest out first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, account: str) -> int:
        """Seconds until this account may be tried again; 0 for now."""
        count, last = self._failures.get(account, (0, 0.0))
        if count < FREE_FAILURES:
            return 0
        pause = min(LONGEST_WAIT, 2 ** (count - FREE_FAILURES))
        return max(0, round(last + pause - self._clock() + 0.499))

    def add(self, account: str) -> None:
        with self._lock:
            count, last = self._failures.pop(account, (0, 0.0))
            now = self._clock()
            self._failures[account] = (1 if now - last > FORGET_AFTER else count + 1, now)
            if len(self._failures) > MOST_ACCOUNTS:
                self._failures.popitem(last=False)

    def clear(self, account: str) -> None:
        with self._lock:
            self._failures.pop(account, None)


def init_app(app: Flask) -> None:
    limiter = Limiter(get_remote_address, storage_uri="memory://")
    # Known beforehand, so that init_app puts no hooks around every API request.
    app.extensions.setdefault("limiter", set()).add(limiter)
    limiter.init_app(app)
    app.extensions["throttle"] = (limiter, FailureLog())


def check_login(account: str) -> None:
    """Raise 429 if this account or this address has to wait."""
    wait = _failures().wait(account)
    if wait:
        raise _too_many(wait)
    _check(LOGIN_FAILURES, "login")


def login_failed(account: str) -> None:
    _failures().add(account)
    _limiter().limiter.hit(LOGIN_FAILURES, "login", get_remote_address())


def login_succeeded(account: str) -> None:
    _failures().clear(account)


def count_signup() -> None:
    """Raise 429 if this address has made too many accounts, else count one more."""
    _check(SIGNUPS, "signup")
    _limiter().limiter.hit(SIGNUPS, "signup", get_remote_address())


def _check(limit: RateLimitItem, what: str) -> None:
    strategy = _limiter().limiter
    if not strategy.test(limit, what, get_remote_address()):
        reset = strategy.get_window_stats(limit, what, get_remote_address()).reset_time
        raise _too_many(max(1, int(reset - time.time()) + 1))


def _too_many(seconds: int) -> TooManyRequests:
    unit = "second" if seconds == 1 else "seconds"
    pause = f"{seconds} {unit}" if seconds < 120 else f"{-(-seconds // 60)} minutes"
    return TooManyRequests(f"Too many attempts. Try again in {pause}.", retry_after=seconds)


def _limiter() -> Limiter:
    return current_app.extensions["throttle"][0]


def _failures() -> FailureLog:
    return current_app.extensions["throttle"][1]
