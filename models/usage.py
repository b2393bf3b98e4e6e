"""Usage records, their 15-minute roll-ups, and the questions asked of them.

A record is immutable and idempotent by request id: storing the same one twice changes nothing,
neither the record nor the roll-up, because both are written in one transaction and only records
that were really inserted are counted. Charts read roll-ups only. Money is integer nano-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

from models import Base, UtcDateTime, db

BUCKET = timedelta(minutes=15)
INSERT_SLICE = 200
"""Rows per INSERT: SQLite allows 32,766 bound values in a statement."""


class UsageRecord(Base):
    """One request. `outcome`: completed, failed, cancelled, interrupted or refused."""

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("ix_usage_records_user_at", "user_id", "at"),
        Index("ix_usage_records_key_at", "key_id", "at"),
        Index("ix_usage_records_at", "at"),
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

# ----------------------------------------------------------------------------- writing


def store_records(rows: Sequence[dict[str, Any]]) -> int:
    """Insert records (keys are `UsageRecord`'s columns, `at` in epoch seconds) and roll them up.

    One transaction; rows whose id is already stored are skipped. Returns how many were new.
    """
    if not rows:
        return 0
    complete = {row["id"]: _row(row) for row in rows}
    new = _insert_new(list(complete.values()))
    _add_to_rollups([complete[id_] for id_ in new])
    db.session.commit()
    return len(new)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    columns = UsageRecord.__table__.columns
    complete = {c.name: row.get(c.name, c.default.arg if c.default is not None else None)
                for c in columns}
    complete["at"] = datetime.fromtimestamp(row["at"], UTC)
    return complete


def _insert(table: Any) -> Any:
    """INSERT with ON CONFLICT, in the dialect at hand."""
    is_sqlite = db.engine.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def _insert_new(rows: list[dict[str, Any]]) -> list[str]:
    new: list[str] = []
    for start in range(0, len(rows), INSERT_SLICE):
        statement = (
            _insert(UsageRecord)
            .values(rows[start : start + INSERT_SLICE])
            .on_conflict_do_nothing(index_elements=["id"])
            .returning(UsageRecord.id)
        )
        new += db.session.scalars(statement)
    return new


def _add_to_rollups(rows: Iterable[dict[str, Any]]) -> None:
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows:
        key = (bucket_of(row["at"] + timedelta(milliseconds=row["duration_ms"])),
               row["user_id"], row["key_id"], row["model"], row["endpoint"], row["mode"],
               row["status"] // 100)
        total = sums.setdefault(key, dict.fromkeys(ROLLUP_SUMS, 0))
        total["requests" if row["admitted"] else "refused"] += row["count"]
        for name in ROLLUP_SUMS[2:]:
            total[name] += row[name] or 0
    # One order for all writers, so that two processes cannot deadlock on the same rows.
    values = [dict(zip(ROLLUP_KEYS, key, strict=True)) | sums[key] for key in sorted(sums)]
    table: Table = UsageRollup.__table__  # type: ignore[assignment]
    for start in range(0, len(values), INSERT_SLICE):
        statement = _insert(UsageRollup).values(values[start : start + INSERT_SLICE])
        db.session.execute(
            statement.on_conflict_do_update(
                index_elements=list(ROLLUP_KEYS),
                set_={name: table.c[name] + statement.excluded[name] for name in ROLLUP_SUMS},
            )
        )


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
            self.records == self.rolled_up
            and self.spend_nano_usd == self.rolled_up_spend_nano_usd
        )


def audit() -> Audit:
    records, spend = db.session.execute(
        select(func.coalesce(func.sum(UsageRecord.count), 0),
               func.coalesce(func.sum(UsageRecord.cost_nano), 0))
        .where(UsageRecord.admitted)
    ).one()
    rolled_up, rolled_spend = db.session.execute(
        select(func.coalesce(func.sum(UsageRollup.requests), 0),
               func.coalesce(func.sum(UsageRollup.cost_nano), 0))
    ).one()
    return Audit(int(records), int(rolled_up), int(spend), int(rolled_spend))


def admitted_since(since: datetime) -> dict[tuple[str, str], int]:
    """Admitted requests by (key id, kind) since `since`: what the current windows hold."""
    rows = db.session.execute(
        select(UsageRecord.key_id, UsageRecord.kind, func.sum(UsageRecord.count))
        .where(UsageRecord.at >= since, UsageRecord.admitted)
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


def usage_rows(user_id: str, since: datetime, until: datetime, *, group: str = "model",
               mode: str | None = None) -> list[UsageRow]:
    """A user's roll-ups in [since, until), per quarter of an hour and group, oldest first."""
    column = UsageRollup.__table__.c[group]
    query = (
        select(
            UsageRollup.bucket, column,
            *(func.sum(UsageRollup.__table__.c[name]) for name in
              ("requests", "refused", "input_tokens", "output_tokens", "cost_nano")),
        )
        .where(UsageRollup.user_id == user_id, UsageRollup.bucket >= since,
               UsageRollup.bucket < until)
        .group_by(UsageRollup.bucket, column)
        .order_by(UsageRollup.bucket)
    )
    if mode:
        query = query.where(UsageRollup.mode == mode)
    return [UsageRow(bucket, str(name), *(int(n) for n in sums))
            for bucket, name, *sums in db.session.execute(query)]


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
