"""What the operator connects in the browser: provider connections and changes to the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from models import Base, UtcDateTime, new_id, utcnow


class ProviderConnection(Base):
    """A provider and its `credential`, encrypted under a key derived from SECRET_KEY."""

    __tablename__ = "provider_connections"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("con"))
    provider: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(80))
    base_url: Mapped[str] = mapped_column(String(500))
    credential: Mapped[bytes | None] = mapped_column(LargeBinary)
    weight: Mapped[int] = mapped_column(Integer, default=1)
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    models: Mapped[list[str] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, onupdate=utcnow)


class ModelOverride(Base):
    """A change to one model of the catalog, from `effective_at` on; `change` is a catalog entry."""

    __tablename__ = "model_overrides"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("ovr"))
    model: Mapped[str] = mapped_column(String(200), index=True)
    change: Mapped[dict[str, Any]] = mapped_column(JSON)
    effective_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
