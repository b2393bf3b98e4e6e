"""Who is logged in: a random token in the cookie, its row in `user_sessions`.

Flask-Login resolves the token on demand. It is bound to the app by hand, because its `init_app`
would look at the session after every API request, and there is no remember cookie at all.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import wraps

from flask import Flask, abort, g, redirect, request, session, url_for
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect, generate_csrf

from models import accounts, utcnow
from models.accounts import User

FRESH_FOR = timedelta(minutes=30)
TOKEN = "_user_id"  # noqa: S105 - the name of the entry; Flask-Login looks for this one
UNSAFE_METHODS = {"POST", "PUT", "PATCH", "DELETE"}
SAFE_PATH = re.compile(r"/(?![/\\])[\w\-./?=&%:,+~]*")

csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    https = app.config["CONFIG"].is_https
    app.config.update(
        SESSION_COOKIE_NAME="__Host-session" if https else "session",
        SESSION_COOKIE_SECURE=https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=accounts.SESSION_ABSOLUTE,
        # No other application on this host uses this name, so no strange cookie is ever decoded.
        REMEMBER_COOKIE_NAME="switchyard-no-remember-cookie",
    )
    manager = LoginManager()
    manager.session_protection = None
    manager.user_loader(load_user)
    app.login_manager = manager
    _init_csrf(app)


def _init_csrf(app: Flask) -> None:
    """What `CSRFProtect.init_app` does, without its hook before every request."""
    app.extensions["csrf"] = csrf
    app.config.update(
        WTF_CSRF_ENABLED=app.config.get("WTF_CSRF_ENABLED", True),
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_METHODS=UNSAFE_METHODS,
        WTF_CSRF_FIELD_NAME="csrf_token",
        WTF_CSRF_HEADERS=["X-CSRFToken"],
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=True,
    )
    app.jinja_env.globals["csrf_token"] = generate_csrf


def load_user(token: str) -> User | None:
    """The user behind the cookie's token; the row stays at hand as `g.user_session`."""
    g.user_session = accounts.find_session(token)
    return g.user_session.user if g.user_session else None


# ----------------------------------------------------------------------------- in and out


def log_in(user: User) -> None:
    """Start a session in the current transaction. Nothing of the one before survives."""
    end_current()
    token = accounts.start_session(
        user, ip=request.remote_addr, user_agent=request.user_agent.string
    )
    session.clear()
    session.permanent = True
    session[TOKEN] = token


def log_out() -> None:
    end_current()
    session.clear()


def end_current() -> None:
    if current_user.is_authenticated:
        accounts.end_session(g.user_session)


# ----------------------------------------------------------------------------- guards


def refuse_foreign_forms() -> None:
    """Before every console request: no form posted from another site gets in."""
    if request.method not in UNSAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        abort(403, "This form was sent from another site.")
    if request.endpoint != "console.site.theme":
        csrf.protect()


def require_login():
    """The guard of everything that belongs to an account."""
    if not current_user.is_authenticated:
        return redirect(url_for("console.site.login", next=here()), 303)
    return None


def require_fresh(view):
    """Ask for the password again if it was last given more than half an hour ago."""

    @wraps(view)
    def guarded(*args, **kwargs):
        if utcnow() - g.user_session.authenticated_at > FRESH_FOR:
            return redirect(url_for("console.account.confirm", next=here()), 303)
        return view(*args, **kwargs)

    return guarded


def here() -> str:
    """The path to come back to; after a POST that is the page its form was on."""
    return request.full_path.rstrip("?")


def safe_next(path: str | None, default: str) -> str:
    """`path` if it is a path on this site, else `default`."""
    return path if path and SAFE_PATH.fullmatch(path) else default
