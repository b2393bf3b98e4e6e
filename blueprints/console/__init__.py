"""The HTML side: pages rendered on the server that work without JavaScript.

Three nested blueprints, one guard each: `site` (nobody has to log in: landing page, sign-up,
log-in), `docs` (public too) and `account` (log-in required). Nothing here costs the API anything:
all hooks hang on these blueprints, none on the app.
"""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    make_response,
    render_template,
    request,
    session,
)
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from blueprints.console import assets, filters, sessions, throttle

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "manifest-src 'self'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HSTS = "max-age=31536000; includeSubDomains"
THEMES = ("light", "dark", "system")

ERROR_TEXTS = {
    400: ("Bad request", "The server could not make sense of this request."),
    403: ("No access", "You may not do this."),
    404: ("Page not found", "There is nothing at this address. It may have moved or been removed."),
    405: ("Method not allowed", "This address does not take that kind of request."),
    413: ("Too large", "What you sent is larger than this page accepts."),
    429: ("Too many attempts", "Please wait a little, then try again."),
    500: (
        "Something went wrong",
        "The error is on our side and has been logged. Try again; if it "
        "keeps happening, tell the operator the request id below.",
    ),
    503: ("Temporarily unavailable", "The server can't answer right now. Try again in a moment."),
}
EXPIRED = "This page expired. Open the form again and send it once more."
KEPT = ("next", "invite")

bp = Blueprint("console", __name__)


def init_app(app: Flask) -> None:
    """Prepare the app for the console; called once, before the blueprint is registered."""
    app.secret_key = app.secret_key or _cookie_secret(app.config["CONFIG"].secret_key)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals.update(theme=theme)
    assets.init_app(app)
    filters.init_app(app)
    sessions.init_app(app)
    throttle.init_app(app)


def _cookie_secret(secret_key: str) -> bytes:
    return hmac.digest(secret_key.encode(), b"switchyard console cookies", hashlib.sha256)


def theme() -> str:
    """The chosen theme, from its own cookie."""
    chosen = request.cookies.get("theme", "system")
    return chosen if chosen in THEMES else "system"


# ----------------------------------------------------------------------------- every page

bp.before_request(sessions.refuse_foreign_forms)


@bp.context_processor
def page_context() -> dict[str, object]:
    return {"user": current_user, "base_url": current_app.config["CONFIG"].public_url}


@bp.after_request
def secure(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.update(SECURITY_HEADERS)
    response.headers["x-request-id"] = request.request_id
    if current_app.config["CONFIG"].is_https:
        response.headers["Strict-Transport-Security"] = HSTS
    return response


# ----------------------------------------------------------------------------- error pages


def render_error_page(
    status: int,
    message: str | None = None,
    *,
    form: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """An error as a page in the layout. Needs no database: that somebody is logged in is believed
    of the cookie. `form` is where the form is that didn't work out.
    """
    title, text = ERROR_TEXTS.get(status) or (_phrase(status), "This request did not work out.")
    page = render_template(
        "pages/error.html",
        status=status,
        title=title,
        message=message or text,
        request_id=request.request_id,
        logged_in=sessions.TOKEN in session,
        form=form,
    )
    response = make_response(page, status)
    response.headers.update(headers or {})
    return secure(response)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


@bp.errorhandler(HTTPException)
def http_error(error: HTTPException):
    """What a view aborts with; redirects raised by Werkzeug pass as they are."""
    if error.code is None or error.code < 400:
        return error
    is_own_text = error.description != type(error).description
    headers = dict(error.get_headers())
    kept = {name: headers[name] for name in ("Retry-After", "Allow") if name in headers}
    return render_error_page(error.code, error.description if is_own_text else None, headers=kept)


@bp.errorhandler(CSRFError)
def csrf_error(error: CSRFError):
    return render_error_page(400, EXPIRED, form=page_of_form())


def page_of_form() -> str:
    """Where the form of this request stands: at its own path, else the page is one level up."""
    rule = request.url_rule
    has_page = rule and any(
        "GET" in (other.methods or ())
        for other in current_app.url_map.iter_rules()
        if other.rule == rule.rule
    )
    path = request.path if has_page else request.path.rpartition("/")[0] or "/"
    kept = {name: request.values[name] for name in KEPT if request.values.get(name)}
    return f"{path}?{urlencode(kept)}" if kept else path


def _nest() -> None:
    from blueprints.console import account, docs, keys, site, usage

    assert keys.bp is usage.bp is account.bp  # their views hang on the same blueprint
    for nested in (site.bp, account.bp, docs.bp):
        bp.register_blueprint(nested)


_nest()
