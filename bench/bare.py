"""The mark: the smallest honest Flask + gevent + geventhttpclient proxy.

It forwards the body and returns the answer: no authentication, no limits, no parsing, no record, no
log line. A stream goes out event by event, one write each. Run under the same gunicorn settings as
Switchyard; the gevent worker patches before it loads this module. `UPSTREAM` is a base URL.
"""

import os
from functools import partial

from flask import Flask, Response, request
from geventhttpclient import HTTPClient

CONNECTIONS = 1000
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}

app = Flask(__name__)
upstream = HTTPClient.from_url(
    os.environ["UPSTREAM"], concurrency=CONNECTIONS, connection_timeout=5, network_timeout=60
)


@app.post("/api/v1/chat/completions")
def chat():
    answer = upstream.request("POST", "/v1/chat/completions", request.get_data(), HEADERS)
    kind = answer.get("content-type")
    if kind.startswith("text/event-stream"):
        events = iter(partial(answer.readline, b"\n\n"), b"")
        return Response(map(bytes, events), answer.status_code, content_type=kind)
    return Response(bytes(answer.read()), answer.status_code, content_type=kind)
