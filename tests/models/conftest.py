"""The schema on both databases: a SQLite file, and a PostgreSQL database of the tests' own."""

from __future__ import annotations

import pytest

from tests.databases import fresh_postgres

SECRET = "for tests only, at least 32 bytes long"


@pytest.fixture(scope="session")
def postgres_url():
    with fresh_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_app(request, tmp_path):
    """The application on either database, whatever is in it, in an application context."""
    from app import create_app
    from config import Config
    from models import db

    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    application = create_app(
        Config.load({"DATA_DIR": str(tmp_path), "SECRET_KEY": SECRET, "DATABASE_URL": url})
    )
    with application.app_context():
        yield application
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def empty_app(any_app):
    """The application on a database without tables."""
    from models import Base, db

    Base.metadata.drop_all(db.engine)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    return any_app


@pytest.fixture
def database(any_app):
    """The application on empty tables, with the shipped plans."""
    from models import Base, db
    from models.plans import SHIPPED_PLANS, Plan

    Base.metadata.create_all(db.engine)
    for table in reversed(Base.metadata.sorted_tables):
        db.session.execute(table.delete())
    db.session.add_all(Plan(**plan) for plan in SHIPPED_PLANS)
    db.session.commit()
    return any_app
