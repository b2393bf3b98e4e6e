"""What a test key is told of a model holds for the model itself: the same warnings and refusals."""

from __future__ import annotations

import pytest

PICTURE = "https://example.com/a.png"


def both(server, **body):
    """The answers to a test key and to a live one."""
    keys = (server.test_key(), server.live_key())
    return [server.chat(key, "Hello!", **body) for key in keys]


@pytest.mark.parametrize(("model", "body"), [
    ("claude-sonnet-4-6", {"seed": 7, "temperature": 1.5}),
    ("claude-opus-5-5", {"reasoning_effort": "none"}),
    ("gemini-3.8-flash", {"temperature": 0.3, "logit_bias": {"1": 1}}),
    ("deepseek-v4-flash", {"temperature": 0.3, "seed": 1}),
    ("gpt-4o", {"reasoning_effort": "low"}),
    ("claude-sonnet-4-6", {"response_format": {"type": "json_object"}}),
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_warnings_are_the_same(server, model, body, stream):
    test, live = both(server, model=model, stream=stream, **body)
    assert test.status_code == live.status_code == 200
    warnings = [answer.headers["x-gateway-warnings"] for answer in (test, live)]
    assert warnings[0] == warnings[1] != ""
    assert test.headers["x-gateway-mode"] == "test"


@pytest.mark.parametrize(("model", "body"), [
    ("claude-sonnet-4-6", {"n": 2}),
    ("claude-sonnet-4-6", {"logprobs": True}),
    ("gemini-3.5-flash", {"n": 2}),
    ("deepseek-v4-flash", {"web_search_options": {}}),
    ("claude-sonnet-4-6", {"tools": [{"type": "custom", "custom": {"name": "c"}}]}),
])  # fmt: skip
def test_refusals_are_the_same(server, model, body):
    test, live = both(server, model=model, **body)
    assert test.status_code == live.status_code == 400
    assert test.json()["error"] == live.json()["error"]


def test_strict_test_calls_are_refused_as_live_ones(server):
    headers = {"x-gateway-strict": "true", "Authorization": f"Bearer {server.test_key()}"}
    body = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "x"}], "seed": 1}
    answer = server.call("POST", "/api/v1/chat/completions", headers=headers, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "seed"


def test_a_strict_google_call_with_nothing_odd_in_it_is_answered(server):
    headers = {"x-gateway-strict": "true", "x-goog-api-key": server.test_key()}
    for model in ("gemini-2.5-flash", "claude-sonnet-4-6", "gpt-4o"):
        url = f"/api/v1beta/models/{model}:generateContent"
        body = {"contents": [{"parts": [{"text": "Hi"}]}]}
        assert server.call("POST", url, headers=headers, json=body).status_code == 200


def test_nothing_is_fetched_for_a_test(server):
    content = [{"type": "image_url", "image_url": {"url": PICTURE}}]
    messages = [{"role": "user", "content": content}]
    answer = server.chat(server.test_key(), model="gemini-3.5-flash", messages=messages)
    assert answer.status_code == 200
