"""Who may call: an API key for the API. (The console guards its own pages with the log-in.)

One function finds the credential, wherever a client puts it, so that what is refused in one header
is refused in all of them.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from flask import current_app, g, request

from blueprints.api import is_google_call
from gateway.errors import AuthenticationFailed, InvalidRequest, PermissionDenied
from models.keys import KeySnapshot

CARRIERS = ("HTTP_X_API_KEY", "HTTP_X_GOOG_API_KEY")


def require_api_key() -> None:
    """Leave the caller's key in `g.key`, or raise what is wrong with it."""
    if request.method == "OPTIONS":
        return
    g.key = authenticate(request.environ)


def authenticate(environ: dict) -> KeySnapshot:
    """The key of a request. Raises `AuthenticationFailed` or `InvalidRequest`."""
    key = current_app.extensions["platform"].keys.find(credential(environ))
    if key is None:
        raise AuthenticationFailed("Invalid API key provided.")
    _check_life(key)
    return key


def credential(environ: dict) -> str:
    """The one credential of a request. Raises if there is none, or two that differ."""
    found = {value for value in map(environ.get, CARRIERS) if value}
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        found.add(token.strip())
    if "key=" in environ.get("QUERY_STRING", ""):
        found.update(parse_qs(environ["QUERY_STRING"]).get("key", ()))
    if len(found) == 1:
        return found.pop()
    if found:
        raise InvalidRequest(
            "The request carries two different API keys. Send one, in one place.",
            code="conflicting_credentials",
        )
    raise AuthenticationFailed(
        f"You didn't provide an API key. Send it in the header {_usual_header()}.",
        code="missing_api_key",
    )


def _usual_header() -> str:
    """Where the callers of this surface put their key."""
    return "x-goog-api-key" if is_google_call() else "Authorization: Bearer YOUR_API_KEY"


def _check_life(key: KeySnapshot) -> None:
    now = time.time()
    if key.revoked_at is not None and key.revoked_at <= now:
        raise AuthenticationFailed("This API key was revoked.", code="revoked_api_key")
    if key.ends_at is not None and key.ends_at <= now:
        raise AuthenticationFailed(
            f"This is an old secret of the key '{key.name}', which was rotated. Use the new one.",
            code="revoked_api_key",
        )
    if key.expires_at is not None and key.expires_at <= now:
        day = time.strftime("%Y-%m-%d", time.gmtime(key.expires_at))
        raise AuthenticationFailed(f"This API key expired on {day}.", code="expired_api_key")
    if key.paused:
        raise AuthenticationFailed("This API key is paused.", code="revoked_api_key")


def check_rights(key: KeySnapshot, model: str) -> None:
    """Raise `PermissionDenied` if the account or the key may not call this model."""
    if key.suspended or not key.api_access:
        raise PermissionDenied("API access is disabled for this account.")
    if key.models is not None and model not in key.models:
        raise PermissionDenied(
            f"This API key may not use the model `{model}`.", code="model_not_allowed"
        )
    if key.access == "usage":
        raise PermissionDenied("This API key may only read usage.", code="model_not_allowed")
