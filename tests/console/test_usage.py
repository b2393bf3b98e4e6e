"""Usage: days in the user's zone that add up, charts that are right, pages that say so."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blueprints.console import charts, days
from blueprints.console.filters import compact, money
from models import accounts, usage, utcnow
from models.usage import UsageRow

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")


def store(app, email="ada@example.com", **row):
    with app.app_context():
        user = accounts.find_user(email)
        usage.store_records(
            [
                {
                    "id": row.pop("id", "req_1"),
                    "at": utcnow().timestamp(),
                    "user_id": user.id,
                    "key_id": "key_1",
                    "mode": "live",
                    "kind": "chat",
                    "endpoint": "chat",
                    "model": "gpt-4o",
                    "status": 200,
                    "admitted": True,
                    "outcome": "completed",
                    "input_tokens": 1200,
                    "output_tokens": 34,
                    "cost_nano": 2_500_000,
                    "duration_ms": 10,
                }
                | row
            ]
        )


# ----------------------------------------------------------------------------- pages


def test_overview_is_a_checklist_until_the_first_request(app, ada):
    first = ada.get("/console").text
    assert "Get started" in first and "Create a key" in first
    assert "/api/v1/chat/completions" in first and "YOUR_API_KEY" in first
    ada.create_key()
    assert "You have 1 active key." in ada.get("/console").text
    store(app)
    page = ada.get("/console").text
    assert "Requests today" in page and "<svg" in page and "Get started" not in page
    assert "1.2k in, 34 out" in page


def test_empty_usage(ada):
    assert "No requests in this range." in ada.get("/console/usage").text


def test_usage_by_day_and_model(app, ada, eve):
    store(app)
    store(app, id="req_2", model="claude-sonnet-4-6", input_tokens=5, cost_nano=0)
    store(
        app,
        id="req_3",
        status=429,
        admitted=False,
        outcome="refused",
        input_tokens=0,
        output_tokens=0,
        cost_nano=0,
    )
    page = ada.get("/console/usage").text
    for text in ("gpt-4o", "claude-sonnet-4-6", "1,205", "1 refused", "Days in UTC"):
        assert text in page, text
    assert "$0.0025" in page
    assert "gpt-4o</code>" not in eve.get("/console/usage").text


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?days=30",
        "?days=90&metric=tokens",
        "?metric=cost&mode=live",
        "?days=12&metric=nonsense&mode=nonsense",
        "?days=x",
    ],
)
def test_every_view_has_its_table(app, ada, query):
    store(app)
    page = ada.get(f"/console/usage{query}")
    assert page.status_code == 200
    wanted = 30 if "30" in query else 90 if "90" in query else 7
    assert page.text.count('<tr><th scope="row">') == wanted + 2, "days, one model, the sum"
    assert len(page.data) < 30_000


def test_mode_is_a_filter(app, ada):
    store(app, mode="test")
    assert "No requests" in ada.get("/console/usage?mode=live").text
    assert "No requests" not in ada.get("/console/usage?mode=test").text


# ----------------------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_days_have_their_real_length(zone, day, hours):
    begin, end = days.midnights([day], ZoneInfo(zone))
    assert end - begin == timedelta(hours=hours)


@given(
    zone=st.sampled_from(ZONES),
    today=st.dates(date(2026, 1, 10), date(2027, 1, 1)),
    offsets=st.lists(st.integers(0, 7 * 96), max_size=40),
)
def test_days_add_up_to_the_range(zone, today, offsets):
    edges = days.midnights(days.last_days(today, 7), ZoneInfo(zone))
    rows = [UsageRow(edges[0] + timedelta(minutes=15 * n), "m", 1, 0, 0, 0, 0) for n in offsets]
    rows = [row for row in rows if row.bucket < edges[-1]]
    sums = days.by_day(rows, edges, lambda row: row.requests)
    assert sum(map(sum, sums.values())) == len(rows)
    for row in rows:
        local = row.bucket.astimezone(ZoneInfo(zone)).date()
        assert sums["m"][(local - days.last_days(today, 7)[0]).days] > 0


def test_the_zone_is_named_with_its_offset():
    at = datetime(2026, 11, 22, tzinfo=UTC)
    labels = [days.offset_label(at, ZoneInfo(name)) for name in ZONES[:4]]
    assert labels == [
        "UTC",
        "Europe/Berlin (UTC+1)",
        "America/New_York (UTC-5)",
        "Asia/Kathmandu (UTC+5:45)",
    ]


# ----------------------------------------------------------------------------- charts


@given(st.integers(0, 10**15))
def test_the_axis_is_nice_and_high_enough(largest):
    lines, step = charts.nice_scale(largest)
    assert lines * step >= largest
    assert lines * step <= max(4, largest * 2)
    assert str(step).rstrip("0") in {"1", "2", "25", "5"}


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), min_size=1, max_size=12))
def test_small_series_are_added_up_and_nothing_is_lost(rows):
    sums = {f"model-{n}": row for n, row in enumerate(rows)}
    chart = charts.stacked_bars(["a", "b", "c"], sums, compact, "requests")
    assert len(chart.series) <= charts.MOST_SERIES + 1
    assert sum(series.total for series in chart.series) == sum(map(sum, rows))
    assert len({series.colour for series in chart.series}) == len(chart.series)


def test_bars_stand_on_each_other():
    chart = charts.stacked_bars(["a", "b"], {"x": [100, 0], "y": [50, 50]}, compact, "requests")
    assert [s.name for s in chart.series] == ["x", "y"]
    assert chart.series[0].path == "M50 200h400v-133.3H50z"
    assert chart.series[1].path == "M50 66.7h400v-66.7H50zM550 200h400v-66.7H550z"
    assert chart.y_labels == ["150", "100", "50", "0"]
    assert chart.summary == "200 requests from a to b, most on a with 150."
    one = charts.stacked_bars(["a", "b"], {"m": [1, 0]}, str, "requests")
    assert one.summary == "1 request from a to b, most on a with 1."


def test_a_model_keeps_its_colour():
    assert charts.assign_colours(["gpt-4o", "x"])["gpt-4o"] == "c1"
    assert charts.assign_colours(["gpt-4o", "y", "z"])["gpt-4o"] == "c1"


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.0000000010"),
        (345_678, "$0.00035"),
        (2_500_000, "$0.0025"),
        (10_000_000, "$0.01"),
        (1_234_567_890_000, "$1,234.57"),
    ],
)
def test_money(nano, text):
    assert money(nano) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2.5, "2.5"),
        (999, "999"),
        (1000, "1k"),
        (1234, "1.2k"),
        (124_400, "124k"),
        (7_600_000, "7.6M"),
        (3_000_000_000, "3B"),
    ],
)
def test_compact(value, text):
    assert compact(value) == text
