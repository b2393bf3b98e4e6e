"""GET /images/NAME: generated images, for whoever holds a signed link that has not expired."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, request, send_file

bp = Blueprint("pictures", __name__)


@bp.get("/images/<name>")
def picture(name: str):
    store = current_app.extensions["platform"].images
    query = request.args
    path = store.open(name, query.get("u", ""), query.get("e", ""), query.get("s", ""))
    if path is None:
        abort(404)
    response = send_file(path, conditional=True, etag=name[:64])
    response.headers["Cache-Control"] = "private, max-age=86400, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["x-request-id"] = request.request_id
    return response
