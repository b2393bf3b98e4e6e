"""From the journal to the database: settled calls become usage records, in batches.

Admitted calls come through the journal, so that none is ever lost; refused ones come straight, and
under a flood those of one key, minute and code become one record with a count.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from gateway.catalog import Price
from gateway.journal import Journal, remains_of_the_dead
from gateway.metering import cost_nano_usd, estimate_tokens
from gateway.types import JSON, Usage
from models.keys import LastUse
from models.usage import store_records

log = logging.getLogger(__name__)

BATCH = 500
SINGLE_REFUSALS = 20
"""Refusals of one key, minute and code that get a record each; the rest are counted in one."""
MAX_WAITING_REFUSALS = 20_000


class Recorder:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._refusals: list[JSON] = []
        self._seen: dict[tuple[str, int, str], int] = {}
        self._floods: dict[tuple[str, int, str], JSON] = {}
        self._uses: dict[str, LastUse] = {}

    def refuse(self, record: JSON) -> None:
        """Note a call that was not admitted."""
        minute = int(record["at"]) // 60
        key = (record["key_id"], minute, record["code"] or "")
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] <= SINGLE_REFUSALS:
            if len(self._refusals) < MAX_WAITING_REFUSALS:
                self._refusals.append(record)
        elif key in self._floods:
            self._floods[key]["count"] += 1
        else:
            self._floods[key] = {**record, "count": 1}

    def used(self, secret_id: str, ip: str | None, user_agent: str | None) -> None:
        """Note that a secret was used just now."""
        self._uses[secret_id] = LastUse(datetime.now(UTC), ip, user_agent)

    def take_last_used(self) -> dict[str, LastUse]:
        uses, self._uses = self._uses, {}
        return uses

    def flush(self, *, is_last: bool = False) -> int:
        """Move what is settled into the database. Returns how many records were new.

        Floods of the running minute are still counted; the last flush takes them as they are.
        """
        stored = 0
        while batch := self._journal.take(BATCH):
            stored += store_records(batch)
            self._journal.stored(batch)
        refusals = self._refusals[:BATCH]
        floods = self._ended_floods(is_last)
        if refusals or floods:
            stored += store_records(refusals + [self._floods[key] for key in floods])
            del self._refusals[: len(refusals)]
            for key in floods:
                del self._floods[key]
        return stored

    def replay(self) -> int:
        """Store what dead workers left; calls that never settled are recorded as interrupted."""
        remains = remains_of_the_dead(self._journal.directory)
        records = list(remains.settled.values())
        records += [interrupted(admission) for admission in remains.unsettled.values()]
        stored = 0
        for start in range(0, len(records), BATCH):
            stored += store_records(records[start : start + BATCH])
        remains.discard()
        if stored:
            log.warning("replayed %d records of a process that was killed", stored)
        return stored

    def _ended_floods(self, is_last: bool) -> list[tuple[str, int, str]]:
        """The counted refusals of minutes that are over."""
        now = int(time.time()) // 60
        if is_last:
            return list(self._floods)
        if self._seen and min(key[1] for key in self._seen) < now:
            self._seen = {key: count for key, count in self._seen.items() if key[1] >= now}
        return [key for key in self._floods if key[1] < now]


def interrupted(admission: JSON) -> JSON:
    """The record of a call whose process died: an estimate, flagged as one."""
    usage = Usage(input_tokens=estimate_tokens(admission.get("request_bytes", 0)))
    price = admission.get("price")
    return {
        **{name: value for name, value in admission.items() if name != "request_bytes"},
        "status": 500,
        "code": "internal_error",
        "admitted": True,
        "outcome": "interrupted",
        "estimated": True,
        "input_tokens": usage.input_tokens,
        "cost_nano": cost_nano_usd(usage, Price(**price) if price else None),
    }
