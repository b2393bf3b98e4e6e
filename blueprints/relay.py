"""The one place where HTTP, storage and gateway meet: admit -> send -> respond -> settle.

An admitted call is in the journal before its upstream hears of it and settles exactly once,
however it ends: answered, failed, or left by its client. Nothing here touches SQL.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import gevent
import orjson
from flask import current_app, g, request
from gevent import get_hub

from blueprints.api import ApiResponse, gateway_error, headers_of, whole
from blueprints.guards import check_rights
from blueprints.metrics import observe
from blueprints.platform import Platform
from blueprints.request_log import log_request
from gateway import images
from gateway.catalog import Kind as ModelKind
from gateway.catalog import Model, Price
from gateway.dispatch import Call, Reply
from gateway.embedding_calls import EmbeddingCall, embed
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Unavailable,
    model_not_found,
)
from gateway.formats import gemini
from gateway.metering import Meter, cost_nano_usd, format_usd
from gateway.providers import Provider
from gateway.quota import Demand, Kind
from gateway.token_counts import count
from gateway.types import JSON, Usage
from models.keys import KeySnapshot

log = logging.getLogger(__name__)

STREAM_TYPE = "text/event-stream; charset=utf-8"
STREAM_HEADERS = [("Content-Type", STREAM_TYPE), ("X-Accel-Buffering", "no")]
ENDPOINTS = {
    "chat": ": use /api/v1/chat/completions",
    "image": ": use /api/v1/images/generations",
    "embedding": ": use /api/v1/embeddings",
}
"""The endpoint for each kind of model, for the message to who asked at another."""
WRITE_SECONDS = 60
"""How long a single write to a client may wait for it to read."""
CLIENT_CLOSED = 499
"""The status under which a call is recorded whose client went away before its answer."""


# ----------------------------------------------------------------------------- the way of a call


def relay(format_: Any, endpoint: str, raw: bytes, body: JSON) -> ApiResponse:
    """Answer a checked chat request."""
    platform, ledger, model = admit(format_, endpoint, "chat", raw, body)
    call = Call(
        format=format_,
        model=model,
        raw=raw,
        body=body,
        is_stream=ledger.is_stream,
        wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        is_test=ledger.mode == "test",
        is_strict=is_strict(),
        memory=platform.memory_of(ledger.key.user_id),
    )
    return respond(ledger, lambda: platform.dispatcher.send(call, ledger.meter))


def relay_images(raw: bytes, body: JSON) -> ApiResponse:
    """Answer a checked request for images."""
    platform, ledger, model = admit(images, "images.generations", "image", raw, body)
    user_id, base_url = ledger.key.user_id, platform.config.public_url

    def url_of(picture: images.Picture) -> str:
        name = platform.images.put(picture.data, picture.mime_type)
        return base_url + platform.images.link(name, user_id)

    def make() -> Reply:
        made = platform.dispatcher.generate_images(model, body, ledger.mode == "test", ledger.meter)
        ledger.meter.images = len(made.pictures)
        answer = images.write_response(body, made.pictures, url_of)
        return Reply(made.provider, ledger.meter, body=orjson.dumps(answer), warnings=made.warnings)

    return respond(ledger, make)


def relay_embeddings(format_: Any, endpoint: str, raw: bytes, body: JSON) -> ApiResponse:
    """Answer a checked request for embeddings, which counts as one of chat."""
    platform, ledger, model = admit(format_, endpoint, "chat", raw, body, serves="embedding")
    call = EmbeddingCall(
        format=format_,
        model=model,
        raw=raw,
        body=body,
        is_test=ledger.mode == "test",
        is_strict=is_strict(),
    )
    return respond(ledger, lambda: embed(platform.dispatcher, call, ledger.meter))


def relay_count(raw: bytes, body: JSON) -> ApiResponse:
    """Answer a checked request for a count of tokens: rights hold, limits and records don't."""
    platform: Platform = current_app.extensions["platform"]
    key = g.key
    model = find_model(platform, body["model"], "chat")
    check_rights(key, model.id)
    check_strict(gemini, body)
    call = Call(
        format=gemini,
        model=model,
        raw=raw,
        body=body,
        is_stream=False,
        wants_usage=False,
        is_test=key.mode == "test",
        is_strict=is_strict(),
        memory=platform.memory_of(key.user_id),
    )
    watch = ClientWatch(request.environ)
    try:
        reply = count(platform.dispatcher, call)
    finally:
        watch.stop()
    assert reply.body is not None
    return whole(reply.body, 200, headers_of(_gateway_headers(reply, key.mode)))


def admit(
    format_: Any,
    endpoint: str,
    kind: Kind,
    raw: bytes,
    body: JSON,
    serves: ModelKind | None = None,
) -> tuple[Platform, Entry, Model]:
    """Check rights and limits and write the call down. Raises `GatewayError`, consuming nothing.

    `kind` says which limit the call counts against, `serves` which models it is for if not that.
    """
    platform: Platform = current_app.extensions["platform"]
    key = g.key
    ledger = Entry(platform, key, endpoint, kind, raw, body)
    try:
        model = find_model(platform, body["model"], serves or kind)
        check_rights(key, model.id)
        check_strict(format_, body)
        take_place(platform, ledger, model, kind)
    except GatewayError as error:
        ledger.refuse(error)
        raise
    return platform, ledger, model


def find_model(platform: Platform, name: str, kind: ModelKind) -> Model:
    """The model of the catalog. Raises `model_not_found`, also for one of another kind."""
    model = platform.catalog.find(name)
    if model is None:
        raise model_not_found(name[:200])
    if model.kind != kind:
        raise NotFound(
            f"`{model.id}` is not a model for this endpoint{ENDPOINTS[model.kind]}.",
            code="model_not_found",
            param="model",
        )
    return model


def check_strict(format_: Any, body: JSON) -> None:
    """With `x-gateway-strict` nothing is let through that we don't know the meaning of."""
    if not is_strict():
        return
    for name in format_.unknown_fields(body):
        raise InvalidRequest(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def is_strict() -> bool:
    """Does the caller want an error rather than a warning?"""
    return request.environ.get("HTTP_X_GATEWAY_STRICT", "").lower() in ("true", "1")


def take_place(platform: Platform, ledger: Entry, model: Model, kind: Kind) -> None:
    """Take the call's place in its limits and write it down. Raises `LimitExceeded`."""
    key = ledger.key
    rpm = key.image_rpm if kind == "image" else key.chat_rpm
    demand = Demand(key.key_id, kind, rpm)
    try:
        g.standing = platform.quota.admit(demand)
    except LimitExceeded:
        g.standing = platform.quota.peek(demand)
        raise
    if ledger.mode == "live":
        ledger.price = model.price
    try:
        platform.journal.admit(ledger.admission())
    except OSError:
        log.exception("the journal can't be written", extra={"id": ledger.id})
        raise Unavailable(
            "The service can't take requests right now.", code="overloaded", retry_after=5
        ) from None
    ledger.is_admitted = True
    platform.recorder.used(key.secret_id, ledger.ip, ledger.user_agent)


def respond(ledger: Entry, send: Callable[[], Reply]) -> ApiResponse:
    """Send an admitted call and answer it. From here on everything settles the entry."""
    watch = ClientWatch(request.environ)
    try:
        reply = send()
    except ClientGone:
        ledger.settle(CLIENT_CLOSED, "cancelled")
        raise
    except Exception as error:
        watch.stop()
        ours = gateway_error(error)
        ledger.fail(ours)
        ours.extra_headers = _failure_headers(ledger)
        raise ours from error
    except BaseException:
        ledger.settle(500, "interrupted")
        raise
    if reply.chunks is not None:
        return _stream(ledger, reply, watch)
    watch.stop()
    ledger.reply = reply
    cost = ledger.settle(200, "completed")
    headers = headers_of(
        [*_gateway_headers(reply, ledger.mode), ("x-gateway-cost-usd", format_usd(cost))]
    )
    assert reply.body is not None
    return whole(reply.body, 200, headers)


def _stream(ledger: Entry, reply: Reply, watch: ClientWatch) -> ApiResponse:
    ledger.reply = reply
    headers = headers_of(_gateway_headers(reply, ledger.mode) + STREAM_HEADERS)
    for position, (name, _) in enumerate(headers):
        if name == "Cache-Control":
            headers[position] = (name, "no-cache, no-transform")
    stream = Stream(reply, ledger, watch)
    return ApiResponse(stream, 200, headers)


def _gateway_headers(reply: Reply, mode: str) -> list[tuple[str, str]]:
    headers = [
        ("x-gateway-provider", reply.provider),
        ("x-gateway-attempts", str(reply.attempts)),
        ("x-gateway-mode", mode),
    ]
    if reply.warnings:
        headers.append(("x-gateway-warnings", "; ".join(reply.warnings)))
    return headers


def _failure_headers(ledger: Entry) -> list[tuple[str, str]]:
    """Who failed, where somebody was asked."""
    if ledger.reply is None:
        return [("x-gateway-mode", ledger.mode)]
    return _gateway_headers(ledger.reply, ledger.mode)


class Stream:
    """The body of a streamed answer: iterated by the server, which closes it in any case."""

    def __init__(self, reply: Reply, ledger: Entry, watch: ClientWatch) -> None:
        self._reply = reply
        self._ledger = ledger
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        ledger, meter = self._ledger, self._reply.meter
        assert self._reply.chunks is not None
        try:
            yield from self._reply.chunks
        except ClientGone:
            return
        self._watch.stop()
        ledger.settle(200, "failed" if meter.failed else "completed")

    def close(self) -> None:
        """Let go of the upstream; a call not settled by now was left by its client."""
        self._watch.stop()
        assert self._reply.chunks is not None
        self._reply.chunks.close()  # type: ignore[attr-defined]  # a generator
        if not self._ledger.is_settled:
            is_done = self._reply.meter.is_done
            self._ledger.settle(200, "completed" if is_done else "cancelled")


# ----------------------------------------------------------------------------- the client


class ClientGone(gevent.GreenletExit):
    """The client closed its connection. gunicorn takes a GreenletExit as the quiet end of it."""


class ClientWatch:
    """Ends this greenlet's wait when the client hangs up, also while nothing is written to it.

    WSGI tells only at a write that the client is gone; an upstream that thinks for a minute would
    think for nobody. A watcher of the event loop on the client's socket costs a few microseconds.
    """

    __slots__ = ("_socket", "_greenlet", "_watcher")

    def __init__(self, environ: dict) -> None:
        self._watcher = None
        self._socket = environ.get("gunicorn.socket")
        if self._socket is None or self._socket.fileno() < 0:
            return
        # A client that stops reading must not hold its call for ever (nothing else limits a write).
        self._socket.settimeout(WRITE_SECONDS)
        self._greenlet = gevent.getcurrent()
        self._watcher = get_hub().loop.io(self._socket.fileno(), 1)
        self._watcher.start(self._on_readable)

    def stop(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def _on_readable(self) -> None:
        if self._watcher is None:
            return
        if self._client_is_there():
            # It sent its next request early: from now on only a failing write will tell.
            self.stop()
            return
        self.stop()
        self._greenlet.throw(ClientGone())

    def _client_is_there(self) -> bool:
        raw = getattr(self._socket, "_sock", None)
        if raw is None:
            return True
        try:
            return bool(raw.recv(1, 2))  # MSG_PEEK
        except BlockingIOError:
            return True
        except OSError:
            return False


# ----------------------------------------------------------------------------- the entry


@dataclass(slots=True)
class Entry:
    """What is written down about one call, from its admission to its usage record."""

    platform: Platform
    key: KeySnapshot
    endpoint: str
    kind: str
    raw: bytes
    body: JSON

    id: str = ""
    at: float = 0.0
    started: float = 0.0
    mode: str = "live"
    model: str = ""
    is_stream: bool = False
    ip: str | None = None
    user_agent: str | None = None
    price: Price | None = None
    reply: Reply | None = None
    meter: Meter = None  # type: ignore[assignment]
    is_admitted: bool = False
    is_settled: bool = False

    def __post_init__(self) -> None:
        call = request._get_current_object()  # type: ignore[attr-defined]
        call.is_logged = True
        environ = call.environ
        self.id = call.request_id
        self.at = time.time()
        self.started = call.started
        self.mode = self.key.mode
        self.model = clean(str(self.body.get("model") or ""), 200)
        self.is_stream = bool(self.body.get("stream"))
        self.ip = environ.get("REMOTE_ADDR")
        self.user_agent = clean(environ.get("HTTP_USER_AGENT", ""), 300) or None
        self.meter = Meter()

    def admission(self) -> JSON:
        """The journal's first line: all that a record of an interrupted call needs."""
        return {
            **self._who_and_what(),
            "price": price_row(self.price),
            "request_bytes": len(self.raw),
        }

    def _who_and_what(self) -> JSON:
        """What is known from the start."""
        key = self.key
        return {
            "id": self.id,
            "at": self.at,
            "user_id": key.user_id,
            "key_id": key.key_id,
            "secret_id": key.secret_id,
            "mode": self.mode,
            "kind": self.kind,
            "endpoint": self.endpoint,
            "model": self.model,
            "stream": self.is_stream,
            "ip": self.ip,
            "user_agent": self.user_agent,
        }

    def refuse(self, error: GatewayError) -> None:
        """Record a call that was not admitted; one that was and failed at once is settled."""
        if self.is_admitted:
            self.fail(error)
            return
        record = self._record(error.status, "refused", error.code)
        self.platform.recorder.refuse(record)
        self._tell(record)

    def fail(self, error: GatewayError) -> None:
        self.meter.failed = getattr(error, "reason", None) or error.message
        if error.provider is not None:
            self.reply = Reply(error.provider, self.meter, attempts=error.attempts)
        self.settle(error.status, "failed", error.code)

    def settle(self, status: int, outcome: str, code: str | None = None) -> int:
        """Write down how the call ended, once. Returns its cost in nano-dollars."""
        if self.is_settled:
            return 0
        self.is_settled = True
        if outcome == "failed" and code is None:
            code = "provider_unavailable"
        record = self._record(status, outcome, code)
        try:
            self.platform.journal.settle(record)
        except OSError:
            # The record is queued all the same; only a crash before it is stored would lose it.
            log.exception("the journal can't be written", extra={"id": self.id})
        self._tell(record)
        return int(record["cost_nano"])

    def _record(self, status: int, outcome: str, code: str | None) -> JSON:
        meter, reply, now = self.meter, self.reply, time.monotonic()
        usage, is_estimate = self._usage(status, outcome)
        cost = cost_nano_usd(usage, self.price, meter.images)
        return {
            **self._who_and_what(),
            "upstream_model": clean(meter.upstream_model, 200),
            "provider": reply.provider if reply else None,
            "status": status,
            "code": code,
            "admitted": self.is_admitted,
            "outcome": outcome,
            "finish_reason": meter.finish_reason,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "images": meter.images,
            "estimated": is_estimate,
            "cost_nano": cost,
            "price": price_row(self.price) if cost else None,
            "attempts": reply.attempts if reply else int(self.is_admitted),
            "duration_ms": int((now - self.started) * 1000),
            "ttft_ms": int((meter.first_at - self.started) * 1000) if meter.first_at else None,
            "warnings": "; ".join(reply.warnings)[:1024] if reply and reply.warnings else None,
        }

    def _usage(self, status: int, outcome: str) -> tuple[Usage, bool]:
        """What to record: nothing where no upstream worked, else its word, else an estimate."""
        if outcome == "refused" or (status != 200 and outcome == "failed"):
            return Usage(), False
        return self.meter.final_usage(len(self.raw))

    def _tell(self, record: JSON) -> None:
        observe(record)
        line = {
            "id": self.id,
            "key_id": self.key.key_id,
            "endpoint": self.endpoint,
            "model": self.model,
            "provider": record["provider"],
            "mode": self.mode,
            "status": record["status"],
            "code": record["code"],
            "outcome": record["outcome"],
            "ms": record["duration_ms"],
            "ttft_ms": record["ttft_ms"],
            "input_tokens": record["input_tokens"],
            "output_tokens": record["output_tokens"],
        }
        if self.meter.failed:
            line["reason"] = scrub(self.meter.failed, self.platform.catalog.providers.values())
        log_request(line)


@lru_cache(maxsize=1024)
def price_row(price: Price | None) -> JSON | None:
    """A price as the record keeps it: nano-dollars per million tokens."""
    return asdict(price) if price is not None else None


def scrub(reason: str, providers: Iterable[Provider]) -> str:
    """A reason for the log without any credential, which some upstreams repeat in their errors."""
    for provider in providers:
        if provider.credential:
            reason = reason.replace(provider.credential, "***")
    return reason[:300]


def clean(text: str | None, limit: int) -> str:
    """Text that every database takes: no NUL, not too long."""
    if not text:
        return ""
    return text.replace("\x00", "")[:limit]
