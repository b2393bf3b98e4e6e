"""What belongs to an account: the overview, and the password asked again before delicate steps."""

from __future__ import annotations

from flask import Blueprint, current_app, g, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.exceptions import HTTPException

from blueprints import passwords
from blueprints.console import days, sessions, snippets, throttle
from models import db, usage
from models.keys import keys_of

OVERVIEW_DAYS = 7

bp = Blueprint("account", __name__, url_prefix="/console")
bp.before_request(sessions.require_login)


def platform():
    return current_app.extensions["platform"]


# ----------------------------------------------------------------------------- overview


@bp.get("")
def overview():
    """The get-started list until the first request was made, then the numbers of today."""
    platform().recorder.flush()
    if usage.has_usage(current_user.id):
        report = days.report(current_user, OVERVIEW_DAYS, "requests")
        return render_template("pages/overview.html", report=report)
    live_keys = [key for key in keys_of(current_user.id) if key.status == "active"]
    return render_template(
        "pages/get_started.html", keys=live_keys, samples=snippets.first_request()
    )


# ----------------------------------------------------------------------------- step-up


@bp.get("/confirm")
def confirm():
    return render_confirm()


@bp.post("/confirm")
def confirm_password():
    """Log in again with the password alone, then go back to where one was."""
    email = current_user.email
    try:
        throttle.check_login(email)
    except HTTPException as error:
        return render_confirm(error.description), 429, error.get_headers()[1:]
    if not passwords.verify_password(current_user.password_hash, request.form.get("password", "")):
        throttle.login_failed(email)
        return render_confirm("That password isn’t right."), 422
    throttle.login_succeeded(email)
    sessions.log_in(g.user_session.user)
    db.session.commit()
    return redirect(sessions.safe_next(request.form.get("next"), url_for(".overview")), 303)


def render_confirm(error: str | None = None) -> str:
    back = sessions.safe_next(request.values.get("next"), url_for(".overview"))
    return render_template("pages/confirm.html", error=error, next=back)
