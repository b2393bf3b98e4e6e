"""The HTTP side of the fake upstreams: one port, every dialect, chosen by the request.

GET /__requests[?tag=WORD]   what arrived, in order: method, path, headers, body, and what was
                             sent back (`sent`, base64) with its usage
GET /__closed[?tag=WORD]     connections that the peer closed before their answer was complete
POST /__reset                forget both
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tests.fakes import anthropic, gemini, openai
from tests.fakes.faults import BEFORE_ANSWER, STREAMS, WHOLE, stream_whole, whole
from tests.fakes.play import JSON, Play, Refusal, Reply, Request

POLL = 0.02


def dialect_of(request: Request) -> ModuleType:
    """By the path; the list of models has one path in two dialects, told apart by the headers."""
    if request.path.startswith("/v1/messages"):
        return anthropic
    if re.match(r"/v1(beta|alpha)/|/v1/models/[^/]*:", request.path):
        return gemini
    if request.path.startswith("/v1/models") and request.values("anthropic-version"):
        return anthropic
    return openai


@dataclass
class Ledger:
    """What arrived and what was cut off, for the tests to read."""

    requests: list[JSON] = field(default_factory=list)
    closed: list[JSON] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)


class Closed(Exception):
    """The peer went away."""


class Connection:
    """One accepted socket: reads requests, writes answers, notices when the peer leaves."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Ledger
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.ledger = ledger
        self.served = 0
        self.entry: JSON = {}
        self.sent = bytearray()
        self.chunked = True
        self.extra_headers: tuple[str, ...] = ()
        self.poll = POLL

    async def serve(self) -> None:
        try:
            while (request := await read_request(self.reader)) is not None:
                await self.answer(request)
                self.served += 1
                if self.writer.is_closing():
                    return
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            self.note_closed()
        finally:
            self.keep_sent()
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    def note_closed(self) -> None:
        if self.entry:
            self.ledger.closed.append(
                {
                    "scenario": self.entry["scenario"],
                    "tag": self.entry["tag"],
                    "at": time.time(),
                    "started_at": self.entry["at"],
                    "sent_bytes": len(self.sent),
                }
            )

    def keep_sent(self) -> None:
        if self.entry:
            self.entry["sent"] = base64.b64encode(bytes(self.sent)).decode()

    async def answer(self, request: Request) -> None:
        if request.path.startswith("/__"):
            await self.send_json(200, control(request, self.ledger))
            return
        self.sent = bytearray()
        self.entry = {
            "method": request.method,
            "path": request.path,
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode(errors="replace"),
            "at": time.time(),
            "scenario": "",
            "tag": "",
            "reused": self.served > 0,
        }
        self.ledger.requests.append(self.entry)
        try:
            await self.route(request)
        except Refusal as refusal:
            self.entry["refused"] = refusal.error
            named = re.search(r"tag:([\w-]+)", self.entry["body"])
            self.entry["tag"] = self.entry["tag"] or (named[1] if named else "")
            await self.send_json(refusal.status, refusal.body)
        self.keep_sent()
        self.entry = {}

    async def route(self, request: Request) -> None:
        dialect = dialect_of(request)
        self.extra_headers = dialect.HEADERS
        found = dialect.answer(request)
        if isinstance(found, Reply):
            await self.send_json(200, found.body)
        else:
            await self.play(found)

    async def play(self, play: Play) -> None:
        self.entry |= {"scenario": play.scenario, "tag": play.tag}
        self.entry["usage"] = None if play.scenario == "nousage" else play.usage
        self.ledger.tries[play.tag] += 1
        if play.scenario in BEFORE_ANSWER and await BEFORE_ANSWER[play.scenario](self, play):
            return
        if play.whole_only:
            await whole(self, play)
        elif play.streams:
            await STREAMS.get(play.scenario, stream_whole)(self, play)
        else:
            await WHOLE.get(play.scenario, whole)(self, play)

    # -- writing

    async def send_json(self, status: int, value: Any, extra: Iterable[str] = ()) -> None:
        await self.send(
            status, "application/json", json.dumps(value, ensure_ascii=False).encode(), extra
        )

    async def send(
        self, status: int, content_type: str, body: bytes, extra: Iterable[str] = ()
    ) -> None:
        self.head(status, content_type, [f"content-length: {len(body)}", *extra])
        self.sent += body
        self.writer.write(body)
        await self.writer.drain()

    def head(self, status: int, content_type: str, lines: Iterable[str]) -> None:
        lines = [
            f"HTTP/1.1 {status} Fake",
            f"content-type: {content_type}",
            *self.extra_headers,
            *lines,
        ]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def start_stream(self, play: Play, *, chunked: bool = True) -> None:
        self.chunked = chunked
        framing = "transfer-encoding: chunked" if chunked else "connection: close"
        self.head(200, play.stream_type, [framing])
        await self.writer.drain()

    async def write(self, data: bytes) -> None:
        """One write to the socket, framed; raises `Closed` once the peer is gone."""
        if self.reader.at_eof() or self.writer.is_closing():
            raise Closed
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data
        self.writer.write(framed)
        self.sent += data
        await self.writer.drain()

    async def end_stream(self) -> None:
        if self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        else:
            self.writer.close()

    async def wait(self, seconds: float) -> None:
        """Say nothing, but notice when the peer leaves."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.reader.at_eof() or self.writer.is_closing():
                raise Closed
            await asyncio.sleep(min(POLL, max(0.0, until - time.monotonic())))

    async def cut(self) -> None:
        """Close without the terminating chunk; what was written still goes out."""
        await self.writer.drain()
        self.writer.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when the peer closed between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = [(n.strip(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
    return Request(method, target, headers, await read_body(reader, headers))


async def read_body(reader: asyncio.StreamReader, headers: list[tuple[str, str]]) -> bytes:
    named = {name.lower(): value for name, value in headers}
    if named.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(named.get("content-length", 0)))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


def control(request: Request, ledger: Ledger) -> Any:
    tag = request.query.get("tag", [None])[0]
    if request.path == "/__reset":
        ledger.requests.clear()
        ledger.closed.clear()
        ledger.tries.clear()
        return {}
    rows = ledger.requests if request.path == "/__requests" else ledger.closed
    return [row for row in rows if tag is None or row["tag"] == tag]


# ----------------------------------------------------------------------------- running


async def serve(port: int) -> None:
    ledger = Ledger()
    open_connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        open_connections.add(task)
        try:
            await Connection(reader, writer, ledger).serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            open_connections.discard(task)

    server = await asyncio.start_server(
        accept, "127.0.0.1", port, limit=64 * 1024 * 1024, backlog=2048
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()
    for task in open_connections:
        task.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
    return 0
