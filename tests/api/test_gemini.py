"""The Gemini surface over the wire, with test keys and with live ones through generateContent."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BETA = "/api/v1beta"
HELLO = {"contents": [{"parts": [{"text": "What is the capital of France?"}]}]}
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND",
            405: "UNIMPLEMENTED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}  # fmt: skip
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def google(key):
    return {"x-goog-api-key": key}


def call(server, body=None, *, key=None, method="generateContent", model="gpt-4o", root=BETA,
         query="", **options):  # fmt: skip
    """One Gemini call, with the key where Google's SDKs put it."""
    options.setdefault("headers", google(key or server.test_key()))
    if "data" not in options:
        options["json"] = body if body is not None else HELLO
    return server.call("POST", f"{root}/models/{model}:{method}{query}", **options)


def stream(server, body=None, **options):
    """The raw body of a stream by SSE."""
    answer = call(server, body, method="streamGenerateContent", query="?alt=sse", **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.content


def say(text, tag=""):
    return {"contents": [{"role": "user", "parts": [{"text": f"{text} tag:{tag}"}]}]}


def check_error(answer, status):
    """Google's shape, all of it; returns the details by type."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (status, STATUSES[status])
    assert error["message"]
    return {d["@type"].rpartition(".")[2]: d for d in error["details"]}


def text_of(answer):
    return answer.json()["candidates"][0]["content"]["parts"][0]["text"]


def events(raw):
    """The JSON of every event, after the rules of the strictest reader."""
    assert raw.isascii()
    assert raw.endswith(b"\n\n")
    blocks = raw.split(b"\n\n")[:-1]
    assert all(block.startswith(b"data: {") and b"\n" not in block for block in blocks)
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks]


# ----------------------------------------------------------------------------- whole answers


def modes(server):
    return {"test": server.test_key(), "live": server.live_key()}


@pytest.fixture(params=["test", "live"])
def key(request, server):
    return modes(server)[request.param]


@pytest.mark.parametrize("root", [BETA, "/api/v1"])
def test_an_answer_has_googles_shape(server, key, root):
    answer = call(server, key=key, root=root)
    assert answer.status_code == 200, answer.text
    assert text_of(answer) == "The capital of France is Paris."
    candidate = answer.json()["candidates"][0]
    assert candidate["content"]["role"] == "model"
    assert (candidate["finishReason"], candidate["index"]) == ("STOP", 0)
    usage = answer.json()["usageMetadata"]
    total = usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert usage["totalTokenCount"] == total + usage.get("thoughtsTokenCount", 0)
    assert answer.headers["x-request-id"].startswith("req_")
    assert int(answer.headers["X-RateLimit-Remaining-Requests"]) > 0


@pytest.mark.parametrize("place", ["header", "query", "bearer"])
def test_the_key_may_stand_in_three_places(server, place):
    key = server.test_key()
    headers = {"header": google(key), "bearer": {"Authorization": f"Bearer {key}"}, "query": {}}
    query = f"?key={key}" if place == "query" else ""
    assert call(server, headers=headers[place], query=query).status_code == 200


def test_a_system_instruction_and_snake_case_reach_the_upstream(server, fake_upstream, tag):
    body = say("hi", tag) | {
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "generation_config": {"max_output_tokens": 7, "stop_sequences": ["x"], "top_p": 0.5},
    }
    assert call(server, body, key=server.live_key()).status_code == 200
    sent = json.loads(fake_upstream.requests(tag)[0]["body"])
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["max_tokens"], sent["stop"], sent["top_p"]) == (7, ["x"], 0.5)
    assert sent["model"] == "gpt-4o"


def test_an_image_reaches_the_upstream_as_standard_base64(server, fake_upstream, tag):
    body = say("look", tag)
    body["contents"][0]["parts"].insert(
        0, {"inlineData": {"mime_type": "image/png", "data": "-__-AQ"}}
    )
    assert call(server, body, key=server.live_key()).status_code == 200
    sent = json.loads(fake_upstream.requests(tag)[0]["body"])
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,+//+AQ=="


WEATHER = {
    "type": "OBJECT",
    "properties": {"user_id": {"type": "STRING"}},
    "required": ["user_id"],
}
TOOLS = {"tools": [{"functionDeclarations": [{"name": "get_weather", "parameters": WEATHER}]}]}


def test_a_function_is_called_and_its_result_is_read(server):
    part = call(server, HELLO | TOOLS).json()["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["name"] == "get_weather"
    assert list(part["functionCall"]["args"]) == ["user_id"]
    result = {"functionResponse": {"name": "get_weather", "response": {"result": "sunny"}}}
    turns = [{"role": "model", "parts": [part]}, {"role": "user", "parts": [result]}]
    answer = call(server, {"contents": [*HELLO["contents"], *turns], **TOOLS})
    assert "sunny" in text_of(answer)


def test_results_without_ids_pass_a_strict_upstream(server, fake_upstream, tag):
    calls = [{"functionCall": {"name": "f", "args": {"n": n}}} for n in (1, 2)]
    results = [{"functionResponse": {"name": "f", "response": {"result": n}}} for n in (1, 2)]
    body = say("hi", tag)
    body["contents"] += [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    answer = call(server, body, key=server.live_key())
    assert answer.status_code == 200, answer.text
    _, asked, *told = json.loads(fake_upstream.requests(tag)[0]["body"])["messages"]
    ids = [c["id"] for c in asked["tool_calls"]]
    assert [m["tool_call_id"] for m in told] == ids
    assert len(set(ids)) == 2


def test_a_response_schema_is_kept(server):
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    answer = call(server, HELLO | {"generationConfig": config})
    assert set(json.loads(text_of(answer))) == {"city"}


def test_a_call_is_recorded(server):
    answer = call(server, key=server.live_key())
    record = server.record(answer.headers["x-request-id"])
    assert (record["status"], record["model"], record["kind"]) == (200, "gpt-4o", "chat")
    assert record["endpoint"] == "generateContent"
    usage = answer.json()["usageMetadata"]
    assert record["input_tokens"] == usage["promptTokenCount"]
    assert record["input_tokens"] + record["output_tokens"] == usage["totalTokenCount"]


# ----------------------------------------------------------------------------- streams


def test_a_stream_keeps_every_rule(server, key):
    got = events(stream(server, key=key))
    parts = [chunk["candidates"][0]["content"]["parts"] for chunk in got]
    text = "".join(part["text"] for some in parts for part in some)
    assert text == "The capital of France is Paris."
    assert all(part["text"] for some in parts for part in some)
    reasons = [chunk["candidates"][0].get("finishReason") for chunk in got]
    assert reasons == [None] * (len(got) - 1) + ["STOP"]
    totals = [c["usageMetadata"]["totalTokenCount"] for c in got if "usageMetadata" in c]
    assert totals == sorted(totals) and totals[-1] > 0
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in got}) == 1


def test_strange_characters_stay_in_their_lines(server):
    got = events(stream(server, say("test:unicode")))
    text = "".join(p["text"] for c in got for p in c["candidates"][0]["content"]["parts"])
    assert "\u2028" in text and "\U0001f44b" in text


def test_streamed_calls_come_one_by_one_and_whole(server):
    declared = [{"name": "a"}, {"name": "b", "parametersJsonSchema": {"type": "object"}}]
    got = events(stream(server, HELLO | {"tools": [{"functionDeclarations": declared}]}))
    for chunk in got:
        parts = chunk["candidates"][0]["content"]["parts"]
        assert len(parts) <= 1
        assert all(type(part["functionCall"]["args"]) is dict for part in parts)


def test_a_broken_stream_ends_with_an_error(server):
    raw = stream(server, say("test:cut"))
    *before, last = events(raw)
    assert before and list(last) == ["error"]
    assert last["error"]["code"] == 503
    assert b"finishReason" not in raw


@pytest.mark.parametrize("query", ["", "?alt=json"])
@pytest.mark.parametrize("text", ["hi", "test:cut", "test:unicode"])
def test_without_alt_sse_a_stream_is_a_json_array(server, query, text):
    answer = call(server, say(text), method="streamGenerateContent", query=query)
    assert answer.headers["content-type"] == "application/json"
    chunks = json.loads(answer.content)
    assert len(chunks) > 1
    assert ("error" in chunks[-1]) is (text == "test:cut")


def test_a_stream_is_recorded(server):
    answer = call(server, method="streamGenerateContent", query="?alt=sse", key=server.live_key())
    last = events(answer.content)[-1]
    record = server.record(answer.headers["x-request-id"])
    assert (record["stream"], record["outcome"]) == (1, "completed")
    assert record["input_tokens"] == last["usageMetadata"]["promptTokenCount"]


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize("root", [BETA, "/api/v1"])
@pytest.mark.parametrize("headers", [{}, {"x-goog-api-key": "AIza-nobody"}])
def test_a_bad_key_is_401(server, root, headers):
    answer = call(server, root=root, headers=headers)
    assert check_error(answer, 401)["ErrorInfo"]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize("root", [BETA, "/api/v1"])
def test_an_unknown_model_is_404_in_googles_words(server, root):
    answer = call(server, model="nobody", root=root)
    check_error(answer, 404)
    message = answer.json()["error"]["message"]
    version = root.rpartition("/")[2]
    assert message.startswith(f"models/nobody is not found for API version {version}, or is not")


def test_an_unknown_method_is_404_and_names_the_served_ones(server):
    answer = call(server, method="danceContent")
    check_error(answer, 404)
    assert "generateContent" in answer.json()["error"]["message"]


def test_an_image_model_does_not_chat(server):
    answer = call(server, model="dall-e-3")
    check_error(answer, 404)
    assert "/api/v1/images/generations" in answer.json()["error"]["message"]


@pytest.mark.parametrize("root", [BETA, "/api/v1"])
def test_a_bad_field_is_400_and_named(server, root):
    answer = call(server, {"contents": []}, root=root)
    violations = check_error(answer, 400)["BadRequest"]["fieldViolations"]
    assert violations[0]["field"] == "contents"


def test_a_body_that_is_no_json_is_400(server):
    check_error(call(server, data=b"{"), 400)


def test_two_keys_are_400(server):
    headers = google(server.test_key()) | {"Authorization": "Bearer other"}
    assert check_error(call(server, headers=headers), 400)["ErrorInfo"]["metadata"] == {
        "code": "conflicting_credentials"
    }


def test_another_verb_is_405(server):
    answer = server.call("DELETE", f"{BETA}/models", headers=google(server.test_key()))
    check_error(answer, 405)


def test_a_limit_is_429_with_the_delay(server):
    key = server.new_key("test", "free")
    answers = [call(server, key=key) for _ in range(22)]  # a window may end in between
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    details = check_error(limited[0], 429)
    seconds = int(limited[0].headers["Retry-After"])
    assert details["RetryInfo"]["retryDelay"] == f"{seconds}s"
    assert details["ErrorInfo"]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert limited[0].headers["X-RateLimit-Remaining-Requests"] == "0"


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
@pytest.mark.parametrize("status", [401, 429, 500, 502])
def test_a_failing_upstream_is_503(server, status, method):
    answer = call(server, say(f"scenario:error_first:{status}"), key=server.live_key(),
                  method=method)  # fmt: skip
    check_error(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert "canary" not in answer.text


def test_an_upstream_400_stays_one(server):
    check_error(call(server, say("scenario:error_first:400"), key=server.live_key()), 400)


@pytest.mark.parametrize("word", ["test:429", "test:503", "test:400"])
def test_failures_can_be_rehearsed(server, word):
    check_error(call(server, say(word)), int(word[-3:]))


# ----------------------------------------------------------------------------- models


def test_the_credential_decides_the_shape_of_the_list(server):
    key = server.test_key()
    openai = server.call("GET", "/api/v1/models", key=key).json()
    assert openai["object"] == "list"
    for answer in (
        server.call("GET", "/api/v1/models?pageSize=1000", headers=google(key)),
        server.call("GET", f"/api/v1/models?pageSize=1000&key={key}"),
        server.call("GET", f"{BETA}/models?pageSize=1000", key=key),
    ):
        models = answer.json()["models"]
        assert [m["name"] for m in models] == [f"models/{m['id']}" for m in openai["data"]]
        assert "nextPageToken" not in answer.json()


def test_the_credential_decides_the_shape_of_one(server):
    key = server.test_key()
    assert server.call("GET", "/api/v1/models/gpt-4o", key=key).json()["id"] == "gpt-4o"
    one = server.call("GET", "/api/v1/models/gpt-4o", headers=google(key)).json()
    assert one["name"] == "models/gpt-4o"
    assert "generateContent" in one["supportedGenerationMethods"]
    assert type(one["inputTokenLimit"]) is int


def test_the_credential_decides_the_shape_of_an_error(server):
    key = server.test_key()
    openai = server.call("GET", "/api/v1/models/nobody", key=key).json()["error"]
    assert openai["code"] == "model_not_found"
    answer = server.call("GET", "/api/v1/models/nobody", headers=google(key))
    check_error(answer, 404)
    assert "is not found" in answer.json()["error"]["message"]
    check_error(server.call("GET", "/api/v1/models", headers=google("nobody")), 401)
    check_error(server.call("GET", "/api/v1/models?key=nobody"), 401)


# ----------------------------------------------------------------------------- whatever comes

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**70) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


def maybe(**fields):
    """Objects with some of these fields, each right or junk."""
    return st.fixed_dictionaries({}, optional={k: v | JUNK for k, v in fields.items()})


TYPES = st.sampled_from(["OBJECT", "string", 3])
SCHEMA = maybe(type=TYPES, properties=JUNK, required=JUNK,
               enum=JUNK, items=JUNK, anyOf=JUNK, nullable=JUNK, minItems=JUNK)  # fmt: skip
PART = maybe(
    text=st.text(max_size=8), thought=st.booleans(),
    inlineData=maybe(mimeType=st.just("image/png"), data=st.text("Aa-_=", max_size=8)),
    functionCall=maybe(name=st.just("f"), args=JUNK, id=st.text(max_size=3)),
    functionResponse=maybe(name=st.just("f"), response=JUNK),
)  # fmt: skip
BODY = maybe(
    contents=st.lists(
        maybe(role=st.sampled_from(["user", "model"]), parts=st.lists(PART, max_size=3)), max_size=3
    ),
    systemInstruction=maybe(parts=st.lists(PART, max_size=2)),
    tools=st.lists(maybe(functionDeclarations=st.lists(maybe(
        name=st.just("f"), parameters=SCHEMA, parametersJsonSchema=SCHEMA)))),
    toolConfig=maybe(functionCallingConfig=maybe(mode=st.sampled_from(["ANY", "none"]),
                                                 allowedFunctionNames=JUNK)),
    generationConfig=maybe(
        temperature=JUNK, topK=JUNK, candidateCount=st.integers(1, 3), maxOutputTokens=JUNK,
        stopSequences=JUNK, responseSchema=SCHEMA, responseMimeType=st.just("application/json"),
        thinkingConfig=maybe(thinkingBudget=JUNK, includeThoughts=JUNK)),
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODY, is_stream=st.booleans())
def test_no_body_is_our_fault(server, body, is_stream):
    method = "streamGenerateContent" if is_stream else "generateContent"
    answer = call(server, body, method=method)
    assert answer.status_code in (200, 400), answer.text
    assert isinstance(answer.json(), dict | list)
    if answer.status_code == 400:
        check_error(answer, 400)


def test_a_deep_body_is_not_our_fault(server):
    for depth in (90, 101, 300, 900):
        value = "[" * depth + "]" * depth
        called = f'{{"functionCall":{{"name":"f","args":{{"a":{value}}}}}}}'
        answered = '{"functionResponse":{"name":"f","response":{}}}'
        turns = f'{{"role":"model","parts":[{called}]}},{{"parts":[{answered}]}}'
        body = f'{{"contents":[{{"parts":[{{"text":"x"}}]}},{turns}]}}'
        assert call(server, data=body.encode()).status_code == (200 if depth < 91 else 400)
