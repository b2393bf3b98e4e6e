"""Every way an upstream can fail, against the running server with a live key."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import pytest
import requests

from tests.api.wire import (
    check_error,
    check_framing,
    check_limit_headers,
    check_stream,
    chunks,
    content,
    payloads,
    read_to_end,
    without_usage,
)
from tests.conftest import CANARIES, FakeUpstream, Server, poll

EXACT = "gpt-4o"
MENDED = "local-small"
MODELS = (EXACT, "deepseek-chat", MENDED)
TEXT = "The capital of France is Paris."
USAGE = {"include_usage": True}


@pytest.fixture(scope="module", autouse=True)
def local_models_are_known(server: Server) -> None:
    """The local server's models are discovered in the background."""
    key = server.live_key()

    def listed() -> bool:
        models = server.call("GET", "/api/v1/models", key=key).json()["data"]
        return any(model["id"] == MENDED for model in models)

    poll(listed, 15, "the local model in the list")


@pytest.fixture
def ask(server: Server, tag: str) -> Iterator[Any]:
    """`ask("NAME:ARG", model=…, stream=…)` plays a scenario with this test's tag."""
    opened: list[requests.Response] = []

    def send(scenario: str, **body: Any) -> requests.Response:
        asked = body.pop("usage", True)
        if body.get("stream") and asked:
            body["stream_options"] = USAGE
        response = server.chat(server.live_key(), f"scenario:{scenario} tag:{tag}", **body)
        opened.append(response)
        return response

    yield send
    for response in opened:
        response.close()


def read(response: requests.Response) -> bytes:
    """The body of a stream that must have been ended properly."""
    assert response.status_code == 200, response.text[:500]
    data, complete = read_to_end(response)
    assert complete, data[-300:]
    return data


# ----------------------------------------------------------------------------- bytes


@pytest.mark.parametrize(
    "scenario",
    [
        "normal",
        "onewrite",
        "unicode",
        "split:1",
        "split:2",
        "split:7",
        "tools_parallel",
        "refusal",
        "length",
        "close_delimited",
        "chunks:400",
        "big",
        "paced:5",
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_pass_through_changes_no_byte(ask, fake_upstream: FakeUpstream, tag, scenario, asked):
    data = read(ask(scenario, stream=True, usage=asked))
    sent = fake_upstream.requests(tag)[0]["sent"]
    assert data == (sent if asked else without_usage(sent))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "scenario",
    [
        "normal",
        "onewrite",
        "unicode",
        "split:3",
        "tools",
        "tools_parallel",
        "refusal",
        "length",
        "big",
        "close_delimited",
        "chunks:300",
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_stream_keeps_every_rule(ask, model, scenario, asked):
    response = ask(scenario, model=model, stream=True, usage=asked)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-encoding" not in response.headers
    assert "no-cache" in response.headers["cache-control"] or (
        "no-store" in response.headers["cache-control"]
    )
    check_limit_headers(response)
    check_stream(read(response), asked_usage=asked)


def split_everywhere(server: Server, model: str, asked: bool, step: int) -> None:
    """Ask for the same short stream cut at every `step`-th byte, eight at a time."""
    key = server.live_key()
    body = {"model": model, "stream": True}
    if asked:
        body["stream_options"] = USAGE

    def one(session: requests.Session, at: int) -> bytes:
        message = {"role": "user", "content": f"scenario:split_at:{at} tag:splitat"}
        with session.post(
            f"{server.base_url}/chat/completions",
            json=body | {"messages": [message]},
            headers={"Authorization": f"Bearer {key}"},
            stream=True,
            timeout=30,
        ) as response:
            return read(response)

    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=8))
        whole = one(session, 0)
        check_stream(whole, asked_usage=asked)
        positions = range(1, len(whole) + 200, step)
        for at, data in zip(positions, pool.map(one, repeat(session), positions), strict=True):
            assert content(data) == TEXT, at
            assert without_created(data) == without_created(whole), at


def without_created(data: bytes) -> list[dict]:
    """The chunks less what a mended stream may choose anew on every call."""
    return [
        {name: value for name, value in chunk.items() if name not in ("id", "created")}
        for chunk in chunks(data)
    ]


def test_pass_through_survives_a_cut_at_every_byte(server):
    split_everywhere(server, EXACT, asked=False, step=1)


def test_pass_through_with_usage_survives_a_cut_at_any_byte(server):
    split_everywhere(server, EXACT, asked=True, step=9)


def test_mended_stream_survives_a_cut_at_any_byte(server):
    split_everywhere(server, MENDED, asked=True, step=3)


def test_crlf_and_comments_from_a_local_server_are_mended(ask):
    data = read(ask("crlf", model=MENDED, stream=True))
    assert b"\r" not in data
    assert content(data) == TEXT
    check_stream(data, asked_usage=True)


def test_first_bytes_do_not_wait_for_the_last(ask):
    began = time.monotonic()
    response = ask("silent:1", stream=True)
    pieces = response.iter_content(None)
    first = next(pieces)
    assert time.monotonic() - began < 0.8
    assert first.startswith(b"data: ")
    rest = b"".join(pieces)
    assert time.monotonic() - began > 0.9
    check_stream(first + rest, asked_usage=True)


@pytest.mark.parametrize("encoding", ["gzip, deflate, br", "identity"])
def test_streams_are_never_compressed(server, tag, encoding):
    body = {
        "model": EXACT,
        "stream": True,
        "messages": [{"role": "user", "content": f"scenario:normal tag:{tag}"}],
    }
    with server.call(
        "POST",
        "/api/v1/chat/completions",
        key=server.live_key(),
        json=body,
        stream=True,
        headers={"Accept-Encoding": encoding},
    ) as response:
        assert "content-encoding" not in response.headers
        assert read(response)


# ----------------------------------------------------------------------------- usage


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [True, False])
def test_recorded_usage_is_what_the_upstream_said(server, ask, fake_upstream, tag, model, stream):
    response = ask("normal", model=model, stream=stream, usage=False)
    assert response.status_code == 200, response.text
    if stream:
        read(response)
    record = server.record(response.headers["x-request-id"])
    said = fake_upstream.requests(tag)[0]["usage"]
    assert record["input_tokens"] == said["prompt_tokens"]
    assert record["output_tokens"] == said["completion_tokens"]
    assert record["cached_tokens"] == said["prompt_tokens_details"]["cached_tokens"]
    assert record["reasoning_tokens"] == said["completion_tokens_details"]["reasoning_tokens"]
    assert (record["status"], record["outcome"], record["admitted"]) == (200, "completed", 1)
    assert record["mode"] == "live" and record["estimated"] == 0
    assert record["finish_reason"] == "stop" and record["stream"] == int(stream)


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("variant", ["", "same", "every", "twice", "choice"])
def test_usage_is_recorded_wherever_it_stands(server, ask, fake_upstream, tag, model, variant):
    response = ask(f"usage_after_finish:{variant}", model=model, stream=True)
    data = read(response)
    assert content(data) == TEXT
    if model == MENDED:
        check_stream(data, asked_usage=True)
    record = server.record(response.headers["x-request-id"])
    said = fake_upstream.requests(tag)[0]["usage"]
    assert (record["input_tokens"], record["output_tokens"]) == (
        said["prompt_tokens"],
        said["completion_tokens"],
    )


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("stream", [True, False])
def test_missing_usage_is_estimated_and_says_so(server, ask, model, stream):
    response = ask("nousage", model=model, stream=stream)
    assert response.status_code == 200, response.text
    if stream:
        read(response)
    record = server.record(response.headers["x-request-id"])
    assert record["estimated"] == 1
    assert record["input_tokens"] > 0 and record["output_tokens"] > 0


def test_cost_is_recorded_once_and_the_audit_agrees(server, ask):
    response = ask("normal")
    record = server.record(response.headers["x-request-id"])
    assert record["cost_nano"] > 0
    cost = float(response.headers["x-gateway-cost-usd"])
    assert round(cost * 1e9) == record["cost_nano"]


# ---------------------------------------------------------------------- before the first byte


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [EXACT, MENDED])
def test_upstream_error_is_our_503(server, ask, status, stream, model):
    response = ask(f"error_first:{status}", model=model, stream=stream)
    error = check_error(response, 503, "provider_unavailable")
    for word in ("canary", "org-", "nginx", "http://", "127.0.0.1"):
        assert word not in response.text
    assert "retry-after" in response.headers
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert error["param"] is None
    check_limit_headers(response)
    record = server.record(response.headers["x-request-id"])
    assert (record["status"], record["code"], record["outcome"]) == (
        503,
        "provider_unavailable",
        "failed",
    )
    assert (record["input_tokens"], record["output_tokens"], record["cost_nano"]) == (0, 0, 0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [EXACT, MENDED])
def test_upstream_400_stays_a_400(server, ask, fake_upstream, tag, stream, model):
    response = ask("error_first:400", model=model, stream=stream)
    error = check_error(response, 400)
    assert error["param"] == "messages[0].content"
    assert "the fake upstream refuses it" in error["message"]
    assert len(fake_upstream.requests(tag)) == 1, "a 400 is never tried again"
    assert server.record(response.headers["x-request-id"])["status"] == 400


def test_our_retry_after_is_the_upstreams(ask):
    assert ask("error_first:429").headers["retry-after"] == "7"


WHOLE_FAULTS = [
    "html_200",
    "empty_200",
    "garbage",
    "json_trunc",
    "cut_mid",
    "error_mid",
    "redirect",
    "reset_fresh:rst",
    "reset_fresh:fin",
]


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("scenario", WHOLE_FAULTS)
def test_a_broken_answer_is_our_503(server, ask, scenario, model):
    response = ask(scenario, model=model)
    check_error(response, 503, "provider_unavailable")
    assert "canary" not in response.text
    record = server.record(response.headers["x-request-id"])
    assert record["outcome"] == "failed"


STREAM_FAULTS = [
    "html_200",
    "empty_200",
    "garbage",
    "redirect",
    "reset_fresh:rst",
    "reset_fresh:fin",
]


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("scenario", STREAM_FAULTS)
def test_a_stream_that_never_begins_is_our_503(ask, scenario, model):
    check_error(ask(scenario, model=model, stream=True), 503, "provider_unavailable")


@pytest.mark.parametrize("stream", [True, False])
def test_a_slow_first_byte_is_waited_for(ask, stream):
    response = ask("slow_first:1.2", stream=stream)
    assert response.status_code == 200
    if stream:
        assert content(read(response)) == TEXT


@pytest.mark.parametrize(
    "scenario", ["error_first:500", "error_first:429", "html_200", "cut_mid", "reset_fresh:rst"]
)
def test_without_a_retry_rule_nothing_is_sent_twice(ask, fake_upstream, tag, scenario):
    response = ask(scenario)
    assert response.status_code == 503
    assert len(fake_upstream.requests(tag)) == 1


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize(
    "scenario", ["error_echo:401", "error_echo:400", "error_echo:500", "error_mid:3"]
)
def test_an_upstream_that_echoes_our_credential(server, ask, fake_upstream, tag, model, scenario):
    """Some servers repeat the key in their error: neither the caller nor the log may see it."""
    response = ask(scenario, model=model, stream=scenario.startswith("error_mid"))
    text, request_id = response.text, response.headers["x-request-id"]
    server.record(request_id)
    assert not [canary for canary in CANARIES if canary in text]
    lines = [line for line in server.process.output.splitlines() if request_id in line]
    assert lines, "one log line per request"
    assert not [canary for canary in CANARIES if canary in "".join(lines)]


# ----------------------------------------------------------------------------- connections


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_reused_connection_that_dies_is_replaced(ask, fake_upstream, tag, how, stream):
    assert ask("normal").status_code == 200
    response = ask(f"reset_reused:{how}", stream=stream)
    assert response.status_code == 200, response.text
    if stream:
        assert content(read(response)) == TEXT
    arrived = fake_upstream.requests(tag)[1:]
    assert [r["reused"] for r in arrived] in ([True, False], [False])


def test_the_upstream_sees_only_what_it_should(server, fake_upstream, tag):
    key = server.live_key()
    response = server.chat(key, f"tag:{tag}", temperature=0, user="u-1", stop=None)
    assert response.status_code == 200, response.text
    request = fake_upstream.requests(tag)[0]
    names = [name.lower() for name, _ in request["headers"]]
    assert names.count("authorization") == 1 and names.count("content-length") == 1
    assert not {"cookie", "x-forwarded-for", "x-api-key"} & set(names)
    assert key not in str(request)


def test_upstream_headers_do_not_reach_the_caller(ask):
    response = ask("normal")
    assert response.headers["x-request-id"] != "req_upstream_only"
    assert "openai-organization" not in response.headers
    assert "set-cookie" not in response.headers
    assert response.headers["x-ratelimit-limit-requests"] != "3"


# ----------------------------------------------------------------------- after the first byte

BROKEN = ["error_mid", "cut_mid", "cut_half", "reset_mid", "garbage_mid", "json_trunc", "cut_clean"]


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("scenario", BROKEN)
def test_a_stream_that_breaks_ends_with_one_error_event(server, ask, scenario, model):
    response = ask(scenario, model=model, stream=True)
    assert response.status_code == 200, response.text
    data, _ = read_to_end(response)
    texts = payloads(data.decode(errors="replace").encode())
    assert "[DONE]" not in texts
    errors = [json.loads(text) for text in texts if text.startswith('{"error"')]
    assert len(errors) == 1 and texts[-1].startswith('{"error"')
    assert data.endswith(b"\n\n")
    error = errors[0]["error"]
    assert set(errors[0]) == {"error"}
    assert {"message", "type", "param", "code"} <= set(error)
    assert (error["type"], error["code"]) == ("service_unavailable_error", "provider_unavailable")
    assert b"canary" not in data
    assert b'"finish_reason":"stop"' not in data
    record = server.record(response.headers["x-request-id"])
    assert record["outcome"] == "failed"
    assert record["output_tokens"] > 0 and record["estimated"] == 1


def test_a_complete_stream_without_done_gets_one(ask):
    """Only where the stream is mended: an exact provider that leaves out [DONE] broke off."""
    check_framing(read(ask("no_done", model=MENDED, stream=True)))


def test_silence_is_filled_with_comments(ask):
    """The interval is 10 s; this is the one test that waits for it."""
    began = time.monotonic()
    data = read(ask("silent:11.5", stream=True))
    assert time.monotonic() - began < 16
    comments = [line for line in data.split(b"\n\n") if line.startswith(b":")]
    assert len(comments) == 1
    check_stream(data, asked_usage=True)
    assert content(data) == TEXT


# ----------------------------------------------------------------------------- the client leaves


@pytest.mark.parametrize("model", [EXACT, MENDED])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_client_leaves_mid_stream(server, fake_upstream, tag, model, how):
    sock = open_stream(server, model, f"scenario:endless tag:{tag}")
    received = read_until(sock, b'"content":"The"')
    request_id = header_of(received, b"x-request-id")
    left_at = leave(sock, how)
    closed = poll(lambda: fake_upstream.closed(tag), 5, "the upstream connection to be closed")
    assert closed[0]["at"] - left_at < 2
    record = server.record(request_id)
    assert record["outcome"] == "cancelled"
    assert record["output_tokens"] > 0 and record["estimated"] == 1
    assert len(fake_upstream.requests(tag)) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_client_leaves_before_the_first_byte(server, fake_upstream, tag, stream):
    sock = open_stream(server, EXACT, f"scenario:slow_first:30 tag:{tag}", stream=stream)
    poll(lambda: fake_upstream.requests(tag), 5, "the request to arrive upstream")
    left_at = leave(sock, "fin")
    closed = poll(lambda: fake_upstream.closed(tag), 5, "the upstream connection to be closed")
    assert closed[0]["at"] - left_at < 2
    rows = poll(
        lambda: server.query(
            "SELECT * FROM usage_records WHERE outcome = 'cancelled' AND ttft_ms IS NULL "
            "AND stream = ? AND at >= datetime('now', '-1 minute')",
            int(stream),
        ),
        8,
        "a cancelled record",
    )
    assert rows


def open_stream(server: Server, model: str, text: str, *, stream: bool = True) -> socket.socket:
    """Send a chat request over a socket of our own."""
    body = json.dumps(
        {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    )
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    sock.sendall(
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.live_key()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        f"{body}".encode()
    )
    return sock


def read_until(sock: socket.socket, marker: bytes) -> bytes:
    data = b""
    while marker not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def header_of(received: bytes, name: bytes) -> str:
    lines = received.split(b"\r\n\r\n")[0].split(b"\r\n")
    return next(
        line.split(b":", 1)[1].strip().decode()
        for line in lines
        if line.lower().startswith(name + b":")
    )


def leave(sock: socket.socket, how: str) -> float:
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return time.time()


# ----------------------------------------------------------------------------- exactly once


def test_every_request_has_exactly_one_record(server, tag):
    key = server.new_key("live", "enterprise")
    scenarios = ["normal", "error_first:400", "error_first:500", "cut_mid", "html_200"] * 8

    def one(job: tuple[int, str]) -> str:
        number, scenario = job
        with server.chat(key, f"scenario:{scenario} tag:{tag}", stream=number % 2 == 0) as answer:
            read_to_end(answer)
            return answer.headers["x-request-id"]

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(one, enumerate(scenarios)))
    assert len(ids) == len(scenarios)
    for request_id in ids:
        server.record(request_id)
    marks = ", ".join("?" * len(ids))
    rows = server.query(f"SELECT id FROM usage_records WHERE id IN ({marks})", *ids)
    assert len(rows) == len(ids)
    key_id = server.record(next(iter(ids)))["key_id"]
    assert len(server.query("SELECT id FROM usage_records WHERE key_id = ?", key_id)) == len(ids)
