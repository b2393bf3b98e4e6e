"""From results to the table and `bench/out/latest.json`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.targets import BARE, CLAUDE, DIRECT, GEMINI, LOCAL, OURS

OUT = Path(__file__).resolve().parent / "out"
Results = dict[str, list[dict[str, dict]]]
"""Measure name -> rounds -> target name -> what the load and the watch saw."""
NOISY = 0.05
SATURATED = 0.08
HEADINGS = ("", "direct", "bare", "ours", "ours/bare", "ours-direct", "budget", "")


@dataclass(frozen=True)
class Figures:
    """One row: medians by target, the ratio to bare and the difference to direct.

    Ratio and difference are taken within each round, then their median: what the neighbours of
    this machine did in that round hit both sides."""

    medians: dict[str, float]
    ratio: float | None
    added: float | None

    @property
    def ours(self) -> float:
        return self.medians.get(OURS, 0.0)

    @classmethod
    def of(cls, rounds: Sequence[dict[str, dict]], row: Row) -> Figures:
        pick = row.pick
        rounds = [{_column(name, row): result for name, result in one.items()} for one in rounds]
        values = [{name: pick(result) for name, result in one.items()} for one in rounds]
        names = {name for one in values for name in one}
        medians = {name: _median(one[name] for one in values if name in one) for name in names}
        ratios = [one[OURS] / one[BARE] for one in values if one.get(BARE) and OURS in one]
        added = [one[OURS] - one[DIRECT] for one in values if DIRECT in one and OURS in one]
        return cls(
            {name: value for name, value in medians.items() if value},
            _median(ratios) if ratios else None,
            _median(added) if added else None,
        )


def _median(values: Sequence[float]) -> float:
    return statistics.median(list(values))


@dataclass(frozen=True)
class Row:
    """A line of the table: where its figure is found and what it should be."""

    title: str
    measure: str
    pick: Callable[[dict], float]
    budget: str = ""
    holds: Callable[[Figures], bool] | None = None
    shows_added: bool = False
    base: str = BARE
    mine: str = OURS


def _column(name: str, row: Row) -> str:
    """The column that a target's figure stands in; only those of the row count."""
    return {row.base: BARE, row.mine: OURS}.get(name, name)


def _rate(result: dict) -> float:
    return result["per_second"]


def _cpu(result: dict) -> float:
    """Microseconds of the worker for each request or chunk, those of the warm-up included."""
    return 1e6 * result["cpu_seconds"] / (result.get("chunks") or result["admitted"] or 1)


def _quantile(kind: str, name: str) -> Callable[[dict], float]:
    return lambda result: result[kind][name]


def _at_least_three_quarters(figures: Figures) -> bool:
    return (figures.ratio or 0) >= 0.75


ROWS = [
    Row(
        "requests/s, 50 connections", "requests", _rate, ">= 75 % of bare", _at_least_three_quarters
    ),
    Row("  CPU a request, us", "requests", _cpu),
    Row(
        "chunks/s, 500 streams, unpaced",
        "streams",
        _rate,
        ">= 75 % of bare",
        _at_least_three_quarters,
    ),
    Row("  CPU a chunk, us", "streams", _cpu),
    *(
        Row(
            f"chunks/s, 500 streams, {what} (bare: passed)",
            "translated",
            _rate,
            ">= 50 % of passed",
            lambda figures: (figures.ratio or 0) >= 0.5,
            base=OURS,
            mine=mine,
        )
        for mine, what in ((CLAUDE, "Anthropic's"), (GEMINI, "Gemini's"), (LOCAL, "mended"))
    ),
    Row("chunks/s, 500 streams, 12,500/s sent", "paced", _rate),
    Row("  CPU a chunk, us", "paced", _cpu),
    Row(
        "  memory of the worker, MB",
        "paced",
        lambda result: result["rss_mb"],
        "< 120 MB",
        lambda figures: figures.ours < 120,
    ),
    Row(
        "chunk age p50, 100 streams, us",
        "age",
        _quantile("age", "p50"),
        "< 2,000 us",
        lambda figures: figures.ours < 2000,
        shows_added=True,
    ),
    Row("chunk age p99, us", "age", _quantile("age", "p99"), shows_added=True),
    Row("  CPU a chunk, us", "age", _cpu),
    Row(
        "latency p50 at 100/s, us",
        "latency",
        _quantile("latency", "p50"),
        "added < 1,000 us",
        lambda figures: (figures.added or 0) < 1000,
        shows_added=True,
    ),
    Row(
        "latency p99 at 100/s, us",
        "latency",
        _quantile("latency", "p99"),
        "added < 3,000 us",
        lambda figures: (figures.added or 0) < 3000,
        shows_added=True,
    ),
]


def table(results: Results) -> str:
    """The aligned table of all rows that were measured."""
    lines = [
        HEADINGS,
        *(_line(row, results[row.measure]) for row in ROWS if results.get(row.measure)),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _line(row: Row, rounds: Sequence[dict[str, dict]]) -> tuple[str, ...]:
    figures = Figures.of(rounds, row)
    verdict = "" if row.holds is None else ("ok" if row.holds(figures) else "MISSED")
    return (
        row.title,
        *(_number(figures.medians.get(name)) for name in (DIRECT, BARE, OURS)),
        "-" if figures.ratio is None else f"{100 * figures.ratio:.0f} %",
        _number(figures.added if row.shows_added else None),
        row.budget,
        verdict,
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _aligned(line: tuple[str, ...], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if i in (0, 6, 7) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def problems(results: Results) -> list[str]:
    """What must not happen at all, on any target: failed requests, chunks that never came."""
    found = []
    for name, _, target, result in _each(results):
        if result["failed"]:
            found.append(f"{name}, {target}: {result['failed']} failed: {result['first_problem']}")
        if result.get("missing"):
            found.append(f"{name}, {target}: {result['missing']} chunks missing")
    return found


def notes(results: Results) -> list[str]:
    """What limits the worth of the figures: a busy machine, a saturated load."""
    found = [f"{name}: left out, time was up" for name, rounds in results.items() if not rounds]
    runs = [result for _, _, target, result in _each(results) if target != DIRECT]
    lost = [result["others"] + result["stolen"] for result in runs]
    noisy = sum(part > NOISY for part in lost)
    full = sum(result["load_core_idle"] < SATURATED for result in runs)
    if noisy:
        found.append(
            f"in {noisy} of {len(runs)} runs other processes or the hypervisor took the server's "
            f"core, up to {100 * max(lost):.0f} %: the machine is not quiet"
        )
    if full:
        found.append(
            f"in {full} of {len(runs)} runs the core of upstream and load was full: "
            "the server may be quicker than shown"
        )
    return found


def _each(results: Results) -> list[tuple[str, int, str, dict]]:
    return [
        (name, number, target, result)
        for name, rounds in results.items()
        for number, one in enumerate(rounds, 1)
        for target, result in one.items()
    ]


def summary(results: Results) -> dict[str, dict]:
    """The rows for the JSON file, by title."""
    return {
        f"{row.measure}: {row.title.strip()}": vars(Figures.of(results[row.measure], row))
        for row in ROWS
        if results.get(row.measure)
    }


def write(document: dict) -> Path:
    """Write `bench/out/latest.json`, whole or not at all."""
    OUT.mkdir(exist_ok=True)
    path = OUT / "latest.json"
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    return draft.replace(path)
