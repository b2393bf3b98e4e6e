"""A user's usage by day, in the user's own time zone.

Sums come in quarters of an hour of UTC, which every real time zone's midnight lies between; so days
are exact, also those of 23 or 25 hours, and the days add up to the range.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from blueprints.console import charts
from blueprints.console.filters import compact, money, number, zone
from models import utcnow
from models.accounts import User
from models.usage import UsageRow, usage_rows


@dataclass(frozen=True)
class Metric:
    """Something to draw: how to read it off a row, and how to write it."""

    id: str
    label: str
    noun: str
    read: Callable[[UsageRow], int]
    on_axis: Callable[[float], str]
    in_table: Callable[[int], str]


METRICS = {
    metric.id: metric
    for metric in (
        Metric("requests", "Requests", "requests", lambda r: r.requests, compact, number),
        Metric(
            "tokens",
            "Tokens",
            "tokens",
            lambda r: r.input_tokens + r.output_tokens,
            compact,
            number,
        ),
        Metric("cost", "Cost", "spent", lambda r: r.cost_nano, lambda n: money(int(n)), money),
    )
}


@dataclass
class Totals:
    """Sums of a model, or of everything."""

    name: str
    requests: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, row: UsageRow) -> None:
        self.requests += row.requests
        self.refused += row.refused
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.cost_nano += row.cost_nano


@dataclass(frozen=True)
class Report:
    """Everything that the overview and the usage page show."""

    metric: Metric
    days: list[date]
    chart: charts.Chart
    total: Totals
    today: Totals
    by_model: list[Totals]
    zone_name: str
    zone_label: str


def report(
    user: User, count: int, metric_id: str, mode: str | None = None, now: datetime | None = None
) -> Report:
    """The last `count` days of a user, today included."""
    tz, metric, now = zone(user.time_zone), METRICS[metric_id], now or utcnow()
    days = last_days(now.astimezone(tz).date(), count)
    edges = midnights(days, tz)
    rows = usage_rows(user.id, edges[0], edges[-1], mode=mode)
    labels = [label(day) for day in days]
    return Report(
        metric=metric,
        days=days,
        chart=charts.stacked_bars(
            labels, by_day(rows, edges, metric.read), metric.on_axis, metric.noun
        ),
        total=total("All models", rows),
        today=total("Today", (row for row in rows if row.bucket >= edges[-2])),
        by_model=by_group(rows),
        zone_name=tz.key,
        zone_label=offset_label(now, tz),
    )


def last_days(today: date, count: int) -> list[date]:
    return [today - timedelta(days=n) for n in range(count - 1, -1, -1)]


def midnights(days: list[date], tz: ZoneInfo) -> list[datetime]:
    """Where each day begins, in UTC, and where the last one ends."""
    bounds = [*days, days[-1] + timedelta(days=1)]
    return [datetime.combine(day, time(), tz).astimezone(UTC) for day in bounds]


def by_day(
    rows: Iterable[UsageRow], edges: list[datetime], read: Callable[[UsageRow], int]
) -> dict[str, list[int]]:
    """Group -> one sum per day; groups without any are left out."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        value = read(row)
        if value:
            column = sums.setdefault(row.group, [0] * (len(edges) - 1))
            column[bisect_right(edges, row.bucket) - 1] += value
    return sums


def by_group(rows: Iterable[UsageRow]) -> list[Totals]:
    """Totals per group, most requests first."""
    groups: dict[str, Totals] = {}
    for row in rows:
        groups.setdefault(row.group, Totals(row.group)).add(row)
    return sorted(groups.values(), key=lambda t: (-t.requests, -t.refused, t.name))


def total(name: str, rows: Iterable[UsageRow]) -> Totals:
    sums = Totals(name)
    for row in rows:
        sums.add(row)
    return sums


def label(day: date) -> str:
    """Tue 17 Nov"""
    return f"{day:%a} {day.day} {day:%b}"


def offset_label(now: datetime, tz: ZoneInfo) -> str:
    """Europe/Berlin (UTC+1)"""
    minutes = int((now.astimezone(tz).utcoffset() or timedelta()).total_seconds() // 60)
    if tz.key == "UTC":
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"{tz.key} (UTC{sign}{hours}{f':{rest:02}' if rest else ''})"
