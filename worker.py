"""gunicorn's gevent worker without the work that it repeats for every request.

gunicorn writes an answer's head and its body apart, asks the kernel for its buffer's size before
each write, formats the date and builds its part of the environment anew, and finds each setting
through a method call. Here that is done once, or once a second, or not at all: together about a
sixth of a short request (bench/README.md says how to measure it). What decides how requests and
answers are framed, checked and kept alive stays gunicorn's own.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import partial
from typing import Any

from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker


class FrugalResponse(wsgi.Response):
    """Writes head and first bytes together; later bytes with one call each."""

    def write(self, arg: bytes) -> None:
        if self.headers_sent or self._omits_body or not arg or not isinstance(arg, bytes):
            super().write(arg)
            return
        if self.response_length is not None:
            arg = arg[: self.response_length]
        self.sent = len(arg)
        self.headers_sent = True
        lines = self.default_headers()
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        head = ("".join(lines) + "\r\n").encode("latin-1")
        send(self.sock, head + (framed(arg) if self.chunked else arg))

    def default_headers(self) -> list[str]:
        lines = [
            f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}\r\n",
            f"Date: {_date.now()}\r\n",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def _emit_body(self, data: bytes) -> None:
        send(self.sock, framed(data) if self.chunked else data)


class CachedDate:
    """The Date header, made anew once a second instead of once an answer."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


_date = CachedDate()


def framed(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%X\r\n%b\r\n" % (len(data), data)


def send(sock: Any, data: bytes) -> None:
    """Send all of it; what the kernel takes at once needs no more than one call."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


class Worker(GeventWorker):
    def init_process(self) -> None:
        wsgi.create = partial(wsgi.create, response_class=FrugalResponse)
        base_environ = wsgi.base_environ(self.cfg)
        wsgi.base_environ = lambda _: base_environ.copy()
        # Settings don't change while a worker lives; as attributes they need no search.
        vars(self.cfg).update({name: each.get() for name, each in self.cfg.settings.items()})
        # The app logs every request itself; this would ask five settings only to find that out.
        self.log.access = lambda *_: None
        super().init_process()
