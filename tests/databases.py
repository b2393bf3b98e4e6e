"""PostgreSQL databases of a test's own, with random names, dropped at the end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import require

SERVER = "postgresql://postgres@127.0.0.1:5432/"


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """The URL of an empty database. Skips without PostgreSQL (fails in CI)."""
    require("postgres")
    name = f"switchyard_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield SERVER + name
    finally:
        with psycopg.connect(SERVER + "postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
