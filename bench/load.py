"""The load: raw HTTP/1.1 over asyncio, requests built once, answers hardly parsed.

Run with `python -m bench.load`: reads one `Job` as JSON from stdin, prints its results as one JSON
line, latencies and ages in microseconds. Three shapes:

- closed: `connections` that each send their next request when the answer is there;
- open: `rate` requests a second on a Poisson schedule, whatever the answers do. Latency counts from
  the scheduled instant, so a stalled server cannot hide the requests it held up;
- streams: `connections` streams at once of `chunks` chunks each, `pause_ms` apart. Unpaced (0) they
  start together and all chunks count; paced they start spread over the warm-up.

Nothing is cut off: after the last instant the answers under way are awaited, so that what the load
counts as admitted can be held against the records of the server.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import selectors
import sys
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic_ns, sleep

import orjson

from bench.connection import Connection

GRACE = 30  # seconds that answers under way may take after the last request
MAX_REQUESTS = 500_000
OPEN_CONNECTIONS = 16
SEED = 20251122  # one schedule for every target and run
PATIENCE = 0.02  # seconds
OPENING = 100  # connections that are opened at once
END = b"\r\n0\r\n\r\n"
MARK = re.compile(rb"@\d{5}:(\d{19});")


@dataclass
class Job:
    """What to send where. `seconds` are measured; `warmup` seconds before them are not counted."""

    shape: str
    port: int
    path: str
    key: str = "sk-bench"
    model: str = "gpt-4o"
    connections: int = 50
    seconds: float = 1.0
    warmup: float = 0.0
    rate: float = 0.0
    chunks: int = 0
    pause_ms: int = 0
    ages: bool = False

    def body(self) -> bytes:
        question = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France?"},
        ]
        body: dict = {"model": self.model, "messages": question}
        if self.chunks:
            body |= {"max_tokens": self.chunks, "seed": self.pause_ms, "stream": True}
            body |= {"stream_options": {"include_usage": True}}
        return orjson.dumps(body)

    def request(self) -> bytes:
        """The whole request, head and body."""
        body = self.body()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def quantile(values: array | list, q: float) -> float:
    """The value below which the part `q` of `values` lies; 0 when there are none."""
    ordered = sorted(values)
    return float(ordered[min(int(len(ordered) * q), len(ordered) - 1)]) if ordered else 0.0


def micros(nanos: array) -> dict[str, float]:
    """Quantiles of a list of nanoseconds, in microseconds."""
    wanted = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: round(quantile(nanos, q) / 1000, 1) for name, q in wanted.items()}


# ----------------------------------------------------------------------------- short answers


@dataclass
class Tally:
    """What became of the requests of a closed or open loop. Latencies in ns, measured ones only."""

    admitted: int = 0
    refused: int = 0
    broken: int = 0
    latencies: array = field(default_factory=lambda: array("q"))
    first_problem: str = ""

    def result(self, seconds: float) -> dict:
        return {
            "per_second": round(len(self.latencies) / seconds, 1),
            "measured": len(self.latencies),
            "admitted": self.admitted,
            "failed": self.refused + self.broken,
            "first_problem": self.first_problem,
            "latency": micros(self.latencies),
        }


class Exchange(Connection):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self, tally: Tally, answered: Callable[[Exchange], None]) -> None:
        self.tally = tally
        self.answered = answered
        self.since = 0
        self.is_busy = False
        self.is_open = True
        self.buffer = b""

    def send(self, request: bytes, since: int) -> None:
        """Send; the latency counts from `since` (monotonic ns)."""
        self.since = since
        self.is_busy = True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        if not _is_whole(data):
            self.buffer = data
            return
        self.buffer = b""
        self.is_busy = False
        if data[9:12] == b"200":
            self.tally.admitted += 1
        else:
            self.tally.refused += 1
            self.tally.first_problem = self.tally.first_problem or data[:400].decode("latin-1")
        self.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self.is_busy:
            self.is_busy = False
            self.tally.broken += 1
            self.answered(self)


def _is_whole(data: bytes) -> bool:
    """Whether an answer is complete: by its Content-Length, or the end of a chunked body."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = data[:end].lower().partition(b"\r\ncontent-length:")[2]
    if length:
        return len(data) >= end + 4 + int(length.partition(b"\r\n")[0])
    return data.endswith(END)


class ClosedLoop:
    """Every connection sends its next request at once until time or count is up."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.request = job.request()
        self.tally = Tally()
        self.sent = 0
        self.busy = 0
        self.done = asyncio.get_running_loop().create_future()

    async def run(self) -> dict:
        open_one = _opener(self.job.port, lambda: Exchange(self.tally, self._answered))
        connections = await _open_all(open_one, self.job.connections)
        start = monotonic_ns()
        self.measure_from = start + int(self.job.warmup * 1e9)
        self.until = self.measure_from + int(self.job.seconds * 1e9)
        for connection in connections:
            self._send(connection)
        await asyncio.wait_for(self.done, self.job.warmup + self.job.seconds + GRACE)
        return self.tally.result(self.job.seconds)

    def _send(self, connection: Exchange) -> None:
        self.busy += 1
        self.sent += 1
        connection.send(self.request, monotonic_ns())

    def _answered(self, connection: Exchange) -> None:
        now = monotonic_ns()
        self.busy -= 1
        if self.measure_from <= now < self.until:
            self.tally.latencies.append(now - connection.since)
        if now < self.until and self.sent < MAX_REQUESTS and connection.is_open:
            self._send(connection)
        elif not self.busy and not self.done.done():
            self.done.set_result(None)


class OpenLoop:
    """Requests at their appointed instants; those that find no idle connection wait for one."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.request = job.request()
        self.tally = Tally()
        # First in, first out: every connection is used again before the server's keep-alive ends.
        self.idle: deque[Exchange] = deque()
        self.waiting: deque[int] = deque()
        self.done = self.loop.create_future()

    async def run(self) -> dict:
        open_one = _opener(self.job.port, lambda: Exchange(self.tally, self._answered))
        self.idle.extend(await _open_all(open_one, OPEN_CONNECTIONS))
        instants = _poisson(self.job.rate, self.job.warmup + self.job.seconds)
        self.open = len(instants)
        start = self.loop.time() + 0.01
        self.measure_from = int((start + self.job.warmup) * 1e9)
        for instant in instants:
            self.loop.call_at(start + instant, self._due, int((start + instant) * 1e9))
        await asyncio.wait_for(self.done, self.job.warmup + self.job.seconds + GRACE)
        return self.tally.result(self.job.seconds)

    def _due(self, instant: int) -> None:
        self.waiting.append(instant)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self.waiting and self.idle:
            connection = self.idle.popleft()
            if connection.is_open:
                connection.send(self.request, self.waiting.popleft())

    def _answered(self, connection: Exchange) -> None:
        if connection.since >= self.measure_from:
            self.tally.latencies.append(monotonic_ns() - connection.since)
        self.idle.append(connection)
        self.open -= 1
        self._send_waiting()
        if not self.open and not self.done.done():
            self.done.set_result(None)


def _poisson(rate: float, seconds: float) -> list[float]:
    """The same random instants every time: `rate` a second on average."""
    dice = random.Random(SEED)
    instants: list[float] = []
    at = dice.expovariate(rate)
    while at < seconds and len(instants) < MAX_REQUESTS:
        instants.append(at)
        at += dice.expovariate(rate)
    return instants


# ----------------------------------------------------------------------------- streams


@dataclass
class Window:
    """The measured part of a streams run (monotonic ns), and what arrived in it."""

    start: int = 0
    end: int = 0
    chunks: int = 0
    ages: array | None = None

    def add(self, data: bytes, chunks: int, now: int) -> None:
        if self.start <= now < self.end:
            self.chunks += chunks
            if self.ages is not None:
                self.ages.extend(now - int(sent) for sent in MARK.findall(data))


class Listener(Connection):
    """One stream. Counts its chunks by their mark, which occurs nowhere else in an answer."""

    def __init__(self, window: Window, ended: Callable[[], None]) -> None:
        self.window = window
        self.ended = ended
        self.sent_at = 0
        self.first_at = 0
        self.chunks = 0
        self.size = 0
        self.problem = ""
        self.tail = b""
        self.is_over = False

    def start(self, request: bytes) -> None:
        self.sent_at = monotonic_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        if not self.size and data[9:12] != b"200":
            self._end(data[:400].decode("latin-1"))
            return
        self.size += len(data)
        chunks = data.count(b"@")
        self.chunks += chunks
        if chunks and not self.first_at:
            self.first_at = now
        self.window.add(data, chunks, now)
        self.tail = data[-32:] if len(data) >= 32 else (self.tail + data)[-32:]
        if self.tail.endswith(END):
            self._end("" if b"data: [DONE]" in self.tail else "no [DONE]")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("connection lost")

    def _end(self, problem: str) -> None:
        if not self.is_over:
            self.is_over = True
            self.problem = problem
            self.transport.close()
            self.ended()


class Streams:
    """All streams at once; with a pause the age of their chunks is read."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.window = Window(ages=array("q") if job.ages else None)
        self.left = job.connections
        self.done = self.loop.create_future()

    async def run(self) -> dict:
        job = self.job
        open_one = _opener(job.port, lambda: Listener(self.window, self._ended))
        listeners = await _open_all(open_one, job.connections)
        request = job.request()
        start = monotonic_ns()
        self.window.start = start + int(job.warmup * 1e9)
        self.window.end = self.window.start + int(job.seconds * 1e9)
        for i, listener in enumerate(listeners):
            self.loop.call_later(job.warmup * i / job.connections, listener.start, request)
        await asyncio.wait_for(self.done, job.warmup + job.chunks * job.pause_ms / 1000 + GRACE)
        wall = (min(monotonic_ns(), self.window.end) - self.window.start) / 1e9
        return self._result(listeners, wall)

    def _ended(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)

    def _result(self, listeners: list[Listener], seconds: float) -> dict:
        chunks = sum(one.chunks for one in listeners)
        problems = [one.problem for one in listeners if one.problem]
        first = array("q", (one.first_at - one.sent_at for one in listeners if one.first_at))
        return {
            "per_second": round(self.window.chunks / seconds, 1),
            "measured": self.window.chunks,
            "seconds": round(seconds, 3),
            "chunks": chunks,
            "missing": self.job.connections * self.job.chunks - chunks,
            "bytes": sum(one.size for one in listeners),
            "admitted": sum(one.size > 0 for one in listeners),
            "failed": len(problems),
            "first_problem": problems[0] if problems else "",
            "first_chunk": micros(first),
            "age": micros(self.window.ages or array("q")),
        }


# ----------------------------------------------------------------------------- running


def _opener(port: int, protocol: Callable[[], Connection]) -> Callable[[], Awaitable]:
    loop = asyncio.get_running_loop()
    return lambda: loop.create_connection(protocol, "127.0.0.1", port)


async def _open_all(open_one: Callable[[], Awaitable], count: int) -> list:
    opened: list = []
    while len(opened) < count:
        batch = (open_one() for _ in range(min(OPENING, count - len(opened))))
        opened += [protocol for _, protocol in await asyncio.gather(*batch)]
    return opened


SHAPES = {"closed": ClosedLoop, "open": OpenLoop, "streams": Streams}


async def measure(job: Job) -> dict:
    return await SHAPES[job.shape](job).run()


class PatientSelector(selectors.EpollSelector):
    """Lets bytes gather before it looks: where only their number counts, few large reads do."""

    def select(self, timeout: float | None = None) -> list:
        sleep(PATIENCE)
        return super().select(timeout)


def new_selector(job: Job) -> selectors.BaseSelector:
    """A schedule needs select: epoll rounds its time-outs up to whole milliseconds."""
    if job.shape == "open":
        return selectors.SelectSelector()
    if job.shape == "streams" and not job.ages:
        return PatientSelector()
    return selectors.EpollSelector()


def main() -> None:
    job = Job(**orjson.loads(sys.stdin.read()))
    gc.disable()
    loop = asyncio.SelectorEventLoop(new_selector(job))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        print(orjson.dumps(runner.run(measure(job))).decode())


if __name__ == "__main__":
    main()
