"""All that knows HTTP and Flask. `register` is the one table of what is served where, to whom."""

from __future__ import annotations

from flask import Blueprint, Flask

from blueprints import console, health, pictures, v1, v1beta
from blueprints.guards import require_api_key

# (blueprint, URL prefix, the guard that runs before each of its views; None where the blueprint
# guards its own: the console lets some pages be seen by anybody)
TABLE = (
    (v1.bp, "/api/v1", require_api_key),
    (v1beta.bp, "/api/v1beta", require_api_key),
    (console.bp, None, None),
    (pictures.bp, None, None),
    (health.bp, None, None),
)


def register(app: Flask) -> None:
    for blueprint, prefix, guard in TABLE:
        _register(app, blueprint, prefix, guard)


def _register(app: Flask, blueprint: Blueprint, prefix: str | None, guard) -> None:
    if guard is not None and guard not in blueprint.before_request_funcs.get(None, []):
        blueprint.before_request(guard)
    app.register_blueprint(blueprint, url_prefix=prefix)
