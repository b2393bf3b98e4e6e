"""Fixtures: the real server under gunicorn and gevent, a strict fake upstream, and the app itself.

Everything listens on loopback, is started and stopped by process id, and is waited for by polling
with a deadline. The application is imported only by the fixtures that need it in this process.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT))

from tests.fakes.anthropic import ANTHROPIC_KEY  # noqa: E402
from tests.fakes.gemini import GEMINI_KEY  # noqa: E402
from tests.fakes.openai import DEEPSEEK_KEY, LOCAL_KEY, OPENAI_KEY  # noqa: E402

CANARIES = (OPENAI_KEY, DEEPSEEK_KEY, LOCAL_KEY, ANTHROPIC_KEY, GEMINI_KEY)
START_SECONDS = 30
STOP_SECONDS = 20


# ----------------------------------------------------------------------------- small things


FULL_SIZE = bool(os.environ.get("PROVE"))
"""`make prove`: the same tests with ten times the generated bodies and twenty rounds of kill -9."""


def poll(check: Callable[[], Any], seconds: float = 5, what: str = "") -> Any:
    """Call `check` until it returns something true; fail with `what` when time runs out."""
    deadline = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what or check}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _can_connect(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


SERVICES: dict[str, tuple[Callable[[], Any], str]] = {
    "node": (lambda: shutil.which("node") and shutil.which("npm"), "node and npm"),
    "node_modules": (
        lambda: (TESTS / "node" / "node_modules" / "@google" / "genai").is_dir(),
        "`npm ci` in tests/node",
    ),
    "openai1": (
        lambda: (ROOT / ".venv-openai1" / "bin" / "python").exists(),
        "tests/requirements-openai1.txt installed in .venv-openai1",
    ),
    "genai1": (
        lambda: (ROOT / ".venv-genai1" / "bin" / "python").exists(),
        "tests/requirements-genai1.txt installed in .venv-genai1",
    ),
    "chromium": (
        lambda: shutil.which("chromium") and importlib.util.find_spec("playwright"),
        "chromium and playwright",
    ),
    "postgres": (lambda: _can_connect(5432), "PostgreSQL on 127.0.0.1:5432"),
    "redis": (lambda: _can_connect(6379), "Redis on 127.0.0.1:6379"),
    "curl": (lambda: shutil.which("curl"), "curl"),
}


def require(service: str) -> None:
    """Skip without what a test needs; in CI, where everything must be there, fail."""
    is_there, name = SERVICES[service]
    if is_there():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {name}")
    pytest.skip(f"needs {name}")


def new_tag() -> str:
    """A word that lets the fake upstream find this test's requests again."""
    return "t" + uuid.uuid4().hex[:12]


# ----------------------------------------------------------------------------- processes


@dataclass
class Process:
    """A child with its output in a file; stopped by its id, and checked to have gone."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM and wait; SIGKILL and an error when that is not enough. Returns the exit code."""
        if self.popen.poll() is None:
            os.kill(self.popen.pid, signal.SIGTERM)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(self.popen.pid, signal.SIGKILL)
            self.popen.wait(5)
            raise AssertionError(
                f"did not exit within {seconds} s of SIGTERM:\n{self.output[-3000:]}"
            ) from None


def start(command: list[str], log: Path, env: dict[str, str]) -> Process:
    with log.open("wb") as file:
        popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    return Process(popen, log)


# ----------------------------------------------------------------------------- the fake upstream


@dataclass
class FakeUpstream:
    """The strict upstreams in a process of their own; `url` is OpenAI's and ends in /v1."""

    port: int
    process: Process
    http: requests.Session = field(default_factory=requests.Session)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root_url}/v1"

    def _control(self, name: str, tag: str | None) -> list[dict[str, Any]]:
        answer = self.http.get(
            f"http://127.0.0.1:{self.port}/__{name}", params={"tag": tag} if tag else {}, timeout=10
        )
        return answer.json()

    def requests(self, tag: str | None = None) -> list[dict[str, Any]]:
        """The requests that arrived, oldest first; `sent` (bytes) is what was answered."""
        rows = self._control("requests", tag)
        for row in rows:
            row["sent"] = base64.b64decode(row.get("sent", ""))
        return rows

    def closed(self, tag: str | None = None) -> list[dict[str, Any]]:
        """The connections that we closed before their answer was complete."""
        return self._control("closed", tag)

    def reset(self) -> None:
        self.http.post(f"http://127.0.0.1:{self.port}/__reset", timeout=10)


@pytest.fixture(scope="session")
def fake_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeUpstream]:
    log = tmp_path_factory.mktemp("fake_upstream") / "out"
    process = start(
        [sys.executable, "-m", "tests.fakes", "--port", "0"],
        log,
        {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
    )
    port = poll(lambda: process.output.strip(), 10, "the fake upstream's port")
    fake = FakeUpstream(int(port.split()[0]), process)
    yield fake
    fake.http.close()
    process.stop(5)
    assert "Traceback" not in process.output, process.output[-3000:]


# ----------------------------------------------------------------------------- the server


@dataclass
class Server:
    """A running Switchyard, and what tests ask of it."""

    port: int
    env: dict[str, str]
    data_dir: Path
    process: Process | None = None
    _users: set[str] = field(default_factory=set)
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What goes into an OpenAI SDK."""
        return f"{self.root_url}/api/v1"

    # -- life

    def start(self) -> None:
        """Migrate, serve, and wait until it says that it is ready."""
        self.flask("db", "upgrade")
        log = self.data_dir / "server.out"
        self.process = start([str(BIN / "gunicorn"), "wsgi:app"], log, self.env)
        poll(self._is_ready, START_SECONDS, "/readyz")

    def _is_ready(self) -> bool:
        if self.process.popen.poll() is not None:
            pytest.fail(f"the server ended at its start:\n{self.process.output[-6000:]}")
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.root_url}/readyz", timeout=2).status_code == 200
        return False

    def stop(self) -> None:
        """SIGTERM must end it; and no provider credential may have reached its log."""
        if self.process is None:
            return
        code = self.process.stop()
        output = self.process.output
        assert code == 0, f"exit code {code}:\n{output[-3000:]}"
        leaked = [c for c in CANARIES if c in output]
        leaked += [key for key in self._keys.values() if key in output]
        assert not leaked, f"secrets in the server's log: {leaked}"

    # -- command line

    def flask(self, *arguments: str) -> str:
        """Run a `flask` command against this server's settings; returns its stdout."""
        done = subprocess.run(
            [str(BIN / "flask"), *arguments],
            cwd=ROOT,
            env=self.env,
            timeout=90,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"flask {arguments}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def user(self, plan: str) -> str:
        """The e-mail of an account on `plan`, made when first asked for."""
        email = f"{plan}@example.com"
        if plan not in self._users:
            self.flask(
                "user", "create", email, "--password", "correct horse battery", "--plan", plan
            )
            self._users.add(plan)
        return email

    def new_key(self, mode: str, plan: str) -> str:
        """A key of its own, with limits that nobody has used yet."""
        out = self.flask(
            "key", "create", self.user(plan), "--name", f"{mode} {new_tag()}", "--mode", mode
        )
        key = out.strip().splitlines()[-1]
        self._keys[(key, "")] = key
        return key

    def _shared_key(self, mode: str, plan: str) -> str:
        if (mode, plan) not in self._keys:
            self._keys[(mode, plan)] = self.new_key(mode, plan)
        return self._keys[(mode, plan)]

    def live_key(self, plan: str = "enterprise") -> str:
        return self._shared_key("live", plan)

    def test_key(self, plan: str = "enterprise") -> str:
        return self._shared_key("test", plan)

    # -- HTTP

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> Any:
        """One request with `requests`; `path` begins with /api or so. Never follows redirects."""
        headers = dict(options.pop("headers", {}) or {})
        if key:
            headers.setdefault("Authorization", f"Bearer {key}")
        options.setdefault("timeout", 30)
        return requests.request(
            method, self.root_url + path, headers=headers, allow_redirects=False, **options
        )

    def chat(self, key: str, text: str = "Hello!", **body: Any) -> Any:
        """A chat completion; `text` is the only user message unless `messages` is given."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]} | body
        return self.call(
            "POST",
            "/api/v1/chat/completions",
            key=key,
            json=body,
            stream=body.get("stream") is True,
        )

    # -- database

    def query(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Read the server's own database, without ever writing to it."""
        uri = f"file:{self.data_dir / 'switchyard.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def execute(self, sql: str, *values: Any) -> None:
        """Change the database behind the server's back: what no command can arrange."""
        path = self.data_dir / "switchyard.db"
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            connection.execute(sql, values)

    def records(self, request_id: str) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM usage_records WHERE id = ?", request_id)

    def record(self, request_id: str) -> dict[str, Any]:
        """The usage record of a request; it arrives within about a second."""
        return poll(lambda: self.records(request_id), 8, f"usage record of {request_id}")[0]


def _environment(port: int, data_dir: Path, fake: FakeUpstream, extra: dict[str, str]) -> dict:
    """Only our settings: none of the caller's, none of a `.env` file (empty means default)."""
    from dataclasses import fields

    from config import Config

    env = {f.name.upper(): "" for f in fields(Config)}
    env |= {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env |= {
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "DATA_DIR": str(data_dir),
        "PYTHONUNBUFFERED": "1",
        "WEB_CONCURRENCY": "1",
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": fake.url,
        "DEEPSEEK_API_KEY": DEEPSEEK_KEY,
        "DEEPSEEK_BASE_URL": fake.url,
        "LOCAL_API_KEY": LOCAL_KEY,
        "LOCAL_BASE_URL": fake.url,
        "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
        "ANTHROPIC_BASE_URL": fake.root_url,
        "GEMINI_API_KEY": GEMINI_KEY,
        "GEMINI_BASE_URL": fake.root_url,
    }
    return env | {name: str(value) for name, value in extra.items()}


@pytest.fixture(scope="session")
def _new_server(tmp_path_factory: pytest.TempPathFactory, fake_upstream: FakeUpstream):
    def build(**extra: str) -> Server:
        data_dir = tmp_path_factory.mktemp("server")
        port = free_port()
        return Server(port, _environment(port, data_dir, fake_upstream, extra), data_dir)

    return build


@pytest.fixture(scope="session")
def server(_new_server) -> Iterator[Server]:
    """One running server for the whole session, with OpenAI, DeepSeek and a local provider."""
    running = _new_server()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def server_factory(_new_server) -> Iterator[Callable[..., Server]]:
    """`server_factory(NAME="value", …)` starts a server with special settings, for one test."""
    started: list[Server] = []

    def launch(**extra: str) -> Server:
        running = _new_server(**extra)
        started.append(running)
        running.start()
        return running

    yield launch
    for running in started:
        running.stop()


@pytest.fixture
def tag() -> str:
    return new_tag()


# ----------------------------------------------------------------------------- the app, in process


@pytest.fixture
def app(tmp_path: Path):
    """The application on a fresh SQLite in `tmp_path`, schema and shipped plans in place."""
    from app import create_app
    from config import Config
    from models import Base, db
    from models.plans import SHIPPED_PLANS, Plan

    application = create_app(
        Config.load(
            {
                "DATA_DIR": str(tmp_path),
                "SECRET_KEY": "for tests only, at least 32 bytes long",
            }
        )
    )
    application.testing = True
    with application.app_context():
        Base.metadata.create_all(db.engine)
        db.session.add_all(Plan(**plan) for plan in SHIPPED_PLANS)
        db.session.commit()
    yield application
    with application.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()
