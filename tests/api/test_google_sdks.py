"""Google's SDKs against the server: four of them, with models of three providers, unchanged.

One process an SDK and a model runs every case once (`sdks`); each test below reads what came of one.
"""

from __future__ import annotations

import base64
import itertools
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api import sdks
from tests.api.sdks import GOOGLE, NODE0, NODE3, PYTHON1, PYTHON3, SDK, Run
from tests.conftest import FakeUpstream, Server, new_tag
from tests.fake_upstream import UNICODE

TEXT = "The capital of France is Paris."
HELLO = "What is the capital of France?"
CITIES = ["Paris", "Łódź"]
NEWER = (PYTHON3, PYTHON1, NODE3)
PYTHONS = (PYTHON3, PYTHON1)


@dataclass(frozen=True)
class Target:
    """A model, and whether the simulator or the provider's fake answers for it."""

    mode: str
    model: str
    embedding_model: str | None = None

    def __str__(self) -> str:
        return f"{self.mode}-{self.model}"


TEST = (
    Target("test", "gemini-2.5-flash", "gemini-embedding-001"),
    Target("test", "gpt-4o", "text-embedding-3-small"),
    Target("test", "claude-sonnet-4-6"),
)
LIVE = (
    Target("live", "gemini-2.5-flash", "gemini-embedding-001"),
    Target("live", "gemini-3.5-flash"),
    Target("live", "gpt-4o", "text-embedding-3-small"),
    Target("live", "claude-sonnet-4-6"),
    Target("live", "claude-sonnet-5"),
)
TARGETS = TEST + LIVE
GEMINI = LIVE[:2]
THINKERS = tuple(target for target in TARGETS if target.model != "gpt-4o")
EMBEDDERS = tuple(target for target in TARGETS if target.embedding_model)


def png(red: int = 251) -> str:
    """One pixel, in base64; its bytes need both characters that differ in URLs, + and /."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    spaces = b"x\0" + b"\xfb\xff\xbe" * 6 + b"\xfb\xff" * 5
    parts = [
        (b"IHDR", head),
        (b"teXt", spaces),
        (b"IDAT", zlib.compress(bytes([0, red, 255, 190]))),
    ]
    body = b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def standard_base64(body: str) -> str:
    """Gemini reads both alphabets, so what an SDK wrote may pass through as it is."""
    return body.replace("-", "+").replace("_", "/")


def words_for(sdk: SDK, target: Target, tag: str) -> dict[str, Any]:
    """The prompts of a run: they name what the provider, or its simulator, is to play."""
    common = {
        "hello": f"{HELLO} tag:{tag}",
        "again": f"And again: {HELLO} tag:{tag}-chat",
        "again_streamed": f"And again: {HELLO} tag:{tag}-chat_stream",
        "plain": f"{HELLO} tag:{tag}-plainly",
        "system": f"{HELLO} tag:{tag}-system",
        "image": f"What is it? tag:{tag}-image",
        "schema": f"{HELLO} tag:{tag}-schema",
        "thinking_calls": f"scenario:thinking_tools tag:{tag}-thinking",
        "png": png(),
        "embedding_model": target.embedding_model,
        "rounds": 2,
        "limit": 0,
    }
    if target.mode == "test":
        return common | TEST_WORDS
    # Gemini's chunks pass through. It makes its calls in one, which the oldest SDK can't read.
    together = target in GEMINI and sdk is not NODE0
    return common | LIVE_WORDS | ({"two_calls": "scenario:thinking_tools"} if together else {})


TEST_WORDS = {
    "unicode": "test:unicode",
    "thinking": HELLO,
    "call": "test:tool",
    "two_calls": "test:tool",
    "thinking_calls": "test:tool",
    "away": "test:503",
    "broken": ["test:cut"],
}
LIVE_WORDS = {
    "unicode": "scenario:unicode",
    "thinking": "scenario:thinking",
    "call": "scenario:tools",
    "two_calls": "scenario:tools_parallel",
    "away": "scenario:error_first:500",
    "broken": ["scenario:error_mid", "scenario:cut_mid", "scenario:cut_clean"],
}


# ----------------------------------------------------------------------------- running them


def check_failures(run: Run, found: Sequence[dict[str, Any]], code: int, status: str) -> None:
    """Every one is of the SDK's class for this status, and tells it."""
    expected = run.sdk.errors[0 if code < 500 else 1]
    for failure in found:
        assert (failure["class"], failure["code"]) == (expected, code), failure
        assert failure["status"] == (None if run.sdk is NODE0 else status)
        assert failure["message"]


@pytest.fixture(scope="session")
def runs(server: Server) -> Callable[[SDK, Target], Run]:
    """Each SDK with each model, run when first asked for."""
    done: dict[tuple[str, str], Run] = {}

    def run(sdk: SDK, target: Target) -> Run:
        if (sdk.name, str(target)) not in done:
            tag = new_tag()
            key = server.live_key() if target.mode == "live" else server.test_key()
            done[sdk.name, str(target)] = Run(
                sdk, target, tag, sdk.drive(server, key, target.model, words_for(sdk, target, tag))
            )
        return done[sdk.name, str(target)]

    return run


@pytest.fixture
def run(request: pytest.FixtureRequest, runs: Callable[[SDK, Target], Run]) -> Run:
    return runs(*request.param)


def of(which: Sequence[SDK] = GOOGLE, targets: Sequence[Target] = TARGETS) -> pytest.MarkDecorator:
    return sdks.of(which, targets)


def upstream_body(fake_upstream: FakeUpstream, tag: str) -> str:
    """The first request that reached a provider with this tag."""
    arrived = fake_upstream.requests(tag)
    assert arrived, f"nothing arrived at the provider with {tag}"
    return arrived[0]["body"]


@of(targets=TEST[:1])
def test_the_sdk_is_of_its_line(run):
    assert run.outcomes["sdk"].startswith(run.sdk.version)


# ----------------------------------------------------------------------------- answers


def check_usage(usage: dict[str, int]) -> None:
    assert usage["input"] > 0 and usage["output"] > 0
    assert usage["total"] == usage["input"] + usage["output"] + (usage["thoughts"] or 0)


@of()
def test_generate(run):
    answer = run.value("generate")
    assert answer["text"] == answer["shortcut"] == TEXT
    assert (answer["role"], answer["finish"]) == ("model", "STOP")
    assert answer["model"].startswith(run.target.model)
    assert answer["id"]
    check_usage(answer["usage"])
    if run.sdk is not NODE0:
        assert answer["request_id"].startswith("req_")


@of()
def test_stream(run):
    chunks = run.value("stream")
    assert "".join(chunk["text"] for chunk in chunks) == TEXT
    assert len(chunks) > 2
    assert {chunk["role"] for chunk in chunks if chunk["role"]} == {"model"}
    assert [chunk["finish"] for chunk in chunks if chunk["finish"]] == ["STOP"]
    assert chunks[-1]["finish"] == "STOP"
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == 1
    check_usage(chunks[-1]["usage"])


@of()
def test_every_character_arrives(run):
    found = run.value("unicode")
    assert "".join(found["streamed"]) == found["whole"]
    assert "\u2028" in found["whole"]
    if run.target.mode == "live":
        assert found["whole"] == "".join(UNICODE)


def check_chat(found: dict[str, Any]) -> None:
    assert found["texts"] == [TEXT, TEXT]
    said = [
        (role, "".join(text for _, text, _ in turns))
        for role, turns in itertools.groupby(found["turns"], key=lambda turn: turn[0])
    ]
    assert [role for role, _ in said] == ["user", "model", "user", "model"]
    assert [text for role, text in said if role == "model"] == [TEXT, TEXT]


@of()
@pytest.mark.parametrize("case", ["chat", "chat_stream"])
def test_chat(run, case, fake_upstream):
    check_chat(run.value(case))
    if run.target.mode == "live":
        assert "Paris" in upstream_body(fake_upstream, f"{run.tag}-{case}")


@of(PYTHONS)
def test_asynchronous_client(run):
    assert run.value("asynchronous") == [TEXT, TEXT]


@of()
def test_system_instruction(run, fake_upstream):
    tokens = run.value("system")
    if run.target.mode == "test":
        assert tokens["with"] > tokens["without"]
    else:
        assert "Be brief. Be brief." in upstream_body(fake_upstream, f"{run.tag}-system")


@of(targets=THINKERS)
def test_thoughts_are_shown_apart(run):
    found = run.value("thinking")
    streamed = {
        name: "".join(chunk[name] for chunk in found["chunks"]) for name in ("thoughts", "text")
    }
    for answer in (found["whole"], streamed):
        assert answer["thoughts"]
        assert answer["text"] == TEXT
    assert found["whole"]["usage"]["thoughts"] > 0
    check_usage(found["whole"]["usage"])
    check_usage(found["chunks"][-1]["usage"])


@of(targets=[target for target in TARGETS if target not in THINKERS])
def test_a_model_that_does_not_think_answers_all_the_same(run):
    found = run.value("thinking")
    assert found["whole"]["text"] == TEXT
    assert "".join(chunk["text"] for chunk in found["chunks"]) == TEXT


@of()
def test_image(run, fake_upstream):
    assert run.value("image")["text"]
    if run.target.mode == "live":
        body = upstream_body(fake_upstream, f"{run.tag}-image")
        assert png() in (standard_base64(body) if run.target in GEMINI else body)


@of()
def test_knobs_that_samples_set(run):
    answer = run.value("knobs")
    assert (answer["text"], answer["finish"]) == (TEXT, "STOP")


# ----------------------------------------------------------------------------- functions


def check_text(run: Run, found: dict[str, Any], *results: str) -> None:
    """After the results of its calls the model speaks, and repeats them."""
    if str(run.target) == "live-gpt-4o":
        return  # that fake calls again, for ever; had the results been wrong, it would have refused
    assert found["text"], found
    assert all(result in found["text"] for result in results), found["text"]


@of()
@pytest.mark.parametrize(
    "case", ["function_without_arguments", "function_without_arguments_stream"]
)
def test_function_without_arguments(run, case):
    found = run.value(case)
    assert found["made"][:1] == [["now"]]
    check_text(run, found, "noon")


@of()
@pytest.mark.parametrize("case", ["function", "function_stream"])
def test_function(run, case):
    found = run.value(case)
    name, city = found["made"][0]
    assert (name, type(city)) == ("lookup", str)
    check_text(run, found, f"{city} is large")


@of(targets=LIVE)
@pytest.mark.parametrize("case", ["two_calls", "two_calls_stream"])
def test_two_calls_of_one_function(run, case):
    found = run.value(case)
    assert found["made"][:2] == [["lookup", city] for city in CITIES]
    check_text(run, found, *(f"{city} is large" for city in CITIES))


SIGNATURE = re.compile(r'"(?:signature|thoughtSignature|thought_signature)": ?"([^"]+)"')


def check_signatures(fake_upstream: FakeUpstream, tag: str) -> None:
    """What came with the results of calls is signed, and by the provider itself."""
    arrived = fake_upstream.requests(tag)
    issued = standard_base64("".join(row["sent"].decode() for row in arrived))
    with_results = [row["body"] for row in arrived if "is large" in row["body"]]
    assert with_results
    for body in with_results:
        signatures = SIGNATURE.findall(body)
        assert signatures, body
        assert all(standard_base64(one) in issued for one in signatures)


@of(targets=[target for target in LIVE if target in THINKERS])
@pytest.mark.parametrize("case", ["thinking_calls", "thinking_calls_stream"])
def test_what_was_thought_before_two_calls_goes_back(run, case, fake_upstream):
    found = run.value(case)
    check_signatures(fake_upstream, f"{run.tag}-thinking")
    assert found["made"][:2] == [["lookup", city] for city in CITIES]
    check_text(run, found, *(f"{city} is large" for city in CITIES))


# ----------------------------------------------------------------------------- shaped answers


def check_place(place: dict[str, Any]) -> None:
    assert {name: type(value) for name, value in place.items()} == {"name": str, "population": int}


@of()
def test_a_schema_gives_an_object(run):
    found = run.value("schema_model")
    city = found["parsed"]
    assert set(city) == {"name", "size", "tags", "inner", "nickname"}
    assert city["size"] in ("small", "large")
    assert all(isinstance(tag, str) for tag in city["tags"])
    check_place(city["inner"])
    if run.sdk in PYTHONS:
        assert found["class"] == "City"


@of()
def test_a_schema_gives_a_list(run):
    places = run.value("schema_list")
    assert isinstance(places, list)
    for place in places:
        check_place(place)


@of(NEWER)
def test_json_schema(run):
    check_place(run.value("schema_json")["parsed"])


# ----------------------------------------------------------------------------- other methods


@of()
def test_count_tokens(run):
    short, long = run.value("count")
    assert type(short) is type(long) is int
    assert 0 < short <= long
    if run.target.mode == "test":
        assert short < long


@of(NEWER)
def test_models(run, server):
    key = server.live_key() if run.target.mode == "live" else server.test_key()
    ids = [m["id"] for m in server.call("GET", "/api/v1/models", key=key).json()["data"]]
    found = run.value("models")
    assert found["first_page"] == 20
    assert found["names"] == [f"models/{name}" for name in ids]
    name = f"models/{run.target.model}"
    assert name in found["chatting"]
    assert found["one"][0] == name
    assert all(type(limit) is int and limit > 1000 for limit in found["one"][1:])


@of(targets=EMBEDDERS)
def test_embeddings(run):
    found = run.value("embeddings")
    [size] = found["one"]
    assert size > 0
    assert found["several"] == [size] * 3
    assert found["short"] == [256, 256]
    assert found["task"] == [size]


# ----------------------------------------------------------------------------- failures


@of()
def test_wrong_key(run):
    found = run.value("wrong_key")
    check_failures(run, found, 401, "UNAUTHENTICATED")
    assert all("API_KEY_INVALID" in failure["reasons"] for failure in found)


@of()
def test_unknown_model(run):
    found = run.value("unknown_model")
    check_failures(run, found, 404, "NOT_FOUND")
    assert all("models/no-such-model is not found" in failure["message"] for failure in found)


@of()
def test_bad_request(run):
    found = run.value("bad_request")
    check_failures(run, found, 400, "INVALID_ARGUMENT")
    assert all("temperature" in failure["message"] for failure in found)


@of()
def test_a_provider_that_is_away(run):
    check_failures(run, run.value("away"), 503, "UNAVAILABLE")


@of()
def test_a_provider_that_fails_midway(run):
    found = run.value("broken")
    for failure in found:
        text = "".join(chunk["text"] for chunk in failure["before"])
        assert text and "canary" not in str(failure)
        assert not any(chunk["finish"] for chunk in failure["before"]), failure
    if run.sdk is NODE0:  # it looks for no error in a stream: the answer just has no finish
        assert [failure["class"] for failure in found] == [None] * len(found)
    else:
        check_failures(run, found, 503, "UNAVAILABLE")


@pytest.mark.parametrize("sdk", GOOGLE, ids=lambda sdk: sdk.name)
def test_rate_limit(server, sdk):
    key = server.new_key("test", "free")
    words = words_for(sdk, TEST[1], new_tag()) | {"limit": 22}
    run = Run(sdk, TEST[1], "", sdk.drive(server, key, "gpt-4o", words, "limited"))
    failure = run.value("limited")
    check_failures(run, [failure], 429, "RESOURCE_EXHAUSTED")
    assert failure["reasons"] == ["RATE_LIMIT_EXCEEDED"]


@of([NODE0], TEST[:1])
def test_a_base_url_with_a_slash_at_its_end(run):
    assert run.value("trailing_slash")["text"] == TEXT
