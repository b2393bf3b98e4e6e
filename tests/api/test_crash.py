"""Bills and limits survive: kill -9, SIGTERM, floods, revocation elsewhere, the other database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests

from tests.api.wire import check_error, check_stream, read_to_end
from tests.conftest import FULL_SIZE, ROOT, poll
from tests.databases import fresh_postgres

REQUESTS = 200
STREAMS = 5


def chat(server, key, text="Hello!", **body):
    """(status, request id) of a chat completion that was read to its end, None if it broke."""
    with contextlib.suppress(requests.RequestException):
        response = server.chat(key, text, **body)
        return response.status_code, response.headers["x-request-id"]
    return None


def workers_of(master: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def kill_hard(server):
    """kill -9 the master first, so that it starts no other worker, then its workers."""
    master = server.process.popen.pid
    workers = workers_of(master)
    assert workers
    for pid in (master, *workers):
        os.kill(pid, signal.SIGKILL)
    server.process.popen.wait(5)
    for pid in workers:
        poll(lambda pid=pid: is_gone(pid), 5, f"the end of worker {pid}")


def is_gone(pid):
    """Ended, be it that nobody has reaped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def open_requests(server) -> int:
    text = server.call("GET", "/metrics").text
    line = next(line for line in text.splitlines() if line.startswith("switchyard_requests_open "))
    return int(float(line.split()[1]))


def audit(server) -> dict:
    return json.loads(server.flask("usage", "audit"))


def wait_for_room_in_the_minute(seconds):
    """Until the current window lasts so much longer."""
    poll(lambda: 60 - time.time() % 60 > seconds, seconds + 1, "the minute's turn")


@contextlib.contextmanager
def in_background(count, work):
    """Run `work` in threads that end by themselves when the server does."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(30)


@pytest.mark.parametrize("round_", range(20 if FULL_SIZE else 1))
def test_after_kill_9_every_admitted_request_is_recorded_once_and_limits_go_on(
    server_factory, round_
):
    server = server_factory()
    key, busy = server.new_key("test", "enterprise"), server.new_key("test", "enterprise")
    free = server.new_key("test", "free")
    delivered: list[str] = []

    def hammer():
        while answer := chat(server, busy):
            delivered.append(answer[1])

    def stream():
        with contextlib.suppress(requests.RequestException):
            read_to_end(server.chat(key, "test:slow test:long", stream=True))

    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda _: chat(server, key), range(REQUESTS)))
    assert {status for status, _ in done} == {200}
    wait_for_room_in_the_minute(15)
    limited = [chat(server, free) for _ in range(10)]
    assert {status for status, _ in limited} == {200}
    with in_background(STREAMS, stream), in_background(4, hammer):
        poll(lambda: open_requests(server) >= STREAMS and len(delivered) > 20, 8, "load")
        kill_hard(server)
    began = time.time()
    server.start()

    refused = server.chat(free)
    if int(began) // 60 == int(time.time()) // 60:
        check_error(refused, 429, "rate_limit_exceeded")
        assert refused.headers["X-RateLimit-Remaining-Requests"] == "0"
    found = audit(server)
    assert found["open"] == 0
    assert found["records"] == found["rolled_up"]

    rows = server.query("SELECT id, key_id, outcome, status, estimated, stream, input_tokens "
                        "FROM usage_records WHERE admitted")  # fmt: skip
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids)) == found["records"]
    whole = {request_id for _, request_id in done + limited} | set(delivered)
    assert whole <= set(ids), "an answer that was delivered is recorded"
    completed = {row["id"] for row in rows if row["outcome"] == "completed"}
    assert whole <= completed
    lost = [row for row in rows if row["outcome"] == "interrupted"]
    assert sum(row["stream"] for row in lost) == STREAMS
    assert len(lost) <= STREAMS + 4, "at most what was in flight"
    assert {(row["status"], row["estimated"]) for row in lost} == {(500, 1)}
    assert all(row["input_tokens"] > 0 for row in lost)
    assert len(rows) == len(completed) + len(lost)


def test_sigterm_lets_requests_finish_and_stores_them(server_factory):
    server = server_factory()
    key = server.new_key("test", "enterprise")
    answers, streams = [], []

    def whole():
        answers.append(chat(server, key, "test:slow", max_tokens=3))

    def stream():
        response = server.chat(key, "test:slow", max_tokens=3, stream=True)
        data, _ = read_to_end(response)
        check_stream(data, asked_usage=False)
        streams.append(response.headers["x-request-id"])

    with in_background(3, whole), in_background(2, stream):
        poll(lambda: open_requests(server) == 5, 8, "5 requests in flight")
        os.kill(server.process.popen.pid, signal.SIGTERM)
    assert server.process.popen.wait(20) == 0
    assert [status for status, _ in answers] == [200] * 3
    assert len(streams) == 2
    rows = server.query("SELECT id, outcome, estimated FROM usage_records")
    assert {row["id"] for row in rows} == {id_ for _, id_ in answers} | set(streams)
    assert {(row["outcome"], row["estimated"]) for row in rows} == {("completed", 0)}
    assert list((server.data_dir / "journal").iterdir()) == []
    assert audit(server) == {"records": 5, "rolled_up": 5, "open": 0, "spend_nano_usd": 0}


def test_a_flood_of_refusals_is_few_records(server):
    key = server.new_key("test", "free")
    wait_for_room_in_the_minute(5)
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer[0] for answer in pool.map(lambda _: chat(server, key), range(500))]
    assert set(statuses) == {200, 429}
    query = (
        "SELECT admitted, COUNT(*) AS n FROM usage_records JOIN key_secrets USING (key_id) "
        "WHERE last4 = ? GROUP BY admitted"
    )
    admitted = statuses.count(200)

    def counted():
        return {row["admitted"]: row["n"] for row in server.query(query, key[-4:])}

    found = poll(lambda: (n := counted()).get(1) == admitted and n, 5, "the records")
    assert found[0] < 50
    assert audit(server)["records"] == audit(server)["rolled_up"]


REVOKE = """
import sys, time
from app import create_app
from models import db
from models.keys import ApiKey, digest, find_snapshot, revoke_key
app = create_app()
with app.app_context():
    pepper = app.extensions["platform"].pepper
    revoke_key(db.session.get(ApiKey, find_snapshot(digest(sys.argv[1], pepper)).key_id))
    db.session.commit()
    print(time.time())
"""


def test_a_key_revoked_by_another_process_is_refused_within_a_second(server):
    key = server.new_key("test", "enterprise")
    seen: list[tuple[float, int]] = []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            response = server.call("GET", "/api/v1/models", key=key)
            seen.append((time.time(), response.status_code))
            stop.wait(0.01)

    with in_background(1, watch):
        try:
            poll(lambda: seen, 5, "a first answer")
            done = subprocess.run(
                [sys.executable, "-c", REVOKE, key], cwd=ROOT, env=server.env,
                capture_output=True, text=True, timeout=30, check=True,
            )  # fmt: skip
            poll(lambda: seen[-1][1] == 401, 5, "the refusal")
            stop.wait(0.3)
        finally:
            stop.set()
    revoked_at = float(done.stdout.split()[-1])
    last_good = max(at for at, status in seen if status == 200)
    first_bad = min(at for at, status in seen if status == 401)
    assert first_bad - revoked_at < 1.0
    assert last_good < first_bad, "once refused, always refused"
    assert server.call("GET", "/api/v1/models", key=key).json()["error"]["code"] == (
        "revoked_api_key"
    )


@pytest.fixture
def postgres_url():
    with fresh_postgres() as url:
        yield url


@pytest.mark.postgres
def test_everything_works_on_postgresql(postgres_url, server_factory):
    server = server_factory(DATABASE_URL=postgres_url)
    live, test = server.new_key("live", "enterprise"), server.new_key("test", "free")
    status, first = chat(server, live)
    response = server.chat(live, stream=True, stream_options={"include_usage": True})
    check_stream(read_to_end(response)[0], asked_usage=True)
    limited = [chat(server, test)[0] for _ in range(25)]
    assert status == 200 and set(limited) == {200, 429}
    server.stop()
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT id, stream, outcome, input_tokens, cost_nano, price, at FROM usage_records "
            "WHERE mode = 'live' ORDER BY id"
        ).fetchall()
        refused = connection.execute(
            "SELECT SUM(count) FROM usage_records WHERE outcome = 'refused'"
        ).fetchone()
    assert [row[0] for row in rows] == [first, response.headers["x-request-id"]]
    for row, is_stream in zip(rows, (False, True), strict=True):
        assert row[1:3] == (is_stream, "completed")
        assert row[3] > 0 and row[4] > 0 and row[5]["input"] > 0
        assert abs(row[6].timestamp() - time.time()) < 60
    assert refused[0] == limited.count(429)
    found = audit(server)
    assert (found["records"], found["open"]) == (2 + limited.count(200), 0)
    assert found["rolled_up"] == found["records"]
