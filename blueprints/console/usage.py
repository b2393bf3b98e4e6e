"""The usage page. Its state is its URL: range, metric and mode are query parameters."""

from __future__ import annotations

from flask import render_template, request
from flask_login import current_user

from blueprints.console import days
from blueprints.console.account import bp, platform

RANGES = (7, 30, 90)
MODES = ("live", "test")


@bp.get("/usage")
def usage():
    platform().recorder.flush()
    count = chosen_range()
    metric = request.args.get("metric", "requests")
    mode = request.args.get("mode")
    state = {
        "days": count,
        "metric": metric if metric in days.METRICS else "requests",
        "mode": mode if mode in MODES else None,
    }
    report = days.report(current_user, count, state["metric"], state["mode"])
    return render_template(
        "pages/usage.html",
        report=report,
        state=state,
        ranges=RANGES,
        metrics=days.METRICS.values(),
        modes=MODES,
    )


def chosen_range() -> int:
    count = request.args.get("days", 7, type=int)
    return count if count in RANGES else RANGES[0]
