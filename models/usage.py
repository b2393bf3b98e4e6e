"""Usage records, their 15-minute roll-ups, and the questions asked of them.

A record is immutable and idempotent by request id: storing the same one twice changes nothing,
neither the record nor the roll-up, because both are written in one transaction and only records
that were really inserted are counted. Charts read roll-ups only. Money is integer nano-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    String,
    Table,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from models import Base, UtcDateTime, db, dump_json

BUCKET = timedelta(minutes=15)
BUCKET_SECONDS = 15 * 60
SELECT_SLICE = 500
"""Ids looked up in one statement."""


class UsageRecord(Base):
    """One request. `outcome`: completed, failed, cancelled, interrupted or refused.

    Ids begin with the time (`request_id`), so they sort by it, and the newest rows lie together.
    """

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("ix_usage_records_user_at", "user_id", "at"),
        Index("ix_usage_records_key_at", "key_id", "at"),
        CheckConstraint("cost_nano >= 0", name="cost_not_negative"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    user_id: Mapped[str] = mapped_column(String(40))
    key_id: Mapped[str] = mapped_column(String(40))
    secret_id: Mapped[str | None] = mapped_column(String(40))
    mode: Mapped[str] = mapped_column(String(4))
    kind: Mapped[str] = mapped_column(String(12))
    endpoint: Mapped[str] = mapped_column(String(60))
    model: Mapped[str] = mapped_column(String(200))
    upstream_model: Mapped[str | None] = mapped_column(String(200))
    provider: Mapped[str | None] = mapped_column(String(40))
    stream: Mapped[bool] = mapped_column(Boolean, default=False)
    status: Mapped[int] = mapped_column(Integer)
    code: Mapped[str | None] = mapped_column(String(60))
    admitted: Mapped[bool] = mapped_column(Boolean)
    outcome: Mapped[str] = mapped_column(String(12))
    finish_reason: Mapped[str | None] = mapped_column(String(20))
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    images: Mapped[int] = mapped_column(Integer, default=0)
    estimated: Mapped[bool] = mapped_column(Boolean, default=False)
    cost_nano: Mapped[int] = mapped_column(BigInteger, default=0)
    price: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    duration_ms: Mapped[int] = mapped_column(Integer, default=0)
    ttft_ms: Mapped[int | None] = mapped_column(Integer)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(300))
    warnings: Mapped[str | None] = mapped_column(String(1024))
    count: Mapped[int] = mapped_column(Integer, default=1)


class UsageRollup(Base):
    """Sums of a quarter of an hour, by the end of the requests. `refused` is outside `requests`."""

    __tablename__ = "usage_rollups"
    __table_args__ = (Index("ix_usage_rollups_user_bucket", "user_id", "bucket"),)

    bucket: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(60), primary_key=True)
    mode: Mapped[str] = mapped_column(String(4), primary_key=True)
    status_class: Mapped[int] = mapped_column(Integer, primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger, default=0)
    refused: Mapped[int] = mapped_column(BigInteger, default=0)
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    images: Mapped[int] = mapped_column(BigInteger, default=0)
    cost_nano: Mapped[int] = mapped_column(BigInteger, default=0)
    duration_ms: Mapped[int] = mapped_column(BigInteger, default=0)


ROLLUP_KEYS = ("bucket", "user_id", "key_id", "model", "endpoint", "mode", "status_class")
ROLLUP_SUMS = (
    "requests",
    "refused",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "images",
    "cost_nano",
    "duration_ms",
)
SUMMED = ROLLUP_SUMS[2:]
"""Sums that are columns of a record, too."""


def request_id(at: float, tail: str) -> str:
    """The id of a request: `req_`, the milliseconds since the epoch in 12 hex digits, the tail."""
    return f"req_{int(at * 1000):012x}{tail}"


# ----------------------------------------------------------------------------- writing


def store_records(rows: Sequence[dict[str, Any]]) -> int:
    """Insert records (keys are `UsageRecord`'s columns, `at` in epoch seconds) and roll them up.

    One transaction; rows whose id is already stored are skipped. Returns how many were new. A
    record comes from one journal, which one process at a time reads, so nobody else inserts the
    same id between the look and the insert.
    """
    if not rows:
        return 0
    complete = {row["id"]: {**_DEFAULTS, **row} for row in rows}
    for id_ in _stored_among(list(complete)):
        del complete[id_]
    if complete:
        _insert(complete.values())
        _add_to_rollups(complete.values())
    db.session.commit()
    return len(complete)


_RECORDS: Table = UsageRecord.__table__  # type: ignore[assignment]
_ROLLUPS: Table = UsageRollup.__table__  # type: ignore[assignment]
_DEFAULTS: dict[str, Any] = {
    column.name: column.default.arg if column.default is not None else None  # type: ignore[attr-defined]
    for column in _RECORDS.columns
}
_NAMES = tuple(_DEFAULTS)
_values_of = itemgetter(*_NAMES)


def _insert_sql(mark: str) -> str:
    marks = ", ".join([mark] * len(_NAMES))
    columns = ", ".join(_NAMES)
    # Nothing from outside is in this text: the names are the table's own.
    return (
        f"INSERT INTO {_RECORDS.name} ({columns}) VALUES ({marks}) "  # noqa: S608
        "ON CONFLICT (id) DO NOTHING"
    )


# Straight to the driver, as tuples: the same rows through SQLAlchemy's statements cost ten times as
# much (its compiler and its value processors), and this is the one statement that runs for each
# request that is served.
_INSERTS = {"sqlite": _insert_sql("?"), "postgresql": _insert_sql("%s")}


def _insert(rows: Iterable[dict[str, Any]]) -> None:
    dialect = db.engine.dialect.name
    values = [_values_of(_for_driver(row, dialect)) for row in rows]
    db.session.connection().exec_driver_sql(_INSERTS[dialect], values)


def _for_driver(row: dict[str, Any], dialect: str) -> dict[str, Any]:
    """The row as the driver takes it: JSON as text, and times as SQLite keeps them."""
    at: Any = datetime.fromtimestamp(row["at"], UTC)
    if dialect == "sqlite":
        at = at.replace(tzinfo=None).isoformat(" ", "microseconds")
    price = dump_json(row["price"]) if row["price"] is not None else None
    return {**row, "at": at, "price": price}


def _upsert(insert: Any) -> Any:
    statement = insert(_ROLLUPS)
    sums = {name: _ROLLUPS.c[name] + statement.excluded[name] for name in ROLLUP_SUMS}
    return statement.on_conflict_do_update(index_elements=list(ROLLUP_KEYS), set_=sums)


_UPSERTS: dict[str, Any] = {
    "sqlite": _upsert(sqlite.insert),
    "postgresql": _upsert(postgresql.insert),
}


def _stored_among(ids: list[str]) -> list[str]:
    stored: list[str] = []
    for start in range(0, len(ids), SELECT_SLICE):
        part = ids[start : start + SELECT_SLICE]
        stored += db.session.scalars(select(_RECORDS.c.id).where(_RECORDS.c.id.in_(part)))
    return stored


def _add_to_rollups(rows: Iterable[dict[str, Any]]) -> None:
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows:
        key = (
            int(row["at"] + row["duration_ms"] / 1000) // BUCKET_SECONDS,
            row["user_id"],
            row["key_id"],
            row["model"],
            row["endpoint"],
            row["mode"],
            row["status"] // 100,
        )
        total = sums.get(key)
        if total is None:
            total = sums[key] = dict.fromkeys(ROLLUP_SUMS, 0)
        total["requests" if row["admitted"] else "refused"] += row["count"]
        for name in SUMMED:
            total[name] += row[name]
    # One order for all writers, so that two processes cannot deadlock on the same rows.
    values = [dict(zip(ROLLUP_KEYS, key, strict=True)) | sums[key] for key in sorted(sums)]
    for value in values:
        value["bucket"] = datetime.fromtimestamp(value["bucket"] * BUCKET_SECONDS, UTC)
    db.session.execute(_UPSERTS[db.engine.dialect.name], values)


def bucket_of(at: datetime) -> datetime:
    """The start of the quarter of an hour that `at` lies in."""
    return at.replace(minute=at.minute - at.minute % 15, second=0, microsecond=0)


# ----------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Audit:
    """Do records and roll-ups agree? Counts admitted requests; money in nano-dollars."""

    records: int
    rolled_up: int
    spend_nano_usd: int
    rolled_up_spend_nano_usd: int

    @property
    def agrees(self) -> bool:
        return (
            self.records == self.rolled_up and self.spend_nano_usd == self.rolled_up_spend_nano_usd
        )


def audit() -> Audit:
    records, spend = db.session.execute(
        select(
            func.coalesce(func.sum(UsageRecord.count), 0),
            func.coalesce(func.sum(UsageRecord.cost_nano), 0),
        ).where(UsageRecord.admitted)
    ).one()
    rolled_up, rolled_spend = db.session.execute(
        select(
            func.coalesce(func.sum(UsageRollup.requests), 0),
            func.coalesce(func.sum(UsageRollup.cost_nano), 0),
        )
    ).one()
    return Audit(int(records), int(rolled_up), int(spend), int(rolled_spend))


def admitted_since(since: datetime) -> dict[tuple[str, str], int]:
    """Admitted requests by (key id, kind) since `since`: what the current windows hold."""
    rows = db.session.execute(
        select(UsageRecord.key_id, UsageRecord.kind, func.sum(UsageRecord.count))
        .where(UsageRecord.id >= request_id(since.timestamp(), ""), UsageRecord.admitted)
        .group_by(UsageRecord.key_id, UsageRecord.kind)
    )
    return {(key_id, kind): int(count) for key_id, kind, count in rows}


@dataclass(frozen=True)
class UsageRow:
    """Sums of one model (or other group) in one quarter of an hour."""

    bucket: datetime
    group: str
    requests: int
    refused: int
    input_tokens: int
    output_tokens: int
    cost_nano: int


def usage_rows(
    user_id: str, since: datetime, until: datetime, *, group: str = "model", mode: str | None = None
) -> list[UsageRow]:
    """A user's roll-ups in [since, until), per quarter of an hour and group, oldest first."""
    column = UsageRollup.__table__.c[group]
    query = (
        select(
            UsageRollup.bucket,
            column,
            *(
                func.sum(UsageRollup.__table__.c[name])
                for name in ("requests", "refused", "input_tokens", "output_tokens", "cost_nano")
            ),
        )
        .where(
            UsageRollup.user_id == user_id, UsageRollup.bucket >= since, UsageRollup.bucket < until
        )
        .group_by(UsageRollup.bucket, column)
        .order_by(UsageRollup.bucket)
    )
    if mode:
        query = query.where(UsageRollup.mode == mode)
    return [
        UsageRow(bucket, str(name), *(int(n) for n in sums))
        for bucket, name, *sums in db.session.execute(query)
    ]


def has_usage(user_id: str) -> bool:
    """Has this user ever made a request that was admitted?"""
    query = select(UsageRollup.user_id).where(
        UsageRollup.user_id == user_id, UsageRollup.requests > 0
    )
    return db.session.scalar(query.limit(1)) is not None


def requests_of_key(key_id: str, user_id: str, since: datetime) -> int:
    """Admitted requests made with a key since `since`, to the quarter of an hour."""
    query = select(func.coalesce(func.sum(UsageRollup.requests), 0)).where(
        UsageRollup.user_id == user_id,
        UsageRollup.key_id == key_id,
        UsageRollup.bucket >= bucket_of(since),
    )
    return int(db.session.scalar(query) or 0)


def record_of(request_id: str, user_id: str) -> UsageRecord | None:
    """A user's record; somebody else's does not exist."""
    return db.session.scalar(
        select(UsageRecord).where(UsageRecord.id == request_id, UsageRecord.user_id == user_id)
    )
