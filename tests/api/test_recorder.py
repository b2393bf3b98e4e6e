"""From the journal to the database: floods become counts, replays change nothing."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from blueprints.recorder import SINGLE_REFUSALS, Recorder, interrupted
from gateway.journal import Journal, count_open
from models import db
from models.usage import UsageRecord, audit, request_id

START = time.time()


def admission(number, **more):
    at = more.pop("at", START)
    return {
        "id": request_id(at, f"{number:020x}"),
        "at": at,
        "user_id": "usr_ada",
        "key_id": "key_1",
        "mode": "live",
        "kind": "chat",
        "endpoint": "chat.completions",
        "model": "gpt-4o",
        "request_bytes": 400,
    } | more


def settled(number, **more):
    record = admission(number, status=200, admitted=True, outcome="completed", **more)
    del record["request_bytes"]
    return record


def refused(number, **more):
    values = {"status": 429, "code": "rate_limit_exceeded", "admitted": False, "outcome": "refused"}
    return settled(number) | values | more


def last_minute():
    return time.time() // 60 * 60 - 30


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "the journal")
    yield opened
    opened.close()


@pytest.fixture
def recorder(app, journal):
    with app.app_context():
        yield Recorder(journal)


def abandon(journal):
    for segment in journal._segments:
        os.close(segment.descriptor)
    journal._segments = []


def stored(**conditions):
    query = select(UsageRecord).filter_by(**conditions).order_by(UsageRecord.id)
    return list(db.session.scalars(query))


# ----------------------------------------------------------------------------- settled calls


def test_settled_calls_are_moved_in_batches(recorder, journal):
    for number in range(1203):
        journal.admit(admission(number))
        journal.settle(settled(number))
    assert recorder.flush() == 1203
    assert journal.waiting_count == 0
    assert audit().records == 1203
    assert recorder.flush() == 0


def test_calls_that_go_on_stay_in_the_journal(recorder, journal):
    journal.admit(admission(1))
    assert recorder.flush() == 0
    assert count_open(journal.directory) == 1


def test_a_database_that_is_away_loses_nothing(recorder, journal, app):
    def fail(*_arguments):
        raise OperationalError("INSERT", {}, Exception("away"))

    journal.admit(admission(1))
    journal.settle(settled(1))
    recorder.refuse(refused(2))
    for number in range(10, 10 + SINGLE_REFUSALS + 30):
        recorder.refuse(refused(number, at=last_minute(), key_id="key_2"))
    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        for _ in range(3):
            with pytest.raises(OperationalError):
                recorder.flush()
            db.session.rollback()
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    recorder.flush()
    assert [r.count for r in stored(admitted=True)] == [1]
    assert sum(r.count for r in stored(key_id="key_1", admitted=False)) == 1
    assert sum(r.count for r in stored(key_id="key_2")) == SINGLE_REFUSALS + 30


def test_refusals_wait_no_longer_than_the_database_is_away(recorder, journal):
    """A failing batch of settled calls is tried again whole, and counted once."""
    journal.settle(settled(1))
    fails = [True]

    def fail_at_commit(_session):
        if fails.pop():
            raise OperationalError("COMMIT", {}, Exception("away"))

    event.listen(db.session, "before_commit", fail_at_commit)
    try:
        with pytest.raises(OperationalError):
            recorder.flush()
    finally:
        event.remove(db.session, "before_commit", fail_at_commit)
    db.session.rollback()
    assert recorder.flush() == 1
    assert audit().records == audit().rolled_up == 1


# ----------------------------------------------------------------------------- floods


def test_a_flood_of_refusals_becomes_few_records_with_a_count(recorder):
    for number in range(500):
        recorder.refuse(refused(number, at=last_minute()))
    recorder.flush()
    records = stored(outcome="refused")
    assert len(records) == SINGLE_REFUSALS + 1
    assert sum(record.count for record in records) == 500
    assert audit().records == 0, "refused calls are outside the audit"
    assert audit().agrees


def test_a_flood_is_written_when_its_minute_is_over(recorder):
    at = time.time()
    for number in range(100):
        recorder.refuse(refused(number, at=at + 3600))
    recorder.flush()
    assert len(stored()) == SINGLE_REFUSALS
    for count in (100, 200):
        recorder.refuse(refused(count, at=at + 3600))
    recorder.flush()
    assert len(stored()) == SINGLE_REFUSALS, "the count goes on over flushes"


def test_floods_are_told_apart_by_key_minute_and_code(recorder):
    places = [
        {"key_id": "key_1", "at": last_minute(), "code": "rate_limit_exceeded"},
        {"key_id": "key_2", "at": last_minute(), "code": "rate_limit_exceeded"},
        {"key_id": "key_1", "at": last_minute() - 60, "code": "rate_limit_exceeded"},
        {"key_id": "key_1", "at": last_minute(), "code": "model_not_found"},
    ]
    for number in range(50 * len(places)):
        recorder.refuse(refused(number, **places[number % len(places)]))
    recorder.flush()
    assert sorted(r.count for r in stored())[-5:] == [1] + [50 - SINGLE_REFUSALS] * 4


def test_an_orderly_end_loses_no_count(app):
    """What `Platform.stop` leaves behind is gone: refusals are in no journal."""
    platform = app.extensions["platform"]
    for number in range(300):
        platform.recorder.refuse(refused(number, at=time.time() + 60))
    platform.stop()
    with app.app_context():
        assert db.session.scalar(select(func.sum(UsageRecord.count))) == 300


# ----------------------------------------------------------------------------- replay


def test_replay_stores_what_settled_and_estimates_what_did_not(recorder, journal):
    dead = Journal(journal.directory)
    for number in range(5):
        dead.admit(admission(number))
    for number in range(3):
        dead.settle(settled(number))
    abandon(dead)
    assert recorder.replay() == 5
    assert [r.outcome for r in stored()] == ["completed"] * 3 + ["interrupted"] * 2
    lost = stored(outcome="interrupted")
    assert {(r.status, r.code, r.estimated, r.admitted) for r in lost} == {
        (500, "internal_error", True, True)
    }
    assert {r.input_tokens for r in lost} == {100}
    assert count_open(journal.directory) == 0
    assert audit().agrees


def test_replaying_the_same_files_ten_times_changes_nothing(recorder, journal):
    dead = Journal(journal.directory)
    for number in range(40):
        dead.admit(admission(number))
        if number % 2:
            dead.settle(settled(number, cost_nano=7))
    copies = {s.path: s.path.read_bytes() for s in dead._segments}
    abandon(dead)
    assert recorder.replay() == 40
    before = audit()
    for _ in range(10):
        for path, data in copies.items():
            path.write_bytes(data)
        assert recorder.replay() == 0
    assert audit() == before
    assert before.records == 40 and before.spend_nano_usd == 140


def test_replay_leaves_the_files_when_the_database_is_away(recorder, journal):
    dead = Journal(journal.directory)
    dead.admit(admission(1))
    abandon(dead)

    def fail(*_arguments):
        raise OperationalError("INSERT", {}, Exception("away"))

    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(OperationalError):
            recorder.replay()
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    db.session.rollback()
    assert count_open(journal.directory) == 1


def test_an_interrupted_call_is_recorded_in_columns_of_the_table():
    columns = {column.name for column in UsageRecord.__table__.columns}
    assert set(interrupted(admission(1))) <= columns
