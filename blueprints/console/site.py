"""Pages for nobody in particular: the landing page, sign-up, log-in, the theme."""

from __future__ import annotations

import re
from itertools import chain, zip_longest

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import HTTPException

from blueprints import passwords
from blueprints.console import THEMES, sessions, snippets, throttle
from models import accounts, db
from models.accounts import Invite, User
from models.audit import record_event
from models.plans import Plan

EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")
MAX_EMAIL, MAX_NAME = 254, 80
MISMATCH = "That e-mail and password don’t match."
CLOSED = "Sign-up is closed on this server. Ask its operator for an account."
INVITE_ONLY = "You need an invitation to sign up here. Ask the operator for a link."
MODELS_SHOWN = 7
YEAR = 365 * 86_400

bp = Blueprint("site", __name__)


@bp.get("/")
def home():
    models = current_app.extensions["platform"].catalog.models
    shown = one_of_each([(model.owned_by, id_) for id_, model in models.items()], MODELS_SHOWN)
    page = render_template(
        "pages/home.html",
        samples=snippets.first_request(),
        shown=shown,
        others=len(models) - len(shown),
        may_sign_up=may_sign_up(),
    )
    return page, {"Cache-Control": "private, no-cache"}


def one_of_each(models: list[tuple[str, str]], count: int) -> list[str]:
    """The first model of every owner in turn, then the second ones, up to `count` ids."""
    by_owner: dict[str, list[str]] = {}
    for owner, id_ in models:
        by_owner.setdefault(owner, []).append(id_)
    rounds = zip_longest(*by_owner.values())
    return [id_ for id_ in chain.from_iterable(rounds) if id_][:count]


@bp.post("/theme")
def theme():
    """Keep the chosen theme in a cookie of its own; it is nobody's secret."""
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        abort(400)
    back = sessions.safe_next(request.form.get("next"), url_for(".home"))
    response = redirect(back, 303)
    response.set_cookie(
        "theme",
        chosen,
        max_age=YEAR,
        samesite="Lax",
        httponly=True,
        secure=current_app.config["CONFIG"].is_https,
    )
    return response


# ----------------------------------------------------------------------------- sign-up


@bp.get("/signup")
def signup():
    if current_user.is_authenticated:
        return redirect(url_for("console.account.overview"), 303)
    return render_signup({}, {})


@bp.post("/signup")
def create_account():
    invite = given_invite()
    refuse_unless_open(invite)
    values, errors = read_signup(invite)
    if errors:
        return render_signup(values, errors), 422
    throttle.count_signup()
    user = add_user(values, invite)
    if user is None:
        taken = "An account with this e-mail exists already. Log in instead."
        return render_signup(values, {"email": taken}), 422
    sessions.log_in(user)
    db.session.commit()
    return redirect(url_for("console.account.overview"), 303)


def render_signup(values: dict[str, str], errors: dict[str, str]) -> str:
    refused = why_no_signup(given_invite())
    return render_template(
        "pages/signup.html",
        values=values,
        errors=errors,
        refused=refused,
        invite=request.values.get("invite", ""),
        is_first=not accounts.count_users(),
    )


def read_signup(invite: Invite | None) -> tuple[dict[str, str], dict[str, str]]:
    """The form's values, and what is wrong with them by field."""
    values = {name: request.form.get(name, "").strip() for name in ("email", "name")}
    values["email"] = accounts.normalise_email(values["email"])
    found = {
        "email": problem_with_email(values["email"], invite),
        "name": f"Use at most {MAX_NAME} characters." if len(values["name"]) > MAX_NAME else None,
        "password": passwords.problem_with(request.form.get("password", "")),
    }
    return values, {field: problem for field, problem in found.items() if problem}


def problem_with_email(email: str, invite: Invite | None) -> str | None:
    if not email or len(email) > MAX_EMAIL or not EMAIL.fullmatch(email):
        return "Enter an e-mail address such as you@example.com."
    if invite and invite.email and email != accounts.normalise_email(invite.email):
        return "This invitation is for another e-mail address."
    return None


def add_user(values: dict[str, str], invite: Invite | None) -> User | None:
    """Add the account to the current transaction; None if the e-mail is taken."""
    hashed = passwords.hash_password(request.form["password"])
    plan = db.session.get(Plan, invite.plan_id) if invite and invite.plan_id else None
    try:
        user = accounts.create_user(values["email"], hashed, name=values["name"], plan=plan)
    except IntegrityError:
        db.session.rollback()
        return None
    if invite:
        invite.used_at = user.created_at
    record_event(
        "user.signed_up",
        user_id=user.id,
        ip=request.remote_addr,
        user_agent=request.user_agent.string,
    )
    return user


def given_invite() -> Invite | None:
    token = request.values.get("invite", "")
    return accounts.find_invite(token) if token else None


def why_no_signup(invite: Invite | None) -> str | None:
    """The reason why nobody may sign up now; the first account always may."""
    mode = current_app.config["CONFIG"].signup
    if mode == "open" or (mode == "invite" and invite) or not accounts.count_users():
        return None
    return INVITE_ONLY if mode == "invite" else CLOSED


def may_sign_up() -> bool:
    mode = current_app.config["CONFIG"].signup
    return mode == "open" or not accounts.count_users()


def refuse_unless_open(invite: Invite | None) -> None:
    refused = why_no_signup(invite)
    if refused:
        abort(403, refused)


# ----------------------------------------------------------------------------- log-in


@bp.get("/login")
def login():
    if current_user.is_authenticated:
        return redirect(after_login(), 303)
    return render_login()


@bp.post("/login")
def start_session():
    email = accounts.normalise_email(request.form.get("email", ""))
    try:
        throttle.check_login(email)
    except HTTPException as error:
        return render_login(email, error.description), 429, error.get_headers()[1:]
    user = check_credentials(email, request.form.get("password", ""))
    if user is None:
        throttle.login_failed(email)
        return render_login(email, MISMATCH), 422
    throttle.login_succeeded(email)
    sessions.log_in(user)
    record_event(
        "user.logged_in",
        user_id=user.id,
        ip=request.remote_addr,
        user_agent=request.user_agent.string,
    )
    db.session.commit()
    return redirect(after_login(), 303)


@bp.post("/logout")
def logout():
    sessions.log_out()
    db.session.commit()
    return redirect(url_for(".home"), 303)


def check_credentials(email: str, password: str) -> User | None:
    """The active user of these credentials. Takes as long for an address that nobody has."""
    user = accounts.find_user(email)
    if not passwords.verify_password(user.password_hash if user else None, password):
        return None
    if user is None or not user.is_active:
        return None
    if passwords.needs_rehash(user.password_hash):
        user.password_hash = passwords.hash_password(password)
    return user


def render_login(email: str = "", error: str | None = None) -> str:
    return render_template(
        "pages/login.html",
        email=email,
        error=error,
        next=request.values.get("next", ""),
        may_sign_up=may_sign_up(),
    )


def after_login() -> str:
    return sessions.safe_next(request.values.get("next"), url_for("console.account.overview"))
