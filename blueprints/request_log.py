"""The request log: one JSON line a request on stdout. Never a body, a key or a query string."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_write = sys.stdout.buffer.write
_flush = sys.stdout.buffer.flush


def log_request(fields: dict[str, Any]) -> None:
    """Write one line. `fields` holds the request's id, key id, endpoint, status, times, tokens."""
    fields["t"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        _write(orjson.dumps(fields) + b"\n")
        _flush()
    except (OSError, ValueError):  # a closed stdout must not fail the request
        pass


class JsonFormatter(logging.Formatter):
    """Ordinary log records as JSON lines, so that one reader understands the whole of stdout."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "t": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(fields, default=str).decode()


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def configure_logging() -> None:
    """Warnings and errors of everything as JSON on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # alembic narrates every migration at INFO, which is noise on each start
    logging.getLogger("alembic").setLevel(logging.WARNING)
