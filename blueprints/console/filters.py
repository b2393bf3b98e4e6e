"""How numbers, money and times read on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Flask
from markupsafe import Markup

from models import utcnow

NANO = Decimal(10) ** 9
SUFFIXES = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
AGES = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def init_app(app: Flask) -> None:
    app.jinja_env.filters.update(
        number=number, compact=compact, money=money, ago=ago, moment=moment
    )


def number(value: int) -> str:
    return f"{value:,}"


def compact(value: float) -> str:
    """1234 -> 1.2k; at most three digits that matter."""
    for size, suffix in SUFFIXES:
        if abs(value) >= size:
            return f"{_three_digits(value / size)}{suffix}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
    return text.removesuffix(".0")


def money(nano: int) -> str:
    """Nano-dollars as dollars: cents from a cent up, below that two digits that matter."""
    dollars = Decimal(nano) / NANO
    if nano == 0 or abs(dollars) >= Decimal("0.01"):
        return f"${dollars:,.2f}"
    places = 1 - dollars.adjusted()
    return f"${dollars:.{places}f}"


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def moment(at: datetime, time_zone: str = "UTC") -> str:
    """24 Nov 2026, 14:30 UTC"""
    local = at.astimezone(zone(time_zone))
    return f"{local.day} {local:%b %Y, %H:%M %Z}"


def ago(at: datetime | None, otherwise: str = "Never", *, in_sentence: bool = False) -> Markup:
    """A `<time>` that says how long ago, with the exact time as its title."""
    if at is None:
        return Markup("{}").format(otherwise)
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%Y-%m-%d %H:%M:%S} UTC",
        age(utc) if in_sentence else age(utc).capitalize(),
    )


def age(at: datetime) -> str:
    seconds = int((utcnow() - at).total_seconds())
    for size, unit in AGES:
        count = seconds // size
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
