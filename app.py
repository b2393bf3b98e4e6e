"""create_app(): configuration, extensions, blueprints, CLI. Nothing else."""

from __future__ import annotations

from typing import Any

import click
from flask import Flask, Response, current_app, request
from flask.sessions import SecureCookieSessionInterface
from flask_migrate import Migrate
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

import blueprints
import cli
import models
from blueprints import console
from blueprints.api import (
    PREFIX,
    WITHOUT_API,
    ApiRequest,
    clean_path,
    error_response,
    gateway_error,
    log_answer,
    preflight,
)
from blueprints.platform import Platform
from config import Config, ConfigError
from gateway.catalog import CatalogError


class BrowserSessions(SecureCookieSessionInterface):
    """Cookies belong to the browser side: the API neither reads nor sets any."""

    def open_session(self, app: Flask, request: Any) -> Any:
        if request.path.startswith(PREFIX):
            return self.make_null_session(app)
        return super().open_session(app, request)


class Switchyard(Flask):
    request_class = ApiRequest
    session_interface = BrowserSessions()

    def create_url_adapter(self, request: Any) -> Any:
        """For the API the host plays no part in routing, so none is derived from the request."""
        if request is None or not request.path.startswith(PREFIX):
            return super().create_url_adapter(request)
        path, method = request.path, request.method
        return MapAdapter(self.url_map, "localhost", "/", "", "http", path, method)

    def ensure_sync(self, func: Any) -> Any:
        """No function here is a coroutine; asking each of them on each request costs 4 %."""
        return func


def create_app(config: Config | None = None) -> Flask:
    """Build the app. Starts nothing: a server process calls `extensions["platform"].start()`."""
    config = config or Config.load()
    app = Switchyard(__name__)
    app.url_map.strict_slashes = False
    app.config.update(flask_settings(config))
    models.init_db(app)
    Migrate(app, models.db, directory="migrations", render_as_batch=True)
    app.extensions["platform"] = Platform(app, config)
    console.init_app(app)
    blueprints.register(app)
    cli.register(app)
    app.register_error_handler(Exception, answer_error)
    app.after_request(log_answer)
    clean_path(app)
    if config.trusted_proxies:
        count = config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


def create_app_for_commands() -> Flask:
    """The app for the `flask` command: a wrong setting is a sentence, not a traceback."""
    try:
        return create_app()
    except (ConfigError, CatalogError) as error:
        raise click.ClickException(f"Switchyard can't start: {error}") from None


def flask_settings(config: Config) -> dict[str, Any]:
    """What Flask and its extensions want to know, from our settings."""
    return {
        "CONFIG": config,
        "SECRET_KEY": config.derive("flask-session"),
        "SQLALCHEMY_DATABASE_URI": config.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": models.engine_options(config.database_url),
        "MAX_CONTENT_LENGTH": config.max_body_mb * 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 512 * 1024,
        "SESSION_COOKIE_NAME": "__Host-session" if config.is_https else "session",
        "SESSION_COOKIE_SECURE": config.is_https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "PREFERRED_URL_SCHEME": "https" if config.is_https else "http",
    }


def answer_error(error: Exception) -> Response:
    """What no blueprint answered: JSON below /api/, a page elsewhere."""
    if f"{request.path}/".startswith((PREFIX, *WITHOUT_API)):
        return preflight() or error_response(gateway_error(error))
    if isinstance(error, HTTPException):
        return console.http_error(error)
    current_app.logger.exception("unhandled exception", extra={"id": request.request_id})
    return console.render_error_page(500)
