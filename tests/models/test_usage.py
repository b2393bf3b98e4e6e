"""Usage records: stored once however often they come, and rolled up to the same sums."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from models import Base, db
from models.plans import SHIPPED_PLANS
from models.usage import (
    BUCKET,
    ROLLUP_SUMS,
    UsageRecord,
    UsageRollup,
    admitted_since,
    audit,
    bucket_of,
    has_usage,
    record_of,
    request_id,
    requests_of_key,
    store_records,
    usage_rows,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


def row(number, **more):
    """A record as the relay writes it."""
    at = more.pop("at", NOON + number)
    return {
        "id": request_id(at, f"{number:020x}"),
        "at": at,
        "user_id": "usr_ada",
        "key_id": "key_1",
        "secret_id": "sec_1",
        "mode": "live",
        "kind": "chat",
        "endpoint": "chat.completions",
        "model": "gpt-4o",
        "status": 200,
        "code": None,
        "admitted": True,
        "outcome": "completed",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_nano": 75_000,
        "price": {"input": 2_500_000_000},
        "duration_ms": 120,
    } | more


def rollups():
    """The roll-ups as {key: sums}."""
    return {
        (r.bucket, r.user_id, r.key_id, r.model, r.endpoint, r.mode, r.status_class): {
            name: getattr(r, name) for name in ROLLUP_SUMS
        }
        for r in db.session.scalars(select(UsageRollup))
    }


def expected_rollups(rows):
    sums = defaultdict(lambda: dict.fromkeys(ROLLUP_SUMS, 0))
    for r in rows:
        ended = datetime.fromtimestamp(r["at"], UTC) + timedelta(milliseconds=r["duration_ms"])
        place = sums[
            bucket_of(ended), r["user_id"], r["key_id"], r["model"], r["endpoint"], r["mode"],
            r["status"] // 100,
        ]  # fmt: skip
        place["requests" if r["admitted"] else "refused"] += r.get("count", 1)
        for name in ROLLUP_SUMS[2:]:
            place[name] += r.get(name, 0)
    return dict(sums)


def mixed(count, seed=7):
    """Records of several keys, models, quarters of an hour, outcomes."""
    dice = random.Random(seed)
    return [
        row(
            number,
            at=NOON + dice.uniform(0, 4000),
            key_id=dice.choice(["key_1", "key_2"]),
            model=dice.choice(["gpt-4o", "deepseek-chat"]),
            mode=dice.choice(["live", "test"]),
            **dice.choice([
                {}, {"images": 2, "output_tokens": 0}, {"status": 503, "outcome": "failed"},
                {"status": 429, "admitted": False, "outcome": "refused", "cost_nano": 0,
                 "input_tokens": 0, "output_tokens": 0, "count": dice.randint(1, 40)},
            ]),
            duration_ms=dice.randint(0, 900_000),
        )
        for number in range(count)
    ]  # fmt: skip


# ----------------------------------------------------------------------------- storing


def test_records_and_rollups_agree(database):
    rows = mixed(1200)
    assert store_records(rows) == 1200
    assert rollups() == expected_rollups(rows)
    found = audit()
    assert found.agrees
    assert found.records == sum(r.get("count", 1) for r in rows if r["admitted"])
    assert found.spend_nano_usd == sum(r["cost_nano"] for r in rows)


def test_storing_ten_times_is_storing_once(database):
    rows = mixed(300)
    assert store_records(rows) == 300
    before = rollups()
    for _ in range(10):
        assert store_records(rows) == 0
    assert rollups() == before
    assert db.session.scalar(select(func.count()).select_from(UsageRecord)) == 300


def test_batches_that_overlap_count_each_record_once(database):
    rows = mixed(400)
    for start in range(0, 400, 50):
        store_records(rows[max(0, start - 30) : start + 50])
    assert rollups() == expected_rollups(rows)
    assert audit().agrees


def test_a_record_twice_in_one_batch_is_one(database):
    assert store_records([row(1), row(1)]) == 1
    assert audit().records == 1


def test_nothing_is_nothing(database):
    assert store_records([]) == 0
    assert audit() == type(audit())(0, 0, 0, 0)


def test_a_record_comes_back_as_it_was(database):
    given = row(
        1,
        at=NOON + 0.123456,
        upstream_model="gpt-4o-2024-08-06",
        provider="openai",
        stream=True,
        finish_reason="stop",
        cached_tokens=3,
        cache_write_tokens=1,
        reasoning_tokens=2,
        estimated=True,
        attempts=1,
        ttft_ms=40,
        ip="::1",
        user_agent="curl 漢 'quoted' %s",
        warnings="served_by=x",
    )
    store_records([given])
    found = record_of(given["id"], "usr_ada")
    stored = {name: getattr(found, name) for name in given}
    assert stored.pop("at") == datetime.fromtimestamp(given.pop("at"), UTC)
    assert stored == given
    assert found.count == 1
    assert found.at.tzinfo is UTC


def test_large_numbers_fit(database):
    store_records([row(1, input_tokens=2**40, cost_nano=2**60)])
    assert audit().spend_nano_usd == 2**60


def test_a_negative_cost_is_refused_by_the_database(database):
    with pytest.raises(IntegrityError):
        store_records([row(1, cost_nano=-1)])
    db.session.rollback()
    assert audit().records == 0


def test_a_batch_that_fails_leaves_nothing(database):
    with pytest.raises(IntegrityError):
        store_records([row(1), row(2, cost_nano=-1), row(3)])
    db.session.rollback()
    assert (audit().records, rollups()) == (0, {})
    assert store_records([row(1), row(3)]) == 2


def test_rollups_go_by_the_end_of_a_request(database):
    end = bucket_of(datetime.fromtimestamp(NOON, UTC)) + BUCKET
    store_records([row(1, at=end.timestamp() - 1, duration_ms=1500)])
    assert [key[0] for key in rollups()] == [end]


@pytest.mark.parametrize(("minute", "start"), [(0, 0), (14, 0), (15, 15), (44, 30), (59, 45)])
def test_quarters_of_an_hour(minute, start):
    at = datetime(2026, 11, 22, 23, minute, 59, 999999, tzinfo=UTC)
    assert bucket_of(at) == datetime(2026, 11, 22, 23, start, tzinfo=UTC)


# ----------------------------------------------------------------------------- the audit


def test_the_audit_notices_a_lost_record(database):
    store_records(mixed(50))
    lost = db.session.scalars(select(UsageRecord.id).where(UsageRecord.admitted)).first()
    db.session.execute(delete(UsageRecord).where(UsageRecord.id == lost))
    assert not audit().agrees


def test_the_audit_notices_a_wrong_sum(database):
    store_records(mixed(50))
    db.session.execute(update(UsageRollup).values(cost_nano=UsageRollup.cost_nano + 1))
    assert not audit().agrees


def test_refusals_are_outside_the_audit(database):
    refused = {"admitted": False, "outcome": "refused", "status": 429, "cost_nano": 0}
    store_records([row(1), row(2, count=500, **refused)])
    found = audit()
    assert (found.records, found.rolled_up, found.agrees) == (1, 1, True)


# ----------------------------------------------------------------------------- questions


def test_admitted_since_counts_by_key_and_kind(database):
    store_records(
        [
            *(row(n, at=NOON - 0.001 - n) for n in range(5)),
            *(row(n, at=NOON + n) for n in range(10, 13)),
            row(20, key_id="key_2"),
            row(21, kind="image"),
            row(22, admitted=False, outcome="refused", status=429),
        ]
    )
    assert admitted_since(datetime.fromtimestamp(NOON, UTC)) == {
        ("key_1", "chat"): 3,
        ("key_2", "chat"): 1,
        ("key_1", "image"): 1,
    }


def test_a_request_of_the_windows_first_instant_is_in_it(database):
    store_records([row(0, at=NOON)])
    assert admitted_since(datetime.fromtimestamp(NOON, UTC)) == {("key_1", "chat"): 1}


def test_ids_sort_by_time():
    ids = [request_id(NOON + n / 1000, "f" * 20 if n % 2 else "0" * 20) for n in range(0, 5000, 7)]
    assert ids == sorted(ids)


def test_somebody_elses_record_does_not_exist(database):
    store_records([row(1)])
    assert record_of(row(1)["id"], "usr_ada") is not None
    assert record_of(row(1)["id"], "usr_eve") is None
    assert usage_rows("usr_eve", _at(-1), _at(1)) == []
    assert (has_usage("usr_ada"), has_usage("usr_eve")) == (True, False)
    assert requests_of_key("key_1", "usr_ada", _at(-1)) == 1
    assert requests_of_key("key_1", "usr_eve", _at(-1)) == 0


def _at(days):
    return datetime.fromtimestamp(NOON, UTC) + timedelta(days=days)


def test_usage_rows_add_up_by_group_and_mode(database):
    rows = mixed(200)
    store_records(rows)
    for group in ("model", "key_id"):
        found = usage_rows("usr_ada", _at(-1), _at(2), group=group)
        assert sum(r.cost_nano for r in found) == sum(r["cost_nano"] for r in rows)
        assert [r.bucket for r in found] == sorted(r.bucket for r in found)
        assert {r.group for r in found} == {r[group] for r in rows}
    live = usage_rows("usr_ada", _at(-1), _at(2), mode="live")
    assert sum(r.requests for r in live) == sum(r["mode"] == "live" and r["admitted"] for r in rows)


def test_refused_calls_alone_are_no_usage(database):
    store_records([row(1, admitted=False, outcome="refused", status=429)])
    assert not has_usage("usr_ada")


# ----------------------------------------------------------------------------- migrations


def run(app, *arguments):
    done = app.test_cli_runner().invoke(args=["db", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_migrations_lead_from_nothing_to_the_models_and_back(empty_app):
    run(empty_app, "upgrade")
    run(empty_app, "check")
    assert set(inspect(db.engine).get_table_names()) == {
        *Base.metadata.tables,
        "alembic_version",
    }
    plans = [dict(p) for p in db.session.execute(select(Base.metadata.tables["plans"])).mappings()]
    shipped = {p["id"]: p for p in SHIPPED_PLANS}
    assert {p["id"]: {k: p[k] for k in shipped[p["id"]]} for p in plans} == shipped
    db.session.execute(insert(UsageRecord), [_stored(row(1))])
    db.session.commit()
    db.session.remove()
    run(empty_app, "downgrade", "base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    run(empty_app, "upgrade")
    assert audit().records == 0


def _stored(record):
    return {**record, "at": datetime.fromtimestamp(record["at"], UTC)}
