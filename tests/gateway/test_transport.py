"""HTTP to a provider, against a server that does with its socket exactly what a test says."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from geventhttpclient.response import HTTPParseError

from gateway.transport import (
    IDLE_SECONDS,
    Timeouts,
    Transport,
    origin_of,
    parse_retry_after,
    request_head,
)

WAIT = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = "reset"
CLOSE = "close"
HOLD = "hold"


class RawServer:
    """Answers the n-th request it gets with the n-th script; remembers requests by connection.

    A script is a list of bytes to send, floats to sleep and, as its last item, CLOSE or RESET; a
    connection stays open without them. RESET as the only item answers nothing at all.
    """

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.requests: list[tuple[int, bytes]] = []
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            self._start(self._serve, client, self.connections)

    def _serve(self, client, number):
        with contextlib.suppress(OSError):
            while request := self._read(client):
                self.requests.append((number, request))
                if not self._play(client, self.scripts[len(self.requests) - 1]):
                    return

    def _read(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body

    def _play(self, client, script):
        for step in script:
            if isinstance(step, float):
                time.sleep(step)
            elif step == RESET:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return False
            elif step == CLOSE:
                client.close()
                return False
            else:
                client.sendall(step)
        return True

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._sockets:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT)
        for client in self._sockets:
            client.close()


@pytest.fixture
def upstream():
    running = []

    def launch(*scripts):
        running.append(RawServer(*scripts))
        return running[-1]

    yield launch
    for server in running:
        server.stop()


@pytest.fixture
def transport():
    made = Transport(Timeouts(connect=2, first=WAIT, between=WAIT))
    yield made
    for pool in made._pools.values():
        while pool._idle:
            pool._idle.pop()[1].close()


@pytest.fixture
def post(transport):
    """`post(server, body)` sends a request; exchanges are closed at the end."""
    opened = []

    def send(server, body=b"{}"):
        head = request_head(server.url + "/v1/chat", {"Authorization": "Bearer k"})
        opened.append(transport.post(server.url, head, body))
        return opened[-1]

    yield send
    for exchange in opened:
        exchange.close()


def whole(exchange):
    """(status, body) of an answer, its connection given back or dropped."""
    status = exchange.read_head(WAIT)
    body = exchange.read_all(WAIT, 10_000_000)
    exchange.close()
    return status, body


# ----------------------------------------------------------------------------- requests


def test_the_request_arrives_as_it_was_built(upstream, post):
    server = upstream([OK])
    whole(post(server, b'{"model":"x"}'))
    head, _, body = server.requests[0][1].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat HTTP/1.1"
    assert lines[1] == "Host: " + server.url.removeprefix("http://")
    assert "Authorization: Bearer k" in lines
    assert "Accept-Encoding: identity" in lines
    assert lines[-1] == "Content-Length: 13"
    assert body == b'{"model":"x"}'


def test_a_body_larger_than_any_socket_buffer_arrives(upstream, post):
    server = upstream([OK])
    body = b"x" * 8_000_000
    assert whole(post(server, body)) == (200, b"ok")
    assert server.requests[0][1].endswith(body)


def test_a_header_cannot_smuggle_another():
    with pytest.raises(ValueError, match="line break"):
        request_head("http://x/y", {"Authorization": "Bearer a\r\nX-Evil: 1"})


def test_origins_and_targets():
    assert origin_of("https://api.example.com:8443/v1/chat?x=1") == "https://api.example.com:8443"
    head = request_head("http://user:pw@host:1/v1?key=2", {})
    assert head.startswith(b"POST /v1?key=2 HTTP/1.1\r\nHost: host:1\r\n")


def test_nobody_there_is_an_os_error(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(OSError):
        transport.post(url, request_head(url, {}), b"{}")


# ----------------------------------------------------------------------------- connections


def test_a_connection_is_reused_when_its_answer_was_read_to_the_end(upstream, post):
    server = upstream(*[[OK]] * 5)
    for _ in range(5):
        assert whole(post(server)) == (200, b"ok")
    assert server.connections == 1


def test_a_connection_in_mid_answer_is_never_reused(upstream, post):
    server = upstream([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"], [OK])
    first = post(server)
    first.read_head(WAIT)
    assert first.read_some(WAIT) == b"part"
    first.close()
    assert whole(post(server)) == (200, b"ok")
    assert server.connections == 2


def test_exchanges_at_the_same_time_have_connections_of_their_own(upstream, post):
    server = upstream([OK], [OK])
    one, two = post(server), post(server)
    assert whole(two) == whole(one) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
])  # fmt: skip
def test_an_upstream_that_will_close_is_not_reused(upstream, post, answer):
    server = upstream([answer], [OK])
    whole(post(server))
    assert whole(post(server)) == (200, b"ok")
    assert server.connections == 2


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def test_a_connection_that_talks_out_of_turn_is_not_reused(upstream, post, transport):
    server = upstream([OK, 0.05, EVIL], [OK])
    assert whole(post(server)) == (200, b"ok")
    assert wait_readable(transport._pools[server.url]._idle[-1][1])
    assert whole(post(server)) == (200, b"ok")
    assert server.connections == 2


def test_a_second_answer_in_the_same_read_is_nobodys(upstream, post):
    """Whatever it was meant for, it reaches no caller, and its connection is not trusted again."""
    server = upstream([OK + EVIL[:-2], 0.2, EVIL[-2:]], [OK], [OK])
    exchange = post(server)
    try:
        assert whole(exchange) == (200, b"ok")
    except HTTPParseError:
        exchange.close()
    assert whole(post(server)) == (200, b"ok")
    assert server.connections == 2


def wait_readable(sock):
    import select

    return select.select([sock.fileno()], [], [], WAIT)[0]


def test_a_connection_that_was_idle_too_long_is_not_reused(upstream, post, transport):
    server = upstream([OK], [OK])
    whole(post(server))
    idle = transport._pools[server.url]._idle
    since, sock = idle.pop()
    idle.append((since - IDLE_SECONDS - 1, sock))
    whole(post(server))
    assert server.connections == 2
    assert sock.fileno() == -1


# ----------------------------------------------------------------------------- sent once more


def test_a_closed_idle_connection_is_noticed_before_sending(upstream, post, transport):
    server = upstream([OK, CLOSE], [OK])
    whole(post(server))
    assert wait_readable(transport._pools[server.url]._idle[-1][1])
    assert whole(post(server)) == (200, b"ok")
    assert len(server.requests) == 2


@pytest.mark.parametrize("death", [CLOSE, RESET])
def test_a_reused_connection_that_dies_before_a_byte_is_tried_once_more(upstream, post, death):
    server = upstream([OK], [death], [OK])
    whole(post(server))
    assert whole(post(server, b'{"n":2}')) == (200, b"ok")
    assert [number for number, _ in server.requests] == [1, 1, 2]
    assert server.requests[1][1] == server.requests[2][1]


@pytest.mark.parametrize("death", [CLOSE, RESET])
def test_but_not_twice(upstream, post, death):
    server = upstream([OK], [death], [death], [OK])
    whole(post(server))
    with pytest.raises((HTTPParseError, OSError)):
        whole(post(server))
    assert len(server.requests) == 3


@pytest.mark.parametrize("death", [CLOSE, RESET])
def test_a_new_connection_that_dies_is_not_tried_again(upstream, post, death):
    server = upstream([death], [OK])
    with pytest.raises((HTTPParseError, OSError)):
        whole(post(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_after_one_byte_of_an_answer_nothing_is_sent_again(upstream, post, start):
    server = upstream([OK], [start, 0.05, CLOSE], [OK])
    whole(post(server))
    with pytest.raises((HTTPParseError, OSError)):
        whole(post(server))
    assert len(server.requests) == 2


# ----------------------------------------------------------------------------- answers

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("script", "is_kept"), [
    ([HEAD + b"Content-Length: 5\r\n\r\nhello"], True),
    ([HEAD + b"\r\nhello", CLOSE], False),
    ([CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"], True),
    ([CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"], True),
    ([b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello"], True),
    ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0.02,
      HEAD + b"Content-Length: 5\r\n\r\nhello"], True),
], ids=["length", "until close", "chunked", "trailers", "100", "103"])  # fmt: skip
@pytest.mark.parametrize("slowly", [False, True])
def test_bodies(upstream, post, transport, script, is_kept, slowly):
    if slowly:
        script = [
            piece
            for step in script
            for piece in (
                [step[i : i + 1] for i in range(len(step))] if isinstance(step, bytes) else [step]
            )
        ]
    server = upstream(script)
    assert whole(post(server)) == (200, b"hello")
    assert len(transport._pools[server.url]._idle) == is_kept


def test_reading_returns_what_has_arrived_without_waiting_for_more(upstream, post):
    first = CHUNKED + b"3\r\none\r\n"
    server = upstream([first, 0.3, b"3\r\ntwo\r\n0\r\n\r\n"])
    exchange = post(server)
    began = time.monotonic()
    exchange.read_head(WAIT)
    assert exchange.read_some(WAIT) == b"one"
    assert time.monotonic() - began < 0.25
    assert exchange.read_some(WAIT) == b"two"
    assert exchange.read_some(WAIT) == b""


def test_a_time_out_leaves_the_exchange_usable(upstream, post):
    server = upstream([0.15, CHUNKED, 0.15, b"2\r\nok\r\n0\r\n\r\n"])
    exchange = post(server)
    reads = time_outs = 0
    answer = b""
    while not answer:
        try:
            if not exchange.status:
                exchange.read_head(0.04)
            answer = exchange.read_some(0.04)
        except TimeoutError:
            time_outs += 1
        reads += 1
        assert reads < 100
    assert answer == b"ok"
    assert time_outs >= 2


@pytest.mark.parametrize("script", [
    [HEAD + b"Content-Length: 9\r\n\r\npart", CLOSE],
    [CHUNKED + b"9\r\npart", CLOSE],
    [CHUNKED + b"4\r\npart\r\n", CLOSE],
    [CHUNKED + b"4\r\npart\r\n", RESET],
    [b"not http at all\r\n\r\n", CLOSE],
    [CHUNKED + b"zz\r\n", CLOSE],
])  # fmt: skip
def test_a_broken_answer_is_an_error_and_its_connection_dropped(upstream, post, transport, script):
    server = upstream(script)
    exchange = post(server)
    with pytest.raises((HTTPParseError, OSError)):
        exchange.read_head(WAIT)
        exchange.read_all(WAIT, 1000)
    exchange.close()
    exchange.close()
    assert not transport._pools[server.url]._idle


def test_an_answer_larger_than_allowed_is_an_error(upstream, post):
    server = upstream([HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 100])
    exchange = post(server)
    exchange.read_head(WAIT)
    with pytest.raises(HTTPParseError, match="larger than 99 bytes"):
        exchange.read_all(WAIT, 99)


def test_a_closed_exchange_reads_nothing(upstream, post):
    server = upstream([OK])
    exchange = post(server)
    exchange.close()
    with pytest.raises(HTTPParseError):
        exchange.read_head(WAIT)


def test_finishing_waits_a_moment_for_the_end_of_the_frame(upstream, post, transport):
    server = upstream([CHUNKED + b"4\r\ndone\r\n", 0.1, b"0\r\n\r\n"], [OK])
    exchange = post(server)
    exchange.read_head(WAIT)
    assert exchange.read_some(WAIT) == b"done"
    exchange.finish(WAIT)
    whole(post(server))
    assert server.connections == 1


def test_finishing_does_not_wait_for_an_upstream_that_never_ends(upstream, post):
    server = upstream([CHUNKED + b"4\r\ndone\r\n"], [OK])
    exchange = post(server)
    exchange.read_head(WAIT)
    exchange.read_some(WAIT)
    began = time.monotonic()
    exchange.finish(0.05)
    assert time.monotonic() - began < 1
    whole(post(server))
    assert server.connections == 2


# ----------------------------------------------------------------------------- headers


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_headers_are_found_in_any_case_and_any_cut(upstream, post, size):
    answer = (
        b"HTTP/1.1 429 Too Many\r\nX-Empty:\r\nRETRY-After: 7\r\nX-Two: a\r\nx-two: b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    server = upstream([answer[i : i + size] for i in range(0, len(answer), size)])
    exchange = post(server)
    assert exchange.read_head(WAIT) == exchange.status == 429
    assert exchange.header("retry-after") == "7"
    assert exchange.header("x-two") == "a"
    assert exchange.header("x-none") is None
    assert not exchange.header("x-empty")


def in_seconds(seconds):
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(("value", "seconds"), [
    (None, None), ("", None), ("soon", None), ("nan", None),
    ("0", 1), ("-5", 1), ("1", 1), ("1.2", 2), ("30", 30), ("60", 60), ("61", 60), ("86400", 60),
    ("1e9", 60), (in_seconds(-100), 1), (in_seconds(3600), 60),
    ("Sun, 99 Nov 2026 00:00:00 GMT", None),
])  # fmt: skip
def test_retry_after(value, seconds):
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date_is_the_time_until_then():
    assert parse_retry_after(in_seconds(20)) in (19, 20, 21)
