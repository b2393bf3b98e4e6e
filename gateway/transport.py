"""HTTP to the providers: pooled connections, raw reads, one parser in C.

A connection carries one exchange at a time and goes back to its pool only when the answer was read
to its end. Reading returns what one `recv` brought, so tokens flow on as they arrive. Parser and
connecting (DNS, TLS) are geventhttpclient's; the request is one prebuilt head plus the body.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gevent import monkey
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPResponse

from gateway.errors import UpstreamFailed
from gateway.upstream_errors import UNAVAILABLE

# The real poll: gevent's would visit the event loop for a question that is answered at once.
_poll = monkey.get_original("select", "poll")  # type: ignore[no-untyped-call]

READ_SIZE = 65536
MAX_IDLE = 512
IDLE_SECONDS = 50.0
"""Providers close idle connections after about 60 s; an older one is not worth the race."""
MAX_RETRY_AFTER = 60


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first` is the wait for the answer's first byte, `between` the longest silence."""

    connect: float = 5.0
    first: float = 600.0
    between: float = 300.0


class _Parser(HTTPResponse):
    """geventhttpclient's parser with the body handed out as it comes.

    Headers are only collected: of a good answer nobody reads a single one.
    """

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self._pieces: list[tuple[bool, str]] = []
        self._has_excess = False
        self.code = 0

    def _on_message_begin(self) -> None:
        if self.message_complete and self.code >= 200:
            # Bytes after the answer: nobody asked for them, and they must reach nobody.
            self._has_excess = True
            return
        self._pieces.clear()
        super()._on_message_begin()

    def _on_header_field(self, string: str) -> None:
        if not self._has_excess:
            self._pieces.append((True, string))

    def _on_header_value(self, string: str) -> None:
        if not self._has_excess:
            self._pieces.append((False, string))

    def _on_headers_complete(self) -> None:
        if not self._has_excess:
            self.headers_complete = True
            self.code = self.get_code()

    def _on_body(self, buf: bytearray) -> None:
        if not self._has_excess:
            self._body_buffer += buf

    def should_close(self) -> bool:
        return self._has_excess or bool(super().should_close())

    def header(self, name: str) -> str | None:
        """The first header of this name. A name or value may have come in several pieces."""
        pairs: list[list[str]] = []
        was_name = False
        for is_name, text in self._pieces:
            if is_name and not was_name:
                pairs.append(["", ""])
            pairs[-1][0 if is_name else 1] += text
            was_name = is_name
        return next((value for key, value in pairs if key.lower() == name), None)

    def take(self) -> bytes:
        data = bytes(self._body_buffer)
        del self._body_buffer[:]
        return data


class Pool:
    """Connections to one origin. Idle ones are reused newest first."""

    def __init__(self, url: str, timeouts: Timeouts, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        options: dict[str, Any] = {
            "connection_timeout": timeouts.connect,
            "network_timeout": timeouts.first,
        }
        if parts.scheme == "https":
            if context:
                options["ssl_context_factory"] = partial(_given, context)
            self._connector: ConnectionPool = SSLConnectionPool(host, port, host, port, **options)
        else:
            self._connector = ConnectionPool(host, port, host, port, **options)
        self._idle: deque[tuple[float, socket.socket]] = deque(maxlen=MAX_IDLE)

    def take(self) -> tuple[socket.socket, bool]:
        """A connected socket, and whether it was used before."""
        oldest = time.monotonic() - IDLE_SECONDS
        while self._idle:
            since, sock = self._idle.pop()
            if since > oldest and _is_quiet(sock):
                return sock, True
            sock.close()
        return self.connect(), False

    def connect(self) -> socket.socket:
        sock: socket.socket = self._connector._create_socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def give_back(self, sock: socket.socket) -> None:
        if len(self._idle) == MAX_IDLE:
            self._idle.popleft()[1].close()
        self._idle.append((time.monotonic(), sock))


def _given(context: ssl.SSLContext, **_options: Any) -> ssl.SSLContext:
    """The context that was passed in, whatever files the pool would have loaded."""
    return context


def _is_quiet(sock: socket.socket) -> bool:
    """An idle connection must have nothing to read: a byte or an end of file means it is dead."""
    if sock.fileno() < 0:
        return False
    poller = _poll()
    poller.register(sock.fileno(), select.POLLIN)
    return not poller.poll(0)


class Exchange:
    """One request and its answer. Close it, whatever happens; closing twice is fine.

    `wait` limits a single read, in seconds; a `TimeoutError` leaves the exchange as it was, so a
    caller may do something else (send a keep-alive comment) and go on reading.
    """

    __slots__ = ("status", "_pool", "_request", "_socket", "_is_reused", "_parser", "_has_bytes")

    def __init__(self, pool: Pool, request: bytes) -> None:
        self.status = 0
        self._pool = pool
        self._request = request
        self._parser = _Parser("POST")
        self._has_bytes = False
        self._socket: socket.socket | None
        self._socket, self._is_reused = pool.take()
        self._send()

    def read_head(self, wait: float) -> int:
        """Read until the answer's headers are there; sets and returns `status`."""
        parser = self._parser
        while not parser.headers_complete or parser.code < 200:
            data = self._receive(wait)
            if data:
                self._has_bytes = True
                parser.feed(data)
            elif self._is_reused and not self._has_bytes:
                self._send_once_more()
            else:
                raise HTTPParseError("connection closed before the answer")
        self.status = parser.code
        return self.status

    def header(self, name: str) -> str | None:
        """A header of the answer; `name` in lower case."""
        return self._parser.header(name)

    def read_some(self, wait: float) -> bytes:
        """What has arrived, at least a byte; empty at the end of the answer."""
        parser = self._parser
        while True:
            data = parser.take()
            if data or parser.message_complete:
                return data
            received = self._receive(wait)
            parser.feed(received)
            if not received and not parser.message_complete:
                raise HTTPParseError("connection closed in mid-answer")

    def read_all(self, wait: float, limit: int) -> bytes:
        """The whole body, which may have at most `limit` bytes."""
        parts, size = [], 0
        while data := self.read_some(wait):
            size += len(data)
            if size > limit:
                raise HTTPParseError(f"answer larger than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    def finish(self, wait: float) -> None:
        """Close, after giving the end of an answer that is read but for its frame a moment."""
        if self._has_bytes and self._socket is not None and not self._parser.message_complete:
            with contextlib.suppress(OSError, HTTPParseError):
                self._parser.feed(self._receive(wait))
        self.close()

    def close(self) -> None:
        """Reuse the connection if the answer was read to its end, else drop it."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        if self._parser.should_close():
            sock.close()
        else:
            self._pool.give_back(sock)

    def _send(self) -> None:
        assert self._socket is not None
        try:
            # What the kernel takes at once spares the set-up of a longer write.
            sent = self._socket.send(self._request)
            if sent < len(self._request):
                self._socket.sendall(memoryview(self._request)[sent:])
        except ConnectionError:
            if not self._is_reused:
                raise
            self._send_once_more()

    def _send_once_more(self) -> None:
        """A pooled connection had died unnoticed: not a byte of an answer came, so ask again."""
        assert self._socket is not None
        self._socket.close()
        self._socket, self._is_reused = self._pool.connect(), False
        self._socket.sendall(self._request)

    def _receive(self, wait: float) -> bytes:
        sock = self._socket
        if sock is None:
            raise HTTPParseError("the exchange is closed")
        sock.settimeout(wait)
        try:
            return sock.recv(READ_SIZE)
        except ConnectionError:
            return b""


class Transport:
    """All pools of this process, by origin."""

    def __init__(
        self, timeouts: Timeouts | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._ssl_context = ssl_context
        self._pools: dict[str, Pool] = {}

    def post(self, origin: str, head: bytes, body: bytes) -> Exchange:
        """Send a request (`head` from `request_head`). Raises `OSError` if nobody takes it."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self.timeouts, self._ssl_context)
        return Exchange(pool, head + b"%d\r\n\r\n" % len(body) + body)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def request_head(url: str, headers: dict[str, str]) -> bytes:
    """Everything of a POST up to the value of Content-Length, built once per deployment."""
    parts = urlsplit(url)
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [
        "Content-Type: application/json",
        # Compressed answers could not be passed through, and would have to be bounded.
        "Accept-Encoding: identity",
        "User-Agent: switchyard",
        "Content-Length: ",
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a request header holds a line break")
    return "\r\n".join(lines).encode("latin-1")


def failed(reason: str, *, retry_after: int = 1) -> UpstreamFailed:
    return UpstreamFailed(UNAVAILABLE, reason=reason, retry_after=retry_after)


def parse_retry_after(value: str | None) -> int | None:
    """Whole seconds from 1 to 60, from either form of the header; None if there is none."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    if not math.isfinite(seconds):
        return None
    return int(min(MAX_RETRY_AFTER, max(1, -(-seconds // 1))))
