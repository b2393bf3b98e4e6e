"""Whatever a caller does wrong below /api, the answer is our JSON error, never a page."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.wire import CODES, TYPES, check_error, check_limit_headers
from tests.conftest import FULL_SIZE, Server

CHAT = "/api/v1/chat/completions"
IMAGES = "/api/v1/images/generations"
POSTS = (CHAT, IMAGES)
HELLO = [{"role": "user", "content": "Hello!"}]
GOOD = {"model": "gpt-4o", "messages": HELLO}


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return server.test_key()


# ----------------------------------------------------------------------------- bodies

BODIES: dict[str, bytes] = {
    "empty": b"",
    "array": b"[]",
    "string": b'"x"',
    "number": b"1",
    "null": b"null",
    "broken": b'{"model": ',
    "trailing comma": b'{"model": "gpt-4o",}',
    "single quotes": b"{'model': 'gpt-4o'}",
    "bom": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "nan": b'{"model": "gpt-4o", "messages": [], "temperature": NaN}',
    "infinity": b'{"model": "gpt-4o", "messages": [], "temperature": Infinity}',
    "not utf-8": b'{"model": "\xff\xfe"}',
    "deep array": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "lone surrogate": b'{"model": "\\ud800"}',
    "two documents": b"{}{}",
    "form": b"model=gpt-4o",
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_json_object(server, key, path, name):
    response = server.call("POST", path, key=key, data=BODIES[name])
    error = check_error(response, 400)
    expected = {"bom": ("invalid_json", None), "deep and closed": (None, None)}
    code = expected.get(name, ("invalid_json", None))[0]
    if name == "lone surrogate":
        assert error["code"] in ("invalid_json", "missing_required_parameter", "invalid_value")
    elif code:
        assert error["code"] == code
    check_limit_headers(response)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain",
        "",
        "multipart/x",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
    ],
)
def test_any_content_type_will_do(server, key, content_type):
    response = server.call(
        "POST", CHAT, key=key, data=json.dumps(GOOD), headers={"Content-Type": content_type}
    )
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd"])
@pytest.mark.parametrize("path", POSTS)
def test_compressed_bodies(server, key, path, encoding):
    response = server.call(
        "POST", path, key=key, data=b"\x1f\x8b\x08\x00", headers={"Content-Encoding": encoding}
    )
    check_error(response, 400, "unsupported_encoding")


def test_identity_encoding_is_fine(server, key):
    response = server.call(
        "POST", CHAT, key=key, json=GOOD, headers={"Content-Encoding": "identity"}
    )
    assert response.status_code == 200


def raw(server: Server, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are; returns what comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + body)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize("path", POSTS)
def test_too_large_by_its_length(server, key, path):
    """Refused by the header alone: not one byte of the gigabyte is sent."""
    answer = raw(
        server,
        f"POST {path} HTTP/1.1\nHost: x\nAuthorization: Bearer {key}\n"
        f"Connection: close\nContent-Length: 1000000000\n\n",
    )
    assert answer.startswith(b"HTTP/1.1 413")
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] == "request_too_large"


def test_too_large_in_fact(server, key):
    def pieces():
        for _ in range(40):
            yield b"x" * 2**20

    try:
        response = server.call("POST", CHAT, key=key, data=pieces())
    except requests.ConnectionError:
        return  # closed while we were still sending: the answer is lost to this client
    check_error(response, 413, "request_too_large")


def test_a_big_body_below_the_limit_is_fine(server, key):
    message = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64," + "A" * 10_000_000, "detail": "low"},
            },
        ],
    }
    response = server.chat(key, messages=[message])
    assert response.status_code == 200, response.text[:300]


# ----------------------------------------------------------------------------- paths and methods

METHODS = [
    ("GET", CHAT),
    ("PUT", CHAT),
    ("DELETE", CHAT),
    ("PATCH", CHAT),
    ("GET", IMAGES),
    ("POST", "/api/v1/models"),
    ("DELETE", "/api/v1/models/gpt-4o"),
]


@pytest.mark.parametrize(("method", "path"), METHODS)
def test_wrong_method(server, key, method, path):
    response = server.call(method, path, key=key)
    check_error(response, 405, "method_not_allowed")
    allowed = {word.strip() for word in response.headers["Allow"].split(",")}
    assert ("POST" if path in POSTS else "GET") in allowed and method not in allowed


UNKNOWN = {
    "/api/v1/responses": CHAT,
    "/api/v1/completions": CHAT,
    "/api/v1/images/edits": IMAGES,
    "/api/v1/audio/speech": None,
    "/api/v1/moderations": None,
    "/api/v1/files": None,
    "/api/v1/nothing": None,
    "/api/v1": None,
    "/api/v2/chat/completions": None,
    "/api": None,
    "/api/v1/chat": None,
    "/api/v1/chat/completions/extra": None,
}


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("with_key", [True, False])
def test_unknown_url(server, key, path, method, with_key):
    response = server.call(method, path, key=key if with_key else None)
    error = check_error(response, 404, "unknown_url")
    if UNKNOWN[path]:
        assert UNKNOWN[path] in error["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/chat/completions/",
        "/api/v1//chat/completions",
        "//api/v1/chat/completions",
        "/api/v1/v1/chat/completions",
        "/api/v1/chat/completions?api-version=2024-01-01",
    ],
)
def test_naive_urls_work_without_redirect(server, key, path):
    response = server.call("POST", path, key=key, json=GOOD)
    assert response.status_code == 200, (response.status_code, response.text[:200])


@pytest.mark.parametrize("path", ["/api/v1/models/", "/api/v1//models", "/api/v1/models"])
def test_model_list_urls(server, key, path):
    response = server.call("GET", path, key=key)
    assert response.status_code == 200 and response.json()["object"] == "list"


@pytest.mark.parametrize("name", ["no-such", "a/b", "a%2Fb", "ü", "a b", "..%2f..", "%00"])
def test_unknown_model_ids(server, key, name):
    check_error(server.call("GET", f"/api/v1/models/{name}", key=key), 404)


def test_head(server, key):
    response = server.call("HEAD", "/api/v1/models", key=key)
    assert response.status_code == 200 and response.content == b""
    assert server.call("HEAD", CHAT, key=key).status_code == 405


PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-arch,"
    "x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,"
    "x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout,x-gateway-strict",
}


@pytest.mark.parametrize(
    "path",
    [
        *POSTS,
        "/api/v1/models",
        "/api/v1/nothing",
        "/api/v1beta/models/gemini-2.5-pro:generateContent",
    ],
)
def test_preflight_needs_no_key(server, path):
    response = server.call("OPTIONS", path, headers=PREFLIGHT)
    assert response.status_code in (200, 204) and response.content == b""
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    for name in PREFLIGHT["Access-Control-Request-Headers"].split(","):
        assert name in allowed
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Origin"] in ("*", PREFLIGHT["Origin"])
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("good", [True, False])
def test_answers_may_be_read_from_other_origins(server, key, good):
    response = server.call(
        "POST",
        CHAT,
        key=key if good else "wrong",
        json=GOOD,
        headers={"Origin": "https://app.example"},
    )
    assert response.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")
    exposed = response.headers["Access-Control-Expose-Headers"].lower()
    for name in ("x-request-id", "x-ratelimit-reset-requests", "retry-after", "x-gateway-mode"):
        assert name in exposed
    assert "Set-Cookie" not in response.headers


# ----------------------------------------------------------------------------- credentials

CARRIERS = {
    "bearer": lambda key: {"Authorization": f"Bearer {key}"},
    "lower case": lambda key: {"Authorization": f"bearer {key}"},
    "two blanks": lambda key: {"Authorization": f"Bearer  {key}"},
    "x-api-key": lambda key: {"x-api-key": key},
    "x-goog-api-key": lambda key: {"x-goog-api-key": key},
    "twice the same": lambda key: {"Authorization": f"Bearer {key}", "x-api-key": key},
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_carriers(server, key, carrier):
    headers = CARRIERS[carrier](key)
    response = server.call("POST", CHAT, json=GOOD, headers=headers)
    assert response.status_code == 200, response.text
    check_error(
        server.call("POST", CHAT, json=GOOD, headers=CARRIERS[carrier](key[:-1] + "_")),
        401,
        "invalid_api_key",
    )


def test_key_in_the_query(server, key):
    assert server.call("POST", f"{CHAT}?key={key}", json=GOOD).status_code == 200
    assert key not in server.process.output


NO_KEY = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Basic eDp5"},
    {"x-api-key": ""},
]


@pytest.mark.parametrize("headers", NO_KEY, ids=str)
@pytest.mark.parametrize("path", [CHAT, "/api/v1/models", IMAGES])
def test_missing_key(server, headers, path):
    method = "GET" if path.endswith("models") else "POST"
    check_error(server.call(method, path, headers=headers), 401, "missing_api_key")


def test_wrong_key_is_not_echoed(server):
    wrong = "sy_live_" + "Z" * 36
    response = server.chat(wrong)
    error = check_error(response, 401, "invalid_api_key")
    assert error["message"].startswith("Invalid API key provided.")
    assert wrong not in response.text


@pytest.mark.parametrize("other", ["x-api-key", "x-goog-api-key"])
def test_two_different_credentials(server, key, other):
    response = server.call("POST", CHAT, key=key, json=GOOD, headers={other: server.live_key()})
    check_error(response, 400, "conflicting_credentials")


def test_key_is_checked_before_the_body(server):
    check_error(server.call("POST", CHAT, key="wrong", data=b"{"), 401)


def test_client_request_id_is_not_ours(server, key):
    response = server.call(
        "POST",
        CHAT,
        key=key,
        json=GOOD,
        headers={"x-request-id": "req_mine", "X-Client-Request-Id": "mine"},
    )
    assert response.headers["x-request-id"] != "req_mine"


# ----------------------------------------------------------------------------- validation (1.6)


def tool(**function: Any) -> dict:
    return {"type": "function", "function": {"name": "f"} | function}


CALL = {"id": "call_x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [CALL]}
REFUSED: list[tuple[dict, str, str, str]] = [  # change to GOOD, code, param, words of the message
    ({"model": None}, "missing_required_parameter", "model", "you must provide a model parameter"),
    ({"messages": None}, "invalid_type", "messages", "expected an array of objects, but got null"),
    (
        {"messages": []},
        "empty_array",
        "messages",
        "Invalid 'messages': empty array. Expected an "
        "array with minimum length 1, but got an empty array instead.",
    ),
    ({"messages": "x"}, "invalid_type", "messages", "but got a string instead."),
    ({"messages": {}}, "invalid_type", "messages", "but got an object instead."),
    ({"messages": ["x"]}, "invalid_type", "messages[0]", "expected an object"),
    (
        {"messages": [{"content": "x"}]},
        "missing_required_parameter",
        "messages[0].role",
        "Missing required parameter: 'messages[0].role'.",
    ),
    (
        {"messages": [{"role": "foo", "content": "x"}]},
        "invalid_value",
        "messages[0].role",
        "Supported values are: 'system', ",
    ),
    (
        {"messages": [{"role": "user"}]},
        "missing_required_parameter",
        "messages[0].content",
        "Missing required parameter: 'messages[0].content'.",
    ),
    (
        {"messages": [{"role": "user", "content": 1}]},
        "invalid_type",
        "messages[0].content",
        "but got an integer instead.",
    ),
    (
        {"messages": [*HELLO, {"role": "user", "content": [{"text": "x"}]}]},
        "missing_required_parameter",
        "messages[1].content[0].type",
        "Missing required parameter",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "foo"}]}]},
        "invalid_value",
        "messages[0].content[0].type",
        "Supported values are: 'text'",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "missing_required_parameter",
        "messages[0].content[0].image_url",
        "Missing required",
    ),
    (
        {"messages": [*HELLO, {"role": "tool", "content": "x", "tool_call_id": "call_x"}]},
        "invalid_value",
        "messages[1].role",
        "messages with role 'tool' must be a response to a pre",
    ),
    (
        {"messages": [*HELLO, ASSISTANT, *HELLO]},
        "invalid_value",
        "messages",
        "must be followed by tool messages responding to each 'tool_call_id'. The following "
        "tool_call_ids did not have response messages: call_x",
    ),
    (
        {"temperature": 3},
        "decimal_above_max_value",
        "temperature",
        "Invalid 'temperature': decimal "
        "above maximum value. Expected a value <= 2, but got 3 instead.",
    ),
    (
        {"temperature": -0.5},
        "decimal_below_min_value",
        "temperature",
        "Expected a value >= 0, but got -0.5 instead.",
    ),
    (
        {"temperature": "1"},
        "invalid_type",
        "temperature",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    ({"temperature": True}, "invalid_type", "temperature", "but got a boolean instead."),
    ({"top_p": 1.5}, "decimal_above_max_value", "top_p", "Expected a value <= 1"),
    (
        {"n": 0},
        "integer_below_min_value",
        "n",
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    ({"n": 129}, "integer_above_max_value", "n", "Expected a value <= 128"),
    ({"n": 1.5}, "invalid_type", "n", "expected an integer"),
    ({"max_tokens": 0}, "integer_below_min_value", "max_tokens", "Expected a value >= 1"),
    ({"max_tokens": "5"}, "invalid_type", "max_tokens", "expected an integer"),
    ({"max_completion_tokens": -1}, "integer_below_min_value", "max_completion_tokens", ">= 1"),
    (
        {"stop": ["a"] * 5},
        "array_above_max_length",
        "stop",
        "Invalid 'stop': array too long. "
        "Expected an array with maximum length 4, but got an array with length 5 instead.",
    ),
    ({"stop": 5}, "invalid_type", "stop", "but got an integer instead."),
    ({"stream": "true"}, "invalid_type", "stream", "expected a boolean"),
    (
        {"stream_options": {"include_usage": True}},
        "invalid_value",
        "stream_options",
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ),
    ({"presence_penalty": 3}, "decimal_above_max_value", "presence_penalty", "<= 2"),
    ({"frequency_penalty": -3}, "decimal_below_min_value", "frequency_penalty", ">= -2"),
    ({"logit_bias": {"1": 101}}, "integer_above_max_value", "logit_bias.1", "<= 100"),
    ({"top_logprobs": 21, "logprobs": True}, "integer_above_max_value", "top_logprobs", "<= 20"),
    ({"top_logprobs": 2}, "invalid_value", "top_logprobs", "logprobs"),
    ({"metadata": {str(i): "x" for i in range(17)}}, "array_above_max_length", "metadata", "16"),
    ({"metadata": {"a": "x" * 513}}, "string_above_max_length", "metadata.a", "maximum length 512"),
    (
        {"tools": [tool(name="a b")]},
        "invalid_value",
        "tools[0].function.name",
        "string does not match pattern.",
    ),
    (
        {"tools": [{"type": "function", "function": {}}]},
        "missing_required_parameter",
        "tools[0].function.name",
        "Missing required parameter: 'tools[0].function.name'.",
    ),
    ({"tools": [tool()] * 129}, "array_above_max_length", "tools", "maximum length 128"),
    ({"tools": [{"type": "foo"}]}, "invalid_value", "tools[0].type", "Supported values are"),
    ({"tool_choice": "auto"}, "invalid_value", "tool_choice", "'tools'"),
    ({"tools": [tool()], "tool_choice": "maybe"}, "invalid_value", "tool_choice", "'required'"),
    ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type", "json_schema"),
    (
        {"response_format": {"type": "json_schema"}},
        "missing_required_parameter",
        "response_format.json_schema",
        "Missing required parameter",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        "missing_required_parameter",
        "response_format.json_schema.name",
        "Missing required",
    ),
    ({"reasoning_effort": "huge"}, "invalid_value", "reasoning_effort", "'high'"),
    ({"service_tier": "gold"}, "invalid_value", "service_tier", "'auto'"),
    ({"user": 5}, "invalid_type", "user", "expected a string"),
]


@pytest.mark.parametrize(
    ("change", "code", "param", "words"),
    REFUSED,
    ids=[f"{param}-{code}" for _, code, param, _ in REFUSED],
)
def test_validation(server, key, change, code, param, words):
    response = server.call("POST", CHAT, key=key, json=GOOD | change)
    error = check_error(response, 400, code, param)
    assert words in error["message"], error["message"]


def test_missing_messages(server, key):
    error = check_error(
        server.call("POST", CHAT, key=key, json={"model": "gpt-4o"}),
        400,
        "missing_required_parameter",
        "messages",
    )
    assert error["message"] == "Missing required parameter: 'messages'."


def test_responses_style_body_is_told_so(server, key):
    error = check_error(
        server.call("POST", CHAT, key=key, json={"model": "gpt-4o", "input": "x"}),
        400,
        "missing_required_parameter",
        "messages",
    )
    assert "Responses" in error["message"]


@pytest.mark.parametrize("model", ["no-such", "", " gpt-4o", "GPT-4O", "x" * 201, "a/b:c@d", "ü"])
def test_unknown_models(server, key, model):
    response = server.chat(key, model=model)
    assert response.status_code in (400, 404)
    check_error(response, response.status_code)


ACCEPTED = [
    {"temperature": 0},
    {"temperature": 2},
    {"stop": []},
    {"stop": ["a"] * 4},
    {"n": 2},
    {"messages": [{"role": "developer", "content": "x"}, *HELLO]},
    {"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}, *HELLO]},
    {"messages": [*HELLO, ASSISTANT, {"role": "tool", "tool_call_id": "call_x", "content": "x"}]},
    {
        "messages": [
            *HELLO,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_x", "content": [{"type": "text", "text": "x"}]},
        ]
    },
    {"tools": [tool()], "tool_choice": "none"},
    {"tools": [tool()], "parallel_tool_calls": False},
    {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"response_format": {"type": "text"}},
    {"metadata": {"a": "b"}},
    {"store": False},
    {"user": "u"},
    {"seed": 1},
    {"logprobs": True, "top_logprobs": 2},
    {"max_tokens": 5, "max_completion_tokens": 5},
    {"service_tier": "auto"},
    {"stream_options": None},
    {"logit_bias": {"50256": -100}},
    {"reasoning_effort": None},
]


@pytest.mark.parametrize("more", ACCEPTED, ids=lambda more: str(more)[:50])
def test_what_openai_accepts_is_accepted(server, key, more):
    response = server.call("POST", CHAT, key=key, json=GOOD | more)
    assert response.status_code == 200, response.text


# ----------------------------------------------------------------------------- fuzz

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        [
            "gpt-4o",
            "dall-e-3",
            "user",
            "assistant",
            "tool",
            "text",
            "function",
            "auto",
            "json_schema",
            "\u0000",
            "\u2028",
            "x" * 5000,
            "test:tool",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "name",
                    "function",
                    "arguments",
                    "id",
                    "tool_calls",
                    "tool_call_id",
                    "image_url",
                    "url",
                    "json_schema",
                    "schema",
                    "strict",
                    "include_usage",
                    "properties",
                    "",
                    "\u0000",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
NAMES = (
    "model messages stream stream_options max_tokens max_completion_tokens temperature top_p "
    "n stop seed presence_penalty frequency_penalty logit_bias logprobs top_logprobs "
    "response_format tools tool_choice parallel_tool_calls functions function_call "
    "reasoning_effort service_tier store metadata user modalities audio prediction prompt "
    "size quality response_format style input dimensions encoding_format foo"
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "x"])},
    optional={"text": VALUES, "image_url": VALUES, "file": VALUES},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": st.one_of(st.text(max_size=9), st.lists(PARTS, max_size=3), VALUES),
        "name": SCALARS,
        "tool_call_id": SCALARS,
        "tool_calls": VALUES,
        "refusal": SCALARS,
    },
)
BODY = st.one_of(
    st.dictionaries(st.sampled_from(NAMES.split()), VALUES, max_size=6),
    st.fixed_dictionaries(
        {"model": st.just("gpt-4o"), "messages": st.lists(MESSAGE, max_size=3)},
        optional=dict.fromkeys(
            ("tools", "stop", "n", "response_format", "tool_choice", "stream", "max_tokens", "foo"),
            VALUES,
        ),
    ),
    st.fixed_dictionaries(
        {"model": st.just("dall-e-3"), "prompt": st.text(max_size=20)},
        optional=dict.fromkeys(("n", "size", "quality", "response_format"), VALUES),
    ),
)
FUZZ = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def session(key):
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        yield session


def check_any(response: requests.Response) -> None:
    """A success, or an error in our shape that is not our fault."""
    status = response.status_code
    if status == 200:
        return
    assert status in (400, 404), (status, response.text[:400])
    check_error(response, status)
    assert response.json()["error"]["code"] in CODES[status]
    assert response.json()["error"]["type"] == TYPES[status]


@pytest.mark.parametrize(("path", "examples"), [(CHAT, 1400), (IMAGES, 400)])
def test_fuzzed_bodies_never_break_it(server, session, path, examples):
    @settings(FUZZ, max_examples=examples * (10 if FULL_SIZE else 1))
    @given(BODY)
    def fuzz(body):
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        with session.post(server.root_url + path, data=data, timeout=30) as response:
            check_any(response)

    fuzz()


def test_fuzzed_bytes_never_break_it(server, session):
    good = json.dumps(GOOD).encode()

    @settings(FUZZ, max_examples=200)
    @given(st.integers(0, len(good)), st.binary(max_size=6), st.integers(0, 8))
    def fuzz(at, junk, drop):
        data = good[:at] + junk + good[at + drop :]
        with session.post(server.root_url + CHAT, data=data, timeout=30) as response:
            check_any(response)

    fuzz()


def test_nothing_of_this_was_a_fault_of_ours(server):
    """The last test of this file: no traceback in the log, whatever was sent."""
    assert "Traceback" not in server.process.output
