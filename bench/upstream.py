"""The provider that the benchmark calls, as quick as one core allows.

It speaks OpenAI's format, and streams in Anthropic's and Gemini's as well.

Run with `python -m bench.upstream NAME...`: it listens on one loopback port per name, so that the
requests of each target are counted apart, and prints one JSON line `{NAME: port}`. The request body
alone chooses the answer:

- no `stream`: a short completion of about 600 bytes with usage;
- `"stream": true`: `max_tokens` chunks, `seed` whole milliseconds apart. With 0 a chunk goes out
  whenever the socket takes one. Each chunk is a write of its own. The other two formats are never
  paced: Anthropic's knows no `seed`.

A chunk's content is `@<number, 5 digits>:<CLOCK_MONOTONIC in ns, 19 digits>;`: the clock is the
same in every process, so the client sees how old a chunk is. `GET /stats` tells what was received.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns

import orjson

from bench.connection import Connection

MAX_BODY = 1 << 20
MAX_CHUNKS = 99_999
MAX_PAUSE_MS = 1000
TICK = 0.001  # seconds
BURST = 16
LIFETIME = 900  # seconds: nobody is left behind should the benchmark die

COMPLETION = {
    "id": "chatcmpl-BenchBenchBenchBenchBenchBench",
    "object": "chat.completion",
    "created": 1763800000,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of France is Paris, on the Seine.",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 24,
        "completion_tokens": 10,
        "total_tokens": 34,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_a288987b44",
}
CHUNK = {
    "id": "chatcmpl-BenchBenchBenchBenchBenchBench",
    "object": "chat.completion.chunk",
    "created": 1763800000,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "system_fingerprint": "fp_a288987b44",
}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"


def _answer(status: bytes, value: object) -> bytes:
    body = orjson.dumps(value)
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _frame(event: bytes, name: bytes = b"", end: bytes = b"\n\n") -> bytes:
    """One server-sent event as one chunk of the transfer coding."""
    line = (b"event: %b\n" % name if name else b"") + b"data: " + event + end
    return b"%x\r\n%b\r\n" % (len(line), line)


def _delta(delta: dict, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _frame(orjson.dumps({**CHUNK, "choices": [choice], "usage": None}))


def _usage(chunks: int) -> bytes:
    usage = {"prompt_tokens": 24, "completion_tokens": chunks, "total_tokens": 24 + chunks}
    return _frame(orjson.dumps({**CHUNK, "choices": [], "usage": usage}))


SAMPLE = "@00000:0000000000000000000;"


def _template(frame: bytes) -> bytes:
    """A frame with room for number and time. Both have a fixed width, so its length is known."""
    return frame.replace(SAMPLE.encode(), b"@%05d:%019d;")


@dataclass(frozen=True)
class Wire:
    """How a format streams: what opens it, a content frame with room, and what ends it."""

    first: bytes
    content: bytes
    last: Callable[[int], bytes]


def _named(name: str, **fields: object) -> bytes:
    return _frame(orjson.dumps({"type": name, **fields}), name.encode())


def _anthropic() -> Wire:
    usage = {"input_tokens": 24, "output_tokens": 1}
    message = {
        "id": "msg_01BenchBenchBenchBenchBench",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": SAMPLE}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}

    def last(chunks: int) -> bytes:
        stop = _named("content_block_stop", index=0)
        stop += _named("message_delta", delta=ended, usage={"output_tokens": chunks})
        return stop + _named("message_stop")

    first = _named("message_start", message=message)
    first += _named("content_block_start", index=0, content_block=block)
    return Wire(first, _template(_named("content_block_delta", index=0, delta=delta)), last)


def _gemini() -> Wire:
    def event(text: str, chunks: int, **more: object) -> bytes:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}
        usage = {"promptTokenCount": 24, "candidatesTokenCount": chunks}
        usage["totalTokenCount"] = 24 + chunks
        answer = {"candidates": [candidate], "usageMetadata": usage}
        answer |= {"modelVersion": "gemini-2.5-flash", "responseId": "BenchBenchBench"}
        return _frame(orjson.dumps(answer), end=b"\r\n\r\n")

    def last(chunks: int) -> bytes:
        return event("", chunks, finishReason="STOP")

    return Wire(b"", _template(event(SAMPLE, 7)), last)


def _openai() -> Wire:
    first = _delta({"role": "assistant", "content": ""})

    def last(chunks: int) -> bytes:
        return _delta({}, "stop") + _usage(chunks) + _frame(b"[DONE]")

    return Wire(first, _template(_delta({"content": SAMPLE})), last)


SHORT = _answer(b"200 OK", COMPLETION)
UNKNOWN = _answer(b"404 Not Found", {"error": {"message": "unknown", "type": "not_found_error"}})
OPENAI, ANTHROPIC, GEMINI = _openai(), _anthropic(), _gemini()


@dataclass(slots=True)
class Counter:
    """What arrived on one port."""

    requests: int = 0
    open_streams: int = 0
    broken_streams: int = 0


class Pacer:
    """Sends the chunks of all streams: a ring of 1 ms slots for the paced, a list for the rest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.slots: list[list[Stream]] = [[] for _ in range(MAX_PAUSE_MS + 1)]
        self.tick = 0
        self.origin = loop.time()
        self.unpaced: list[Stream] = []
        loop.call_later(TICK, self._run_slots)

    def add(self, stream: Stream) -> None:
        if stream.pause:
            self._slot(self.tick + 1).append(stream)
        else:
            self.unpaced.append(stream)
            if len(self.unpaced) == 1:
                self.loop.call_soon(self._run_unpaced)

    def _slot(self, tick: int) -> list[Stream]:
        return self.slots[tick % len(self.slots)]

    def _run_slots(self) -> None:
        due = int((self.loop.time() - self.origin) / TICK)
        while self.tick < due:
            self.tick += 1
            now = self.tick % len(self.slots)
            streams, self.slots[now] = self.slots[now], []
            for stream in streams:
                if stream.send(1):
                    self._slot(self.tick + stream.pause).append(stream)
        self.loop.call_at(self.origin + (self.tick + 1) * TICK, self._run_slots)

    def _run_unpaced(self) -> None:
        """Some chunks for each stream whose socket takes them, then a turn of the loop."""
        self.unpaced = [stream for stream in self.unpaced if stream.send(BURST)]
        if self.unpaced:
            self.loop.call_soon(self._run_unpaced)


class Stream:
    """An answer on its way: `chunks` content chunks, `pause` ms apart."""

    __slots__ = ("chunks", "counter", "file", "is_blocked", "number", "pause", "transport", "wire")

    def __init__(
        self, transport: asyncio.Transport, counter: Counter, wire: Wire, chunks: int, pause: int
    ) -> None:
        self.transport = transport
        self.wire = wire
        self.file = transport.get_extra_info("socket").fileno()
        self.counter = counter
        self.chunks = min(chunks or 16, MAX_CHUNKS)
        self.pause = min(pause, MAX_PAUSE_MS)
        self.number = 0
        self.is_blocked = False
        counter.open_streams += 1
        transport.write(STREAM_HEAD + wire.first)

    def send(self, count: int) -> bool:
        """Write up to `count` chunks, each by itself. False once nothing is left to come."""
        for number in range(self.number, min(self.number + count, self.chunks)):
            if self.is_blocked:
                break
            self.number = number + 1
            self._write(self.wire.content % (number, monotonic_ns()))
        if self.transport.is_closing():
            self.counter.broken_streams += 1
        elif self.is_blocked or self.number < self.chunks:
            return True
        else:
            self.transport.write(self.wire.last(self.chunks) + STREAM_END)
        self.counter.open_streams -= 1
        return False

    def _write(self, frame: bytes) -> None:
        """Straight to the socket, at half the price; the transport gets what is left over."""
        try:
            written = os.write(self.file, frame)
        except BlockingIOError:
            written = 0
        except OSError:
            self.is_blocked = True
            self.transport.abort()
            return
        if written < len(frame):
            self.transport.write(frame[written:])


class Provider(Connection):
    """One keep-alive connection. Requests are not pipelined, as HTTP clients don't."""

    def __init__(self, counters: dict[str, Counter], name: str, pacer: Pacer) -> None:
        self.counters = counters
        self.counter = counters[name]
        self.pacer = pacer
        self.buffer = b""
        self.stream: Stream | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)

    def connection_lost(self, exc: Exception | None) -> None:
        self.pause_writing()  # a blocked stream looks whether its connection is still there

    def pause_writing(self) -> None:
        if self.stream:
            self.stream.is_blocked = True

    def resume_writing(self) -> None:
        if self.stream:
            self.stream.is_blocked = False

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        size = _content_length(data[:end]) if end >= 0 else 0
        if end < 0 or len(data) < end + 4 + size:
            self.buffer = data
            if len(data) > MAX_BODY:
                self.transport.abort()
            return
        self.buffer = b""
        self._respond(data, data[end + 4 :])

    def _respond(self, request: bytes, body: bytes) -> None:
        if request.startswith(b"GET /stats "):
            self.transport.write(_answer(b"200 OK", self.counters))
            return
        respond = next((way for start, way in WAYS if request.startswith(start)), None)
        if respond is None:
            self.transport.write(UNKNOWN)
            return
        self.counter.requests += 1
        respond(self, orjson.loads(body))

    def complete(self, request: dict) -> None:
        if request.get("stream"):
            chunks = int(request.get("max_tokens") or request.get("max_completion_tokens") or 0)
            self._stream(OPENAI, chunks, int(request.get("seed") or 0))
        else:
            self.transport.write(SHORT)

    def message(self, request: dict) -> None:
        self._stream(ANTHROPIC, int(request["max_tokens"]))

    def generate(self, request: dict) -> None:
        self._stream(GEMINI, int(request["generationConfig"]["maxOutputTokens"]))

    def _stream(self, wire: Wire, chunks: int, pause: int = 0) -> None:
        self.stream = Stream(self.transport, self.counter, wire, chunks, pause)
        self.pacer.add(self.stream)


WAYS: list[tuple[bytes, Callable[[Provider, dict], None]]] = [
    (b"POST /v1/chat/completions ", Provider.complete),
    (b"POST /v1/messages ", Provider.message),
    (b"POST /v1beta/models/gemini-2.5-flash:streamGenerateContent", Provider.generate),
]


def _content_length(head: bytes) -> int:
    """The length of the body in bytes; 0 when the head has none."""
    found = head.lower().partition(b"\r\ncontent-length:")[2]
    return int(found.partition(b"\r\n")[0]) if found else 0


async def serve(names: list[str]) -> None:
    """Listen on a free loopback port per name until the process is ended."""
    loop = asyncio.get_running_loop()
    counters = {name: Counter() for name in names}
    pacer = Pacer(loop)
    ports = {}
    for name in names:
        protocol = partial(Provider, counters, name, pacer)
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=2048)
        ports[name] = server.sockets[0].getsockname()[1]
    print(orjson.dumps(ports).decode(), flush=True)
    await asyncio.sleep(LIFETIME)


if __name__ == "__main__":
    gc.disable()  # nothing here is cyclic for long, and a collection would look like a slow proxy
    asyncio.run(serve(sys.argv[1:]))
