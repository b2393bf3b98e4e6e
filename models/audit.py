"""Audit events: who did what to which key or account, from where.

Its highest id is also the *epoch*: everything that changes what a key may do writes an event in the
same transaction, so a process that sees the number move knows that its cached snapshots are stale.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from models import Base, UtcDateTime, db, utcnow


class AuditEvent(Base):
    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_user_at", "user_id", "at"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    actor_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    action: Mapped[str] = mapped_column(String(60))
    target: Mapped[str | None] = mapped_column(String(80))
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(300))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON)


def record_event(
    action: str,
    *,
    user_id: str | None,
    actor_id: str | None = None,
    target: str | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Add an event to the current transaction. `action` reads noun.verb, e.g. `key.revoked`."""
    db.session.add(
        AuditEvent(
            action=action,
            user_id=user_id,
            actor_id=actor_id or user_id,
            target=target,
            ip=ip,
            user_agent=(user_agent or "")[:300] or None,
            details=details,
        )
    )


def current_epoch() -> int:
    """The number of the newest event, 0 before the first."""
    return db.session.scalar(select(func.max(AuditEvent.id))) or 0
