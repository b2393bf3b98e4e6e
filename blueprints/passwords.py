"""Passwords: argon2id, hashed off the event loop, at most two at a time.

One hash takes some 30 ms and 19 MiB. In a gevent worker it runs in a small native thread pool, so
that streams keep flowing; anywhere else (CLI, tests) it runs in line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent import monkey
from gevent.threadpool import ThreadPool

MIN_CHARS = 12
MAX_BYTES = 128
AT_ONCE = 2

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def problem_with(password: str) -> str | None:
    """Why this password can't be taken, as a sentence; None if it can."""
    if len(password) < MIN_CHARS:
        return f"Use at least {MIN_CHARS} characters."
    if len(password.encode()) > MAX_BYTES:
        return f"Use at most {MAX_BYTES} bytes."
    return None


def hash_password(password: str) -> str:
    return _off_loop(_hasher.hash, password)


def verify_password(stored: str | None, password: str) -> bool:
    """Compare with a stored hash. Without one (no such user) it takes just as long and fails."""
    if len(password.encode()) > MAX_BYTES:
        return False
    matches = _off_loop(_verify, stored or _dummy_hash(), password)
    return matches and stored is not None


def needs_rehash(stored: str) -> bool:
    """Was this hash made with other parameters than today's?"""
    return _hasher.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _dummy_hash() -> str:
    return hash_password("nobody's password")


def _off_loop(function: Callable[..., Any], *args: Any) -> Any:
    if monkey.is_module_patched("threading"):
        return _pool().apply(function, args)
    return function(*args)


@functools.cache
def _pool() -> ThreadPool:
    return ThreadPool(AT_ONCE)
