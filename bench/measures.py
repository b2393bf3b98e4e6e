"""The six measures: which load, on which targets, how long."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from math import ceil

from bench.load import GRACE, Job
from bench.processes import BenchError, Children, Cores, Watch, stop
from bench.targets import BARE, CLAUDE, DIRECT, GEMINI, LOCAL, OURS, Stand, Target

LUA = os.path.join(os.path.dirname(__file__), "wrk.lua")
PROXIES = (BARE, OURS)
PAUSE_MS = 40
UNPACED_SECONDS = 4.0  # what unpaced streams take here, which end when they are through
START_SECONDS = 0.7  # of a load


@dataclass(frozen=True)
class Measure:
    """A load and how it is repeated. `direct_rounds`: in how many rounds the upstream is measured
    by itself, which shows the ceiling of upstream and load."""

    name: str
    job: Job
    rounds: int
    direct_rounds: int
    targets: tuple[str, ...] = PROXIES

    def order(self, number: int) -> list[str]:
        """The targets of round `number`: they alternate, and take turns in going first."""
        proxies = self.targets if number % 2 == 0 else self.targets[::-1]
        return [*([DIRECT] if number < self.direct_rounds else []), *proxies]

    def seconds(self, number: int) -> float:
        """About how long round `number` takes."""
        job = self.job
        each = job.warmup + min(job.seconds, UNPACED_SECONDS) + START_SECONDS
        return each * len(self.order(number))


def _job(shape: str, **values: float | bool) -> Job:
    return Job(shape=shape, port=0, path="", **values)


def _paced(streams: int, pause_ms: int, warmup: float, seconds: float, *, ages: bool) -> Job:
    """Streams that start during the warm-up and go on until the last measured second."""
    chunks = int((warmup + seconds) * 1000 / pause_ms)
    return _job(
        "streams",
        connections=streams,
        pause_ms=pause_ms,
        warmup=warmup,
        seconds=seconds,
        chunks=chunks,
        ages=ages,
    )


def measures(*, is_quick: bool) -> list[Measure]:
    """What is run: three rounds in under three minutes, or one in under 40 seconds."""
    if is_quick:
        return _plan(rounds=1, direct_rounds=0, seconds=1.0, chunks=60)
    return _plan(rounds=3, direct_rounds=1, seconds=2.5, chunks=120)


def _plan(*, rounds: int, direct_rounds: int, seconds: float, chunks: int) -> list[Measure]:
    closed = _job("closed", connections=50, seconds=ceil(seconds))  # wrk takes whole seconds
    open_loop = _job("open", rate=100, seconds=seconds + 0.5, warmup=0.3)
    paced = _paced(500, PAUSE_MS, 0.8, seconds, ages=False)
    age = _paced(100, 20, 0.5, seconds, ages=True)
    return [
        Measure("requests", closed, rounds, rounds),
        Measure("streams", _job("streams", connections=500, seconds=30, chunks=chunks), rounds, 1),
        Measure(
            "translated",
            _job("streams", connections=500, seconds=30, chunks=chunks),
            rounds,
            0,
            (OURS, CLAUDE, GEMINI, LOCAL),
        ),
        Measure("paced", paced, min(rounds, 2), direct_rounds),
        Measure("age", age, rounds, direct_rounds),
        Measure("latency", open_loop, rounds, rounds),
    ]


@dataclass(frozen=True)
class Runner:
    """Runs one load at a time against the stand."""

    children: Children
    cores: Cores
    stand: Stand

    def run(self, measure: Measure, name: str) -> dict:
        """The results of one load on one target, with what it cost the worker."""
        target = self.stand.targets[name]
        job = replace(
            measure.job, port=target.port, path=target.path, key=target.key, model=target.model
        )
        watch = Watch(target.worker, self.cores)
        if job.shape == "closed" and shutil.which("wrk"):
            result = self._run_wrk(job, watch)
        else:
            result = self.run_load(job, watch)
        self.stand.upstream.wait_idle()
        return result

    def run_load(self, job: Job, watch: Watch) -> dict:
        command = [sys.executable, "-m", "bench.load"]
        seconds = job.warmup + job.seconds + job.chunks * job.pause_ms / 1000
        text = self._output(command, dict(os.environ), json.dumps(asdict(job)), seconds, watch)
        result = json.loads(text.splitlines()[-1])
        return result | watch.result()

    def _run_wrk(self, job: Job, watch: Watch) -> dict:
        """wrk breaks off what is under way at its end: those requests it doesn't count."""
        env = {**os.environ, "BENCH_BODY": job.body().decode(), "BENCH_KEY": job.key}
        url = f"http://127.0.0.1:{job.port}{job.path}"
        command = ["wrk", "-t1", f"-c{job.connections}", f"-d{round(job.seconds)}s", "-s", LUA, url]
        text = self._output(command, env, "", job.seconds, watch)
        return _wrk_result(json.loads(text.splitlines()[-1]), job) | watch.result()

    def _output(
        self, command: list[str], env: dict[str, str], text: str, seconds: float, watch: Watch
    ) -> str:
        """The standard output of a load that should take `seconds`."""
        process = self.children.start(
            command,
            self.cores.load,
            env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        process.stdin.write(text)
        process.stdin.close()
        end = time.monotonic() + seconds + GRACE + 10
        while process.poll() is None and time.monotonic() < end:
            watch.look()
            time.sleep(0.05)
        stop(process)
        if process.returncode:
            raise BenchError(f"the load failed:\n{process.stdout.read()[-2000:]}")
        return process.stdout.read()


def _wrk_result(seen: dict, job: Job) -> dict:
    """What wrk.lua printed, in the words of `bench.load`."""
    refused = seen["status"]
    return {
        "generator": "wrk",
        "per_second": round((seen["requests"] - refused) / seen["seconds"], 1),
        "measured": seen["requests"],
        "admitted": seen["requests"] - refused,
        "cut_off": job.connections,
        "failed": refused + seen["broken"],
        "first_problem": "see the status of the answers" if refused else "",
        "latency": {name: seen[name] for name in ("p50", "p95", "p99")},
    }


def warm_up(runner: Runner, target: Target) -> None:
    """A second of requests that nobody measures: pools fill, caches load, code specialises."""
    job = _job("closed", connections=50, seconds=1)
    job = replace(job, port=target.port, path=target.path, key=target.key)
    result = runner.run_load(job, Watch(target.worker, runner.cores))
    if result["failed"]:
        raise BenchError(f"{target.name} refuses requests: {result['first_problem']}")
