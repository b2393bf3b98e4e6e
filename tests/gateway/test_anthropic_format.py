"""The Anthropic format as upstream: every row of the translation tables, its pitfalls by number."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import catalog, finishing, sse
from gateway.errors import InvalidRequest, RequestTooLarge, UpstreamFailed
from gateway.formats import anthropic, openai
from gateway.losses import Losses
from gateway.reasoning import Memory, MemoryReasoningStore, State
from gateway.target import Target
from gateway.types import (
    ChatRequest,
    Finish,
    Media,
    Message,
    Opaque,
    Pause,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    ResponseFormat,
    Silence,
    Started,
    StreamFailed,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
    Usage,
    UsageReport,
)
from gateway.upstream_errors import UNAVAILABLE
from tests.fakes import anthropic as fake
from tests.gateway.test_media import FILES

MODELS = catalog.build({}).models
TOOL = Tool("w", "Weather", {"type": "object", "properties": {"c": {"type": "string"}}})
OTHER = Tool("x", None, None)


def target_of(model="claude-sonnet-4-6", *, strict=False, memory=None, without=(), **more):
    """A target with the catalog's facts of a model."""
    row = MODELS[model]
    return Target(
        provider="anthropic",
        upstream_model=model,
        capabilities=row.capabilities - set(without),
        losses=Losses({}, is_strict=strict),
        memory=memory or Memory(MemoryReasoningStore(), "ada", b"secret"),
        **{"max_output": row.max_output, **more},
    )


def request_of(*parts, messages=None, **fields):
    messages = messages or [Message("user", list(parts) or [Text("Hi")])]
    return ChatRequest(model="claude", messages=messages, **fields)


def write(*parts, model="claude-sonnet-4-6", target=None, **fields):
    """The body of a request and the warnings that it came with."""
    target = target or target_of(model)
    body = anthropic.write_request(request_of(*parts, **fields), target)
    return body, target.losses.warnings()


def refused(*parts, model="claude-sonnet-4-6", target=None, **fields):
    with pytest.raises(InvalidRequest) as caught:
        write(*parts, model=model, target=target, **fields)
    return caught.value


def messages_of(*messages, target=None, tools=(TOOL,)):
    return write(messages=list(messages), target=target, tools=list(tools))[0]["messages"]


def user(*parts):
    return Message("user", [Text(part) if isinstance(part, str) else part for part in parts])


def assistant(*parts):
    return Message("assistant", [Text(part) if isinstance(part, str) else part for part in parts])


def call(id_="call_a", name="w", arguments="{}", **more):
    return ToolCall(id_, name, arguments, **more)


def result(id_="call_a", *content, **more):
    parts = [Text(part) if isinstance(part, str) else part for part in content or ("ok",)]
    return Message("tool", [ToolResult(id_, parts, **more)])


# ----------------------------------------------------------------------------- golden cases

G1 = {
    "model": "claude-sonnet-5-5",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "w", "arguments": '{"c":"Oslo"}'}},
                {"id": "call_b", "type": "function", "function": {"name": "w", "arguments": '{"c":"Rome"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_b", "content": "20"},
        {"role": "tool", "tool_call_id": "call_a", "content": "5"},
        {"role": "user", "content": "And tomorrow?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "w",
                "parameters": {"type": "object", "properties": {"c": {"type": "string"}}, "required": ["c"]},
            },
        }
    ],
    "temperature": 0.2,
    "seed": 7,
}  # fmt: skip


def test_g1_a_tool_round_trip_is_translated_to_the_letter():
    openai.check_request(G1)
    target = target_of("claude-sonnet-5-5")
    assert anthropic.write_request(openai.read_request(G1), target) == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 128_000,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather in Oslo and Rome?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_a", "name": "w", "input": {"c": "Oslo"}},
                    {"type": "tool_use", "id": "call_b", "name": "w", "input": {"c": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_a", "content": "5"},
                    {"type": "tool_result", "tool_use_id": "call_b", "content": "20"},
                    {"type": "text", "text": "And tomorrow?"},
                ],
            },
        ],
        "tools": [
            {
                "name": "w",
                "input_schema": {"type": "object", "properties": {"c": {"type": "string"}}, "required": ["c"]},
            }
        ],
    }  # fmt: skip
    assert target.losses.warnings() == ["dropped=temperature,seed"]
    assert target.streams


# ----------------------------------------------------------------------------- system and turns


def test_instructions_of_any_place_become_system_blocks_in_order():
    body, warnings = write(
        messages=[
            Message("system", [Text("One.")]),
            user("Hi"),
            assistant("Hello"),
            Message("developer", [Text("Two.")]),
            user("Go"),
        ]
    )
    assert [block["text"] for block in body["system"]] == ["One.", "Two."]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert warnings == []


def test_instructions_alone_are_said_by_the_user():
    body, _ = write(messages=[Message("system", [Text("Say hi.")])])
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]


def test_a_conversation_that_ends_with_the_model_goes_on_with_the_user():
    assert messages_of(user("Hi"), assistant("Hello, "))[-1] == {
        "role": "user",
        "content": [{"type": "text", "text": "Continue."}],
    }


def test_messages_of_one_side_in_a_row_become_one():
    messages = messages_of(user("a"), user("b"), assistant("c"), assistant("d "), user("e"))
    assert [[block["text"] for block in m["content"]] for m in messages] == [["a", "b"], ["c", "d"], ["e"]]  # fmt: skip


def test_pitfall_24_empty_texts_have_no_block():
    messages = messages_of(
        user("Hi", "", " \n"), assistant("", call()), result("call_a"), assistant(" "), user("Go")
    )
    assert messages[0]["content"] == [{"type": "text", "text": "Hi"}]
    assert [block["type"] for block in messages[1]["content"]] == ["tool_use"]
    assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "text"]


def test_a_turn_of_nothing_but_thoughts_disappears_and_leaves_one_user():
    messages = messages_of(user("a"), assistant(Reasoning("hm")), user("b"))
    assert [m["role"] for m in messages] == ["user"]
    assert [block["text"] for block in messages[0]["content"]] == ["a", "b"]


def test_a_user_who_says_nothing_that_can_be_sent_continues():
    assert messages_of(Message("user", [Reasoning("hm")]))[0]["content"][0]["text"] == "Continue."


def test_a_refusal_of_the_past_is_text():
    assert messages_of(user("a"), assistant(Refusal("No.")), user("b"))[1]["content"] == [
        {"type": "text", "text": "No."}
    ]


def test_texts_come_before_calls_and_the_last_one_has_no_white_space_at_its_end():
    content = messages_of(user("a"), assistant(call(), "After. \n"), result())[1]["content"]
    assert [block["type"] for block in content] == ["text", "tool_use"]
    assert content[0]["text"] == "After."


# ----------------------------------------------------------------------------- tool history


def test_pitfall_18_results_stand_first_together_and_in_the_order_of_the_calls():
    content = messages_of(
        user("a"),
        assistant(call("1"), call("2")),
        result("2", "two"),
        result("1", "one"),
        user("b"),
    )[2]["content"]
    assert [block["type"] for block in content] == ["tool_result", "tool_result", "text"]
    assert [block.get("content") for block in content] == ["one", "two", None]


@pytest.mark.parametrize("bad", ["functions.Bash:0", "a b", "é", "x" * 41, ""])
def test_pitfall_19_ids_that_others_gave_are_mapped_on_both_sides(bad):
    messages = messages_of(user("a"), assistant(call(bad)), result(bad))
    id_ = messages[1]["content"][0]["id"]
    assert id_ == messages[2]["content"][0]["tool_use_id"]
    assert id_.startswith("call_") and len(id_) == 29
    assert messages == messages_of(user("a"), assistant(call(bad)), result(bad))


def test_good_ids_stay():
    messages = messages_of(user("a"), assistant(call("toolu_01A-b")), result("toolu_01A-b"))
    assert messages[1]["content"][0]["id"] == "toolu_01A-b"


def test_pitfall_22_ids_that_come_again_are_made_unique_with_their_results():
    messages = messages_of(
        user("a"),
        assistant(call("1"), call("1")),
        result("1", "first"),
        result("1", "second"),
        assistant(call("1")),
        result("1", "third"),
    )
    calls = [b["id"] for m in messages for b in m["content"] if b["type"] == "tool_use"]
    results = [b for m in messages for b in m["content"] if b["type"] == "tool_result"]
    assert len(set(calls)) == 3 and calls[0] == "1"
    assert [b["tool_use_id"] for b in results] == calls
    assert [b["content"] for b in results] == ["first", "second", "third"]


def test_a_call_without_its_result_is_told_so():
    content = messages_of(user("a"), assistant(call("1"), call("2")), result("2"))[2]["content"]
    assert content[0] == {
        "type": "tool_result",
        "tool_use_id": "1",
        "content": "This call was not answered.",
        "is_error": True,
    }
    assert content[1]["tool_use_id"] == "2"


def test_a_result_without_its_call_is_told_as_text():
    messages = messages_of(user("a"), assistant("b"), result("gone", "42", name="w"))
    assert [b["text"] for b in messages[2]["content"]] == ["Result of w:", "42"]


def test_a_failed_tool_says_so_and_an_empty_result_has_no_content():
    content = messages_of(
        user("a"),
        assistant(call("1"), call("2")),
        result("1", "no", is_error=True),
        result("2", ""),
    )[2]["content"]
    assert content[0]["is_error"] is True
    assert content[1] == {"type": "tool_result", "tool_use_id": "2"}


@pytest.mark.parametrize(
    ("arguments", "sent", "warns"),
    [
        ('{"a":1}', {"a": 1}, False),
        ("", {}, False),
        ("[1]", {"value": [1]}, False),
        ("null", {"value": None}, False),
        ('{"a":', {"_raw": '{"a":'}, True),
        ("[" * 300 + "]" * 300, {"_raw": "[" * 300 + "]" * 300}, True),
    ],
)
def test_pitfall_27_arguments_become_an_object_and_no_call_is_lost(arguments, sent, warns):
    body, warnings = write(
        messages=[user("a"), assistant(call(arguments=arguments)), result()], tools=[TOOL]
    )
    assert body["messages"][1]["content"][0]["input"] == sent
    assert warnings == (["emulated=arguments"] if warns else [])
    json.dumps(body)


def test_history_with_calls_but_no_tools_declares_them_and_forbids_their_use():
    body, warnings = write(messages=[user("a"), assistant(call(name="old.tool")), result()])
    name = body["messages"][1]["content"][0]["name"]
    assert body["tools"] == [{"name": name, "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}
    assert warnings == []


def test_pitfall_23_names_that_are_refused_have_stand_ins_everywhere():
    target = target_of()
    long = "n" * 65
    body, _ = write(
        messages=[user("a"), assistant(call(name="a.b")), result()],
        target=target,
        tools=[Tool("a.b"), Tool(long), Tool("fine")],
        tool_choice=ToolChoice("required", ["a.b"]),
    )
    sent = [tool["name"] for tool in body["tools"]]
    assert [target.tool_names.own(name) for name in sent] == ["a.b"]
    assert body["tool_choice"]["name"] == body["messages"][1]["content"][0]["name"] == sent[0]


# ----------------------------------------------------------------------------- media


def b64(mime):
    return base64.b64encode(FILES[mime]).decode()


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_pitfall_73_an_image_is_what_its_bytes_say(mime):
    (block,) = write(Media("image", data=b64(mime), mime_type="image/jpg"))[0]["messages"][0][
        "content"
    ]
    assert block == {
        "type": "image",
        "source": {"type": "base64", "media_type": mime, "data": b64(mime)},
    }


def test_base64_is_sent_in_its_standard_form():
    data = base64.urlsafe_b64encode(FILES["image/jpeg"] + b"\xfb\xff").decode().rstrip("=")
    body, _ = write(Media("image", data=data[:7] + "\n" + data[7:]))
    sent = body["messages"][0]["content"][0]["source"]["data"]
    assert base64.b64decode(sent, validate=True) == FILES["image/jpeg"] + b"\xfb\xff"


def test_an_image_on_the_web_is_fetched_there():
    block = write(Media("image", url="https://x.test/a.png"))[0]["messages"][0]["content"][0]
    assert block == {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}


def test_a_pdf_is_a_document_with_its_name():
    media = Media("file", data=b64("application/pdf"), mime_type="text/plain", name="a.pdf")
    assert write(media)[0]["messages"][0]["content"][0] == {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": b64("application/pdf"),
        },
        "title": "a.pdf",
    }


def test_a_text_file_is_a_document_of_text():
    media = Media("file", data=base64.b64encode("h\u00e9".encode()).decode(), mime_type="text/csv")
    source = write(media)[0]["messages"][0]["content"][0]["source"]
    assert source == {"type": "text", "media_type": "text/plain", "data": "h\u00e9"}


def test_a_document_on_the_web_and_an_image_that_came_as_a_file():
    body, _ = write(
        Media("file", url="https://x.test/a.pdf", mime_type="application/pdf"),
        Media("file", data=b64("image/png"), mime_type="application/octet-stream"),
    )
    document, image = body["messages"][0]["content"]
    assert document == {
        "type": "document",
        "source": {"type": "url", "url": "https://x.test/a.pdf"},
    }
    assert image["type"] == "image"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (Media("audio", data=b64("audio/wav"), mime_type="audio/wav"), "does not support audio"),
        (Media("video", url="https://x.test/a.mp4"), "does not support video"),
        (Media("image", data=b64("image/heic")), "images of the type image/heic"),
        (Media("image", data=base64.b64encode(b"<svg/>").decode(), mime_type="image/svg+xml"), "image/svg+xml"),
        (Media("file", data=b64("audio/mpeg"), mime_type="text/plain"), "files of the type audio/mpeg"),
        (Media("file", data="AAAA", mime_type="application/zip"), "application/zip"),
        (Media("file", data=base64.b64encode(b"\xff\x00x").decode(), mime_type="text/plain"), "UTF-8"),
        (Media("file", data=base64.b64encode(b" \n ").decode(), mime_type="text/plain"), "empty"),
        (Media("file", url="https://x.test/a.txt", mime_type="text/plain"), "text/plain by URL"),
        (Media("image", url="http://x.test/a.png"), "https only"),
        (Media("image", url="gs://bucket/a.png"), "https URLs"),
        (Media("image", data="%%%"), "base64"),
        (Opaque("openai", {"type": "file", "file": {"file_id": "f"}}), "not supported"),
    ],
)  # fmt: skip
def test_what_the_model_cannot_take_is_refused_by_its_place(part, says):
    part.where = "messages[0].content[1]"
    error = refused(Text("Look"), part)
    assert says in error.message
    assert error.param == "messages[0].content[1]"


@pytest.mark.parametrize(
    ("without", "part"),
    [
        ("vision", Media("image", data=b64("image/png"))),
        ("vision", Media("image", url="https://x.test/a.png")),
        ("pdf", Media("file", data=b64("application/pdf"))),
        ("pdf", Media("file", url="https://x.test/a.pdf")),
    ],
)
def test_a_model_that_cannot_see_refuses_instead_of_looking_away(without, part):
    assert "does not support" in refused(part, target=target_of(without=[without])).message


def test_pitfall_30_a_tool_may_answer_with_text_and_an_image():
    image = Media("image", data=b64("image/png"))
    content = messages_of(user("a"), assistant(call()), result("call_a", "see", image))[2][
        "content"
    ]
    assert [block["type"] for block in content[0]["content"]] == ["text", "image"]


def test_media_said_by_the_model_are_refused():
    image = Media("image", data=b64("image/png"), where="contents[1].parts[0]")
    error = refused(messages=[user("a"), assistant(image), user("b")])
    assert error.param == "contents[1].parts[0]"


# ----------------------------------------------------------------------------- limits and sampling


def test_pitfall_33_without_a_limit_the_model_has_its_own():
    assert write()[0]["max_tokens"] == 128_000
    assert write(model="claude-haiku-4-5")[0]["max_tokens"] == 64_000
    assert write(target=target_of(max_output=None))[0]["max_tokens"] == 32_768


def test_a_limit_above_the_ceiling_is_clamped():
    body, warnings = write(max_tokens=100_000, model="claude-haiku-4-5")
    assert body["max_tokens"] == 64_000
    assert warnings == ["clamped=max_tokens:64000"]


@pytest.mark.parametrize(
    ("max_tokens", "stream", "streams"),
    [(16_000, False, False), (16_001, False, True), (10, True, True), (None, False, True)],
)
def test_long_answers_are_streamed_also_for_callers_who_wait(max_tokens, stream, streams):
    target = target_of()
    body, _ = write(target=target, max_tokens=max_tokens, stream=stream)
    assert body.get("stream", False) is target.streams is streams


@pytest.mark.parametrize(
    ("fields", "sent", "warnings"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}, []),
        ({"temperature": 0}, {"temperature": 0}, []),
        ({"temperature": 1}, {}, []),
        ({"temperature": 1.6}, {"temperature": 1}, ["clamped=temperature:1"]),
        ({"top_p": 0.9}, {"top_p": 0.9}, []),
        ({"top_p": 1, "temperature": 0.1}, {"temperature": 0.1}, []),
        ({"top_p": 0.9, "temperature": 1}, {"top_p": 0.9}, []),
        ({"top_p": 0.9, "temperature": 0.1}, {"temperature": 0.1}, ["dropped=top_p"]),
        ({"top_k": 40}, {"top_k": 40}, []),
        ({"top_k": 0}, {}, []),
        ({"seed": 0}, {}, ["dropped=seed"]),
        ({"presence_penalty": 0, "frequency_penalty": 0.0}, {}, []),
        (
            {"presence_penalty": 1, "frequency_penalty": 1},
            {},
            ["dropped=presence_penalty,frequency_penalty"],
        ),
    ],
)
def test_sampling_on_models_that_take_it(fields, sent, warnings):
    body, said = write(max_tokens=10, **fields)
    rest = {k: v for k, v in body.items() if k not in ("model", "messages", "max_tokens")}
    assert (rest, said) == (sent, warnings)


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-opus-5-5"])
def test_pitfall_35_models_without_sampling_get_none(model):
    body, warnings = write(model=model, temperature=0.5, top_p=0.9, top_k=5)
    assert not body.keys() & {"temperature", "top_p", "top_k"}
    assert warnings == ["dropped=temperature,top_p,top_k"]
    body, warnings = write(model=model, temperature=1, top_p=1)
    assert not body.keys() & {"temperature", "top_p"} and warnings == []


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-haiku-4-5"])
def test_a_model_that_thinks_takes_hardly_any_sampling(model):
    body, warnings = write(model=model, reasoning_effort="low", temperature=0.5, top_p=0.9, top_k=5)
    assert not body.keys() & {"temperature", "top_p", "top_k"}
    assert warnings == ["dropped=temperature,top_p,top_k"]
    assert write(model=model, reasoning_effort="low", top_p=0.97)[0]["top_p"] == 0.97


def test_pitfall_38_white_space_stops_in_the_gateway():
    target = target_of()
    body, warnings = write(target=target, stop=["END", "\n", "END", "", " \t"])
    assert body["stop_sequences"] == ["END"]
    assert target.cut_at == ["\n", " \t"]
    assert warnings == ["emulated=stop"]
    assert "stop_sequences" not in write(stop=["\n"])[0]


def test_the_user_is_hashed_and_the_tier_translated():
    body, _ = write(user="ada@x.test", extra={"openai": {"service_tier": "default"}})
    assert body["metadata"] == {"user_id": hashlib.sha256(b"ada@x.test").hexdigest()}
    assert body["service_tier"] == "standard_only"
    assert write(extra={"openai": {"service_tier": "auto"}})[0]["service_tier"] == "auto"
    body, warnings = write(extra={"openai": {"service_tier": "flex"}})
    assert "service_tier" not in body and warnings == ["dropped=service_tier"]


def test_several_answers_and_logprobs_are_refused():
    assert refused(n=2).param == "n"
    assert refused(logprobs=0).code == "unsupported_parameter"


def test_nothing_that_only_other_formats_know_is_sent():
    extra = {"openai": {"logit_bias": {"1": 1}, "store": True}, "gemini": {"labels": {}}}
    assert write(extra=extra, max_tokens=5)[0].keys() == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"temperature": 2},
        {"stop": ["\n"]},
        {"response_format": ResponseFormat("json_object")},
        {"max_tokens": 10**6},
    ],
)
def test_strict_callers_get_a_400_for_every_loss(fields):
    assert refused(target=target_of(strict=True), **fields).status == 400


# ----------------------------------------------------------------------------- tools


def test_a_tool_is_translated_with_a_schema_of_an_object():
    body, _ = write(tools=[Tool("w", "Weather", {"properties": {"c": {"minLength": 1}}}), OTHER])
    assert body["tools"] == [
        {
            "name": "w",
            "description": "Weather",
            "input_schema": {"type": "object", "properties": {"c": {"minLength": 1}}},
        },
        {"name": "x", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert "tool_choice" not in body


def test_pitfall_28_a_union_at_the_root_of_a_schema_is_flattened():
    branches = [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "integer"}}},
    ]
    for union in ("anyOf", "oneOf", "allOf"):
        schema = write(tools=[Tool("t", None, {union: branches})])[0]["tools"][0]["input_schema"]
        assert schema["type"] == "object" and not schema.keys() & {"anyOf", "oneOf", "allOf"}
        assert schema["properties"].keys() == {"a", "b"}


def closed(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def test_a_strict_tool_stays_strict_where_its_whole_schema_can_be_enforced():
    strict = Tool("s", None, closed(a={"type": "string"}), strict=True)
    loose = Tool("l", None, closed(a={"type": "integer", "minimum": 3}), strict=True)
    body, warnings = write(tools=[strict, loose])
    assert body["tools"][0]["strict"] is True
    assert "strict" not in body["tools"][1]
    assert body["tools"][1]["input_schema"]["properties"]["a"]["minimum"] == 3
    assert warnings == ["dropped=strict"]


def test_no_more_schemas_are_enforced_than_one_request_may_have():
    nullable = {f"p{i}": {"type": ["string", "null"]} for i in range(10)}
    many = [Tool(f"t{i}", None, closed(a={"type": "string"}), strict=True) for i in range(25)]
    assert sum("strict" in tool for tool in write(tools=many)[0]["tools"]) == 20
    wide = [Tool(f"t{i}", None, closed(**nullable), strict=True) for i in range(2)]
    assert ["strict" in tool for tool in write(tools=wide)[0]["tools"]] == [True, False]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent", "names"),
    [
        (None, None, None, "wx"),
        (ToolChoice("auto"), None, None, "wx"),
        (ToolChoice("none"), None, {"type": "none"}, "wx"),
        (ToolChoice("none"), False, {"type": "none"}, "wx"),
        (ToolChoice("required"), None, {"type": "any"}, "wx"),
        (ToolChoice("required", ["x"]), None, {"type": "tool", "name": "x"}, "x"),
        (ToolChoice("required", ["x", "w"]), None, {"type": "any"}, "wx"),
        (ToolChoice("auto", ["x"]), None, None, "x"),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, "wx"),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}, "wx"),
        (None, True, None, "wx"),
    ],
)
def test_the_choice_of_tools(choice, parallel, sent, names):
    body, warnings = write(tools=[TOOL, OTHER], tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == sent
    assert "".join(tool["name"] for tool in body["tools"]) == names
    assert warnings == []


def test_a_choice_among_no_given_tools_is_refused():
    assert (
        refused(tools=[TOOL], tool_choice=ToolChoice("required", ["gone"])).param == "tool_choice"
    )


def test_without_tools_nothing_is_said_of_them():
    body, warnings = write(tool_choice=ToolChoice("none"), parallel_tool_calls=False)
    assert not body.keys() & {"tools", "tool_choice"} and warnings == []


def test_a_model_without_tools_refuses_them():
    assert refused(target=target_of(without=["tools"]), tools=[TOOL]).param == "tools"


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
def test_pitfall_26_a_model_that_cannot_be_forced_is_told_to_call(model):
    body, warnings = write(
        model=model, tools=[TOOL, OTHER], tool_choice=ToolChoice("required", ["x"])
    )
    assert "tool_choice" not in body
    assert [tool["name"] for tool in body["tools"]] == ["x"]
    assert "tool x" in body["system"][-1]["text"]
    assert warnings == ["emulated=tool_choice"]
    body, _ = write(model=model, tools=[TOOL, OTHER], tool_choice=ToolChoice("required"))
    assert "at least one" in body["system"][-1]["text"]


# ----------------------------------------------------------------------------- output formats


def test_json_mode_is_an_instruction_and_never_a_forced_tool_pitfall_53():
    target = target_of()
    body, warnings = write(target=target, response_format=ResponseFormat("json_object"))
    assert "JSON" in body["system"][-1]["text"]
    assert not body.keys() & {"tools", "tool_choice", "output_config"}
    assert target.unfences and warnings == ["emulated=response_format"]


def test_a_schema_is_enforced_where_the_model_can():
    target = target_of("claude-opus-5-5")
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    body, warnings = write(
        target=target, response_format=ResponseFormat("json_schema", "n", schema, True)
    )
    sent = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    assert body["output_config"] == {"format": sent}
    assert "system" not in body and not target.unfences and warnings == []


def test_pitfall_52_bounds_that_cannot_be_enforced_are_described():
    schema = closed(a={"type": "integer", "minimum": 3})
    body, warnings = write(response_format=ResponseFormat("json_schema", "n", schema))
    sent = body["output_config"]["format"]["schema"]["properties"]["a"]
    assert "minimum" not in sent and "3" in sent["description"]
    assert warnings == ["emulated=response_format"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"$ref": "#/$defs/n", "$defs": {"n": closed(next={"$ref": "#/$defs/n"})}},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(30)}},
    ],
)
def test_a_schema_that_would_be_refused_or_mean_less_is_an_instruction(schema):
    target = target_of("claude-opus-5-5")
    body, warnings = write(
        target=target, response_format=ResponseFormat("json_schema", "n", schema)
    )
    assert "output_config" not in body
    assert json.dumps(schema, separators=(",", ":")) in body["system"][-1]["text"]
    assert target.unfences and warnings == ["emulated=response_format"]


def test_a_model_without_schemas_is_told_its_schema():
    target = target_of(without=["json_schema"])
    wanted = ResponseFormat("json_schema", "n", {"type": "object"})
    body, warnings = write(target=target, response_format=wanted)
    assert '{"type":"object"}' in body["system"][-1]["text"]
    assert target.unfences and warnings == ["emulated=response_format"]


def test_plain_text_is_no_format():
    assert write(response_format=ResponseFormat("text"), max_tokens=5)[0].keys() == {
        "model",
        "max_tokens",
        "messages",
    }


# ----------------------------------------------------------------------------- thinking

ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def thinking_of(body):
    return body.get("thinking"), body.get("output_config", {}).get("effort")


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "sent", "warnings"),
    [
        ("claude-sonnet-4-6", None, None, None, []),
        ("claude-sonnet-4-6", "none", {"type": "disabled"}, None, []),
        ("claude-sonnet-4-6", "minimal", ADAPTIVE, "low", []),
        ("claude-sonnet-4-6", "low", ADAPTIVE, "low", []),
        ("claude-sonnet-4-6", "medium", ADAPTIVE, "medium", []),
        ("claude-sonnet-4-6", "high", ADAPTIVE, "high", []),
        ("claude-sonnet-4-6", "xhigh", ADAPTIVE, "high", ["clamped=reasoning_effort:high"]),
        ("claude-sonnet-4-6", "max", ADAPTIVE, "max", []),
        ("claude-opus-5", "xhigh", ADAPTIVE, "xhigh", []),
        ("claude-opus-5", "none", {"type": "disabled"}, None, []),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None, []),
        ("claude-opus-5-5", "none", None, "low", ["clamped=reasoning_effort:low"]),
        ("claude-haiku-4-5", "none", None, None, []),
        ("claude-haiku-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None, []),
        ("claude-haiku-4-5", "low", {"type": "enabled", "budget_tokens": 2048}, None, []),
        ("claude-haiku-4-5", "medium", {"type": "enabled", "budget_tokens": 8192}, None, []),
        ("claude-haiku-4-5", "high", {"type": "enabled", "budget_tokens": 16384}, None, []),
        ("claude-opus-4-5", "xhigh", {"type": "enabled", "budget_tokens": 24576}, None, []),
        ("claude-sonnet-4-5", "max", {"type": "enabled", "budget_tokens": 32000}, None, []),
    ],
)
def test_efforts(model, effort, thinking, sent, warnings):
    body, said = write(model=model, reasoning_effort=effort)
    assert (*thinking_of(body), said) == (thinking, sent, warnings)


@pytest.mark.parametrize(
    ("model", "budget", "thinking", "sent", "warnings"),
    [
        ("claude-opus-5", -1, ADAPTIVE, None, []),
        ("claude-opus-5", 0, {"type": "disabled"}, None, []),
        ("claude-opus-5", 512, ADAPTIVE, "low", []),
        ("claude-opus-5", 8000, ADAPTIVE, "medium", []),
        ("claude-opus-5", 24576, ADAPTIVE, "high", []),
        ("claude-opus-5", 30000, ADAPTIVE, "xhigh", []),
        ("claude-sonnet-4-6", 30000, ADAPTIVE, "high", []),
        ("claude-opus-5-5", 0, None, "low", ["clamped=reasoning_budget:low"]),
        ("claude-haiku-4-5", 0, None, None, []),
        ("claude-haiku-4-5", -1, None, None, []),
        ("claude-haiku-4-5", 5000, {"type": "enabled", "budget_tokens": 5000}, None, []),
        (
            "claude-haiku-4-5",
            100,
            {"type": "enabled", "budget_tokens": 1024},
            None,
            ["clamped=reasoning_budget:1024"],
        ),
    ],
)
def test_budgets(model, budget, thinking, sent, warnings):
    body, said = write(model=model, reasoning_budget=budget)
    assert (*thinking_of(body), said) == (thinking, sent, warnings)


def test_pitfall_36_a_budget_stays_below_the_callers_own_limit():
    body, warnings = write(model="claude-haiku-4-5", reasoning_effort="high", max_tokens=2000)
    assert body["max_tokens"] == 2000
    assert body["thinking"]["budget_tokens"] == 1999
    body, warnings = write(model="claude-haiku-4-5", reasoning_effort="high", max_tokens=1000)
    assert "thinking" not in body and warnings == ["dropped=reasoning_effort"]


def test_who_wants_to_read_thoughts_is_shown_them():
    assert thinking_of(write(model="claude-opus-5-5", shows_reasoning=True)[0]) == (ADAPTIVE, None)
    assert thinking_of(write(model="claude-haiku-4-5", shows_reasoning=True)[0]) == (None, None)


def test_a_model_that_does_not_think_drops_the_effort_but_not_the_wish_for_none():
    mute = {"without": ["adaptive", "budget_thinking"]}
    body, warnings = write(target=target_of(**mute), reasoning_effort="high")
    assert thinking_of(body) == (None, None) and warnings == ["dropped=reasoning_effort"]
    assert write(target=target_of(**mute), reasoning_effort="none")[1] == []


def test_a_forced_call_goes_before_a_budget_of_thinking():
    body, warnings = write(
        model="claude-haiku-4-5",
        reasoning_effort="high",
        tools=[TOOL],
        tool_choice=ToolChoice("required"),
    )
    assert "thinking" not in body and body["tool_choice"] == {"type": "any"}
    assert warnings == ["dropped=reasoning_effort"]


# ----------------------------------------------------------------------------- replayed thoughts

BLOCKS = (Reasoning("I think", signature="sig"), Reasoning("", redacted="secret"))


def remembering(call_id="call_a", model="claude-haiku-4-5", vendor="anthropic", blocks=BLOCKS):
    memory = Memory(MemoryReasoningStore(), "ada", b"secret")
    memory.remember(call_id, State(vendor, model, blocks))
    return target_of("claude-haiku-4-5", memory=memory)


LOOP = (user("a"), assistant(Reasoning("unsigned"), "Let me see.", call()), result())


def test_pitfall_44_thoughts_go_back_first_and_unchanged():
    assert messages_of(*LOOP, target=remembering())[1]["content"] == [
        {"type": "thinking", "thinking": "I think", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_a", "name": "w", "input": {}},
    ]


def test_thoughts_go_back_in_earlier_turns_and_with_empty_text_too():
    target = remembering(blocks=(Reasoning("", signature="sig"),))
    messages = messages_of(*LOOP, assistant("Done"), user("b"), target=target)
    assert messages[1]["content"][0] == {"type": "thinking", "thinking": "", "signature": "sig"}


def test_thoughts_that_a_caller_brings_sealed_go_back():
    target = target_of("claude-haiku-4-5")
    sealed = target.memory.seal(State("anthropic", "claude-haiku-4-5", BLOCKS))
    messages = messages_of(user("a"), assistant(call(signature=sealed)), result(), target=target)
    assert messages[1]["content"][0]["signature"] == "sig"


@pytest.mark.parametrize(
    "target",
    [
        remembering(model="claude-opus-5"),
        remembering(vendor="gemini"),
        remembering(call_id="call_b"),
        remembering(blocks=(Reasoning("no signature"),)),
        target_of("claude-haiku-4-5"),
    ],
)
def test_other_thoughts_are_left_out_and_no_signature_is_invented(target):
    content = messages_of(*LOOP, target=target)[1]["content"]
    assert [block["type"] for block in content] == ["text", "tool_use"]


def test_a_budget_of_thinking_needs_the_thoughts_before_the_calls_being_answered():
    fields = {"messages": list(LOOP), "tools": [TOOL], "reasoning_effort": "high"}
    body, warnings = write(target=target_of("claude-haiku-4-5"), **fields)
    assert "thinking" not in body and warnings == ["dropped=reasoning_effort"]
    body, warnings = write(target=remembering(), **fields)
    assert body["thinking"]["type"] == "enabled" and warnings == []
    fields["messages"] += [assistant("Done"), user("b")]
    body, warnings = write(target=target_of("claude-haiku-4-5"), **fields)
    assert body["thinking"]["type"] == "enabled" and warnings == []


def test_a_refusal_of_bound_thoughts_is_mended_once_by_leaving_them_out():
    body, _ = write(messages=list(LOOP), tools=[TOOL], target=remembering(), reasoning_effort="low")
    message = (
        "messages.1.content.0: Invalid signature in thinking block. The block is bound to a "
        "different conversation prefix."
    )
    mended = anthropic.mended(body, message)
    assert [b["type"] for b in mended["messages"][1]["content"]] == ["text", "tool_use"]
    assert "thinking" not in mended and mended["tools"] == body["tools"]
    assert body["messages"][1]["content"][0]["type"] == "thinking"
    assert anthropic.mended(mended, message) is None
    assert anthropic.mended(body, "prompt is too long") is None


# ----------------------------------------------------------------------------- whole answers

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hi", "citations": None},
        {"type": "server_tool_use", "id": "srv", "name": "web", "input": {"q": 1}},
        {"type": "text", "text": " you"},
        {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"c": "Oslo"}},
        {"type": "tool_use", "id": "toolu.bad", "name": "now", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
        "server_tool_use": None,
    },
}


def read(**changes):
    return list(anthropic.read_response(json.dumps({**MESSAGE, **changes}).encode()))


def test_a_whole_answer_is_read_block_by_block():
    events = read()
    made = events[9]
    assert events == [
        Started("msg_1", "claude-sonnet-5-5", input_tokens=1110),
        ReasoningDelta("Hm."),
        ReasoningDelta("", signature="EqQB"),
        ReasoningDelta("", redacted="xyz"),
        TextDelta("Hi"),
        TextDelta(" you"),
        ToolCallStart(0, "toolu_1", "w"),
        ToolCallDelta(0, '{"c":"Oslo"}'),
        ToolCallStart(1, events[8].id, "now"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls", raw="tool_use"),
        UsageReport(
            Usage(
                input_tokens=1110,
                output_tokens=50,
                cached_tokens=1000,
                cache_write_tokens=100,
                reasoning_tokens=20,
            )
        ),
    ]
    assert made == ToolCallDelta(1, "{}")
    assert events[8].id != "toolu.bad" and events[8].id.startswith("call_")


def test_g7_and_pitfall_68_cached_tokens_are_counted_once():
    usage = read()[-1].usage
    assert openai.write_usage(usage) | {"completion_tokens_details": None} == {
        "prompt_tokens": 1110,
        "completion_tokens": 50,
        "total_tokens": 1160,
        "prompt_tokens_details": openai.write_usage(usage)["prompt_tokens_details"],
        "completion_tokens_details": None,
    }
    assert openai.write_usage(usage)["prompt_tokens_details"]["cached_tokens"] == 1000
    assert openai.write_usage(usage)["completion_tokens_details"]["reasoning_tokens"] == 20


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "other"),
    ],
)
def test_finish_reasons(raw, reason):
    text = [{"type": "text", "text": "Hi"}]
    finish = next(e for e in read(content=text, stop_reason=raw) if isinstance(e, Finish))
    assert finish == Finish(reason, raw=raw)


def test_calls_win_over_every_reason_but_a_limit_and_a_filter():
    found = {
        raw: read(stop_reason=raw)[-2].reason
        for raw in ("end_turn", "new", "max_tokens", "refusal")
    }
    assert found == {
        "end_turn": "tool_calls",
        "new": "tool_calls",
        "max_tokens": "length",
        "refusal": "content_filter",
    }


def test_an_empty_answer_is_an_answer():
    assert read(content=[], stop_reason="end_turn")[1:2] == [Finish("stop", raw="end_turn")]


def test_pitfall_41_thoughts_that_eat_the_whole_limit_are_a_length_and_no_error():
    events = read(
        content=[{"type": "thinking", "thinking": "", "signature": "s"}], stop_reason="max_tokens"
    )
    assert events[1:3] == [ReasoningDelta("", signature="s"), Finish("length", raw="max_tokens")]


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"type": "refusal", "category": "cyber", "explanation": "No exploits."}, "No exploits."),
        ({"explanation": None}, "The model declined to answer this request."),
        (None, "The model declined to answer this request."),
    ],
)
def test_a_refusal_says_why_and_keeps_what_was_said(details, says):
    events = read(
        content=[{"type": "text", "text": "Well"}], stop_reason="refusal", stop_details=details
    )
    assert events[1:4] == [
        TextDelta("Well"),
        RefusalDelta(says),
        Finish("content_filter", raw="refusal"),
    ]


def test_usage_that_was_not_said_is_not_made_up():
    assert not any(isinstance(event, UsageReport) for event in read(usage=None))
    assert read(usage={"output_tokens": None, "input_tokens": 3})[-1].usage == Usage(input_tokens=3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"content": null}',
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"content": [], "stop_reason": null}',
    ],
)
def test_pitfall_55_what_is_no_answer_is_a_value_error(body):
    with pytest.raises(ValueError):
        list(anthropic.read_response(body))


# ----------------------------------------------------------------------------- streams


def event(kind, **fields):
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def start(**usage):
    usage = {"input_tokens": 10, "output_tokens": 1, **usage}
    message = {"id": "msg_1", "model": "claude-x", "content": [], "stop_reason": None}
    return event("message_start", message={**message, "usage": usage})


def block(index, content, *deltas, stop=True):
    events = [event("content_block_start", index=index, content_block=content)]
    events += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join(events + [event("content_block_stop", index=index)] * stop)


def text_block(index, *texts):
    return block(
        index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": t} for t in texts)
    )


def tool_block(index, id_, name, *pieces):
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block(index, {"type": "tool_use", "id": id_, "name": name, "input": {}}, *deltas)


def end(reason="end_turn", **usage):
    delta = {"stop_reason": reason, "stop_sequence": None}
    usage = {"output_tokens": 7, **usage}
    return event("message_delta", delta=delta, usage=usage) + event("message_stop")


def stream(*pieces):
    return told(anthropic.read_stream([b"".join(pieces)]))


def told(events):
    """What a stream tells, without the marks of how its bytes arrived."""
    return [found for found in events if not isinstance(found, Pause)]


G4 = b"".join(
    [
        start(cache_read_input_tokens=5),
        event("ping"),
        block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "signature_delta", "signature": "EqQB"},
        ),
        text_block(1, "Let me ", "see \U0001f600\u2028."),
        event("a_new_event", index=1, data="x"),
        tool_block(2, "toolu_1", "now"),
        event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3}),
        end("tool_use", output_tokens=9, output_tokens_details={"thinking_tokens": 4}),
    ]
)
G4_EVENTS = [
    Started("msg_1", "claude-x", input_tokens=15),
    ReasoningDelta("", signature="EqQB"),
    TextDelta("Let me "),
    TextDelta("see \U0001f600\u2028."),
    ToolCallStart(0, "toolu_1", "now"),
    ToolCallDelta(0, "{}"),
    Finish("tool_calls", raw="tool_use"),
    UsageReport(Usage(input_tokens=15, output_tokens=9, cached_tokens=5, reasoning_tokens=4)),
]


def test_g4_a_stream_with_secret_thoughts_text_and_a_tool_without_arguments():
    assert stream(G4) == G4_EVENTS


@given(st.lists(st.integers(0, len(G4)), max_size=8))
def test_bytes_may_be_cut_anywhere(places):
    cuts = [0, *sorted(places), len(G4)]
    chunks = [G4[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if a != b]
    assert told(anthropic.read_stream(chunks)) == G4_EVENTS
    windows = [chunk.replace(b"\n", b"\r\n") for chunk in chunks]
    assert told(anthropic.read_stream(windows)) == G4_EVENTS


def test_tools_are_numbered_among_themselves_and_fragments_stay_apart():
    events = stream(
        start(),
        text_block(0, "Hm"),
        tool_block(1, "toolu_1", "w", "", '{"c"', ':"Oslo"}'),
        tool_block(2, "toolu_2", "w", '{"c":"Rome"}'),
        end("tool_use"),
    )
    assert [e for e in events if isinstance(e, ToolCallStart | ToolCallDelta)] == [
        ToolCallStart(0, "toolu_1", "w"),
        ToolCallDelta(0, '{"c"'),
        ToolCallDelta(0, ':"Oslo"}'),
        ToolCallStart(1, "toolu_2", "w"),
        ToolCallDelta(1, '{"c":"Rome"}'),
    ]


def test_blocks_that_are_open_at_the_same_time_stay_apart():
    first = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    second = {"type": "tool_use", "id": "b", "name": "g", "input": {}}
    events = stream(
        start(),
        event("content_block_start", index=0, content_block=first),
        event("content_block_start", index=1, content_block=second),
        event(
            "content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}
        ),
        event(
            "content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "[]"}
        ),
        end("tool_use"),
    )
    assert [e for e in events if isinstance(e, ToolCallDelta)] == [
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, "[]"),
    ]


def test_pitfall_11_a_tool_without_arguments_has_an_empty_object_even_if_its_block_never_ends():
    opened = block(0, {"type": "tool_use", "id": "a", "name": "f"}, stop=False)
    assert ToolCallDelta(0, "{}") in stream(start(), opened, end("tool_use"))


def test_thoughts_are_told_and_signed():
    events = stream(
        start(),
        block(
            0,
            {"type": "thinking", "thinking": ""},
            {"type": "thinking_delta", "thinking": "I "},
            {"type": "thinking_delta", "thinking": "think"},
            {"type": "signature_delta", "signature": "s"},
        ),
        block(1, {"type": "redacted_thinking", "data": "xyz"}),
        end(),
    )
    assert events[1:5] == [
        ReasoningDelta("I "),
        ReasoningDelta("think"),
        ReasoningDelta("", signature="s"),
        ReasoningDelta("", redacted="xyz"),
    ]


def test_the_last_counters_count_and_null_is_none():
    usage = stream(
        start(output_tokens=1, cache_read_input_tokens=3),
        event("message_delta", delta={}, usage={"output_tokens": 5}),
        end(
            output_tokens=8,
            input_tokens=12,
            cache_creation_input_tokens=2,
            cache_read_input_tokens=None,
        ),
    )[-1].usage
    assert usage == Usage(input_tokens=17, output_tokens=8, cached_tokens=3, cache_write_tokens=2)


def test_a_refusal_after_text_keeps_the_text():
    details = {"type": "refusal", "explanation": "No."}
    events = stream(
        start(),
        text_block(0, "Well"),
        event("message_delta", delta={"stop_reason": "refusal", "stop_details": details}),
        event("message_stop"),
    )
    assert events[1:4] == [
        TextDelta("Well"),
        RefusalDelta("No."),
        Finish("content_filter", raw="refusal"),
    ]


def test_silence_is_passed_on_and_so_are_later_pings():
    chunks = [event("ping"), start(), b"", event("ping"), event("ping"), end()]
    assert [type(e) for e in told(anthropic.read_stream(chunks))] == [
        Started, Silence, Silence, Silence, Finish, UsageReport,
    ]  # fmt: skip


OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded sk-1"})


@pytest.mark.parametrize("before", [b"", start(), start() + text_block(0, "Hi")])
def test_pitfall_56_an_error_in_a_stream_fails_it(before):
    failed = stream(before, OVERLOADED, end())[-1]
    assert isinstance(failed, StreamFailed)
    assert failed.message == UNAVAILABLE
    assert "overloaded_error" in failed.reason


@pytest.mark.parametrize("length", range(0, len(G4) - 2, 7))
def test_pitfall_57_a_stream_that_is_cut_never_ends_well(length):
    events = stream(G4[:length])
    assert isinstance(events[-1], StreamFailed)
    assert not any(isinstance(e, Finish | UsageReport) for e in events)


def test_an_answer_without_a_stop_reason_has_failed():
    events = stream(start(), text_block(0, "Hi"), event("message_stop"))
    assert isinstance(events[-1], StreamFailed)


def test_what_follows_the_end_is_not_read():
    def chunks():
        yield G4
        raise AssertionError

    assert told(anthropic.read_stream(chunks())) == G4_EVENTS


def test_a_block_of_an_unknown_kind_and_unknown_deltas_are_passed_over():
    events = stream(
        start(),
        block(
            0,
            {"type": "server_tool_use", "id": "s", "name": "web", "input": {}},
            {"type": "input_json_delta", "partial_json": "{}"},
            {"type": "a_new_delta", "text": "no"},
        ),
        block(1, {"type": "text", "text": "Hi"}, {"type": "citations_delta", "citation": {}}),
        end(),
    )
    assert events[1:3] == [TextDelta("Hi"), Finish("stop", raw="end_turn")]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.floats(-1, 1),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = ("index", "message", "content_block", "delta", "usage", "error")
INNER = (
    "type", "text", "thinking", "signature", "partial_json", "id", "name", "input", "data", "usage",
    "model", "stop_reason", "stop_details", "explanation", "output_tokens", "output_tokens_details",
)  # fmt: skip
KINDS = (
    "message_start", "content_block_start", "content_block_delta", "content_block_stop",
    "message_delta", "message_stop", "ping", "",
)  # fmt: skip
TYPES = st.sampled_from(
    ["text", "thinking", "tool_use", "redacted_thinking", "text_delta", "input_json_delta",
     "thinking_delta", "signature_delta"]
)  # fmt: skip
OBJECT = st.dictionaries(st.sampled_from(INNER), ODD | TYPES, max_size=5)
ODD_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | ODD}, optional=dict.fromkeys(FIELDS, OBJECT | ODD)
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(ODD_EVENT | ODD, max_size=8))
def test_no_json_makes_a_stream_raise(odd):
    body = b"".join(sse.event(json.dumps(one).encode()) for one in odd)
    events = told(anthropic.read_stream([body]))
    assert isinstance(events[-1], StreamFailed | Finish | UsageReport)
    for found in events:
        if isinstance(found, TextDelta | ReasoningDelta):
            assert isinstance(found.text, str)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.sampled_from(["id", "model", "usage", "content", "stop_reason"]), ODD),
    st.lists(OBJECT),
)
def test_no_json_makes_a_whole_answer_raise_anything_but_a_value_error(changes, content):
    body = json.dumps({"stop_reason": "end_turn", "content": content, **changes}).encode()
    with contextlib.suppress(ValueError):
        list(anthropic.read_response(body))


# ----------------------------------------------------------------------------- streamed is whole

STRING = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CONTENT = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, STRING),
    st.builds(lambda t, s: {"type": "thinking", "thinking": t, "signature": s}, STRING, STRING),
    st.builds(lambda d: {"type": "redacted_thinking", "data": d}, STRING),
    st.builds(
        lambda i, n, a: {"type": "tool_use", "id": i, "name": n, "input": a},
        st.from_regex(r"toolu_[a-z0-9]{4}", fullmatch=True),
        st.sampled_from(["f", "g"]),
        st.dictionaries(STRING, ODD, max_size=2),
    ),
)
STARTS = {
    "text": lambda b: {"type": "text", "text": ""},
    "thinking": lambda b: {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": lambda b: {**b, "input": {}},
    "redacted_thinking": lambda b: b,
}


def halves(text):
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def streamed(message):
    """The stream of the same answer, every text in two pieces."""
    body = event("message_start", message={**message, "content": [], "stop_reason": None})
    for index, content in enumerate(message["content"]):
        kind = content["type"]
        deltas = []
        if kind == "text":
            deltas = [{"type": "text_delta", "text": t} for t in halves(content["text"])]
        elif kind == "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": t} for t in halves(content["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": content["signature"]})
        elif kind == "tool_use" and content["input"]:
            arguments = json.dumps(content["input"], separators=(",", ":"), ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": t} for t in halves(arguments)]
        body += block(index, STARTS[kind](content), *deltas)
    delta = {name: message.get(name) for name in ("stop_reason", "stop_details")}
    return (
        body + event("message_delta", delta=delta, usage=message["usage"]) + event("message_stop")
    )


def folded(events):
    """An answer as what its caller sees of it, pieces joined."""
    seen: list = []
    for found in told(events):
        if isinstance(found, Silence):
            continue
        if isinstance(found, ToolCallDelta):
            if seen[-1][:2] == ["arguments", found.index]:
                found = ToolCallDelta(found.index, seen.pop()[2] + found.arguments)
            seen.append(["arguments", found.index, found.arguments])
        elif isinstance(found, TextDelta) or (isinstance(found, ReasoningDelta) and found.text):
            kind = type(found).__name__
            seen.append([kind, (seen.pop()[1] if seen[-1][0] == kind else "") + found.text])
        else:
            seen.append([found])
    return [[*one[:2], json.loads(one[2])] if one[0] == "arguments" else one for one in seen]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(CONTENT, max_size=5),
    st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]),
    st.integers(1, 50),
)
def test_a_streamed_answer_is_the_whole_one(content, reason, size):
    message = {**MESSAGE, "content": content, "stop_reason": reason}
    whole = anthropic.read_response(json.dumps(message).encode())
    body = streamed(message)
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    assert folded(anthropic.read_stream(chunks)) == folded(whole)


# ----------------------------------------------------------------------------- errors


def error(status, body, retry_after=None):
    if isinstance(body, tuple):
        kind, message = body
        body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    return anthropic.read_error(status, body, provider="anthropic", retry_after=retry_after)


def test_what_the_caller_can_mend_stays_a_400_with_the_upstreams_words():
    found = error(400, ("invalid_request_error", "messages.0: too many images"))
    assert isinstance(found, InvalidRequest)
    assert (found.message, found.code) == ("messages.0: too many images", "invalid_request")


def test_a_prompt_that_is_too_long_has_its_own_code():
    found = error(400, ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"))
    assert found.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, ("invalid_request_error", "Your credit balance is too low to access the API")),
        (401, ("authentication_error", "invalid x-api-key")),
        (402, ("billing_error", "pay")),
        (403, ("permission_error", "no")),
        (404, ("not_found_error", "model: claude-x")),
        (429, ("rate_limit_error", "slow down")),
        (500, ("api_error", "Internal server error")),
        (529, ("overloaded_error", "Overloaded")),
        (502, b"<html>bad gateway</html>"),
        (500, b"[1]"),
        (500, b'{"error":"text"}'),
    ],
)
def test_every_other_failure_is_the_providers_and_names_no_reason_to_the_caller(status, body):
    found = error(status, body, retry_after=7)
    assert isinstance(found, UpstreamFailed)
    assert (found.status, found.message, found.retry_after) == (503, UNAVAILABLE, 7)
    assert found.upstream_status == status and str(status) in found.reason


def test_a_body_that_is_too_large_may_be_answered_with_a_page():
    assert isinstance(error(413, b"<html>413</html>"), RequestTooLarge)


def test_the_path_is_the_same_for_every_model():
    assert anthropic.call_path("/v1/messages", "claude-x", is_stream=True) == "/v1/messages"


# ----------------------------------------------------------------------------- nothing is refused

SAID = st.sampled_from(["Hi", "", " \n", "Oslo?", "x" * 50, "😀\u2028 "])
IDS = st.sampled_from(["call_a", "call_b", "functions.Bash:0", "x" * 60, "tüü", "a b"])
NAMES = st.sampled_from(["w", "x", "old_tool"])
ARGUMENTS = st.sampled_from(["{}", "", '{"c":"Oslo"}', "[1]", '{"c":', "null", '"text"'])
PICTURE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/jpg;base64,{b64('image/png')}"},
}
PDF = {"type": "file", "file": {"file_data": f"data:text/plain;base64,{b64('application/pdf')}"}}
LINK = {"type": "image_url", "image_url": {"url": "https://x.test/a"}}
USER_PART = st.sampled_from([PICTURE, PDF, LINK]) | SAID.map(lambda t: {"type": "text", "text": t})
THOUGHT = st.sampled_from([None, "Hm."])


@st.composite
def tool_round(draw):
    """A message with calls and its answers, in any order."""
    ids = draw(st.lists(IDS, min_size=1, max_size=3))
    calls = [
        {
            "id": id_,
            "type": "function",
            "function": {"name": draw(NAMES), "arguments": draw(ARGUMENTS)},
        }
        for id_ in ids
    ]
    said = {"role": "assistant", "content": draw(st.none() | SAID), "tool_calls": calls}
    if thought := draw(THOUGHT):
        said["reasoning_content"] = thought
    answers = [{"role": "tool", "tool_call_id": id_, "content": draw(SAID)} for id_ in ids]
    return [said, *draw(st.permutations(answers))]


@st.composite
def legacy_round(draw):
    """The older way to call a function, which nobody checks for its answer."""
    function = {"name": draw(NAMES), "arguments": draw(ARGUMENTS)}
    said = {"role": "assistant", "content": None, "function_call": function}
    answer = {"role": "function", "name": draw(NAMES), "content": draw(SAID)}
    return draw(st.sampled_from([[said, answer], [said], [answer]]))


SEGMENT = st.one_of(
    st.builds(
        lambda role, text: [{"role": role, "content": text}],
        st.sampled_from(["system", "developer", "user", "assistant"]),
        SAID,
    ),
    st.lists(USER_PART, min_size=1, max_size=3).map(lambda p: [{"role": "user", "content": p}]),
    st.just([{"role": "assistant", "content": None, "refusal": "No."}]),
    tool_round(),
    legacy_round(),
)
MESSAGES = st.lists(SEGMENT, min_size=1, max_size=6).map(lambda found: sum(found, []))
SCHEMA = st.sampled_from(
    [
        closed(c={"type": "string"}),
        {"type": "object", "properties": {"c": {"type": "integer", "minimum": 3}}},
        {"anyOf": [closed(a={"type": "string"}), closed(b={"type": "null"})]},
        closed(**{f"p{i}": {"type": ["string", "null"]} for i in range(9)}),
        {"type": "object", "properties": {f"q{i}": {} for i in range(30)}},
        {"$ref": "#/$defs/n", "$defs": {"n": closed(n={"$ref": "#/$defs/n"})}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {},
    ]
)


@st.composite
def body_of_openai(draw):
    """A body that OpenAI would take."""

    def optional(name, values):
        if draw(st.booleans()):
            body[name] = draw(values)

    body: dict = {"model": "claude", "messages": draw(MESSAGES)}
    strict = st.booleans() | st.none()
    if draw(st.booleans()):
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": name, "parameters": draw(SCHEMA), "strict": draw(strict)},
            }
            for name in ("w", "x", "y-1")[: draw(st.integers(1, 3))]
        ]
        named = {"type": "function", "function": {"name": "w"}}
        allowed = {"mode": draw(st.sampled_from(["auto", "required"])), "tools": [named]}
        limited = {"type": "allowed_tools", "allowed_tools": allowed}
        optional("tool_choice", st.sampled_from(["none", "auto", "required", named, limited]))
        optional("parallel_tool_calls", st.booleans())
    kinds = [{"type": "text"}, {"type": "json_object"}]
    formats = SCHEMA.map(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    )
    optional("response_format", st.sampled_from(kinds) | formats)
    optional(
        "reasoning_effort", st.sampled_from(["none", "minimal", "low", "high", "xhigh", "max"])
    )
    optional("temperature", st.floats(0, 2))
    optional("top_p", st.floats(0, 1))
    optional("top_k", st.integers(0, 100))
    optional("seed", st.integers())
    optional("max_tokens", st.sampled_from([1, 500, 1024, 1025, 3000, 20_000, 10**6]))
    optional("stop", st.lists(st.sampled_from(["END", " ", "\n", ""]), max_size=4))
    optional("stream", st.booleans())
    optional("user", SAID)
    optional("service_tier", st.sampled_from(["auto", "default", "flex"]))
    optional("presence_penalty", st.floats(-2, 2))
    return body


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=300)
@given(
    body_of_openai(),
    st.sampled_from(
        [
            "claude-haiku-4-5",
            "claude-sonnet-4-6",
            "claude-sonnet-5",
            "claude-opus-5-5",
            "claude-sonnet-5-5",
        ]
    ),
)
def test_no_valid_request_gives_a_body_that_is_refused(body, model):
    openai.check_request(body)
    sent = anthropic.write_request(openai.read_request(body), target_of(model))
    assert fake.refusal_of(json.loads(json.dumps(sent))) is None


# ----------------------------------------------------------------------------- with the fake

SCENARIOS = (
    "normal", "unicode", "thinking", "thinking_tools", "redacted", "tools", "tools_text", "zeroarg",
    "refusal", "length", "stop_sequence", "context_window", "empty", "cached", "two_deltas",
)  # fmt: skip


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5-5"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_fakes_stream_is_its_whole_answer(scenario, model):
    body, _ = write(
        Text(f"scenario:{scenario}"), model=model, tools=[TOOL], reasoning_effort="high"
    )
    assert fake.refusal_of(body) is None
    whole = anthropic.read_response(json.dumps(fake.whole(body)).encode())
    assert folded(anthropic.read_stream([fake.stream_bytes(body)])) == folded(whole)


@pytest.mark.parametrize("seals", [False, True])
@pytest.mark.parametrize("scenario", ["thinking_tools", "tools_text", "zeroarg"])
@pytest.mark.parametrize(
    "model", ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-sonnet-5", "claude-sonnet-5-5"]
)
def test_pitfall_44_a_tool_loop_goes_on_with_its_thoughts(model, scenario, seals):
    """Through the memory of the gateway, at an upstream that knows its own signatures."""
    fields = {"tools": [TOOL], "reasoning_effort": "high"}
    history = [user(f"scenario:{scenario}")]
    target = target_of(model)
    body, _ = write(messages=history, target=target, **fields)
    events = anthropic.read_stream([fake.stream_bytes(body)])
    events = list(finishing.finished(events, target, choices=1, vendor="anthropic", seals=seals))
    starts = [e for e in events if isinstance(e, ToolCallStart)]
    said = [Text("".join(e.text for e in events if isinstance(e, TextDelta)))]
    for start_ in starts:
        pieces = (
            e.arguments for e in events if isinstance(e, ToolCallDelta) and e.index == start_.index
        )
        said.append(call(start_.id, start_.name, "".join(pieces), signature=start_.signature))
    history += [Message("assistant", said), *(result(start_.id, "20") for start_ in starts)]
    memory = None if seals else target.memory
    body, warnings = write(messages=history, target=target_of(model, memory=memory), **fields)
    assert starts and fake.refusal_of(body) is None
    assert body["messages"][1]["content"][0]["type"] == "thinking"
    assert body["thinking"]["type"] in ("enabled", "adaptive") and warnings == []


def test_a_conversation_whose_beginning_changed_goes_on_without_its_thoughts():
    fields = {"tools": [TOOL], "reasoning_effort": "high"}
    target = target_of("claude-sonnet-5-5")
    body, _ = write(Text("scenario:thinking_tools"), target=target, **fields)
    events = anthropic.read_stream([fake.stream_bytes(body)])
    kept = finishing.finished(events, target, choices=1, vendor="anthropic", seals=False)
    ids = [e.id for e in kept if isinstance(e, ToolCallStart)]
    history = [user("Something else"), assistant(*map(call, ids)), *map(result, ids)]
    target = target_of("claude-sonnet-5-5", memory=target.memory)
    body, _ = write(messages=history, target=target, **fields)
    refusal = fake.refusal_of(body)
    assert "bound to a different conversation" in refusal
    assert fake.refusal_of(anthropic.mended(body, refusal)) is None
