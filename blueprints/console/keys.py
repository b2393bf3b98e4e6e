"""API keys in the browser: list, create (shown once), rotate with an overlap, revoke."""

from __future__ import annotations

from datetime import timedelta

from flask import abort, current_app, make_response, redirect, render_template, request, url_for
from flask_login import current_user
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy.exc import IntegrityError

from blueprints.console import sessions, snippets
from blueprints.console.account import bp, platform
from models import db, keys, new_id, usage, utcnow
from models.accounts import User
from models.keys import ApiKey

MAX_NAME = 50
NO_LIMIT = 1_000_000
MODES = ("live", "test")
GRACES = {"86400": timedelta(days=1), "0": timedelta()}
DAY = timedelta(days=1)


@bp.get("/keys")
def key_list():
    return render_template(
        "pages/keys.html", keys=keys.keys_of(current_user.id), limits=limits_text(current_user)
    )


@bp.get("/keys/<key_id>")
def key_page(key_id: str):
    platform().recorder.flush()
    key = owned_key(key_id)
    return render_template(
        "pages/key.html",
        key=key,
        limits=limits_text(current_user, key),
        requests=recent_requests(key),
        samples=snippets.first_request(),
    )


# ----------------------------------------------------------------------------- create


@bp.get("/keys/new")
@sessions.require_fresh
def new_key():
    return render_form({"name": "", "mode": "live" if has_provider() else "test"})


@bp.post("/keys/new")
@sessions.require_fresh
def create_key():
    """Show the secret in this very answer: it is never kept anywhere, so it can't come later."""
    values = {
        "name": request.form.get("name", "").strip(),
        "mode": request.form.get("mode", "live"),
    }
    error = problem_with_name(values["name"])
    if error:
        return render_form(values, error), 422
    if values["mode"] not in MODES:
        abort(400)
    key_id = read_form_token()
    try:
        key, secret = keys.create_key(
            current_user, **values, **origin(), key_id=key_id, pepper=platform().pepper
        )
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return redirect(url_for(".key_page", key_id=key_id, again=1), 303)
    platform().keys.forget_all()
    return render_secret(key, secret, "created")


def render_form(values: dict[str, str], error: str | None = None) -> str:
    token = form_signer().dumps([current_user.id, new_id("key")])
    return render_template(
        "pages/key_new.html",
        values=values,
        error=error,
        form_token=token,
        max_name=MAX_NAME,
        has_provider=has_provider(),
    )


def has_provider() -> bool:
    """Whether a live key could reach anything."""
    return bool(platform().catalog.providers)


def read_form_token() -> str:
    """The id that the form was given for its key: sent twice, it still makes one key."""
    token = request.form.get("form_token")
    if not token:
        return new_id("key")
    try:
        user_id, key_id = form_signer().loads(token)
    except (BadSignature, ValueError):
        abort(400)
    return key_id if user_id == current_user.id else abort(400)


def form_signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key, salt="new-key-form")


def problem_with_name(name: str) -> str | None:
    if not name:
        return "Give the key a name, so that you know later what uses it."
    return f"Use at most {MAX_NAME} characters." if len(name) > MAX_NAME else None


def render_secret(key: ApiKey, secret: str, done: str):
    page = render_template(
        "pages/key_secret.html",
        key=key,
        secret=secret,
        done=done,
        samples=snippets.first_request(secret),
    )
    return make_response(page)


# ----------------------------------------------------------------------------- rotate


@bp.get("/keys/<key_id>/rotate")
@sessions.require_fresh
def rotate_page(key_id: str):
    return render_template("pages/key_rotate.html", key=usable_key(key_id), error=None)


@bp.post("/keys/<key_id>/rotate")
@sessions.require_fresh
def rotate_key(key_id: str):
    key = usable_key(key_id, lock=True)
    grace = GRACES.get(request.form.get("grace", ""))
    if grace is None:
        error = "Choose when the old secret stops working."
        return render_template("pages/key_rotate.html", key=key, error=error), 422
    if request.form.get("secret_id", key.secret.id) != key.secret.id:
        return redirect(url_for(".key_page", key_id=key_id, again=1), 303)
    secret = keys.rotate_key(key, grace=grace, pepper=platform().pepper, **origin())
    db.session.commit()
    platform().keys.forget_all()
    return render_secret(key, secret, "rotated")


@bp.post("/keys/<key_id>/end-previous")
def end_previous(key_id: str):
    key = usable_key(key_id, lock=True)
    if key.previous:
        keys.end_previous(key, **origin())
        db.session.commit()
        platform().keys.forget_all()
    return redirect(url_for(".key_page", key_id=key_id), 303)


# ----------------------------------------------------------------------------- revoke


@bp.get("/keys/<key_id>/revoke")
@sessions.require_fresh
def revoke_page(key_id: str):
    platform().recorder.flush()
    key = owned_key(key_id)
    if key.status == "revoked":
        return redirect(url_for(".key_page", key_id=key_id), 303)
    return render_template("pages/key_revoke.html", key=key, requests=recent_requests(key))


@bp.post("/keys/<key_id>/revoke")
@sessions.require_fresh
def revoke_key(key_id: str):
    key = owned_key(key_id, lock=True)
    keys.revoke_key(key, **origin())
    db.session.commit()
    platform().keys.forget_all()
    return redirect(url_for(".key_list"), 303)


# ----------------------------------------------------------------------------- asking


def owned_key(key_id: str, *, lock: bool = False) -> ApiKey:
    return keys.find_key(key_id, current_user.id, lock=lock) or abort(404)


def usable_key(key_id: str, *, lock: bool = False) -> ApiKey:
    """A key that can still get a new secret."""
    key = owned_key(key_id, lock=lock)
    if key.status in ("revoked", "expired"):
        abort(404)
    return key


def recent_requests(key: ApiKey) -> int:
    return usage.requests_of_key(key.id, key.user_id, utcnow() - DAY)


def limits_text(user: User, key: ApiKey | None = None) -> str:
    """What each key of the account may do, or this one."""
    chat, images = (limit_of(user, key, name) for name in ("chat_rpm", "image_rpm"))
    if min(chat, images) >= NO_LIMIT:
        return f"{user.plan.name} plan: no limit of requests a minute"
    return f"{user.plan.name} plan: {chat:,} chat and {images:,} image requests a minute per key"


def limit_of(user: User, key: ApiKey | None, name: str) -> int:
    """The account's own value replaces the plan's; a key may only lower it."""
    own, lower = getattr(user, name), getattr(key, name, None)
    limit = getattr(user.plan, name) if own is None else own
    return limit if lower is None else min(limit, lower)


def origin() -> dict[str, str | None]:
    """Where a change comes from, for the audit event."""
    return {"ip": request.remote_addr, "user_agent": request.user_agent.string}
