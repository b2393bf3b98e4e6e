"""The server process: gevent first, then the app, then its background work."""

from gevent import monkey

monkey.patch_all()

import sys

from sqlalchemy.exc import OperationalError, ProgrammingError

from app import create_app
from blueprints.request_log import configure_logging
from config import ConfigError
from gateway.catalog import CatalogError


def refuse(reason: str) -> None:
    """Say why on stderr and end, so that gunicorn gives up instead of trying again."""
    sys.stderr.write(f"Switchyard can't start: {reason}\n")
    sys.exit(4)


configure_logging()
try:
    app = create_app()
    app.extensions["platform"].start()
except (ConfigError, CatalogError) as error:
    refuse(str(error))
except (OperationalError, ProgrammingError) as error:
    refuse(
        f"the database does not answer as it should ({error.orig}). Is it there, and was "
        "`.venv/bin/flask db upgrade` run?"
    )
