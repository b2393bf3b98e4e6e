"""What is measured: the upstream itself, the bare proxy, and Switchyard, each a running server."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from bench.processes import (
    BIN,
    ROOT,
    BenchError,
    Children,
    Cores,
    children_of,
    free_port,
    wait_until,
)
from config import Config

START_SECONDS = 20.0
COMMAND_SECONDS = 60.0
AUDIT_SECONDS = 25.0
EMAIL = "bench@example.com"
LOCAL_LINE = 'bench-local = { capabilities = "tools" }'
DIRECT, BARE, OURS = "direct", "bare", "switchyard"
CLAUDE, GEMINI, LOCAL = "claude", "gemini", "local"
TRANSLATED = {CLAUDE: "claude-sonnet-4-6", GEMINI: "gemini-2.5-flash", LOCAL: "bench-local"}
"""Models of ours whose answers are read and written anew, for an OpenAI client."""
# What gunicorn.conf.py says and a bare proxy can share.
BARE_SETTINGS = [
    "--config=/dev/null",
    "--worker-class=gevent",
    "--workers=1",
    "--worker-connections=1000",
    "--keep-alive=5",
    "--no-control-socket",
    "--worker-tmp-dir=/dev/shm",
    "--log-level=warning",
]


@dataclass(frozen=True)
class Target:
    """Where to send the load; `worker` is the pid whose CPU and memory count."""

    name: str
    port: int
    path: str
    key: str = "sk-bench"
    worker: int | None = None
    model: str = "gpt-4o"


class Upstream:
    """The upstream's process: one port per target, so that it counts them apart."""

    def __init__(self, children: Children, cores: Cores) -> None:
        command = [sys.executable, "-m", "bench.upstream", DIRECT, BARE, OURS]
        process = children.start(command, cores.upstream, stdout=subprocess.PIPE)
        self.ports: dict[str, int] = json.loads(process.stdout.readline() or "{}")
        if not self.ports:
            raise BenchError("the upstream did not start")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def stats(self) -> dict[str, dict[str, int]]:
        return json.loads(_get(self.ports[DIRECT], "/stats")[1])

    def wait_idle(self) -> None:
        """Until no stream is open and nothing new arrives: the last load is over."""
        before = None
        for _ in range(100):
            now = self.stats()
            if now == before and not any(one["open_streams"] for one in now.values()):
                return
            before = now
            time.sleep(0.1)
        raise BenchError("streams of the last load are still open after 10 s")


@dataclass(frozen=True)
class Stand:
    """Everything that runs; `env` is Switchyard's environment, for its commands."""

    upstream: Upstream
    targets: dict[str, Target]
    env: Mapping[str, str]


def start_all(children: Children, cores: Cores, directory: Path) -> Stand:
    """Start upstream, bare proxy and Switchyard, and wait until they answer."""
    upstream = Upstream(children, cores)
    direct = Target(DIRECT, upstream.ports[DIRECT], "/v1/chat/completions")
    bare = _start_bare(children, cores, upstream, directory)
    port = free_port()
    env = _environment(directory, port, upstream.url(OURS))
    ours = _start_switchyard(children, cores, env, directory)
    others = [replace(ours, name=name, model=model) for name, model in TRANSLATED.items()]
    return Stand(upstream, {one.name: one for one in (direct, bare, ours, *others)}, env)


def _start_bare(children: Children, cores: Cores, upstream: Upstream, directory: Path) -> Target:
    port = free_port()
    env = {**os.environ, "UPSTREAM": upstream.url(BARE)}
    command = [str(BIN / "gunicorn"), *BARE_SETTINGS, f"--bind=127.0.0.1:{port}", "bench.bare:app"]
    worker = _serve(children, cores, command, env, port, directory / "bare.log")
    return Target(BARE, port, "/api/v1/chat/completions", worker=worker)


def _start_switchyard(
    children: Children, cores: Cores, env: Mapping[str, str], directory: Path
) -> Target:
    flask(env, "db", "upgrade")
    password = secrets.token_urlsafe(16)
    flask(env, "user", "create", EMAIL, "--password", password, "--plan", "enterprise")
    key = flask(env, "key", "create", EMAIL, "--mode", "live").split()[-1]
    port = int(env["PORT"])
    command = [str(BIN / "gunicorn"), "wsgi:app"]
    worker = _serve(children, cores, command, env, port, directory / "switchyard.log")
    return Target(OURS, port, "/api/v1/chat/completions", key, worker)


def _environment(directory: Path, port: int, upstream: str) -> dict[str, str]:
    """One worker, SQLite in `directory`, and nothing from a developer's own settings or `.env`."""
    defaults = {field.name.upper(): str(field.default) for field in fields(Config)}
    return {
        **os.environ,
        **defaults,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(directory / "data"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "ANTHROPIC_API_KEY": "sk-bench",
        "ANTHROPIC_BASE_URL": upstream,
        "GEMINI_API_KEY": "sk-bench",
        "GEMINI_BASE_URL": upstream,
        "LOCAL_BASE_URL": f"{upstream}/v1",
        "CATALOG": str(_local_model(directory)),
    }


def _local_model(directory: Path) -> Path:
    """A catalog file with a model of the local server, which lists none."""
    path = directory / "catalog.toml"
    path.write_text(f"[local]\n{LOCAL_LINE}\n")
    return path


def flask(env: Mapping[str, str], *words: str) -> str:
    """Run one of the platform's commands; its standard output."""
    done = subprocess.run(
        [str(BIN / "flask"), *words],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        timeout=COMMAND_SECONDS,
    )
    if done.returncode:
        raise BenchError(f"flask {' '.join(words[:2])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def audit(env: Mapping[str, str], expected: int) -> dict[str, int]:
    """`flask usage audit`, asked until it names `expected` settled records or time is up."""
    end = time.monotonic() + AUDIT_SECONDS
    while True:
        counts = json.loads(flask(env, "usage", "audit").splitlines()[-1])
        is_settled = counts["records"] >= expected and not counts["open"]
        if is_settled or time.monotonic() > end:
            return counts
        time.sleep(0.5)


def _serve(
    children: Children,
    cores: Cores,
    command: list[str],
    env: Mapping[str, str],
    port: int,
    log: Path,
) -> int:
    """Start a gunicorn, its output to `log`; the pid of its worker once it answers."""
    with log.open("w") as output:
        process = children.start(
            command, cores.server, env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _answers(port, process), START_SECONDS, f"the start of {command[-1]}")
    except BenchError as error:
        raise BenchError(f"{error}:\n{_last_lines(log)}") from None
    return children_of(process.pid)[0]


def _answers(port: int, process: subprocess.Popen) -> bool:
    if process.poll() is not None:
        raise BenchError(f"it ended with exit code {process.returncode}")
    try:
        return bool(_get(port, "/healthz")[0])
    except OSError:
        return False


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-20:])


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
