"""The Gemini format: reading what SDKs really send, writing what they can read."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import sse
from gateway.errors import (
    AuthenticationFailed,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    Unavailable,
    UpstreamFailed,
)
from gateway.formats import gemini
from gateway.metering import Meter
from gateway.types import (
    ChatRequest,
    Finish,
    Media,
    Message,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Silence,
    Started,
    StreamFailed,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
    Usage,
    UsageReport,
)

HELLO = {"contents": [{"parts": [{"text": "hi"}]}]}


def read(body=None, **fields):
    """A body as `ChatRequest`, by the way that the view takes."""
    wire = gemini.normalise({**HELLO, **(body or {}), **fields})
    gemini.check_request(wire)
    return gemini.read_request(wire | {"model": "gpt-4o", "stream": False})


def refused(body=None, **fields):
    with pytest.raises(InvalidRequest) as caught:
        read(body, **fields)
    return caught.value


def contents(*turns):
    return {"contents": [{"role": role, "parts": list(parts)} for role, *parts in turns]}


# ----------------------------------------------------------------------------- normalisation


def test_snake_case_is_read_like_camel_case():
    snake = {
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]}],
        "generation_config": {
            "max_output_tokens": 5,
            "stop_sequences": ["x"],
            "top_k": 3.0,
            "thinking_config": {"thinking_budget": 1024, "include_thoughts": True},
        },
        "tools": [{"function_declarations": [{"name": "f"}]}],
        "tool_config": {
            "function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}
        },
    }
    camel = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}],
        "generationConfig": {
            "maxOutputTokens": 5,
            "stopSequences": ["x"],
            "topK": 3.0,
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
        },
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    }
    assert gemini.normalise(snake) == camel
    request = read(snake)
    assert request == read(camel)
    assert (request.max_tokens, request.stop, request.top_k) == (5, ["x"], 3)
    assert request.reasoning_budget == 1024
    assert request.tool_choice == ToolChoice("required", ["f"])


USER_DATA = {"user_id": {"deep_key": [{"other_key": 1}]}}


@pytest.mark.parametrize("body", [
    {"functionCall": {"name": "f", "args": USER_DATA}},
    {"functionResponse": {"name": "f", "response": USER_DATA}},
    {"functionDeclarations": [{"name": "f", "parametersJsonSchema": USER_DATA}]},
    {"generationConfig": {"responseJsonSchema": USER_DATA}},
    {"labels": USER_DATA},
    {"partMetadata": USER_DATA},
    {"parameters": {"properties": USER_DATA | {"user_id": {"type": "STRING"}}}},
    {"parameters": {"default": USER_DATA, "example": USER_DATA}},
])  # fmt: skip
def test_user_data_is_never_renamed(body):
    assert gemini.normalise(body) == body


def test_names_of_properties_stay_and_their_schemas_are_read():
    schema = {"properties": {"user_id": {"any_of": [{"min_items": "2"}]}}}
    assert gemini.camel(schema) == {"properties": {"user_id": {"anyOf": [{"minItems": "2"}]}}}


@settings(max_examples=200)
@given(st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abC_", max_size=6), inner),
))  # fmt: skip
def test_normalising_twice_is_normalising_once(value):
    once = gemini.camel(value)
    assert gemini.camel(once) == once


@pytest.mark.parametrize("contents_", [
    "hi", ["hi"], {"parts": [{"text": "hi"}]}, {"parts": {"text": "hi"}},
    [{"parts": {"text": "hi"}}], [{"role": "user", "parts": [{"text": "hi"}]}]])  # fmt: skip
def test_short_forms_of_contents_are_read(contents_):
    assert read(contents=contents_).messages == [Message("user", [Text("hi")])]


def test_bodies_that_nest_without_end_are_refused():
    deep = []
    for _ in range(2_000):
        deep = [deep]
    for body in ({"labels": {"a": deep}}, {"contents": deep}, {"tools": deep}):
        assert refused(body).code == "invalid_request"


# ----------------------------------------------------------------------------- base64

BYTES = bytes([0xFB, 0xFF, 0xFE, 0x01])


@pytest.mark.parametrize("text", [
    base64.b64encode(BYTES).decode(), base64.urlsafe_b64encode(BYTES).decode(),
    base64.urlsafe_b64encode(BYTES).decode().rstrip("=")])  # fmt: skip
def test_base64_becomes_standard(text):
    assert gemini.standard_base64(text) == base64.b64encode(BYTES).decode()
    request = read(contents(("user", {"inlineData": {"mimeType": "image/png", "data": text}})))
    media = request.messages[0].parts[0]
    where = "contents[0].parts[0]"
    assert media == Media("image", data="+//+AQ==", mime_type="image/png", where=where)


@pytest.mark.parametrize("text", ["!!", "A", "AAAAA", "Ä"])
def test_base64_that_is_none_is_refused(text):
    error = refused(contents(("user", {"inlineData": {"mimeType": "image/png", "data": text}})))
    assert error.code == "invalid_value"


@pytest.mark.parametrize(("mime", "kind"), [
    ("image/png", "image"), ("audio/wav", "audio"), ("application/pdf", "file"),
    ("text/plain", "file")])  # fmt: skip
def test_media_are_of_their_kind(mime, kind):
    part = {"inlineData": {"mimeType": mime, "data": "AAAA"}}
    assert read(contents(("user", part))).messages[0].parts[0].kind == kind


def test_a_file_is_a_link():
    part = {"fileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"}}
    media = read(contents(("user", part))).messages[0].parts[0]
    assert (media.kind, media.url) == ("image", "https://example.com/a.png")


# ----------------------------------------------------------------------------- messages


@pytest.mark.parametrize("system", [
    "Be brief.", {"parts": [{"text": "Be brief."}]}, {"parts": {"text": "Be brief."}},
    {"role": "user", "parts": [{"text": "Be brief."}]}])  # fmt: skip
def test_a_system_instruction_comes_first(system):
    assert read(systemInstruction=system).messages[0] == Message("system", [Text("Be brief.")])


def test_system_in_contents_is_one_too():
    request = read(contents(("system", {"text": "Be kind."}), ("user", {"text": "hi"})))
    assert [message.role for message in request.messages] == ["system", "user"]


def test_thoughts_in_the_history_are_reasoning():
    turn = ("model", {"text": "hm", "thought": True}, {"text": "Yes."})
    assert read(contents(turn)).messages == [Message("assistant", [Reasoning("hm"), Text("Yes.")])]


def test_empty_turns_of_the_model_are_left_out():
    request = read(contents(("user", {"text": "a"}), ("model",), ("user", {"text": "b"})))
    assert [message.role for message in request.messages] == ["user", "user"]


# ----------------------------------------------------------------------------- functions


def calls_and_results(request):
    parts = [part for message in request.messages for part in message.parts]
    return [p for p in parts if isinstance(p, ToolCall)], [
        p for p in parts if isinstance(p, ToolResult)
    ]


def call(name, **more):
    return {"functionCall": {"name": name, **more}}


def result(name, response, **more):
    return {"functionResponse": {"name": name, "response": response, **more}}


def test_results_without_ids_find_their_calls_in_order():
    request = read(contents(
        ("user", {"text": "weather in two towns?"}),
        ("model", call("get", args={"c": 1}), call("other"), call("get", args={"c": 2})),
        ("user", result("get", {"result": "one"}), result("get", {"result": "two"}),
         result("other", {"result": 3})),
    ))  # fmt: skip
    calls, results = calls_and_results(request)
    assert [json.loads(c.arguments) for c in calls] == [{"c": 1}, {}, {"c": 2}]
    by_id = {c.id: c for c in calls}
    assert len(by_id) == 3
    assert [by_id[r.call_id].arguments for r in results] == ['{"c":1}', '{"c":2}', "{}"]
    assert [r.content for r in results] == [[Text("one")], [Text("two")], [Text("3")]]
    roles = [message.role for message in request.messages]
    assert roles == ["user", "assistant", "tool", "tool", "tool"]


def test_ids_are_kept_where_they_are_sent():
    request = read(contents(
        ("model", call("f", id="a"), call("f", id="b")),
        ("user", result("f", {"output": "B"}, id="b"), result("f", {"output": "A"})),
    ))  # fmt: skip
    _, results = calls_and_results(request)
    assert [(r.call_id, r.content[0].text) for r in results] == [("b", "B"), ("a", "A")]


def test_the_same_history_has_the_same_ids():
    body = contents(("model", call("f")), ("function", result("f", {"x": 1})))
    assert read(body) == read(body)
    calls, results = calls_and_results(read(body))
    assert calls[0].id == results[0].call_id
    assert results[0].content == [Text('{"x":1}')]


def test_an_error_of_a_function_is_one():
    _, results = calls_and_results(
        read(contents(("model", call("f")), ("user", result("f", {"error": "no"}))))
    )
    assert results[0].is_error


def test_what_the_user_says_beside_a_result_comes_after_it():
    request = read(contents(("model", call("f")),
                            ("user", {"text": "and?"}, result("f", {"result": 1}))))  # fmt: skip
    assert [message.role for message in request.messages] == ["assistant", "tool", "user"]


@pytest.mark.parametrize("mode", ["ANY", "any", "Any"])
def test_modes_come_in_any_case(mode):
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    config = {"functionCallingConfig": {"mode": mode}}
    assert read(toolConfig=config, tools=tools).tool_choice == ToolChoice("required")
    assert read(toolConfig=config).tool_choice is None  # nothing to choose from


@pytest.mark.parametrize("name", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_a_declaration_carries_its_schema_under_any_name(name):
    schema = {"type": "object", "properties": {"user_id": {"type": "string"}}}
    request = read(tools={"functionDeclarations": [{"name": "f", name: schema}]})
    assert request.tools[0].parameters == schema


# ----------------------------------------------------------------------------- schemas


@pytest.mark.parametrize("name", ["responseSchema", "responseJsonSchema", "_responseJsonSchema",
                                  "response_schema", "response_json_schema"])  # fmt: skip
def test_a_response_schema_is_one_under_any_name(name):
    config = {"responseMimeType": "application/json", name: {"type": "object"}}
    shape = read(generationConfig=config).response_format
    assert (shape.kind, shape.schema) == ("json_schema", {"type": "object"})


def test_json_without_a_schema_is_any_object():
    config = {"response_mime_type": "application/json"}
    assert read(generationConfig=config).response_format.kind == "json_object"
    assert read().response_format is None


# ----------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(("body", "param", "code"), [
    ({"contents": None}, "contents", "invalid_type"),
    ({"contents": []}, "contents", "empty_array"),
    ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]", "invalid_value"),
    ({"contents": [{"parts": [None]}]}, "contents[0].parts[0]", "invalid_type"),
    ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text", "invalid_type"),
    ({"contents": [{"role": "robot"}]}, "contents[0].role", "invalid_value"),
    ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name",
     "missing_required_parameter"),
    ({"contents": [{"parts": [{"codeExecutionResult": {}}]}]}, "contents[0].parts[0]",
     "unsupported_value"),
    ({"generationConfig": {"temperature": 3}}, "generationConfig.temperature",
     "decimal_above_max_value"),
    ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens",
     "integer_below_min_value"),
    ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount",
     "integer_above_max_value"),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
     "generationConfig.thinkingConfig", "invalid_value"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "ULTRA"}}},
     "generationConfig.thinkingConfig.thinkingLevel", "invalid_value"),
    ({"tools": [{"functionDeclarations": [{"name": "f", "parameters": []}]}]},
     "tools[0].functionDeclarations[0].parameters", "invalid_type"),
    ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
     "toolConfig.functionCallingConfig.mode", "invalid_value"),
    ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": 5}}},
     "toolConfig.functionCallingConfig.allowedFunctionNames", "invalid_type"),
    ({"systemInstruction": {"parts": [{"text": []}]}}, "systemInstruction.parts[0].text",
     "invalid_type"),
    ({"cachedContent": "cachedContents/x"}, "cachedContent", "unsupported_parameter"),
])  # fmt: skip
def test_what_is_wrong_is_named(body, param, code):
    error = refused(body)
    assert (error.param, error.code) == (param, code)


def test_safety_settings_are_never_refused():
    read(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}])


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("error", "code", "status", "reason"), [
    (InvalidRequest("x"), 400, "INVALID_ARGUMENT", "INVALID_VALUE"),
    (AuthenticationFailed("x"), 401, "UNAUTHENTICATED", "API_KEY_INVALID"),
    (AuthenticationFailed("x", code="missing_api_key"), 401, "UNAUTHENTICATED", "API_KEY_INVALID"),
    (AuthenticationFailed("x", code="revoked_api_key"), 401, "UNAUTHENTICATED", "API_KEY_INVALID"),
    (PermissionDenied("x"), 403, "PERMISSION_DENIED", "API_ACCESS_DISABLED"),
    (NotFound("x"), 404, "NOT_FOUND", "UNKNOWN_URL"),
    (LimitExceeded("x"), 429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"),
    (Unavailable("x"), 503, "UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
])  # fmt: skip
def test_errors_have_googles_shape(error, code, status, reason):
    wire = gemini.write_error(error)["error"]
    assert (wire["code"], wire["status"], wire["message"]) == (code, status, "x")
    assert wire["details"][0]["reason"] == reason
    assert type(wire["code"]) is int


def detail(error, kind):
    return next(d for d in gemini.write_error(error)["error"]["details"]
                if d["@type"] == f"type.googleapis.com/google.rpc.{kind}")  # fmt: skip


def test_errors_carry_the_field_and_the_delay():
    assert detail(LimitExceeded("x", retry_after=34), "RetryInfo")["retryDelay"] == "34s"
    violations = detail(InvalidRequest("no", param="contents"), "BadRequest")["fieldViolations"]
    assert violations == [{"field": "contents", "description": "no"}]


# ----------------------------------------------------------------------------- answers

REQUEST = ChatRequest("gpt-4o", [])
SHOWING = ChatRequest("gpt-4o", [], shows_reasoning=True)
USAGE = UsageReport(Usage(10, 9, cached_tokens=4, reasoning_tokens=6))
STARTED = Started("r1", "gpt-4o-2026", 1)


def write(*events, request=REQUEST):
    return gemini.write_response(iter([STARTED, *events, USAGE]), request, Meter())


def stream(*events, request=REQUEST, meter=None):
    """The raw chunks of a stream."""
    writer = gemini.StreamWriter(request, meter or Meter())
    return sse.frames(b"".join(writer.write(iter([STARTED, *events]))))


def chunks(raw):
    return [json.loads(chunk.removeprefix(b"data: ")) for chunk in raw]


def parts_of(chunk):
    return chunk["candidates"][0]["content"]["parts"]


def a_call(index, name, arguments, choice=0):
    return [ToolCallStart(index, f"call_{index}", name, choice),
            *[ToolCallDelta(index, piece, choice) for piece in arguments]]  # fmt: skip


def test_a_whole_answer():
    wire = write(TextDelta("Hel"), TextDelta("lo"), Finish("stop"))
    content = {"parts": [{"text": "Hello"}], "role": "model"}
    assert wire["candidates"] == [{"content": content, "finishReason": "STOP", "index": 0}]
    assert wire["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 6,
        "totalTokenCount": 19,
        "cachedContentTokenCount": 4,
    }
    assert (wire["modelVersion"], wire["responseId"]) == ("gpt-4o-2026", "r1")


@pytest.mark.parametrize(("reason", "wire"), [
    ("stop", "STOP"), ("tool_calls", "STOP"), ("length", "MAX_TOKENS"),
    ("content_filter", "SAFETY"), ("error", "OTHER")])  # fmt: skip
def test_finish_reasons(reason, wire):
    assert write(TextDelta("a"), Finish(reason))["candidates"][0]["finishReason"] == wire


def test_an_answer_without_text_has_no_empty_part():
    assert parts_of(write(TextDelta(""), Finish("length"))) == []


def test_a_refusal_is_text_that_ends_with_safety():
    wire = write(RefusalDelta("I can't."), Finish("stop"))
    assert parts_of(wire) == [{"text": "I can't."}]
    assert wire["candidates"][0]["finishReason"] == "SAFETY"
    last = chunks(stream(RefusalDelta("I can't."), Finish("stop"), USAGE))[-1]
    assert last["candidates"][0]["finishReason"] == "SAFETY"


def test_thoughts_are_shown_to_who_asks():
    events = [ReasoningDelta("hm"), ReasoningDelta("m"), TextDelta("Yes"), Finish("stop")]
    shown = [{"text": "hmm", "thought": True}, {"text": "Yes"}]
    assert parts_of(write(*events, request=SHOWING)) == shown
    assert parts_of(write(*events)) == [{"text": "Yes"}]
    told = [parts_of(c) for c in chunks(stream(*events, USAGE))]
    assert told == [[{"text": "Ye"}], [{"text": "s"}]]
    assert parts_of(chunks(stream(*events, USAGE, request=SHOWING))[0]) == [
        {"text": "hm", "thought": True}
    ]
    thinking = {"thinkingConfig": {"includeThoughts": True}}
    assert parts_of(write(*events, request=read(generationConfig=thinking))) == shown


@pytest.mark.parametrize(("pieces", "args"), [
    ([], {}), (['{"a"', ": 1}"], {"a": 1}), (["[1]"], {"value": [1]})])  # fmt: skip
def test_a_call_always_has_an_object_of_arguments(pieces, args):
    wire = write(*a_call(0, "f", pieces), Finish("tool_calls"))
    assert parts_of(wire) == [{"functionCall": {"id": "call_0", "name": "f", "args": args}}]


@pytest.mark.parametrize(("reason", "shown"), [("tool_calls", "MALFORMED_FUNCTION_CALL"),
                                               ("length", "MAX_TOKENS")])  # fmt: skip
def test_a_broken_call_is_not_shown(reason, shown):
    events = [TextDelta("so"), *a_call(0, "f", ['{"a": ']), Finish(reason)]
    wire = write(*events)
    assert parts_of(wire) == [{"text": "so"}]
    assert wire["candidates"][0]["finishReason"] == shown
    last = chunks(stream(*events, USAGE))[-1]
    assert (parts_of(last), last["candidates"][0]["finishReason"]) == ([{"text": "o"}], shown)


def test_a_failed_answer_raises():
    with pytest.raises(UpstreamFailed):
        write(TextDelta("a"), StreamFailed("gone"))


# ----------------------------------------------------------------------------- streams


def test_a_stream_is_data_lines_in_ascii():
    text = "é\u2028\u2029\x85 \U0001f44b 你\r\n"
    raw = stream(Silence(), TextDelta(text), Finish("stop"), USAGE)
    for chunk in raw:
        assert chunk.isascii()
        assert chunk.startswith(b'data: {"candidates":')
        assert chunk.endswith(b"}\n\n")
        assert chunk.count(b"\n") == 2
    assert "".join(parts_of(chunk)[0]["text"] for chunk in chunks(raw)) == text


@given(st.text(max_size=40))
def test_ascii_json_is_the_same_json(text):
    wire = gemini.ascii_json({"t": text.encode("utf-8", "ignore").decode()})
    assert wire.isascii()
    assert json.loads(wire) == {"t": text}


def test_one_call_a_chunk_and_the_last_one_ends_the_stream():
    events = [*a_call(0, "f", ['{"a":', "1}"]), *a_call(1, "f", ["{}"]), Finish("tool_calls")]
    got = chunks(stream(TextDelta("ok"), *events, USAGE))
    assert [len(parts_of(chunk)) for chunk in got] == [1, 1, 1, 1]
    assert "".join(parts_of(chunk)[0]["text"] for chunk in got[:2]) == "ok"
    assert [p[0]["functionCall"]["args"] for p in map(parts_of, got[2:])] == [{"a": 1}, {}]
    assert "finishReason" not in got[2]["candidates"][0]
    assert got[3]["candidates"][0]["finishReason"] == "STOP"


def test_calls_share_a_chunk_for_sdks_that_read_only_the_last_one():
    events = [*a_call(0, "f", ["{}"]), *a_call(1, "g", ["{}"]), Finish("tool_calls"), USAGE]
    (only,) = chunks(stream(*events, request=ChatRequest("gpt-4o", [], joins_calls=True)))
    assert [part["functionCall"]["name"] for part in parts_of(only)] == ["f", "g"]


def test_every_chunk_has_a_part_and_no_text_is_empty():
    """Chats of Google's SDKs forget a turn with an empty chunk, the oldest one with an empty text."""
    for texts in (["a"], ["a", "b"], ["", "abc", ""], ["ab", "c"]):
        got = chunks(stream(*map(TextDelta, texts), Finish("stop"), USAGE))
        said = [parts_of(chunk) for chunk in got]
        assert all(len(parts) == 1 and parts[0]["text"] for parts in said)
        assert "".join(parts[0]["text"] for parts in said) == "".join(texts)


def test_what_was_said_before_a_failure_is_told():
    got = chunks(stream(TextDelta("abc"), StreamFailed("away")))
    assert "".join(parts_of(chunk)[0]["text"] for chunk in got[:-1]) == "abc"
    assert next(iter(got[-1])) == "error"


def test_usage_comes_once_it_is_known_and_the_finish_last():
    got = chunks(stream(TextDelta("a"), TextDelta(""), TextDelta("b"), Finish("length"), USAGE))
    assert ["usageMetadata" in chunk for chunk in got] == [False, True]
    assert got[-1]["usageMetadata"]["totalTokenCount"] == 19
    reasons = [chunk["candidates"][0].get("finishReason", "absent") for chunk in got]
    assert reasons == ["absent", "MAX_TOKENS"]
    assert {(chunk["responseId"], chunk["modelVersion"]) for chunk in got} == {
        ("r1", "gpt-4o-2026")
    }
    assert {chunk["candidates"][0]["content"]["role"] for chunk in got} == {"model"}


def test_each_candidate_finishes_once():
    got = chunks(
        stream(TextDelta("a"), TextDelta("b", 1), Finish("stop"), Finish("stop", 1), USAGE)
    )
    finished = [c["candidates"][0]["index"] for c in got if "finishReason" in c["candidates"][0]]
    assert finished == [0, 1]


def test_a_stream_that_breaks_ends_with_an_error():
    meter = Meter()
    raw = stream(TextDelta("a"), StreamFailed("gone", reason="why"), meter=meter)
    assert raw[-1].startswith(b'data: {"error":{"code":503,')
    assert meter.failed == "why"
    assert not any(b"finishReason" in chunk for chunk in raw)
