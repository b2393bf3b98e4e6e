"""countTokens over the wire: asked of who can count, estimated elsewhere, free for everybody."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.api.test_embeddings import FUZZ, sent
from tests.api.test_gemini import BODY, HELLO, call, check_error, google, maybe

GEMINI = "gemini-2.5-flash"
CLAUDE = "claude-sonnet-4-6"
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def say(*texts):
    return {"contents": [{"role": "user", "parts": [{"text": text} for text in texts]}]}


def whole(body, **fields):
    """The other form of the request."""
    return {"generateContentRequest": {"model": "models/whatever", **body, **fields}}


def count(server, body=None, *, key=None, model="gpt-4o", **options):
    return call(server, body or HELLO, key=key, model=model, method="countTokens", **options)


def total_of(answer):
    assert answer.status_code == 200, answer.text
    got = answer.json()
    assert sum(detail["tokenCount"] for detail in got["promptTokensDetails"]) == got["totalTokens"]
    return got["totalTokens"]


@pytest.fixture
def live(server):
    return server.live_key()


# ----------------------------------------------------------------------------- the simulator


def test_a_test_key_is_told_what_the_call_will_count(server):
    used = call(server, HELLO).json()["usageMetadata"]["promptTokenCount"]
    answer = count(server)
    assert total_of(answer) == used
    assert answer.headers["x-gateway-mode"] == "test"
    assert "x-gateway-warnings" not in answer.headers


@pytest.mark.parametrize("root", ["/api/v1beta", "/api/v1"])
def test_both_forms_count_the_same(server, root):
    assert total_of(count(server, root=root)) == total_of(count(server, whole(HELLO), root=root))


def test_instructions_and_tools_count_too(server):
    tools = [{"function_declarations": [{"name": "get_weather", "description": "today's weather"}]}]
    instruction = {"parts": [{"text": "Answer in rhymes, always."}]}
    plain = total_of(count(server))
    more = total_of(count(server, whole(HELLO, system_instruction=instruction)))
    most = total_of(count(server, whole(HELLO, system_instruction=instruction, tools=tools)))
    assert plain < more < most


def test_pictures_are_told_apart(server):
    body = say("look")
    body["contents"][0]["parts"].append(PICTURE)
    answer = count(server, body)
    total_of(answer)
    assert {d["modality"] for d in answer.json()["promptTokensDetails"]} == {"TEXT", "IMAGE"}


# ----------------------------------------------------------------------------- the providers


@pytest.mark.parametrize("form", [lambda body: body, whole])
def test_gemini_counts_for_itself(server, live, fake_upstream, tag, form):
    answer = count(server, form(say(f"tag:{tag}")), key=live, model=GEMINI)
    assert total_of(answer) > 0
    assert answer.headers["x-gateway-provider"] == "gemini"
    assert "x-gateway-warnings" not in answer.headers
    ((path, body),) = sent(fake_upstream, tag)
    assert path == f"/v1beta/models/{GEMINI}:countTokens"
    assert body["generateContentRequest"]["model"] == f"models/{GEMINI}"


def test_anthropic_counts_for_itself(server, live, fake_upstream, tag):
    body = whole(
        say(f"tag:{tag}"),
        systemInstruction={"parts": [{"text": "Be brief."}]},
        tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        generationConfig={"temperature": 0.3, "candidateCount": 2, "maxOutputTokens": 9, "topK": 3},
    )
    answer = count(server, body, key=live, model=CLAUDE)
    assert total_of(answer) > 0
    assert answer.headers["x-gateway-provider"] == "anthropic"
    assert "x-gateway-warnings" not in answer.headers
    ((path, wire),) = sent(fake_upstream, tag)
    assert path == "/v1/messages/count_tokens"
    assert wire.keys() <= {"model", "messages", "system", "tools", "tool_choice", "thinking"}
    assert (wire["model"], len(wire["tools"])) == (CLAUDE, 1)


def test_others_are_estimated_and_say_so(server, live, fake_upstream, tag):
    answer = count(server, say(f"tag:{tag}"), key=live)
    assert total_of(answer) > 0
    assert answer.headers["x-gateway-provider"] == "openai"
    assert answer.headers["x-gateway-warnings"] == "emulated=countTokens"
    assert sent(fake_upstream, tag) == []
    strict = google(live) | {"x-gateway-strict": "true"}
    check_error(count(server, headers=strict), 400)


def test_a_failing_provider_is_503(server_factory):
    server = server_factory(GEMINI_API_KEY="not-the-key", ANTHROPIC_API_KEY="not-the-key")
    for model in (GEMINI, CLAUDE):
        check_error(count(server, key=server.live_key(), model=model), 503)


# ----------------------------------------------------------------------------- errors, limits


@pytest.mark.parametrize(("body", "field"), [
    ({"contents": []}, "contents"),
    ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]"),
    ({"generateContentRequest": 5}, "generateContentRequest"),
    ({"generateContentRequest": {"contents": []}}, "generateContentRequest.contents"),
    ({**HELLO, **whole(HELLO)}, "contents"),
])  # fmt: skip
def test_bad_bodies_are_400(server, body, field):
    details = check_error(count(server, body), 400)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == field


def test_key_and_model_are_checked(server):
    check_error(count(server, headers={}), 401)
    answer = count(server, model="nobody")
    check_error(answer, 404)
    assert "is not supported for countTokens" in answer.json()["error"]["message"]
    check_error(count(server, model="text-embedding-3-small"), 404)


def test_rights_are_checked(server):
    key = server.new_key("test", "enterprise")
    server.execute("UPDATE api_keys SET models = ? WHERE id = (SELECT key_id FROM key_secrets"
                   " ORDER BY created_at DESC LIMIT 1)", json.dumps(["gpt-4o-mini"]))  # fmt: skip
    assert count(server, key=key).status_code == 403
    assert count(server, key=key, model="gpt-4o-mini").status_code == 200


def test_counting_costs_nothing(server):
    key = server.new_key("test", "free")
    before = len(server.query("SELECT id FROM usage_records"))
    answers = [count(server, key=key) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert {a.headers["X-RateLimit-Remaining-Requests"] for a in answers} == {"10"}
    generated = call(server, key=key)
    server.record(generated.headers["x-request-id"])
    assert len(server.query("SELECT id FROM usage_records")) == before + 1


@FUZZ
@given(body=BODY | maybe(generateContentRequest=BODY))
def test_no_body_is_our_fault(server, body):
    answer = count(server, data=json.dumps(body).encode())
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        check_error(answer, 400)
