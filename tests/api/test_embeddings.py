"""Embeddings over the wire: both surfaces, every provider that has them, and the simulator."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import BadRequestError, NotFoundError, OpenAI

from tests.api.test_gemini import JUNK, google, maybe
from tests.api.test_gemini import check_error as check_google_error
from tests.api.wire import TYPES
from tests.conftest import poll

PATH = "/api/v1/embeddings"
SMALL = "text-embedding-3-small"
GOOGLE = "gemini-embedding-001"
LOCAL = "local-embed"


def embed(server, key=None, **fields):
    body = {"model": SMALL, "input": "hello"} | fields
    headers = body.pop("headers", {})
    return server.call("POST", PATH, key=key or server.test_key(), json=body, headers=headers)


def google_embed(server, body, *, key=None, model=GOOGLE, method="batchEmbedContents",
                 root="/api/v1beta", headers=None):  # fmt: skip
    headers = google(key or server.test_key()) | (headers or {})
    return server.call("POST", f"{root}/models/{model}:{method}", headers=headers, json=body)


def batch(*texts, **options):
    return {"requests": [{"content": {"parts": [{"text": t}]}, **options} for t in texts]}


def floats(packed):
    data = base64.b64decode(packed)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def sdk(server, key):
    return OpenAI(base_url=server.base_url, api_key=key, max_retries=0)


def sent(fake_upstream, tag):
    """What reached the upstream for this test: (path, body) of each call."""
    rows = [row for row in fake_upstream.requests() if f"tag:{tag}" in row["body"]]
    return [(row["path"], json.loads(row["body"])) for row in rows]


def check_error(answer, status, code, param=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (TYPES[status], code, param)


@pytest.fixture
def live(server):
    """A live key of a server that knows the local server's models."""
    key = server.live_key()
    path = f"/api/v1/models/{LOCAL}"
    poll(lambda: server.call("GET", path, key=key).status_code == 200, 15, "local models")
    return key


# ----------------------------------------------------------------------------- the OpenAI SDK


def test_the_sdk_reads_its_default_base64_as_the_floats_that_it_asks_for(server):
    client = sdk(server, server.test_key())
    packed = client.embeddings.create(model=SMALL, input=["one", "two"])
    plain = client.embeddings.create(model=SMALL, input=["one", "two"], encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == 1536
        assert one.embedding == pytest.approx(other.embedding)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-4)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == 2
    assert packed.model == SMALL


@pytest.mark.parametrize("model", [SMALL, LOCAL, GOOGLE])
@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}])
@pytest.mark.parametrize("size", [{}, {"dimensions": 16}])
def test_the_sdk_gets_vectors_of_every_provider(server, live, model, options, size):
    answer = sdk(server, live).embeddings.create(
        model=model, input=["one", "two words"], **options, **size
    )
    first, second = (item.embedding for item in answer.data)
    assert len(first) == len(second) == size.get("dimensions", 8)
    assert first != second
    assert all(type(x) is float for x in first)
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_are_inputs_too(server, live, given):
    for key in (live, server.test_key()):
        answer = sdk(server, key).embeddings.create(model=SMALL, input=given)
        assert len(answer.data) == (1 if given == [1, 2, 3] else 2)
        assert answer.usage.prompt_tokens == 3


def test_the_sdk_sees_our_errors_as_its_own(server, live):
    client = sdk(server, live)
    with pytest.raises(BadRequestError, match="empty array"):
        client.embeddings.create(model=SMALL, input=[])
    with pytest.raises(BadRequestError) as caught:
        client.embeddings.create(model=GOOGLE, input=[1, 2, 3])
    assert caught.value.param == "input"
    with pytest.raises(NotFoundError, match="does not exist or you do not have access"):
        client.embeddings.create(model="nobody", input="a")


# ----------------------------------------------------------------------------- passing through


def test_openais_bytes_pass_untouched(server, live, fake_upstream, tag):
    answer = embed(server, live, input=f"tag:{tag}", user="u1")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gateway-provider"] == "openai"
    (row,) = fake_upstream.requests(tag)
    assert answer.content in row["sent"]
    assert json.loads(row["body"]) == {"model": SMALL, "input": f"tag:{tag}", "user": "u1"}


def test_what_openai_refuses_stays_400(server, live):
    answer = embed(server, live, model="text-embedding-ada-002", dimensions=5)
    check_error(answer, 400, "invalid_request")


# ----------------------------------------------------------------------------- servers that bend it


@pytest.mark.parametrize("scenario", ["floats", "base64", "unordered", "nousage"])
def test_what_a_local_server_sends_is_mended(server, live, scenario):
    texts = [f"scenario:{scenario}", "two"]
    plain = embed(server, live, model=LOCAL, input=texts, encoding_format="float").json()
    packed = embed(server, live, model=LOCAL, input=texts, encoding_format="base64").json()
    want = embed(server, live, model=LOCAL, input="two").json()["data"][0]["embedding"]
    assert plain["data"][1]["embedding"] == want
    assert floats(packed["data"][1]["embedding"]) == want
    assert [item["index"] for item in plain["data"]] == [0, 1]
    assert plain["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("model", [SMALL, LOCAL])
@pytest.mark.parametrize("scenario", ["error_first:401", "error_first:429", "error_first:500",
                                      "html_200", "empty_200", "reset_fresh"])  # fmt: skip
def test_a_failing_provider_is_503(server, live, model, scenario):
    answer = embed(server, live, model=model, input=f"scenario:{scenario}")
    check_error(answer, 503, "provider_unavailable")
    record = server.record(answer.headers["x-request-id"])
    assert (record["status"], record["input_tokens"], record["cost_nano"]) == (503, 0, 0)


@pytest.mark.parametrize("scenario", ["words", "short"])
def test_vectors_that_are_none_or_missing_are_503(server, live, scenario):
    answer = embed(server, live, model=LOCAL, input=[f"scenario:{scenario}", "two"])
    check_error(answer, 503, "provider_unavailable")


# ----------------------------------------------------------------------------- OpenAI's wire to Google


def test_google_answers_more_inputs_than_it_takes_at_once(server, live, fake_upstream, tag):
    texts = [f"text {n} tag:{tag}" for n in range(230)]
    answer = embed(server, live, model=GOOGLE, input=texts, dimensions=16, user="u")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gateway-warnings"] == "dropped=user"
    calls = sent(fake_upstream, tag)
    assert [len(body["requests"]) for _, body in calls] == [100, 100, 30]
    assert {path for path, _ in calls} == {f"/v1beta/models/{GOOGLE}:batchEmbedContents"}
    assert {r["outputDimensionality"] for _, body in calls for r in body["requests"]} == {16}
    data = answer.json()["data"]
    assert len(data) == 230
    again = embed(server, live, model=GOOGLE, input=texts[170], dimensions=16).json()
    assert data[170]["embedding"] == again["data"][0]["embedding"]
    record = server.record(answer.headers["x-request-id"])
    assert record["input_tokens"] == answer.json()["usage"]["prompt_tokens"] == 3 * 230


def test_strict_callers_hear_of_what_google_cannot_say(server, live):
    answer = embed(server, live, model=GOOGLE, user="u", headers={"x-gateway-strict": "true"})
    check_error(answer, 400, "unsupported_parameter", "user")


# ----------------------------------------------------------------------------- Google's wire


@pytest.mark.parametrize("root", ["/api/v1beta", "/api/v1"])
@pytest.mark.parametrize("model", [GOOGLE, SMALL, LOCAL])
def test_google_calls_reach_every_provider(server, live, root, model):
    for key in (live, server.test_key()):
        many = google_embed(server, batch("a", "b"), key=key, model=model, root=root)
        assert many.status_code == 200, many.text
        first, second = (one["values"] for one in many.json()["embeddings"])
        assert len(first) == len(second) and first != second
        assert many.json()["usageMetadata"]["promptTokenCount"] > 0
        body = {"content": {"parts": [{"text": "a"}]}}
        one = google_embed(server, body, key=key, model=model, method="embedContent", root=root)
        assert one.json() == {"embedding": {"values": first}}


def test_google_calls_pass_to_google(server, live, fake_upstream, tag):
    body = {"requests": [{"model": "models/whatever", "task_type": "RETRIEVAL_DOCUMENT", "title": "t",
                          "content": {"parts": {"text": f"tag:{tag}"}}, "output_dimensionality": 9}]}  # fmt: skip
    answer = google_embed(server, body, key=live)
    assert len(answer.json()["embeddings"][0]["values"]) == 9
    assert "x-gateway-warnings" not in answer.headers
    ((path, wire),) = sent(fake_upstream, tag)
    assert path == f"/v1beta/models/{GOOGLE}:batchEmbedContents"
    (request,) = wire["requests"]
    assert request == {"model": f"models/{GOOGLE}", "taskType": "RETRIEVAL_DOCUMENT", "title": "t",
                       "content": {"parts": [{"text": f"tag:{tag}"}]}, "outputDimensionality": 9}  # fmt: skip


@pytest.mark.parametrize("model", [SMALL, LOCAL])
def test_a_task_means_nothing_to_others_and_is_named(server, live, model, fake_upstream, tag):
    body = batch(f"tag:{tag}", taskType="CLUSTERING", title="t", outputDimensionality=16)
    answer = google_embed(server, body, key=live, model=model)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gateway-warnings"] == "dropped=taskType,title"
    ((_, wire),) = sent(fake_upstream, tag)
    assert wire == {"model": model, "input": [f"tag:{tag}"], "dimensions": 16}
    strict = google_embed(server, body, key=live, model=model, headers={"x-gateway-strict": "true"})
    details = check_google_error(strict, 400)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "taskType"


def test_googles_sdk_embeds(server, live):
    from google import genai

    for key in (live, server.test_key()):
        client = genai.Client(api_key=key, http_options={"base_url": f"{server.root_url}/api"})
        answer = client.models.embed_content(
            model=GOOGLE, contents=["one", "two"], config={"output_dimensionality": 16}
        )
        assert [len(one.values) for one in answer.embeddings] == [16, 16]
        client.close()


@pytest.mark.parametrize(("body", "method", "field"), [
    ({}, "embedContent", "content"),
    ({"requests": []}, "batchEmbedContents", "requests"),
    (batch("a", outputDimensionality="x"), "batchEmbedContents", "requests[0].outputDimensionality"),
    (batch("a", outputDimensionality=9999), "batchEmbedContents", "outputDimensionality"),
    (batch("please test:400"), "batchEmbedContents", "requests"),
])  # fmt: skip
def test_errors_have_googles_shape(server, body, method, field):
    details = check_google_error(google_embed(server, body, method=method), 400)
    assert details["BadRequest"]["fieldViolations"][0]["field"] == field


def test_a_failing_google_is_503(server_factory):
    server = server_factory(GEMINI_API_KEY="not-the-key")
    answer = google_embed(server, batch("a"), key=server.live_key())
    check_google_error(answer, 503)
    check_error(embed(server, server.live_key(), model=GOOGLE), 503, "provider_unavailable")


# ----------------------------------------------------------------------------- models and rights


def test_a_model_of_another_kind_is_404_and_told_where_to_go(server):
    answer = embed(server, model="gpt-4o")
    check_error(answer, 404, "model_not_found", "model")
    assert "/api/v1/chat/completions" in answer.json()["error"]["message"]
    answer = server.chat(server.test_key(), model=SMALL)
    check_error(answer, 404, "model_not_found", "model")
    assert "/api/v1/embeddings" in answer.json()["error"]["message"]
    check_google_error(google_embed(server, batch("a"), model="gpt-4o"), 404)


def test_without_a_provider_a_live_call_is_503(server_factory):
    server = server_factory(GEMINI_API_KEY="")
    check_error(embed(server, server.live_key(), model=GOOGLE), 503, "provider_not_configured")


def test_embedding_models_are_listed_with_their_methods(server, live):
    for key in (live, server.test_key()):
        ids = {m["id"] for m in server.call("GET", "/api/v1/models", key=key).json()["data"]}
        assert {SMALL, GOOGLE, LOCAL} <= ids
    for model, methods in ((GOOGLE, ["embedContent", "batchEmbedContents"]), ("gpt-4o", None)):
        answer = server.call("GET", f"/api/v1beta/models/{model}", headers=google(live)).json()
        chat = ["generateContent", "streamGenerateContent", "countTokens"]
        assert answer["supportedGenerationMethods"] == (methods or chat)


# ----------------------------------------------------------------------------- limits, records


def test_they_count_as_chat(server):
    key = server.new_key("test", "free")
    answers = [embed(server, key) for _ in range(5)]
    answers += [google_embed(server, batch("a", "b"), key=key) for _ in range(4)]
    answers += [server.chat(key) for _ in range(12)]
    assert answers[0].headers["X-RateLimit-Limit-Requests"] == "10"
    assert [answer.status_code for answer in answers[:9]].count(200) == 9
    assert 429 in [answer.status_code for answer in answers]  # of 21 in at most two windows of 10


@pytest.mark.parametrize(("model", "usd"), [(SMALL, 0.02), ("text-embedding-3-large", 0.13)])
def test_what_they_cost_is_recorded(server, live, model, usd):
    answer = embed(server, live, model=model, input=["word " * 1000] * 3)
    record = server.record(answer.headers["x-request-id"])
    assert (record["kind"], record["endpoint"], record["model"]) == ("chat", "embeddings", model)
    assert (record["input_tokens"], record["output_tokens"], record["estimated"]) == (3000, 0, 0)
    assert record["cost_nano"] == round(3000 * usd * 1000)
    assert float(answer.headers["x-gateway-cost-usd"]) == pytest.approx(3000 * usd / 10**6)


def test_google_calls_are_recorded(server, live):
    answer = google_embed(server, batch("a", "b"), key=live)
    record = server.record(answer.headers["x-request-id"])
    assert (record["kind"], record["endpoint"]) == ("chat", "batchEmbedContents")
    assert (record["input_tokens"], record["provider"], record["estimated"]) == (6, "gemini", 0)
    assert record["cost_nano"] == 6 * 150
    one = {"content": {"parts": [{"text": "a" * 400}]}}
    answer = google_embed(server, one, key=live, method="embedContent")
    record = server.record(answer.headers["x-request-id"])
    assert (record["endpoint"], record["estimated"]) == ("embedContent", 1)
    assert record["input_tokens"] >= 100


def test_a_test_call_is_recorded_and_free(server):
    answer = embed(server)
    assert answer.headers["x-gateway-mode"] == "test"
    record = server.record(answer.headers["x-request-id"])
    assert (record["mode"], record["cost_nano"], record["input_tokens"]) == ("test", 0, 2)


def test_an_answer_without_usage_is_told_and_recorded_alike(server, live):
    answer = embed(server, live, model=LOCAL, input="scenario:nousage " + "x" * 400)
    record = server.record(answer.headers["x-request-id"])
    assert record["estimated"] == 1
    assert record["input_tokens"] == answer.json()["usage"]["prompt_tokens"]


# ----------------------------------------------------------------------------- whatever comes

INPUT = JUNK | st.lists(st.text(max_size=4), max_size=3) | st.lists(st.lists(st.integers(-1, 9)))
OPENAI_BODY = st.fixed_dictionaries(
    {"model": st.just(SMALL), "input": INPUT},
    optional={"dimensions": JUNK, "encoding_format": JUNK | st.just("base64"), "user": JUNK},
)
CONTENT = maybe(parts=st.lists(maybe(text=st.text(max_size=4)), max_size=2), role=st.just("user"))
ONE = maybe(content=CONTENT, taskType=JUNK, outputDimensionality=st.integers(-1, 9),
            embedContentConfig=maybe(title=JUNK, outputDimensionality=JUNK), model=JUNK)  # fmt: skip
GOOGLE_BODY = ONE | maybe(requests=st.lists(ONE, max_size=3)) | maybe(content=st.text(max_size=4))
FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(body=OPENAI_BODY)
def test_no_body_is_our_fault(server, body):
    answer = server.call("POST", PATH, key=server.test_key(), json=body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["error"]["type"] == TYPES[400]


@FUZZ
@given(body=GOOGLE_BODY, method=st.sampled_from(["embedContent", "batchEmbedContents"]))
def test_no_body_of_googles_is_our_fault(server, body, method):
    for model, key in ((GOOGLE, server.test_key()), (SMALL, server.live_key())):
        answer = google_embed(server, body, key=key, model=model, method=method)
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            check_google_error(answer, 400)
