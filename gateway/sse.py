"""Server-sent events: bytes to frames and back. Written once, used by all.

Lines end at CR, LF or CRLF and nothing else (a JSON string may hold U+2028, which `splitlines`
would cut at). https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MAX_FRAME = 16 * 1024 * 1024
"""Bytes of one unfinished frame that are kept before the stream counts as broken."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


class FrameTooLarge(Exception):
    """An upstream sent more than `MAX_FRAME` bytes without ending the event."""


class FrameSplitter:
    """Cuts a byte stream at the ends of events: `feed` returns whole events only.

    The bytes come back as they were, except that CRLF and CR line ends become LF. What is not yet
    complete is kept in `tail`.
    """

    __slots__ = ("tail", "_skip_lf")

    def __init__(self) -> None:
        self.tail = b""
        self._skip_lf = False

    def feed(self, data: bytes) -> bytes:
        """All complete events in what came so far, as one bytes object, possibly empty."""
        if b"\r" in data or self._skip_lf:
            data = self._unify(data)
        if self.tail:
            data = self.tail + data
        end = data.rfind(b"\n\n")
        cut = end + 2 if end >= 0 else 0
        if cut == len(data):
            self.tail = b""
            return data
        self.tail = data[cut:]
        if len(self.tail) > MAX_FRAME:
            raise FrameTooLarge
        return data[:cut]

    def _unify(self, data: bytes) -> bytes:
        """LF for CRLF and CR, also where a read ended between the two."""
        if self._skip_lf and data.startswith(b"\n"):
            data = data[1:]
        self._skip_lf = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def frames(events: bytes) -> list[bytes]:
    """Single events of what `FrameSplitter.feed` returned, each with its final blank line."""
    return [frame + b"\n\n" for frame in events.split(b"\n\n") if frame.strip(b"\n")]


def data_of(frame: bytes) -> bytes | None:
    """The joined `data` lines of an event, None for comments and empty ones."""
    if frame.startswith(b"data: ") and b"\n" not in frame:
        return frame[6:] or None  # nearly every event is one line
    lines = [
        line[6:] if line.startswith(b"data: ") else line[5:]
        for line in frame.split(b"\n")
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) or None


def read_data(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of every event of a stream; an unterminated last event counts as one.

    An empty chunk is a moment of silence and comes out as empty data.
    """
    return (data for data in read_bursts(chunks) if data is not None)


def read_bursts(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """`read_data`, with a None wherever all events of what arrived together have been told."""
    splitter = FrameSplitter()
    chunks = without_mark(chunks)
    for chunk in chunks:
        if not chunk:
            yield b""
            continue
        events = splitter.feed(chunk)
        if events:
            for frame in events.split(b"\n\n"):
                data = data_of(frame)
                if data is not None:
                    yield data
            yield None
    data = data_of(splitter.tail)
    if data is not None:
        yield data


def without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks without a leading byte order mark, however it was cut."""
    rest = iter(chunks)
    start = b""
    for chunk in rest:
        if not chunk:
            yield b""
            continue
        start += chunk
        if len(start) >= len(BYTE_ORDER_MARK) or not BYTE_ORDER_MARK.startswith(start):
            break
    if start:
        yield start.removeprefix(BYTE_ORDER_MARK)
    yield from rest


LINE_ENDERS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def on_one_line(data: bytes) -> bytes:
    """JSON whose strings hold none of the characters that line iterators of clients cut at."""
    for raw, escaped in LINE_ENDERS:
        if raw in data:
            data = data.replace(raw, escaped)
    return data


def event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"
