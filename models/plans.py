"""Plans: named bundles of limits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Integer, String, select
from sqlalchemy.orm import Mapped, mapped_column

from models import Base, db

SHIPPED_PLANS: list[dict[str, Any]] = [
    {"id": "free", "name": "Free", "chat_rpm": 10, "image_rpm": 5, "is_default": True},
    {"id": "standard", "name": "Standard", "chat_rpm": 60, "image_rpm": 20, "is_default": False},
    {"id": "pro", "name": "Pro", "chat_rpm": 300, "image_rpm": 60, "is_default": False},
    # Set per account; until then high enough to be no limit, so that the headers are always there.
    {
        "id": "enterprise",
        "name": "Enterprise",
        "chat_rpm": 1_000_000,
        "image_rpm": 1_000_000,
        "is_default": False,
    },
]
"""The promised plans; the first migration inserts them. Requests a minute, per key."""


class Plan(Base):
    """Limits apply per key. None means: no such limit."""

    __tablename__ = "plans"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    chat_rpm: Mapped[int] = mapped_column(Integer)
    image_rpm: Mapped[int] = mapped_column(Integer)
    tokens_per_minute: Mapped[int | None] = mapped_column(Integer)
    concurrency: Mapped[int | None] = mapped_column(Integer)
    models: Mapped[list[str] | None] = mapped_column(JSON)
    is_default: Mapped[bool] = mapped_column(Boolean, default=False)


def default_plan() -> Plan:
    """The plan of a new account."""
    return db.session.scalars(select(Plan).where(Plan.is_default)).one()
