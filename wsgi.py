"""The server process: gevent first, then the app, then its background work."""

from gevent import monkey

monkey.patch_all()

import sys

from app import create_app
from blueprints.request_log import configure_logging
from config import ConfigError
from gateway.catalog import CatalogError

configure_logging()
try:
    app = create_app()
except (ConfigError, CatalogError) as error:
    sys.exit(f"Switchyard can't start: {error}")
app.extensions["platform"].start()
