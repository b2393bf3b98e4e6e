"""Stacked bars as geometry: pure functions from sums to SVG paths.

A chart is 1000 x 200 units and stretches; text around it stays HTML. Each series is one path of
rectangles, so that ninety days of seven models are seven elements.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 200
GAP = 0.2
COLOURS = 7
MOST_SERIES = 6
MOST_LABELS = 8
GRID_LINES = (4, 5, 3)
STEPS = (1, 2, 2.5, 5, 10)
OTHER = "Other"
# With this start value the models that most people use differ in colour from the outset.
COLOUR_SEED = 3347


@dataclass(frozen=True)
class Series:
    """One colour of the stack. `colour` is a class name of the style sheet."""

    name: str
    colour: str
    values: list[int]
    path: str

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True)
class Chart:
    """What the macro draws. `labels` has one entry per bucket, `x_labels` only those shown."""

    labels: list[str]
    x_labels: list[str]
    y_labels: list[str]
    grid: list[float]
    series: list[Series]
    summary: str

    @property
    def is_empty(self) -> bool:
        return not any(series.total for series in self.series)

    def bucket_total(self, index: int) -> int:
        return sum(series.values[index] for series in self.series)


def stacked_bars(
    labels: Sequence[str],
    sums: Mapping[str, Sequence[int]],
    write: Callable[[float], str],
    noun: str,
) -> Chart:
    """Build a chart. `sums` maps a name to one value per label; `write` formats a value."""
    groups = keep_largest(sums)
    colours = assign_colours(list(groups))
    totals = [sum(column) for column in zip(*groups.values(), strict=True)] or [0] * len(labels)
    lines, step = nice_scale(max(totals, default=0))
    top = step * lines
    return Chart(
        labels=list(labels),
        x_labels=spread(labels),
        y_labels=[write(step * n) for n in range(lines, -1, -1)],
        grid=[HEIGHT * n / lines for n in range(lines)],
        series=[
            Series(name, colours[name], list(groups[name]), path)
            for name, path in zip(groups, stack(list(groups.values()), top), strict=True)
        ],
        summary=summarise(labels, totals, write, noun),
    )


def keep_largest(sums: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The largest series by total, the rest added up as "Other"."""
    ranked = sorted(sums, key=lambda name: (-sum(sums[name]), name))
    if len(ranked) > MOST_SERIES + 1:
        rest = [sums[name] for name in ranked[MOST_SERIES:]]
        kept = {name: list(sums[name]) for name in ranked[:MOST_SERIES]}
        return kept | {OTHER: [sum(column) for column in zip(*rest, strict=True)]}
    return {name: list(sums[name]) for name in ranked}


def assign_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour from the hash of the name, so that a model looks the same on every page."""
    taken: dict[int, str] = {}
    for name in sorted(n for n in names if n != OTHER):
        slot = zlib.crc32(name.encode(), COLOUR_SEED) % COLOURS
        while slot in taken and len(taken) < COLOURS:
            slot = (slot + 1) % COLOURS
        taken[slot] = name
    colours = {name: f"c{slot + 1}" for slot, name in taken.items()}
    return {name: colours.get(name, "c-other") for name in names}


def nice_scale(largest: float) -> tuple[int, int]:
    """How many grid lines, how far apart: the lowest axis that the largest bar fits under."""
    return min(
        ((lines, nice_step(largest / lines)) for lines in GRID_LINES),
        key=lambda scale: scale[0] * scale[1],
    )


def nice_step(wanted: float) -> int:
    """1, 2, 2.5 or 5 times a power of ten, at least what is wanted, always whole."""
    power = 1
    while power * 10 < wanted:
        power *= 10
    nice = (step * power for step in STEPS)
    return int(next(step for step in nice if step >= wanted and step == int(step)))


def stack(rows: Sequence[Sequence[int]], top: float) -> list[str]:
    """One SVG path per row, each bar on top of those of the rows before."""
    if not rows:
        return []
    pitch = WIDTH / len(rows[0])
    base = [0.0] * len(rows[0])
    paths = []
    for row in rows:
        parts = []
        for index, value in enumerate(row):
            if value > 0:
                height = max(1.0, value / top * HEIGHT)
                parts.append(
                    _bar(index * pitch + pitch * GAP / 2, base[index], pitch * (1 - GAP), height)
                )
                base[index] += height
        paths.append("".join(parts))
    return paths


def _bar(x: float, base: float, width: float, height: float) -> str:
    left, right = round(x), round(x + width)
    return f"M{left} {round(HEIGHT - base, 1):g}h{right - left}v-{round(height, 1):g}H{left}z"


def spread(labels: Sequence[str]) -> list[str]:
    """At most eight labels, evenly spaced, the first and the last among them."""
    if len(labels) <= MOST_LABELS:
        return list(labels)
    last = len(labels) - 1
    # An even spacing that divides the range; 30 and 90 days have none, so the nearest bucket does.
    shown = min(MOST_LABELS, 6)
    return [labels[round(n * last / (shown - 1))] for n in range(shown)]


def summarise(
    labels: Sequence[str], totals: Sequence[int], write: Callable[[float], str], noun: str
) -> str:
    """The chart in a sentence, for those who don't see it."""
    total = sum(totals)
    if not total:
        return f"No {noun} in this range."
    peak = max(range(len(totals)), key=totals.__getitem__)
    counted = noun.removesuffix("s") if total == 1 else noun
    return (
        f"{write(total)} {counted} from {labels[0]} to {labels[-1]}, most on {labels[peak]} "
        f"with {write(totals[peak])}."
    )
