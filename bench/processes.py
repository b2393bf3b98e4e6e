"""Child processes, each pinned to a core, and what the kernel says about them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """The benchmark cannot go on. The message says why."""


@dataclass(frozen=True)
class Cores:
    """Who runs where. With two cores upstream and load share one, with one they all do."""

    server: int
    upstream: int
    load: int

    @classmethod
    def choose(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[min(1, len(cores) - 1)], cores[min(2, len(cores) - 1)])


class Children:
    """Every process that the benchmark started. Leaving the block ends them all, by pid."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in reversed(self.processes):
            stop(process)

    def start(
        self, command: list[str], core: int, env: Mapping[str, str] | None = None, **streams: object
    ) -> subprocess.Popen:
        """Start `command` in the repository, pinned to `core`, in a session of its own."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: _settle_in(core),
            **streams,
        )
        self.processes.append(process)
        return process


def _settle_in(core: int) -> None:
    """Runs in the child: keep to the core, and end when the benchmark is killed."""
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(process: subprocess.Popen) -> None:
    """End a child: politely, then not. Its own children go with it."""
    if process.poll() is not None:
        return
    workers = children_of(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in (process.pid, *workers):
            _kill(pid)
        process.wait(STOP_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(is_true: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `is_true()`; BenchError naming `what` when it takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise BenchError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.05)


# ----------------------------------------------------------------------------- /proc


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]
    except FileNotFoundError:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    line = next(x for x in _read(f"/proc/{pid}/status").splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


@dataclass(frozen=True)
class CoreTimes:
    """Seconds that a core has spent: in processes, idle, and taken by the hypervisor."""

    processes: float
    idle: float
    stolen: float

    @classmethod
    def read(cls, core: int) -> CoreTimes:
        line = next(x for x in _read("/proc/stat").splitlines() if x.startswith(f"cpu{core} "))
        user, nice, system, idle, iowait, _, _, steal = (int(x) / TICKS for x in line.split()[1:9])
        return cls(user + nice + system, idle + iowait, steal)


def _read(path: str) -> str:
    return Path(path).read_text()


class Watch:
    """Looks at a server's worker and at the cores while a load runs."""

    def __init__(self, worker: int | None, cores: Cores) -> None:
        self.worker = worker
        self.cores = cores
        self.rss = 0.0
        self.started = time.monotonic()
        self.cpu = cpu_seconds(worker) if worker else 0.0
        self.server_core = CoreTimes.read(cores.server)
        self.load_core = CoreTimes.read(cores.load)

    def look(self) -> None:
        if self.worker:
            self.rss = max(self.rss, rss_mb(self.worker))

    def result(self) -> dict[str, float]:
        """CPU seconds and peak memory of the worker, and how quiet the machine was (parts of 1)."""
        wall = time.monotonic() - self.started
        cpu = cpu_seconds(self.worker) - self.cpu if self.worker else 0.0
        server, load = CoreTimes.read(self.cores.server), CoreTimes.read(self.cores.load)
        others = server.processes - self.server_core.processes - cpu
        return {
            "cpu_seconds": round(cpu, 3),
            "rss_mb": round(self.rss, 1),
            "others": round(max(others, 0.0) / wall, 3),
            "stolen": round((server.stolen - self.server_core.stolen) / wall, 3),
            "load_core_idle": round((load.idle - self.load_core.idle) / wall, 3),
        }
