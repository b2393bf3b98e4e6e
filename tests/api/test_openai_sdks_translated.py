"""OpenAI's SDKs against the server where Claude or Gemini answers: nothing may show it.

One process an SDK and a model runs every case once (`sdks`); each test below reads what came of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.sdks import OPENAI, SDK, Run, of
from tests.api.test_google_sdks import (
    CITIES,
    HELLO,
    TEXT,
    check_place,
    check_signatures,
    png,
    upstream_body,
)
from tests.conftest import Server, new_tag
from tests.fake_upstream import UNICODE

MODELS = ("claude-sonnet-4-6", "claude-sonnet-5", "gemini-2.5-flash", "gemini-3.5-flash")


def words_for(tag: str) -> dict[str, Any]:
    """The prompts of a run: they name what the provider is to play."""
    return {
        "hello": f"{HELLO} tag:{tag}",
        "again": f"And again: {HELLO} tag:{tag}-again",
        "schema": f"{HELLO} tag:{tag}-schema",
        "json": f"{HELLO} Answer in JSON. tag:{tag}-json",
        "image": f"What is it? tag:{tag}-image",
        "png": png(),
        "unicode": "scenario:unicode",
        "call": "scenario:tools",
        "two_calls": "scenario:tools_parallel",
        "thinking_calls": f"scenario:thinking_tools tag:{tag}-thinking",
        "forced": "scenario:tools_named",
        "refused": "scenario:error_first:400",
        "away": [f"scenario:error_first:{status}" for status in (401, 403, 429, 500, 529)],
        "broken": ["scenario:error_mid", "scenario:cut_mid", "scenario:cut_clean"],
    }


@pytest.fixture(scope="session")
def runs(server: Server) -> Callable[[SDK, str], Run]:
    """Each SDK with each model, run when first asked for."""
    done: dict[tuple[str, str], Run] = {}

    def run(sdk: SDK, model: str) -> Run:
        if (sdk.name, model) not in done:
            tag = new_tag()
            outcomes = sdk.drive(server, server.live_key(), model, words_for(tag))
            done[sdk.name, model] = Run(sdk, model, tag, outcomes)
        return done[sdk.name, model]

    return run


@pytest.fixture
def run(request: pytest.FixtureRequest, runs: Callable[[SDK, str], Run]) -> Run:
    return runs(*request.param)


everywhere = of(OPENAI, MODELS)


@of(OPENAI, MODELS[:1])
def test_the_sdk_is_of_its_line(run):
    assert run.outcomes["sdk"].startswith(run.sdk.version)


# ----------------------------------------------------------------------------- answers


def check_usage(usage: dict[str, int]) -> None:
    assert usage["input"] > 0 and usage["output"] > 0
    assert usage["total"] == usage["input"] + usage["output"]


@everywhere
def test_create(run):
    done = run.value("create")
    assert (done["text"], done["role"], done["finish"]) == (TEXT, "assistant", "stop")
    assert done["model"].startswith(run.target)
    assert done["request_id"].startswith("req_")
    check_usage(done["usage"])


@everywhere
def test_stream(run):
    found = run.value("stream")
    assert "".join(found["texts"]) == TEXT
    assert sum(map(bool, found["texts"])) > 2
    assert found["finishes"] == ["stop"]
    assert len(found["ids"]) == 1
    assert found["is_last_without_choices"]
    [usage] = found["usages"]
    check_usage(usage)


@everywhere
def test_every_character_arrives(run):
    assert run.value("unicode") == ["".join(UNICODE)] * 2


@everywhere
def test_a_conversation_goes_on(run, fake_upstream):
    assert run.value("conversation") == TEXT
    body = upstream_body(fake_upstream, f"{run.tag}-again")
    assert TEXT in body and "Be brief." in body


@everywhere
def test_image(run, fake_upstream):
    assert run.value("image")
    assert png() in upstream_body(fake_upstream, f"{run.tag}-image")


@everywhere
def test_parse(run):
    city = run.value("parse")
    assert city["size"] in ("small", "large")
    assert all(isinstance(tag, str) for tag in city["tags"])
    check_place(city["inner"])


@everywhere
def test_json_object(run, fake_upstream):
    """Claude has no such mode: it is told, and its fake does not listen."""
    text = run.value("json_object")
    if run.target.startswith("claude"):
        sent = json.loads(upstream_body(fake_upstream, f"{run.tag}-json"))
        assert "JSON" in str(sent["system"])
    else:
        assert isinstance(json.loads(text), dict)


@everywhere
def test_knobs_that_samples_set(run):
    assert run.value("knobs") == TEXT


# ----------------------------------------------------------------------------- tools


@everywhere
@pytest.mark.parametrize("case", ["tools", "tools_stream"])
def test_tool(run, case):
    found = run.value(case)
    assert found["made"] == [["lookup", "Paris"]]
    assert found["text"]


@everywhere
@pytest.mark.parametrize("case", ["two_tools", "two_tools_stream"])
def test_two_tools(run, case):
    found = run.value(case)
    assert [city for _, city in found["made"]] == CITIES
    assert found["text"]


@everywhere
@pytest.mark.parametrize("case", ["thinking_tools", "thinking_tools_stream"])
def test_what_was_thought_before_two_calls_goes_back(run, case, fake_upstream):
    """The API has no field to carry it, so the server remembers."""
    found = run.value(case)
    check_signatures(fake_upstream, f"{run.tag}-thinking")
    assert [city for _, city in found["made"]] == CITIES
    assert found["text"]


@everywhere
def test_forced_tool(run):
    assert run.value("forced_tool") == ["now"]


# ----------------------------------------------------------------------------- failures


@everywhere
def test_bad_request(run):
    for failure in run.value("bad_request"):
        assert (failure["class"], failure["status"]) == ("BadRequestError", 400), failure
        assert (failure["code"], failure["param"]) == ("decimal_above_max_value", "temperature")


@everywhere
def test_a_400_of_the_provider_stays_one(run):
    for failure in run.value("refused_upstream"):
        assert (failure["class"], failure["status"]) == ("BadRequestError", 400), failure
        assert failure["type"] == "invalid_request_error"


@everywhere
def test_a_provider_that_is_away(run):
    for failure in run.value("away"):
        assert (failure["class"], failure["status"]) == ("InternalServerError", 503), failure
        assert failure["code"] == "provider_unavailable"
        assert "canary" not in failure["message"]


@everywhere
def test_a_provider_that_fails_midway(run):
    for failure in run.value("broken"):
        assert (failure["class"], failure["code"]) == ("APIError", "provider_unavailable"), failure
        assert failure["text"] and "canary" not in failure["message"]
