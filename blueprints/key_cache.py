"""The keys that this process has seen lately, as plain snapshots: the hot path's only look-up.

Entries are kept under the full digest of the secret, known ones for 5 s and unknown ones for 1 s,
in caches of their own so that a flood of unknown keys can't push out known ones. A change made in
this process is seen at once (`forget_all`), one made elsewhere when the epoch moves
(`models.audit`), at the latest when the entry ages out. While the database is away, a known key
goes on for 60 s.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import Unavailable
from models import db
from models.keys import KeySnapshot, find_snapshot, is_well_formed

log = logging.getLogger(__name__)

KNOWN_FOR = 5.0
UNKNOWN_FOR = 1.0
WITHOUT_DATABASE_FOR = 60.0
MAX_ENTRIES = 10_000


class KeyCache:
    """Digest -> (when it was read, snapshot)."""

    def __init__(self, pepper: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        # Copying a prepared HMAC costs less than half of making one (`models.keys.digest`).
        self._mac = hmac.new(pepper, digestmod="sha256")
        self._clock = clock
        self._known: dict[bytes, tuple[float, KeySnapshot]] = {}
        self._unknown: dict[bytes, float] = {}
        self._epoch = -1

    def find(self, secret: str) -> KeySnapshot | None:
        """The key of a secret, None if there is none. Raises `Unavailable`.

        A secret with a wrong checksum never gets as far as the database.
        """
        mac = self._mac.copy()
        mac.update(secret.encode())
        key = mac.digest()
        now = self._clock()
        known = self._known.get(key)
        if known is not None and now - known[0] < KNOWN_FOR:
            return known[1]
        if not is_well_formed(secret):
            return None
        if now - self._unknown.get(key, now - UNKNOWN_FOR) < UNKNOWN_FOR:
            return None
        return self._read(key, known, now)

    def forget_all(self) -> None:
        """Make the next look-up of every key read the database."""
        aged = self._clock() - KNOWN_FOR
        self._known = {key: (min(at, aged), known) for key, (at, known) in self._known.items()}
        self._unknown.clear()

    def follow_epoch(self, epoch: int) -> None:
        """Forget everything when the number of the newest audit event has moved."""
        if epoch != self._epoch:
            self._epoch = epoch
            self.forget_all()

    def _read(
        self, key: bytes, known: tuple[float, KeySnapshot] | None, now: float
    ) -> KeySnapshot | None:
        try:
            snapshot = find_snapshot(key)
        except SQLAlchemyError as error:
            log.warning("database away while reading a key", extra={"error": type(error).__name__})
            if known is not None and now - known[0] < WITHOUT_DATABASE_FOR:
                return known[1]
            raise Unavailable(
                "The service is temporarily unavailable. Please retry shortly.",
                code="overloaded",
                retry_after=2,
            ) from None
        finally:
            db.session.remove()
        self._keep(key, snapshot, now)
        return snapshot

    def _keep(self, key: bytes, snapshot: KeySnapshot | None, now: float) -> None:
        if snapshot is None:
            _drop_oldest(self._unknown)
            self._unknown[key] = now
        else:
            self._unknown.pop(key, None)
            self._known.pop(key, None)
            _drop_oldest(self._known)
            self._known[key] = (now, snapshot)


def _drop_oldest(cache: dict) -> None:
    if len(cache) >= MAX_ENTRIES:
        del cache[next(iter(cache))]
