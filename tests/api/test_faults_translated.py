"""Every way a provider can fail for callers of another dialect: the running server, live keys.

Claude and Gemini through both surfaces, OpenAI and a local server through Google's; on Google's
surface a Gemini model's own bytes pass through. Calls that need no order are made by fixtures,
several at a time, and each test looks at one of them: a usage record takes a quarter of a second.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from gateway import catalog, dispatch
from gateway.dispatch import Call, Dispatcher
from gateway.formats import gemini, openai
from gateway.metering import Meter
from gateway.providers import ROWS
from gateway.transport import Timeouts, Transport
from tests.api.ways import (
    CLAUDE,
    EVERY,
    GEMINI,
    LOCAL,
    OPENAI,
    STREAMED,
    WHOLE,
    Way,
    ask,
    check_google_error,
    check_refused,
    chunks_of,
    finishes,
    objects_of,
    parts_of,
    said,
    send,
    text_of,
)
from tests.api.wire import check_limit_headers
from tests.conftest import CANARIES, ROOT, FakeUpstream, Server, new_tag, poll
from tests.fakes.anthropic import ANTHROPIC_KEY
from tests.fakes.gemini import GEMINI_KEY
from tests.fakes.openai import LOCAL_KEY, OPENAI_KEY
from tests.fakes.play import THOUGHTS, words_for
from tests.gateway.targets import new_memory

JSON = dict[str, Any]
TEXT = "The capital of France is Paris."
PROMPT = {CLAUDE: 15, GEMINI: 11, LOCAL: 11, OPENAI: 11}
"""What the fakes count for a single message; Claude's adds what was cached."""
COUNTING = (CLAUDE, GEMINI)
"""Models that say at the start of a stream what the prompt counts."""
PROVIDERS = {CLAUDE: "anthropic", GEMINI: "gemini", LOCAL: "local", OPENAI: "openai"}
SECRETS = (*CANARIES, "canary", "org-", "nginx", "http://", "127.0.0.1")
AWAY = (503, "provider_unavailable")

every_way = pytest.mark.parametrize("way", EVERY, ids=str)
every_stream = pytest.mark.parametrize("way", STREAMED, ids=str)


@pytest.fixture(scope="module", autouse=True)
def local_models_are_known(server: Server) -> None:
    """The local server's models are discovered in the background."""
    key = server.live_key()

    def listed() -> bool:
        models = server.call("GET", "/api/v1/models", key=key).json()["data"]
        return any(model["id"] == LOCAL for model in models)

    poll(listed, 15, "the local model in the list")


# ----------------------------------------------------------------------------- played at once

Case = tuple[Way, str]


@dataclass
class Played:
    """One call: what its caller got, and the word under which the fake knows it."""

    response: requests.Response
    tag: str

    @property
    def request_id(self) -> str:
        return self.response.headers["x-request-id"]


def play(server: Server, cases: list[Case]) -> dict[Case, Played]:
    """Every case's answer; eight are asked for at a time."""

    def one(case: Case) -> Played:
        way, scenario = case
        tag = new_tag()
        return Played(ask(server, way, f"scenario:{scenario} tag:{tag}"), tag)

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(cases, pool.map(one, cases), strict=True))


def by_case(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("way", "scenario"), cases, ids=[f"{way}-{name}" for way, name in cases]
    )


def only_record(server: Server, request_id: str) -> JSON:
    [record] = poll(lambda: server.records(request_id), 8, f"usage record of {request_id}")
    assert record["admitted"] == 1
    return record


# ----------------------------------------------------------------------------- before the answer

EARLY: dict[str, tuple[int, str]] = {
    "error_first:400": (400, "invalid_request"),
    "error_first:401": AWAY,
    "error_first:402": AWAY,
    "error_first:403": AWAY,
    "error_first:404": AWAY,
    "error_first:413": (413, "request_too_large"),
    "error_first:429": AWAY,
    "no_retry_after": AWAY,
    "error_first:500": AWAY,
    "error_first:503": AWAY,
    "error_first:529": AWAY,
    "error_echo:400": (400, "invalid_request"),
    "error_echo:401": AWAY,
    "error_event": AWAY,
    "error_event:429": AWAY,
    "html_200": AWAY,
    "empty_200": AWAY,
    "garbage": AWAY,
    "redirect": AWAY,
    "reset_fresh:rst": AWAY,
    "reset_fresh:fin": AWAY,
}
"""What the caller hears, whole and streamed alike."""
WHOLE_ONLY = ("json_trunc", "cut_mid", "error_mid")
"""Faults of a whole answer; in a stream they come too late for a status."""
LATE = (
    "error_mid",
    "error_mid:2",
    "cut_mid",
    "cut_half",
    "reset_mid",
    "garbage_mid",
    "json_trunc",
    "cut_clean",
)
"""Faults of a stream that has begun."""
OFTEN = ("error_first:400", "error_first:413", "error_first:429", "error_first:500",
         "error_echo:401", "error_event", "html_200", "garbage", "reset_fresh:rst")  # fmt: skip
"""Enough for an array, which is another stream with other brackets."""
FAILING = [
    *((way, name) for way in EVERY for name in (OFTEN if way.how == "array" else EARLY)),
    *((way, name) for way in WHOLE for name in (LATE if way.reads_stream else WHOLE_ONLY)),
]


@pytest.fixture(scope="module")
def failing(server: Server) -> dict[Case, Played]:
    return play(server, FAILING)


@by_case(FAILING)
def test_a_failure_before_the_answer_has_a_status(server, failing, way, scenario):
    played = failing[way, scenario]
    status, code = EARLY.get(scenario, AWAY)
    if code == "invalid_request" and way.model not in COUNTING:
        code = "invalid_value"  # these two have codes of their own
    error = check_refused(way, played.response, status, code)
    assert not [secret for secret in SECRETS if secret in played.response.text]
    check_limit_headers(played.response)
    if status == 503:
        assert 1 <= int(played.response.headers["retry-after"]) <= 60
        assert "temporarily unavailable" in error["message"]
    record = only_record(server, played.request_id)
    assert (record["status"], record["code"], record["outcome"]) == (status, code, "failed")
    counted = ("input_tokens", "output_tokens", "cached_tokens", "cost_nano", "estimated")
    assert {name: record[name] for name in counted} == dict.fromkeys(counted, 0)


@every_way
def test_what_an_upstream_says_of_a_bad_request_is_told(failing, way):
    assert "the fake upstream refuses it" in failing[way, "error_first:400"].response.text


@every_way
def test_the_upstream_says_when_to_come_back(failing, way):
    """Claude and OpenAI in a header, Gemini in a RetryInfo."""
    response = failing[way, "error_first:429"].response
    assert response.headers["retry-after"] == "7"
    if way.surface == "google":
        details = response.json()["error"]["details"]
        assert [one["retryDelay"] for one in details if "retryDelay" in one] == ["7s"]


@every_way
def test_without_a_retry_rule_nothing_is_sent_twice(fake_upstream, failing, way):
    for scenario in ("error_first:400", "error_first:429", "error_first:500", "error_event"):
        assert len(fake_upstream.requests(failing[way, scenario].tag)) == 1, scenario


def test_no_credential_reaches_the_log(server, failing):
    ids = {failing[way, "error_echo:401"].request_id for way in EVERY}
    for request_id in ids:
        only_record(server, request_id)
    log = server.process.output
    assert all(request_id in log for request_id in ids)
    assert not [canary for canary in CANARIES if canary in log]


@pytest.mark.parametrize("how", ["rst", "fin"])
@every_way
def test_a_reused_connection_that_dies_is_replaced(server, fake_upstream, tag, way, how):
    assert ask(server, way, "warm up").status_code == 200
    response = ask(server, way, f"scenario:reset_reused:{how} tag:{tag}")
    assert text_of(way, response) == TEXT
    assert [r["reused"] for r in fake_upstream.requests(tag)] in ([True, False], [False])


# ------------------------------------------------------ answers that the fakes have no scenario for


def claude_says(message: str) -> JSON:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def gemini_says(message: str, *details: JSON) -> JSON:
    return {"error": {"code": 400, "message": message, "details": list(details)}}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3599.5s"}
SCRIPTS: dict[tuple[str, str], tuple[int, JSON, JSON]] = {
    ("long", CLAUDE): (400, {}, claude_says("prompt is too long: 210000 tokens > 200000 maximum")),
    ("long", GEMINI): (400, {}, gemini_says(
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")),
    ("broke", CLAUDE): (400, {}, claude_says("Your credit balance is too low to access the API.")),
    ("broke", GEMINI): (400, {}, gemini_says("API key not valid. Please pass a valid API key.")),
    ("patient", CLAUDE): (529, {"retry-after": "3600"}, claude_says("Overloaded")),
    ("patient", GEMINI): (429, {}, gemini_says("You exceeded your quota.", RETRY)),
}  # fmt: skip


class Scripted(BaseHTTPRequestHandler):
    """An upstream that answers with the script that a prompt names."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        name = asked.partition("script:")[2].partition(" ")[0]
        status, headers, body = SCRIPTS[name, CLAUDE if "/messages" in self.path else GEMINI]
        data = json.dumps(body).encode()
        self.send_response(status)
        for header, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def scripted(_new_server) -> Iterator[Server]:
    """A server whose Claude and Gemini answer by script."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    upstream.daemon_threads = True
    thread = threading.Thread(target=upstream.serve_forever, args=(0.05,))
    thread.start()
    url = f"http://127.0.0.1:{upstream.server_address[1]}"
    running = _new_server(ANTHROPIC_BASE_URL=url, GEMINI_BASE_URL=url)
    running.start()
    yield running
    running.stop()
    upstream.shutdown()
    thread.join(5)
    upstream.server_close()


scripted_way = pytest.mark.parametrize(
    "way", [way for way in EVERY if way.model in COUNTING], ids=str
)


@scripted_way
def test_a_prompt_that_is_too_long_says_so(scripted, way):
    response = ask(scripted, way, "script:long ")
    error = check_refused(way, response, 400, "context_length_exceeded")
    assert "too long" in error["message"] or "exceeds the maximum" in error["message"]


@scripted_way
def test_the_operators_account_is_not_the_callers_fault(scripted, way):
    error = check_refused(way, ask(scripted, way, "script:broke "), *AWAY)
    assert "credit" not in error["message"] and "key" not in error["message"]


@scripted_way
def test_nobody_is_sent_away_for_an_hour(scripted, way):
    response = ask(scripted, way, "script:patient ")
    check_refused(way, response, *AWAY)
    assert response.headers["retry-after"] == "60"


# ----------------------------------------------------------------------------- whole streams

INTACT = (
    "normal",
    "onewrite",
    "split:1",
    "split:7",
    "crlf",
    "unicode",
    "chunks:300",
    "big",
    "close_delimited",
    "paced:5",
    "silent:0.3",
    "no_done",
)
SLOW = ("split:1", "chunks:300", "big", "silent:0.3")
"""Once for each reader: an array is made of the same chunks."""
WORKING = [
    (way, name)
    for way in STREAMED
    for name in INTACT
    if (name, way.model) != ("no_done", CLAUDE)  # without its end it has broken off
    and not (name in SLOW and way.how == "array")
]


@pytest.fixture(scope="module")
def working(server: Server) -> dict[Case, Played]:
    return play(server, WORKING)


@by_case(WORKING)
def test_a_stream_arrives_however_it_is_cut(server, working, way, scenario):
    played = working[way, scenario]
    name, _, argument = scenario.partition(":")
    assert text_of(way, played.response) == "".join(words_for(name, argument))
    record = only_record(server, played.request_id)
    assert (record["outcome"], record["estimated"]) == ("completed", 0)
    assert record["input_tokens"] == PROMPT[way.model]


@every_stream
def test_a_stream_survives_a_cut_at_any_byte(server, fake_upstream, way):
    """Some places for each way; all of them stand in the unit tests."""
    tag = new_tag()
    assert text_of(way, ask(server, way, f"tag:{tag}")) == TEXT
    size = len(fake_upstream.requests(tag)[0]["sent"])
    places = range(1 + STREAMED.index(way), size + 20, 61)

    def one(place: int) -> str:
        return text_of(way, ask(server, way, f"scenario:split_at:{place}"))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, places)) == {TEXT}


def test_first_bytes_do_not_wait_for_the_last(server):
    def one(way: Way) -> tuple[float, float]:
        began = time.monotonic()
        body, seen = way.body("scenario:silent:2"), b""
        with server.call(
            "POST", way.path, key=server.live_key(), json=body, stream=True
        ) as response:
            pieces = response.iter_content(None)
            while b"Th" not in seen:
                seen += next(pieces)
            first = time.monotonic() - began
            rest = b"".join(pieces)
        assert "".join(said(way, chunk) for chunk in chunks_of(way, seen + rest)) == TEXT
        return first, time.monotonic() - began

    with ThreadPoolExecutor(len(STREAMED)) as pool:
        for first, last in pool.map(one, STREAMED):
            assert first < 1.5 and last > 1.9


# ----------------------------------------------------------------------------- broken streams

BREAKING = [(way, name) for way in STREAMED for name in LATE]
BEFORE = {
    CLAUDE: {3: "The", 2: "The"},
    GEMINI: {3: "The capital of", 2: "The capital"},
    LOCAL: {3: "The capital", 2: "The"},
    OPENAI: {3: "The capital", 2: "The"},
}
"""What so many writes of the fakes say; some say nothing."""


@pytest.fixture(scope="module")
def breaking(server: Server) -> dict[Case, Played]:
    return play(server, BREAKING)


@by_case(BREAKING)
def test_a_stream_that_breaks_ends_with_one_error(server, breaking, way, scenario):
    played = breaking[way, scenario]
    assert played.response.status_code == 200, played.response.text
    data = played.response.content
    assert b"[DONE]" not in data
    *delivered, last = chunks_of(way, data)
    writes = 2 if scenario in ("error_mid:2", "cut_half", "json_trunc") else 3
    assert "".join(said(way, chunk) for chunk in delivered) == BEFORE[way.model][writes]
    assert not any("error" in chunk or finishes(way, chunk) for chunk in delivered)
    if way.surface == "google":
        check_google_error(last, *AWAY)
    else:
        assert list(last) == ["error"] and data.endswith(b"\n\n")
        assert (last["error"]["type"], last["error"]["code"]) == (
            "service_unavailable_error",
            "provider_unavailable",
        )
    assert not [secret for secret in SECRETS if secret in played.response.text]
    record = only_record(server, played.request_id)
    assert (record["status"], record["outcome"], record["code"]) == (200, "failed", AWAY[1])
    check_unfinished(way, record)


def check_unfinished(way: Way, record: JSON) -> None:
    """What was said is paid for, with the provider's count of the prompt if it gave one."""
    assert record["estimated"] == 1
    assert record["output_tokens"] > 0
    assert (record["cost_nano"] > 0) is (way.model != LOCAL)
    if way.model in COUNTING:
        assert record["input_tokens"] == PROMPT[way.model]
    else:
        assert record["input_tokens"] > PROMPT[way.model]  # an estimate by bytes


# ----------------------------------------------------------------------------- silence


def calls_to(fake: FakeUpstream) -> catalog.Catalog:
    """The shipped catalog with the fakes as providers."""
    keys = {"openai": OPENAI_KEY, "local": LOCAL_KEY, "anthropic": ANTHROPIC_KEY}
    keys["gemini"] = GEMINI_KEY
    urls = {"openai": fake.url, "local": fake.url}
    return catalog.build(
        {
            name: replace(ROWS[name], credential=key, base_url=urls.get(name, fake.root_url))
            for name, key in keys.items()
        },
        discovered={"local": [LOCAL]},
    )


def call_of(models: catalog.Catalog, way: Way, text: str) -> Call:
    """A call as the relay would make it."""
    model = models.find(way.model)
    assert model is not None
    body = way.body(text)
    raw = json.dumps(body).encode()
    if way.surface == "google":
        body = gemini.normalise(body) | {"model": way.model, "stream": way.streams}
    return Call(
        format=openai if way.surface == "v1" else gemini,
        model=model,
        raw=raw,
        body=body,
        is_stream=way.streams,
        wants_usage=True,
        is_test=False,
        is_strict=False,
        memory=new_memory(),
    )


@pytest.fixture
def impatient(monkeypatch, fake_upstream) -> Iterator[Any]:
    """The dispatcher alone, with waits of tenths of seconds: the server's take minutes."""
    monkeypatch.setattr(dispatch, "FIRST_EVENT_WAIT", 0.1)
    monkeypatch.setattr(dispatch, "KEEP_ALIVE_EVERY", 0.1)
    transport = Transport(Timeouts(connect=2, first=0.5, between=0.45))
    dispatcher, models = Dispatcher(transport), calls_to(fake_upstream)
    yield lambda way, text, meter: dispatcher.send(call_of(models, way, text), meter)
    for pool in transport._pools.values():
        for _, sock in pool._idle:
            sock.close()


STREAMS_OF_EVENTS = [way for way in STREAMED if way.how == "sse"]


@pytest.mark.parametrize("way", STREAMS_OF_EVENTS, ids=str)
def test_silence_ends_a_stream_and_its_upstream(impatient, fake_upstream, tag, way):
    meter = Meter()
    chunks = impatient(way, f"scenario:silent:30 tag:{tag}", meter).chunks
    data = b"".join(chunks)
    last = chunks_of(way, data)[-1]
    assert list(last) == ["error"] and last["error"]["code"] in AWAY
    assert "was silent" in meter.failed
    poll(lambda: fake_upstream.closed(tag), 2, "the upstream connection to be closed")


@pytest.mark.parametrize("way", STREAMS_OF_EVENTS, ids=str)
def test_only_openai_streams_carry_comments(impatient, tag, way):
    data = b"".join(impatient(way, f"scenario:silent:0.25 tag:{tag}", Meter()).chunks)
    comments = [event for event in data.split(b"\n\n") if event.startswith(b":")]
    assert bool(comments) is (way.surface == "v1")
    assert "".join(said(way, chunk) for chunk in chunks_of(way, data)) == TEXT


# ----------------------------------------------------------------------------- the client leaves

MOMENTS = [(way, "mid") for way in STREAMED] + [(way, "waiting") for way in EVERY]
MOMENTS += [(way, "collecting") for way in WHOLE if way.reads_stream]


@dataclass
class Departure:
    """A caller who left: how long the upstream went on, and under which word to look."""

    tag: str
    seconds: float


@pytest.fixture(scope="module")
def departed(server: Server, fake_upstream: FakeUpstream) -> dict[Case, Departure]:
    def one(case: Case) -> Departure:
        return depart(server, fake_upstream, *case)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(MOMENTS, pool.map(one, MOMENTS), strict=True))


def depart(server: Server, fake: FakeUpstream, way: Way, moment: str) -> Departure:
    """Ask over a socket of our own, and leave when the moment has come."""
    tag = new_tag()
    scenario = "slow_first:30" if moment == "waiting" else "endless"
    sock = open_call(server, way, f"scenario:{scenario} tag:{tag}", agent=tag)
    if moment == "mid":
        read_until(sock, b"Th")
    else:
        poll(lambda: fake.requests(tag), 5, "the request to arrive upstream")
    if moment == "collecting":
        # What it had written before the fake could say so, the server has read by its next answer.
        for _ in range(3):
            assert server.call("GET", "/healthz").status_code == 200
    left_at = leave(sock, "rst" if MOMENTS.index((way, moment)) % 2 else "fin")
    closed = poll(lambda: fake.closed(tag), 5, "the upstream connection to be closed")
    return Departure(tag, closed[0]["at"] - left_at)


def open_call(server: Server, way: Way, text: str, *, agent: str) -> socket.socket:
    body = json.dumps(way.body(text))
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    sock.sendall(
        f"POST {way.path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n"
        f"Authorization: Bearer {server.live_key()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return sock


def read_until(sock: socket.socket, marker: bytes) -> bytes:
    """What came up to a marker, which must be near the beginning."""
    data = b""
    while marker not in data:
        assert len(data) < 2**20
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def leave(sock: socket.socket, how: str) -> float:
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return time.time()


@by_case(MOMENTS)
def test_nothing_goes_on_for_a_caller_who_left(server, fake_upstream, departed, way, scenario):
    gone = departed[way, scenario]
    assert gone.seconds < 2
    assert len(fake_upstream.requests(gone.tag)) == 1

    def records() -> list[JSON]:
        return server.query("SELECT * FROM usage_records WHERE user_agent = ?", gone.tag)

    [record] = poll(records, 8, "a record of the call")
    assert (record["outcome"], record["estimated"], record["admitted"]) == ("cancelled", 1, 1)
    assert record["status"] == (200 if scenario == "mid" else 499)
    if scenario == "mid":
        check_unfinished(way, record)
    elif scenario == "collecting":
        assert record["input_tokens"] == PROMPT[way.model]
    else:
        assert record["ttft_ms"] is None and record["input_tokens"] > 0


# ----------------------------------------------------------------------------- usage and cost

COUNTED = [(way, name) for way in EVERY for name in ("cached", "nousage")]
GOLDEN = {"input_tokens": 1110, "cached_tokens": 1000, "output_tokens": 50, "reasoning_tokens": 20}


@pytest.fixture(scope="module")
def counted(server: Server) -> dict[Case, Played]:
    return play(server, COUNTED)


def golden_cost(model: str) -> int:
    """Nano-dollars by the prices of the shipped catalog, dollars per million tokens."""
    price = tomllib.loads((ROOT / "gateway" / "catalog.toml").read_text())[PROVIDERS[model]][model]
    fresh, written = (10, 100) if model == CLAUDE else (110, 0)
    dollars = fresh * price["input"] + 1000 * price["cache_read"] + 50 * price["output"]
    return round((dollars + written * price.get("cache_write", 0)) * 1000)


@pytest.mark.parametrize("way", [way for way in EVERY if way.model in COUNTING], ids=str)
def test_the_golden_case_is_counted_and_priced(server, counted, way):
    response = counted[way, "cached"].response
    text_of(way, response)
    record = only_record(server, response.headers["x-request-id"])
    assert {name: record[name] for name in GOLDEN} == GOLDEN
    assert record["cache_write_tokens"] == (100 if way.model == CLAUDE else 0)
    assert (record["estimated"], record["outcome"]) == (0, "completed")
    assert record["cost_nano"] == golden_cost(way.model)
    assert (record["provider"], record["upstream_model"]) == (PROVIDERS[way.model], way.model)
    assert record["finish_reason"] == "stop"
    if way.streams:
        assert "x-gateway-cost-usd" not in response.headers
    else:
        cost = float(response.headers["x-gateway-cost-usd"])
        assert round(cost * 1e9) == record["cost_nano"]
    check_told_usage(way, response)


def check_told_usage(way: Way, response: requests.Response) -> None:
    """The caller reads the same counts in the terms of the surface."""
    last = objects_of(way, response)[-1]
    if way.surface == "v1":
        usage = last["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1110, 50)
        assert usage["prompt_tokens_details"]["cached_tokens"] == 1000
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 20
        return
    usage = last["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (1110, 1000)
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"]) == (30, 20)
    assert usage["totalTokenCount"] == 1160


@every_way
def test_missing_usage_is_estimated_and_says_so(server, counted, way):
    response = counted[way, "nousage"].response
    assert text_of_any(way, response) == TEXT
    record = only_record(server, response.headers["x-request-id"])
    assert (record["estimated"], record["outcome"]) == (1, "completed")
    assert record["input_tokens"] > 0 and record["output_tokens"] > 0


def text_of_any(way: Way, response: requests.Response) -> str:
    """Without the rules: there is no usage to be told."""
    assert response.status_code == 200, response.text
    return "".join(said(way, one) for one in objects_of(way, response))


# ----------------------------------------------------------------------------- tool conversations

BOUND = "claude-opus-5-5"
"""Binds what it thought to all that came before."""
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITIES = ["Paris", "Łódź"]


@dataclass
class Talk:
    """A conversation with one tool, as an SDK keeps it: `take` an answer, then ask again."""

    way: Way
    text: str
    tool: str = "lookup"
    system: str = "Be brief."
    thinks: bool = True
    forced: bool = False
    turns: list[JSON] = field(default_factory=list)
    results: tuple[str, ...] = ("large", "small")

    def body(self) -> JSON:
        return self._google() if self.way.surface == "google" else self._openai()

    def _google(self) -> JSON:
        config = {"thinkingConfig": {"includeThoughts": True}} if self.thinks else {}
        body = self.way.body(self.text, **config)
        body["contents"] += self.turns
        body["systemInstruction"] = {"parts": [{"text": self.system}]}
        declared = {"name": self.tool, "description": "Looks.", "parametersJsonSchema": SCHEMA}
        body["tools"] = [{"functionDeclarations": [declared]}]
        if self.forced:
            body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY"}}
        return body

    def _openai(self) -> JSON:
        config: JSON = {"reasoning_effort": "high"} if self.thinks else {}
        config |= {"tool_choice": "required"} if self.forced else {}
        function = {"name": self.tool, "description": "Looks.", "parameters": SCHEMA}
        body = self.way.body(
            self.text, tools=[{"type": "function", "function": function}], **config
        )
        system = {"role": "system", "content": self.system}
        body["messages"] = [system, *body["messages"], *self.turns]
        return body

    def ask(self, server: Server, key: str | None = None) -> requests.Response:
        return send(server, self.way, self.body(), key=key)

    def take(self, response: requests.Response) -> list[JSON]:
        """Keep the answer and the results of its calls; returns id, name and arguments of each."""
        assert response.status_code == 200, response.text
        objects = objects_of(self.way, response)
        if self.way.surface == "google":
            return self._take_google([part for one in objects for part in parts_of(one)])
        return self._take_openai(objects)

    def _take_google(self, parts: list[JSON]) -> list[JSON]:
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        self.turns.append({"role": "model", "parts": parts})
        answers = [
            {k: v for k, v in call.items() if k != "args"} | {"response": {"result": result}}
            for call, result in zip(calls, self.results, strict=False)
        ]
        self.turns.append({"role": "user", "parts": [{"functionResponse": a} for a in answers]})
        return calls

    def _take_openai(self, objects: list[JSON]) -> list[JSON]:
        calls = folded(objects) if self.way.streams else objects[0]["choices"][0]["message"].get(
            "tool_calls", [])  # fmt: skip
        bare = [{k: call[k] for k in ("id", "type", "function")} for call in calls]
        self.turns.append({"role": "assistant", "content": None, "tool_calls": bare})
        self.turns += [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(calls, self.results, strict=False)
        ]
        return [
            {
                "id": call["id"],
                "name": call["function"]["name"],
                "args": json.loads(call["function"]["arguments"]),
            }
            for call in calls
        ]


def folded(chunks: list[JSON]) -> list[JSON]:
    """The calls of an OpenAI stream."""
    calls: list[JSON] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            for delta in choice["delta"].get("tool_calls") or ():
                if delta["index"] == len(calls):
                    calls.append({k: v for k, v in delta.items() if k != "index"})
                else:
                    function = calls[delta["index"]]["function"]
                    function["arguments"] += delta["function"]["arguments"]
    return calls


def thoughts_in(body: str) -> list[JSON]:
    """The reasoning blocks and signatures that an upstream was sent."""
    sent = json.loads(body)
    blocks = [
        block
        for one in sent.get("messages", [])
        if isinstance(one["content"], list)
        for block in one["content"]
    ]
    parts = [part for one in sent.get("contents", []) for part in one["parts"]]
    return [block for block in blocks if block["type"].endswith("thinking")] + [
        part for part in parts if part.get("thoughtSignature", "skip").partition("_")[0] != "skip"
    ]


HOWS = [("v1", "whole"), ("v1", "sse"), ("google", "whole"), ("google", "sse"), ("google", "array")]


@pytest.mark.parametrize(("surface", "how"), HOWS)
def test_a_changed_prefix_costs_the_thoughts_not_the_answer(
    server, fake_upstream, tag, surface, how
):
    talk = Talk(Way(surface, BOUND, how), f"scenario:thinking_tools tag:{tag}")
    first = talk.ask(server)
    assert [call["args"]["city"] for call in talk.take(first)] == CITIES
    assert first.headers["x-gateway-attempts"] == "1"
    talk.system = "Be very brief."
    answer = talk.ask(server)
    assert "large" in text_of(talk.way, answer)
    assert answer.headers["x-gateway-attempts"] == "2"
    _, refused, again = fake_upstream.requests(tag)
    assert "prefix" in refused["refused"]["message"]
    assert thoughts_in(refused["body"]) and not thoughts_in(again["body"])
    record = only_record(server, answer.headers["x-request-id"])
    assert (record["attempts"], record["outcome"], record["estimated"]) == (2, "completed", 0)
    assert record["input_tokens"] == again["usage"]["cache_read_input_tokens"] + (
        again["usage"]["input_tokens"] + again["usage"]["cache_creation_input_tokens"]
    )


KEEPERS = [(*pair, model) for pair in HOWS for model in (CLAUDE, BOUND)]
KEEPERS += [("v1", how, "gemini-3.5-flash") for how in ("whole", "sse")]
"""On its own surface Gemini's signatures pass through: nothing of them is kept here."""


@pytest.mark.parametrize(("surface", "how", "model"), KEEPERS)
def test_thoughts_come_back_to_their_user_alone(server, fake_upstream, tag, surface, how, model):
    """The same conversation, ids included, from two users: only one of them had it."""
    talk = Talk(Way(surface, model, how), f"scenario:thinking_tools tag:{tag}")
    talk.take(talk.ask(server))
    own, other = server.live_key(), server.live_key("pro")
    answers = [talk.ask(server, key) for key in (own, other)]
    for answer in answers:
        assert "large" in text_of(talk.way, answer)
        assert answer.headers["x-gateway-attempts"] == "1"
    _, known, unknown = fake_upstream.requests(tag)
    assert thoughts_in(known["body"]) and not thoughts_in(unknown["body"])
    users = {server.record(a.headers["x-request-id"])["user_id"] for a in answers}
    assert len(users) == 2


# ----------------------------------------------------------------------------- headers

ADJUSTED = {
    ("v1", CLAUDE): (
        {"seed": 7, "temperature": 1.5, "response_format": {"type": "json_object"}},
        "dropped=seed; clamped=temperature:1; emulated=response_format",
    ),
    ("v1", GEMINI): ({"user": "somebody"}, "dropped=user"),
    ("google", CLAUDE): (
        {"seed": 7, "temperature": 1.5, "responseMimeType": "application/json"},
        "dropped=seed; clamped=temperature:1; emulated=responseMimeType",
    ),
    ("google", OPENAI): ({"topK": 5}, "dropped=topK"),
}
REFUSED = [
    ("v1", CLAUDE, {"seed": 7}, "unsupported_parameter", "seed"),
    ("v1", CLAUDE, {"temperature": 1.5}, "unsupported_value", "temperature"),
    ("v1", CLAUDE, {"response_format": {"type": "json_object"}}, "unsupported_parameter",
     "response_format"),
    ("v1", GEMINI, {"user": "somebody"}, "unsupported_parameter", "user"),
    ("google", CLAUDE, {"seed": 7}, "unsupported_parameter", "generationConfig.seed"),
    ("google", CLAUDE, {"temperature": 1.5}, "unsupported_value", "generationConfig.temperature"),
    ("google", OPENAI, {"topK": 5}, "unsupported_parameter", "generationConfig.topK"),
]  # fmt: skip


def test_every_answer_says_who_gave_it(server):
    def one(way: Way) -> requests.Response:
        return ask(server, way, "Hello!", **ADJUSTED.get((way.surface, way.model), ({},))[0])

    with ThreadPoolExecutor(8) as pool:
        for way, response in zip(EVERY, pool.map(one, EVERY), strict=True):
            check_who_answered(server, way, response)


def check_who_answered(server: Server, way: Way, response: requests.Response) -> None:
    _, warnings = ADJUSTED.get((way.surface, way.model), ({}, None))
    assert response.status_code == 200, response.text
    headers = response.headers
    assert headers["x-request-id"].startswith("req_")
    check_limit_headers(response)
    assert headers["x-gateway-provider"] == PROVIDERS[way.model]
    assert (headers["x-gateway-attempts"], headers["x-gateway-mode"]) == ("1", "live")
    assert headers.get("x-gateway-warnings") == warnings, way
    assert only_record(server, headers["x-request-id"])["warnings"] == warnings
    if way.streams:
        assert "no-cache" in headers["cache-control"]


@every_way
def test_a_failure_says_who_failed(server, failing, way):
    played = failing[way, "error_first:500"]
    headers = played.response.headers
    assert headers["x-gateway-provider"] == PROVIDERS[way.model]
    assert (headers["x-gateway-attempts"], headers["x-gateway-mode"]) == ("1", "live")
    assert only_record(server, played.request_id)["provider"] == PROVIDERS[way.model]


@pytest.mark.parametrize("how", ["whole", "sse"])
@pytest.mark.parametrize(("surface", "model", "more", "code", "param"), REFUSED)
def test_a_strict_caller_gets_a_400_instead(
    server, fake_upstream, tag, surface, model, more, code, param, how
):
    way = Way(surface, model, how)
    body = way.body(f"tag:{tag}", **more)
    response = send(server, way, body, headers={"x-gateway-strict": "true"})
    error = check_refused(way, response, 400, code)
    if surface == "v1":
        assert error["param"] == param
    else:
        fields = [v["field"] for one in error["details"] for v in one.get("fieldViolations", ())]
        assert fields == [param]
    check_limit_headers(response)
    assert "x-gateway-warnings" not in response.headers
    assert not fake_upstream.requests(tag)


@every_way
def test_a_strict_caller_is_served_what_needs_no_change(server, way):
    response = send(server, way, way.body("Hello!"), headers={"x-gateway-strict": "true"})
    assert text_of(way, response) == TEXT


# ----------------------------------------------------------------------------- many at once

MANY = 200


def test_two_hundred_streams_keep_apart(server):
    """Each is called with a tool of its own, or told a word of its own."""
    start = threading.Barrier(MANY)
    key = server.live_key()

    def one(number: int) -> tuple[Talk, requests.Response]:
        way = STREAMED[number // 2 % len(STREAMED)]
        is_told = number % 2 == 1 and way.model in COUNTING  # only they can be quoted
        scenario = "paced:40" if way.model in COUNTING else "tools"
        text = f"scenario:{scenario} tag:{new_tag()}"
        talk = Talk(way, text, tool=f"tool_{number}_", thinks=False, forced=not is_told)
        if is_told:
            talk.turns = told(way, number)
        start.wait(20)
        return talk, talk.ask(server, key)

    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(one, range(MANY)))
    ids = []
    for number, (talk, response) in enumerate(answers):
        text = text_of(talk.way, response)
        if not talk.forced:
            assert f"word_{number}_" in text and text.count("word_") == 1
            continue
        [call] = talk.take(response)
        assert (call["name"], call["args"]["city"]) == (talk.tool, "Paris")
        if talk.way.model in COUNTING and not talk.way.passes:  # the others' fakes give no new ids
            ids.append(call["id"])
    assert len(set(ids)) == len(ids) == MANY // 5
    assert len({response.headers["x-request-id"] for _, response in answers}) == MANY


def told(way: Way, number: int) -> list[JSON]:
    """A call that was made and answered with a word of its own."""
    tool, word = f"tool_{number}_", f"word_{number}_"
    if way.surface == "google":
        call = {"functionCall": {"name": tool, "args": {"city": "Paris"}}}
        result = {"functionResponse": {"name": tool, "response": {"result": word}}}
        return [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    function = {"name": tool, "arguments": '{"city":"Paris"}'}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": word},
    ]


def test_thoughts_of_parallel_conversations_keep_apart(server, fake_upstream):
    """Each is bound to its own conversation: one in another's place would be refused."""
    hows = [pair for pair in HOWS if pair[1] != "whole"]

    def one(number: int) -> tuple[str, requests.Response]:
        surface, how = hows[number % len(hows)]
        tag = new_tag()
        talk = Talk(
            Way(surface, BOUND, how), f"scenario:thinking_tools tag:{tag}", tool=f"tool_{number}_"
        )
        calls = talk.take(talk.ask(server))
        assert [call["name"] for call in calls] == [talk.tool] * 2
        return tag, talk.ask(server)

    with ThreadPoolExecutor(30) as pool:
        for tag, response in pool.map(one, range(60)):
            assert response.status_code == 200, response.text
            assert response.headers["x-gateway-attempts"] == "1"
            _, second = fake_upstream.requests(tag)
            [thought] = thoughts_in(second["body"])
            assert thought["thinking"] == "".join(THOUGHTS)
