"""All that knows SQL. Imports neither gateway nor blueprints."""

from __future__ import annotations

import secrets
import string
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, Engine, MetaData, TypeDecorator, event
from sqlalchemy.orm import DeclarativeBase

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Base(DeclarativeBase):
    """Constraint names are fixed so that a migration can name what it alters."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; SQLite itself would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


db = SQLAlchemy(model_class=Base)


def utcnow() -> datetime:
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """A random public id such as `key_3fQ…` (119 bits)."""
    return f"{prefix}_" + "".join(secrets.choice(BASE62) for _ in range(20))


def engine_options(database_url: str) -> dict[str, Any]:
    """Pool settings per database; both keep a bad connection from stalling the event loop."""
    if database_url.startswith("sqlite"):
        # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#database-locking-behavior
        return {"connect_args": {"timeout": 5}, "json_serializer": dump_json}
    return {
        "json_serializer": dump_json,
        "pool_size": 10,
        "max_overflow": 10,
        "pool_timeout": 2,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "connect_args": {
            "connect_timeout": 3,
            "options": "-c statement_timeout=15000 -c lock_timeout=5000 -c timezone=UTC",
        },
    }


def dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def init_db(app: Flask) -> None:
    """Bind the database to the app; SQLite runs in WAL mode with foreign keys on."""
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _tune_sqlite(db.engine)


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        # NORMAL keeps every commit over a process kill; only a power loss may take the last ones.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
