"""`python -m bench`: start everything, run the measures in alternating rounds, print the table."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.measures import Measure, Runner, measures, warm_up
from bench.processes import ROOT, BenchError, Children, Cores
from bench.targets import BARE, OURS, Stand, audit, start_all

FULL_SECONDS, QUICK_SECONDS = 170, 36


def arguments() -> argparse.Namespace:
    names = [measure.name for measure in measures(is_quick=False)]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, under 40 seconds")
    parser.add_argument("--only", choices=names, help="only this measure (and the audit)")
    return parser.parse_args()


def main() -> int:
    """0: all went through. 1: requests, chunks or records were lost. 2: it could not run."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell ignores it
    try:
        return run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: interrupted, everything is stopped", file=sys.stderr)
        return 130


def run(options: argparse.Namespace) -> int:
    cores = Cores.choose()
    end = time.monotonic() + (QUICK_SECONDS if options.quick else FULL_SECONDS)
    chosen = [m for m in measures(is_quick=options.quick) if options.only in (None, m.name)]
    os.sched_setaffinity(0, {cores.load})
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, Children() as children:
        say("starting upstream, bare proxy and Switchyard")
        stand = start_all(children, cores, Path(directory))
        runner = Runner(children, cores, stand)
        for name in (BARE, OURS):
            warm_up(runner, stand.targets[name])
        results = run_all(runner, chosen, end)
        say("auditing")
        records = check_records(stand)
    return conclude(options, cores, results, records)


def run_all(runner: Runner, chosen: list[Measure], end: float) -> report.Results:
    """Round after round, each with every measure; what would not end in time is left out."""
    results: report.Results = {measure.name: [] for measure in chosen}
    for number in range(max(measure.rounds for measure in chosen)):
        for measure in chosen:
            is_due = number < measure.rounds
            if is_due and time.monotonic() + measure.seconds(number) < end:
                results[measure.name].append(run_round(runner, measure, number))
    return results


def run_round(runner: Runner, measure: Measure, number: int) -> dict[str, dict]:
    found = {}
    for name in measure.order(number):
        say(f"round {number + 1}: {measure.name}, {name}")
        found[name] = runner.run(measure, name)
    return found


def check_records(stand: Stand) -> dict[str, int]:
    """What the upstream received through Switchyard against what Switchyard has on record."""
    received = stand.upstream.stats()[OURS]["requests"]
    return {"received": received, **audit(stand.env, received)}


def conclude(
    options: argparse.Namespace, cores: Cores, results: report.Results, records: dict[str, int]
) -> int:
    """Print, write the JSON file, and answer the exit code."""
    problems = report.problems(results)
    if records["records"] != records["received"] or records["open"]:
        problems.append("the records are not the requests: see the audit")
    notes = report.notes(results)
    say("")
    print(report.table(results))
    print(
        f"\naudit: {records['received']:,} requests reached the upstream, "
        f"{records['records']:,} recorded, {records['open']} open"
    )
    for line in [*(f"note: {text}" for text in notes), *(f"FAILED: {text}" for text in problems)]:
        print(line)
    path = report.write(
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {
                "cpus": os.cpu_count(),
                "kind": platform.machine(),
                "cores": vars(cores),
                "python": platform.python_version(),
            },
            "is_quick": options.quick,
            "rows": report.summary(results),
            "audit": records,
            "problems": problems,
            "notes": notes,
            "rounds": results,
        }
    )
    print(f"all figures: {path.relative_to(ROOT)}")
    return 1 if problems else 0


def say(text: str) -> None:
    """What is going on, on one line of the terminal; nothing when nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
