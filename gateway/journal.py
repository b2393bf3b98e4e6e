"""The write-ahead journal: no admitted request is ever forgotten, not even by `kill -9`.

Every worker appends to files of its own: one line when a call is admitted, before the upstream
hears of it, and one when it settles. A line is the CRC32 of its JSON in eight hex digits, a space
and the JSON. A file is locked (flock) while its worker lives; files whose lock is free belonged to
a worker that died and are replayed by the next one. Storing a record is idempotent, so replaying a
file twice does no harm, and a file is deleted only when everything it speaks of is in the database.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from gateway.types import JSON

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
ADMITTED, SETTLED = "a", "s"


@dataclass(slots=True)
class Segment:
    """One file. `unstored` are the ids it speaks of that the database does not have yet."""

    path: Path
    descriptor: int
    size: int = 0
    unstored: set[str] = field(default_factory=set)


class Journal:
    """This worker's journal. Opens its first file when the first call is admitted."""

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._settled: list[JSON] = []
        self._open: set[str] = set()

    @property
    def open_count(self) -> int:
        """Calls admitted and not yet settled."""
        return len(self._open)

    @property
    def waiting_count(self) -> int:
        """Records settled and not yet in the database."""
        return len(self._settled)

    def admit(self, admission: JSON) -> None:
        """Note that a call starts. Raises `OSError` when the line can't be written."""
        self._append(ADMITTED, admission)
        self._open.add(admission["id"])

    def settle(self, record: JSON) -> None:
        """Note how a call ended and queue its record for the database."""
        try:
            self._append(SETTLED, record)
        finally:
            self._open.discard(record["id"])
            self._settled.append(record)

    def take(self, limit: int) -> list[JSON]:
        """The oldest settled records; call `stored` once the database has them."""
        return self._settled[:limit]

    def stored(self, records: list[JSON]) -> None:
        """Forget records that `take` gave; files that speak of nothing else are deleted."""
        del self._settled[: len(records)]
        ids = {record["id"] for record in records}
        for segment in self._segments:
            segment.unstored -= ids
        for segment in [s for s in self._segments[:-1] if not s.unstored]:
            self._delete(segment)

    def sync(self) -> None:
        """Ask the disk to keep what was written (power loss; a killed process needs none)."""
        if self._segments:
            os.fdatasync(self._segments[-1].descriptor)

    def close(self) -> None:
        """Release the files; those that still matter stay for the next worker to replay."""
        for segment in list(self._segments):
            if segment.unstored:
                os.close(segment.descriptor)
            else:
                self._delete(segment)
        self._segments = []

    def _append(self, kind: str, entry: JSON) -> None:
        segment = self._current()
        payload = orjson.dumps([kind, entry])
        line = b"%08x %b\n" % (zlib.crc32(payload), payload)
        written = os.write(segment.descriptor, line)
        if written != len(line):
            # A torn piece would swallow the line after it: take it back before anything follows.
            os.ftruncate(segment.descriptor, segment.size)
            raise OSError(f"the journal took {written} of {len(line)} bytes")
        segment.size += written
        segment.unstored.add(entry["id"])

    def _current(self) -> Segment:
        if self._segments and self._segments[-1].size < self._segment_bytes:
            return self._segments[-1]
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{os.getpid()}-{time.time_ns()}.journal"
        draft = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        # Locked before it has its name, so that no other process takes it for a dead one's.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
        self._segments.append(Segment(path, descriptor))
        return self._segments[-1]

    def _delete(self, segment: Segment) -> None:
        self._segments.remove(segment)
        segment.path.unlink(missing_ok=True)
        os.close(segment.descriptor)


# ----------------------------------------------------------------------------- after a crash


@dataclass(slots=True)
class Remains:
    """What a dead worker left: how calls ended, and calls that never did."""

    paths: list[Path] = field(default_factory=list)
    settled: dict[str, JSON] = field(default_factory=dict)
    unsettled: dict[str, JSON] = field(default_factory=dict)
    descriptors: list[int] = field(default_factory=list)

    def discard(self) -> None:
        """Delete the files; only after their records are stored."""
        for path in self.paths:
            path.unlink(missing_ok=True)
        for descriptor in self.descriptors:
            os.close(descriptor)


def remains_of_the_dead(directory: Path) -> Remains:
    """Lock and read the journals of workers that are gone."""
    remains = Remains()
    for path in sorted(directory.glob("*.journal")):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        remains.paths.append(path)
        remains.descriptors.append(descriptor)
    _gather(remains.paths, remains)
    return remains


def count_open(directory: Path) -> int:
    """Calls that any journal here knows as admitted and not settled; reads only."""
    found = Remains()
    _gather(sorted(directory.glob("*.journal")), found)
    return len(found.unsettled)


def _gather(paths: Iterable[Path], into: Remains) -> None:
    for path in paths:
        for kind, entry in _lines(path):
            if kind == SETTLED:
                into.settled[entry["id"]] = entry
            else:
                into.unsettled[entry["id"]] = entry
    for id_ in into.settled:
        into.unsettled.pop(id_, None)


def _lines(path: Path) -> Iterator[tuple[str, JSON]]:
    """The intact lines. A torn last line is what a crash leaves; any other is reported."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        checksum, _, payload = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(payload):
            kind, entry = orjson.loads(payload)
            yield kind, entry
        elif number < len(lines):
            log.error("journal line damaged", extra={"file": path.name, "line": number})
