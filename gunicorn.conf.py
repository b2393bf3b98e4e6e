"""How the server runs. Read by `gunicorn wsgi:app`; the reasons are measured or cited.

reference: security-reliability.md section 4 and https://docs.gunicorn.org/en/stable/settings.html
"""

import sys

from config import Config, ConfigError

try:
    _config = Config.load()
except ConfigError as error:
    sys.exit(f"Switchyard can't start: {error}")

bind = f"{_config.host}:{_config.port}"
workers = _config.web_concurrency
worker_class = "worker.Worker"
worker_connections = 1000
# The app must be imported in the worker, after gevent has patched the standard library.
preload_app = False
# A worker that retires while it streams would leave nobody to accept.
max_requests = 0
# Kills only a worker whose event loop is blocked; a long stream keeps beating.
timeout = 30
graceful_timeout = 120
# Also the time in which a client must have sent its headers: the guard against slow ones.
keepalive = 5
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# Proxies in front are counted by TRUSTED_PROXIES, in the app. Here nobody may say anything, so
# everybody may be trusted with it, which spares parsing each peer's address (3 % of a request).
forwarded_allow_ips = "*"
secure_scheme_headers = {}
forwarder_headers = ""
header_map = "drop"
control_socket_disable = True
worker_tmp_dir = "/dev/shm"  # noqa: S108  (memory-backed, so that the heartbeat never waits for a disk)
# The app writes one line a request itself, without query strings.
accesslog = None
errorlog = "-"
loglevel = "warning"


def worker_exit(server, worker):
    """Store what is settled before the process ends; a killed one is replayed at the next start."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["platform"].stop()


def on_starting(server):
    sys.stderr.write(f"Switchyard serves on http://{bind}\n")
