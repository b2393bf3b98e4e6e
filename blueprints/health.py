"""For machines that watch: is the process alive, is it ready, what does it count."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, abort, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from models import db

bp = Blueprint("health", __name__)

OPEN = Gauge("switchyard_requests_open", "Requests admitted and not yet settled.")
WAITING = Gauge("switchyard_records_waiting", "Records settled and not yet in the database.")
LOOPBACK = ("127.0.0.1", "::1")


@bp.get("/healthz")
def healthz():
    """The process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz():
    """The process can take requests: not draining, and its database answers."""
    platform = current_app.extensions["platform"]
    problems = []
    if platform.is_draining:
        problems.append("draining")
    try:
        db.session.execute(text("SELECT 1 FROM plans"))
    except SQLAlchemyError:
        problems.append("database")
    finally:
        db.session.remove()
    if problems:
        return jsonify(status="unavailable", problems=problems), 503
    return jsonify(status="ok")


@bp.get("/metrics")
def metrics():
    """Prometheus text, for loopback or the bearer of METRICS_TOKEN."""
    if not _may_see_metrics():
        abort(403)
    platform = current_app.extensions["platform"]
    OPEN.set(platform.journal.open_count)
    WAITING.set(platform.journal.waiting_count)
    return Response(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def _may_see_metrics() -> bool:
    token = current_app.config["CONFIG"].metrics_token
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token:
        return hmac.compare_digest(sent.encode(), token.encode())
    return request.remote_addr in LOOPBACK
