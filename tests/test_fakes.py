"""The fake upstreams are as strict as the services that they play, and answer as they do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from tests.fakes import anthropic, gemini
from tests.fakes.anthropic import ANTHROPIC_KEY
from tests.fakes.faults import BEFORE_ANSWER, STREAMS
from tests.fakes.gemini import GEMINI_KEY
from tests.fakes.openai import png
from tests.fakes.play import WORDS, instance_of

TEXT = "".join(WORDS)
PNG = base64.b64encode(png(1, 1)).decode()
GIF = base64.b64encode(b"GIF89a and so on").decode()
PDF = base64.b64encode(b"%PDF-1.7 and so on").decode()


# ----------------------------------------------------------------------------- Anthropic: bodies

SMALL, SIX, OPUS_47, OPUS_48 = (
    "claude-haiku-4-5",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
)
SONNET_5, OPUS_5, FABLE, NEWEST = (
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-fable-5",
    "claude-opus-5-5",
)
SONNET_55 = "claude-sonnet-5-5"
OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
CLOSED = OPEN | {"additionalProperties": False}
TOOLS = [{"name": "look", "input_schema": OPEN}]
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
ADAPTIVE, ENABLED = {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}
CACHE = {"cache_control": {"type": "ephemeral"}}


def user(*blocks: Any) -> dict:
    return {"role": "user", "content": blocks[0] if isinstance(blocks[0], str) else list(blocks)}


def assistant(*blocks: Any) -> dict:
    return user(*blocks) | {"role": "assistant"}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def image(media_type: str, data: str) -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def claude(model: str = SMALL, *messages: dict, **more: Any) -> dict:
    return {"model": model, "max_tokens": 2000, "messages": list(messages) or [user("Hi")]} | more


def loop(*later: dict, **more: Any) -> dict:
    return claude(SMALL, user("Hi"), assistant(USE), *later, **({"tools": TOOLS} | more))


def schema(**words: Any) -> dict:
    return {"output_config": {"format": {"type": "json_schema", "schema": CLOSED | words}}}


def many(count: int, **schema: Any) -> dict:
    """A closed schema of so many properties."""
    return {"properties": {f"p{i}": {"type": "string"} | schema for i in range(count)}}


def tool(**fields: Any) -> dict:
    return {"tools": [TOOLS[0] | fields]}


def without(body: dict, name: str) -> dict:
    return {key: value for key, value in body.items() if key != name}


ANTHROPIC_REFUSES = {
    "no max_tokens": (without(claude(), "max_tokens"), "max_tokens: Field required"),
    "no model": (without(claude(), "model"), "model: Field required"),
    "null": (claude(max_tokens=None), "max_tokens: Input should be a valid integer"),
    "above the ceiling": (claude(SMALL, max_tokens=64_001), "64001 > 64000"),
    "above the newest ceiling": (claude(NEWEST, max_tokens=128_001), "128001 > 128000"),
    "unknown field": (claude(seed=1), "seed: Extra inputs are not permitted"),
    "unknown field of a message": (
        claude(SMALL, user("Hi") | {"name": "x"}),
        "messages.0.name: Extra inputs are not permitted",
    ),
    "unknown field of a block": (
        claude(SMALL, user(text("Hi") | {"x": 1})),
        "messages.0.content.0.text.x: Extra inputs are not permitted",
    ),
    "unknown field of a tool": (
        claude(**tool(parameters={})),
        "tools.0.custom.parameters: Extra inputs are not permitted",
    ),
    "an OpenAI tool": (
        claude(tools=[{"type": "function", "function": {}}]),
        "tools.0: Input tag 'function' found",
    ),
    "old output_format": (claude(output_format={}), "output_format: Extra inputs"),
    "unknown model": (claude("gpt-4o"), "model: gpt-4o"),
    "retired model": (claude("claude-sonnet-4-20250514"), "model: claude-sonnet-4-20250514"),
    "retired 3.x": (claude("claude-3-5-haiku-latest"), "model: claude-3-5-haiku-latest"),
    "temperature above 1": (claude(temperature=1.2), "less than or equal to 1"),
    "temperature and top_p": (claude(temperature=1, top_p=1), "cannot both be specified"),
    "temperature on 4.7": (claude(OPUS_47, temperature=0.5), "deprecated for this model"),
    "top_p on the newest": (claude(NEWEST, top_p=0.9), "deprecated for this model"),
    "top_k on 5": (claude(SONNET_5, top_k=1), "deprecated for this model"),
    "temperature while thinking": (
        claude(SIX, temperature=0.5, thinking=ADAPTIVE),
        "may only be set to 1 when thinking",
    ),
    "top_k while thinking": (claude(SMALL, top_k=5, thinking=ENABLED), "`top_k` must be unset"),
    "top_p while thinking": (claude(SMALL, top_p=0.5, thinking=ENABLED), "0.95"),
    "adaptive on 4.5": (claude(SMALL, thinking=ADAPTIVE), "adaptive thinking is not supported"),
    "enabled on 4.7": (claude(OPUS_47, thinking=ENABLED), '"thinking.type.enabled" is not'),
    "disabled on Fable": (claude(FABLE, thinking={"type": "disabled"}), "disabled"),
    "disabled on the newest": (claude(NEWEST, thinking={"type": "disabled"}), "disabled"),
    "disabled on Sonnet 5.5": (claude(SONNET_55, thinking={"type": "disabled"}), "disabled"),
    "between_tools elsewhere": (claude(OPUS_5, thinking={"type": "between_tools"}), "between_"),
    "small budget": (
        claude(thinking={"type": "enabled", "budget_tokens": 1023}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "no budget": (claude(thinking={"type": "enabled"}), "budget_tokens: Field required"),
    "budget of max_tokens": (
        claude(thinking={"type": "enabled", "budget_tokens": 2000}),
        "`max_tokens` must be greater than",
    ),
    "budget in adaptive": (
        claude(SIX, thinking=ADAPTIVE | {"budget_tokens": 1024}),
        "thinking.adaptive.budget_tokens: Extra inputs",
    ),
    "binding without its beta": (
        claude(NEWEST, thinking=ADAPTIVE | {"block_binding": {}}),
        "block_binding: Extra inputs",
    ),
    "effort on Haiku 4.5": (claude(output_config={"effort": "low"}), "effort parameter"),
    "max on Opus 4.5": (claude("claude-opus-4-5", output_config={"effort": "max"}), "'max'"),
    "xhigh on 4.6": (claude(SIX, output_config={"effort": "xhigh"}), "'xhigh'"),
    "unknown effort": (claude(SIX, output_config={"effort": "minimal"}), "Input should be 'low'"),
    "disabled at max": (
        claude(OPUS_5, thinking={"type": "disabled"}, output_config={"effort": "max"}),
        'effort "high" or lower',
    ),
    "between_tools at xhigh": (
        claude(SONNET_55, thinking={"type": "between_tools"}, output_config={"effort": "xhigh"}),
        'effort "high" or lower',
    ),
    "forced on the newest": (
        claude(NEWEST, tools=TOOLS, tool_choice={"type": "any"}),
        'tool_choice: type "tool" and "any" are not supported for this model.',
    ),
    "forced while thinking": (
        claude(tools=TOOLS, thinking=ENABLED, tool_choice={"type": "tool", "name": "look"}),
        "Thinking may not be enabled",
    ),
    "choice without tools": (claude(tool_choice={"type": "auto"}), "while providing `tools`"),
    "an unknown tool chosen": (
        claude(tools=TOOLS, tool_choice={"type": "tool", "name": "find"}),
        "'find' not found",
    ),
    "disable_parallel with none": (
        claude(
            tools=TOOLS, tool_choice={"type": "none", "disable_parallel_tool_use": True}
        ),
        "tool_choice.none.disable_parallel_tool_use: Extra inputs",
    ),
    "an OpenAI choice": (claude(tools=TOOLS, tool_choice="auto"), "valid dictionary"),
    "dotted tool name": (claude(**tool(name="a.b")), "tools.0.custom.name: String should match"),
    "long tool name": (claude(**tool(name="a" * 65)), "String should match"),
    "one name twice": (claude(tools=TOOLS * 2), "Tool names must be unique"),
    "no input_schema": (claude(tools=[{"name": "a"}]), "tools.0.custom.input_schema: Field req"),
    "schema without type": (claude(**tool(input_schema={})), "input_schema.type: Field required"),
    "schema of a string": (claude(**tool(input_schema={"type": "string"})), "be 'object'"),
    "schema with a union on top": (
        claude(**tool(input_schema={"type": "object", "anyOf": [OPEN]})),
        "does not support oneOf, allOf, or anyOf at the top level",
    ),
    "Gemini's type names": (
        claude(**tool(input_schema={"type": "object", "properties": {"a": {"type": "STRING"}}})),
        "JSON schema is invalid",
    ),
    "required: true": (
        claude(
            **tool(input_schema={"type": "object", "properties": {"a": {"required": True}}})
        ),
        "JSON schema is invalid",
    ),
    "open strict tool": (
        claude(**tool(strict=True)),
        "'additionalProperties' must be explicitly set to false",
    ),
    "21 strict tools": (
        claude(
            tools=[{"name": f"t{i}", "input_schema": CLOSED, "strict": True} for i in range(21)]
        ),
        "Too many strict tools",
    ),
    "open format": (
        claude(output_config={"format": {"type": "json_schema", "schema": OPEN}}),
        "output_config.format.schema: For 'object' type",
    ),
    "format with a name": (
        claude(output_config={"format": {"type": "json_schema", "schema": CLOSED, "name": "x"}}),
        "output_config.format.name: Extra inputs",
    ),
    "minimum": (
        claude(**schema(properties={"a": {"type": "integer", "minimum": 1}})),
        "For 'integer' type, properties minimum are not supported",
    ),
    "maxLength": (claude(**schema(properties={"a": {"maxLength": 1}})), "maxLength"),
    "oneOf": (claude(**schema(properties={"a": {"oneOf": []}})), "oneOf"),
    "$schema": (claude(**schema(**{"$schema": "x"})), "$schema"),
    "minItems 2": (claude(**schema(properties={"a": {"minItems": 2}})), "0 or 1"),
    "format int32": (claude(**schema(properties={"a": {"format": "int32"}})), "'int32'"),
    "enum of objects": (claude(**schema(properties={"a": {"enum": [{}]}})), "scalars"),
    "lookahead": (claude(**schema(properties={"a": {"pattern": "(?=x)"}})), "Lookaround"),
    "allOf with $ref": (
        claude(**schema(properties={"a": {"allOf": [{"$ref": "#/$defs/b"}]}}, **{"$defs": {"b": {}}})),
        "'allOf' with '$ref'",
    ),
    "external $ref": (
        claude(**schema(properties={"a": {"$ref": "https://x.test/s"}})),
        "only local definitions",
    ),
    "recursion": (
        claude(
            **schema(
                properties={"a": {"$ref": "#/$defs/b"}},
                **{"$defs": {"b": CLOSED | {"properties": {"c": {"$ref": "#/$defs/b"}}}}},
            )
        ),
        "Recursive",
    ),
    "25 optional": (claude(**schema(**many(25))), "too many optional parameters (25)"),
    "17 unions": (
        claude(**schema(**many(17, type=["string", "null"]), required=[f"p{i}" for i in range(17)])),
        "17 parameters with type arrays",
    ),
    "format with prefill": (
        claude(SMALL, user("Hi"), assistant("{"), **schema()),
        "prefill is not supported",
    ),
    "format with citations": (
        claude(
            SMALL,
            user(
                image("application/pdf", PDF)
                | {"type": "document", "citations": {"enabled": True}}
            ),
            **schema(),
        ),
        "citations are not supported",
    ),
    "no object": (["Hi"], "Input should be a valid dictionary"),
    "a block without type": (claude(SMALL, user({"text": "Hi"})), "messages.0.content.0.type: Field"),
    "a long user id": (claude(metadata={"user_id": "u" * 257}), "at most 256 characters"),
    "an empty model": (claude(""), "model: String should have at least 1 character"),
    "a huge picture": (
        claude(SMALL, user(image("image/gif", base64.b64encode(b"GIF89a" * 2**21).decode()))),
        "exceeds 10 MB",
    ),
    "no messages": (claude() | {"messages": []}, "at least one message is required"),
    "assistant first": (claude(SMALL, assistant("Hi"), user("Hi")), 'must use the "user" role'),
    "tool role": (claude(SMALL, {"role": "tool", "content": "x"}), "messages.0.role: Input"),
    "prefill from 4.6 on": (
        claude(SIX, user("Hi"), assistant("Well")),
        "does not support assistant message prefill",
    ),
    "trailing whitespace": (
        claude(SMALL, user("Hi"), assistant("Well ")),
        "cannot end with trailing whitespace",
    ),
    "empty message": (claude(SMALL, user("")), "all messages must have non-empty content"),
    "no block": (claude() | {"messages": [{"role": "user", "content": []}]}, "non-empty content"),
    "null content": (
        claude(SMALL, user("Hi"), {"role": "assistant", "content": None}, user("Hi")),
        "messages.1.content: Input should be a valid list",
    ),
    "empty text block": (
        claude(SMALL, user("Hi"), assistant(text(""), USE), user(RESULT), tools=TOOLS),
        "text content blocks must be non-empty",
    ),
    "blank text block": (claude(SMALL, user(text(" \n"))), "non-whitespace text"),
    "empty text in a result": (
        loop(user(RESULT | {"content": [text("")]})),
        "text content blocks must be non-empty",
    ),
    "empty system block": (claude(system=[text("")]), "system: text content blocks"),
    "whitespace stop": (claude(stop_sequences=["\n"]), "must contain non-whitespace"),
    "stop as a string": (claude(stop_sequences="x"), "stop_sequences: Input should be a valid list"),
    "system message on Sonnet 5": (
        claude(SONNET_5, user("Hi"), {"role": "system", "content": "x"}),
        'Unexpected role "system"',
    ),
    "system message first": (
        claude(OPUS_48, {"role": "system", "content": "x"}, user("Hi")),
        'must use the "user" role',
    ),
    "system before user": (
        claude(OPUS_48, user("Hi"), {"role": "system", "content": "x"}, user("Hi")),
        "must directly follow",
    ),
    "system after assistant": (
        claude(
            OPUS_48, user("Hi"), assistant("Well"), {"role": "system", "content": "x"},
        ),
        "must directly follow",
    ),
    "a picture of another type": (
        claude(SMALL, user(image("image/jpeg", PNG))),
        "image/jpeg media type, but the image appears to be a image/png",
    ),
    "image/jpg": (claude(SMALL, user(image("image/jpg", PNG))), "media_type: Input should be"),
    "no picture at all": (
        claude(SMALL, user(image("image/png", PDF))),
        "Could not process image",
    ),
    "URL-safe base64": (claude(SMALL, user(image("image/png", "-_-_"))), "invalid base64"),
    "a data URL": (
        claude(SMALL, user({"type": "image", "source": {"type": "url", "url": "data:x"}})),
        "Only HTTPS",
    ),
    "no PDF": (
        claude(
            SMALL,
            user(image("application/pdf", PNG) | {"type": "document"}),
        ),
        "PDF specified was not valid",
    ),
    "a picture from the assistant": (
        claude(SMALL, user("Hi"), assistant(image("image/png", PNG)), user("Hi")),
        "Input tag 'image' found",
    ),
    "an OpenAI picture": (claude(SMALL, user({"type": "image_url"})), "Input tag 'image_url'"),
    "tool_use of the user": (
        claude(SMALL, user(USE), tools=TOOLS),
        "`tool_use` blocks can only be in `assistant` messages",
    ),
    "tool_result of the assistant": (
        claude(SMALL, user("Hi"), assistant(RESULT), tools=TOOLS),
        "`tool_result` blocks can only be in `user` messages",
    ),
    "a call without result": (loop(user("Hi")), "without `tool_result` blocks immediately after"),
    "one result of two": (
        claude(
            SMALL, user("Hi"), assistant(USE, USE | {"id": "toolu_2"}), user(RESULT), tools=TOOLS
        ),
        "immediately after: toolu_2",
    ),
    "results in two messages": (
        claude(
            SMALL,
            user("Hi"),
            assistant(USE, USE | {"id": "toolu_2"}),
            user(RESULT),
            user(RESULT | {"tool_use_id": "toolu_2"}),
            tools=TOOLS,
        ),
        "immediately after: toolu_2",
    ),
    "text before the result": (loop(user(text("So:"), RESULT)), "immediately after: toolu_1"),
    "a message between": (loop(assistant("Wait"), user(RESULT)), "immediately after: toolu_1"),
    "a result of nothing": (
        claude(SMALL, user(RESULT), tools=TOOLS),
        "unexpected `tool_use_id` found",
    ),
    "two results of one": (loop(user(RESULT, RESULT)), "must have a single result"),
    "an id twice": (
        loop(user(RESULT), assistant(USE), user(RESULT)),
        "`tool_use` ids must be unique",
    ),
    "an id with a colon": (
        claude(SMALL, user("Hi"), assistant(USE | {"id": "a:0"}), user("Hi"), tools=TOOLS),
        "messages.1.content.0.tool_use.id: String should match pattern",
    ),
    "input as a string": (
        claude(SMALL, user("Hi"), assistant(USE | {"input": "{}"}), user(RESULT), tools=TOOLS),
        "tool_use.input: Input should be a valid dictionary",
    ),
    "tool blocks without tools": (without(loop(user(RESULT)), "tools"), "must define tools"),
    "five cache marks": (
        claude(SMALL, user(*[text("Hi") | CACHE] * 5)),
        "A maximum of 4 blocks",
    ),
    "short before long": (
        claude(
            SMALL,
            user(text("a") | CACHE, text("b") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ),
        "must not come after",
    ),
    "a foreign thinking block": (
        claude(
            SMALL,
            user("Hi"),
            assistant({"type": "thinking", "thinking": "x", "signature": "EqQB"}, text("Hi")),
            user("Hi"),
        ),
        "Invalid `signature` in `thinking` block",
    ),
    "a thinking block without signature": (
        claude(SMALL, user("Hi"), assistant({"type": "thinking", "thinking": "x"}), user("Hi")),
        "thinking.signature: Field required",
    ),
    "no thinking before the call": (
        loop(user(RESULT), thinking=ENABLED),
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
}  # fmt: skip

ANTHROPIC_TAKES = {
    "the least": claude(),
    "all there is": claude(
        system=[text("Be brief.") | CACHE],
        temperature=0,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u"},
        service_tier="auto",
        tools=TOOLS,
        tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    ),
    "the default on the newest": claude(NEWEST, temperature=1),
    "effort on the newest": claude(NEWEST, output_config={"effort": "max"}, thinking=ADAPTIVE),
    "between_tools": claude(SONNET_55, thinking={"type": "between_tools"}),
    "disabled on Opus 5": claude(OPUS_5, thinking={"type": "disabled"}),
    "a picture by URL": claude(
        SMALL, user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})
    ),
    "forced on Opus 5": claude(OPUS_5, tools=TOOLS, tool_choice={"type": "any"}),
    "prefill on 4.5": claude(SMALL, user("Hi"), assistant("Well")),
    "system in the middle": claude(
        OPUS_48, user("Hi"), {"role": "system", "content": "x"}, assistant("Well"), user("Hi")
    ),
    "a finished loop": loop(user(RESULT | {"is_error": True}, text("So?"))),
    "two user messages": claude(SMALL, user("Hi"), user("Hi")),
    "pictures": claude(SMALL, user(image("image/png", PNG), image("image/gif", GIF))),
    "a PDF": claude(SMALL, user(image("application/pdf", PDF) | {"type": "document"})),
    "a schema": claude(**schema(required=["city"], description="x", title="y")),
    "a tool with any schema": claude(
        **tool(input_schema=OPEN | {"properties": {"a": {"type": "integer", "minimum": 1}}})
    ),
}


@pytest.mark.parametrize("case", ANTHROPIC_REFUSES)
def test_anthropic_refuses(case):
    body, words = ANTHROPIC_REFUSES[case]
    assert words in (anthropic.refusal_of(body) or "answered")


@pytest.mark.parametrize("case", ANTHROPIC_TAKES)
def test_anthropic_takes(case):
    assert anthropic.refusal_of(ANTHROPIC_TAKES[case]) is None


def test_the_newer_version_takes_no_sampling():
    body = claude(SMALL, temperature=1)
    assert anthropic.refusal_of(body) is None
    refused = anthropic.refusal_of(body, version="2026-10-21")
    assert refused == "temperature: Extra inputs are not permitted"


# ----------------------------------------------------------------------------- Anthropic: answers


def events(data: bytes) -> list[dict]:
    """The events of a stream, each of which must bear its own name."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, _, payload = block.partition("\n")
        event = json.loads(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def assembled(data: bytes) -> dict:
    """A stream as the message that it says, by the rules of the reference."""
    message: dict = {}
    for event in events(data):
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            message["content"].append(event["content_block"] | {"json": ""})
            assert event["index"] == len(message["content"]) - 1
        elif kind == "content_block_delta":
            add_delta(message["content"][event["index"]], event["delta"])
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] |= event.get("usage", {})
    for block in message["content"]:
        given = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(given or "{}")
    return message


def add_delta(block: dict, delta: dict) -> None:
    fields = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "signature_delta": ("signature", "signature"),
        "input_json_delta": ("json", "partial_json"),
    }
    if delta["type"] in fields:
        target, source = fields[delta["type"]]
        block[target] += delta[source]


THINKING = {"thinking": ENABLED | {"display": "summarized"}}
PLAYED = (
    "normal", "unicode", "chunks:30", "tools", "tools_parallel", "tools_text", "thinking",
    "thinking_tools", "redacted", "zeroarg", "refusal", "content_filter", "length",
    "stop_sequence", "context_window", "empty", "finish:pause_turn", "cached", "two_deltas",
)  # fmt: skip


@pytest.mark.parametrize("thinks", [{}, THINKING])
@pytest.mark.parametrize("scenario", PLAYED)
def test_claudes_stream_says_what_its_message_says(scenario, thinks):
    body = claude(SMALL, user(f"scenario:{scenario}"), tools=TOOLS, **thinks)
    assert anthropic.refusal_of(body) is None
    whole, streamed = anthropic.whole(body), assembled(anthropic.stream_bytes(body))
    for block in whole["content"]:
        block.pop("citations", None)
    assert streamed == whole


@pytest.mark.parametrize(
    ("scenario", "reason", "kinds"),
    [
        ("normal", "end_turn", ["text"]),
        ("tools", "tool_use", ["tool_use"]),
        ("tools_parallel", "tool_use", ["tool_use", "tool_use"]),
        ("tools_text", "tool_use", ["text", "tool_use"]),
        ("refusal", "refusal", []),
        ("content_filter", "refusal", ["text"]),
        ("length", "max_tokens", ["text"]),
        ("stop_sequence", "stop_sequence", ["text"]),
        ("empty", "end_turn", []),
        ("finish:pause_turn", "pause_turn", []),
    ],
)
def test_claudes_scenarios(scenario, reason, kinds):
    answer = anthropic.whole(claude(SMALL, user(f"scenario:{scenario}"), tools=TOOLS))
    assert answer["stop_reason"] == reason
    assert [block["type"] for block in answer["content"]] == kinds


def test_claude_thinks_when_asked_and_shows_it_when_asked():
    body = claude(NEWEST, user("scenario:thinking_tools"), tools=TOOLS, thinking=ADAPTIVE)
    kinds = ["thinking", "tool_use", "tool_use"]
    hidden = anthropic.whole(body)["content"]
    shown = anthropic.whole(body | {"thinking": ADAPTIVE | {"display": "summarized"}})["content"]
    assert [block["type"] for block in hidden] == [block["type"] for block in shown] == kinds
    assert (hidden[0]["thinking"], bool(shown[0]["thinking"])) == ("", True)
    off = claude(SMALL, user("scenario:thinking"))
    assert [block["type"] for block in anthropic.whole(off)["content"]] == ["text"]


def test_claudes_stream_holds_what_must_be_ignored():
    seen = events(anthropic.stream_bytes(claude()))
    names = [event["type"] for event in seen]
    assert {"ping", "weather_report"} <= set(names)
    assert "weather_delta" in [event.get("delta", {}).get("type") for event in seen]


def test_a_call_without_arguments_has_no_delta():
    body = claude(SMALL, user("scenario:zeroarg"), tools=TOOLS)
    names = [event["type"] for event in events(anthropic.stream_bytes(body))]
    assert "content_block_delta" not in names
    assert anthropic.whole(body)["content"][0]["input"] == {}


def test_two_deltas_and_cached_usage():
    body = claude(SMALL, user("scenario:two_deltas"))
    deltas = [e for e in events(anthropic.stream_bytes(body)) if e["type"] == "message_delta"]
    first, last = (delta["usage"]["output_tokens"] for delta in deltas)
    assert first < last == anthropic.whole(body)["usage"]["output_tokens"]
    usage = anthropic.whole(claude(SMALL, user("scenario:cached")))["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert [usage[name] for name in names] == [10, 100, 1000]
    assert usage["output_tokens"] == 50
    assert usage["output_tokens_details"] == {"thinking_tokens": 20}


def test_a_format_is_answered_by_an_instance():
    wanted = CLOSED | {
        "properties": {"city": {"type": "string"}, "when": {"type": "string", "format": "date"}},
        "required": ["city", "when"],
    }
    answer = anthropic.whole(claude(**schema(**wanted)))
    assert json.loads(answer["content"][0]["text"]) == {"city": "Paris", "when": "2026-11-22"}


def continued(body: dict, *, drop: int = 0, **changes: Any) -> dict:
    """The conversation with its answer and one result for each of its calls."""
    content = anthropic.whole(body)["content"]
    results = [
        RESULT | {"tool_use_id": block["id"]} for block in content if block["type"] == "tool_use"
    ]
    turns = [assistant(*content[drop:]), user(*results)]
    return body | {"messages": [*body["messages"], *turns]} | changes


def test_claudes_results_are_quoted_whatever_the_scenario():
    body = continued(claude(SMALL, user("scenario:thinking_tools"), tools=TOOLS, **THINKING))
    assert anthropic.refusal_of(body) is None
    answer = anthropic.whole(body)
    assert answer["content"][-1]["text"].count("sunny") == 2
    assert answer["stop_reason"] == "end_turn"


def test_claudes_ids_are_new_in_every_turn():
    body = continued(claude(SMALL, user("scenario:tools"), tools=TOOLS))
    again = body | {"messages": [*body["messages"], assistant("Well"), user("scenario:tools")]}
    assert anthropic.refusal_of(continued(again)) is None


@pytest.mark.parametrize("scenario", ["thinking_tools", "tools"])
def test_in_enabled_mode_thinking_must_come_back(scenario):
    body = claude(SMALL, user(f"scenario:{scenario}"), tools=TOOLS, **THINKING)
    assert anthropic.refusal_of(continued(body)) is None
    assert "Expected `thinking`" in (anthropic.refusal_of(continued(body, drop=1)) or "")
    off = continued(body, drop=1, thinking={"type": "disabled"})
    assert anthropic.refusal_of(off) is None


def test_adaptive_thinking_may_be_left_out():
    body = claude(SIX, user("scenario:tools"), tools=TOOLS, thinking=ADAPTIVE)
    assert anthropic.whole(body)["content"][0]["type"] == "thinking"
    assert anthropic.refusal_of(continued(body, drop=1)) is None


def test_thinking_must_come_back_as_it_was():
    body = continued(claude(SMALL, user("scenario:tools"), tools=TOOLS, **THINKING))
    block = body["messages"][1]["content"][0]
    block["thinking"] += "!"
    assert "cannot be modified" in (anthropic.refusal_of(body) or "")


def test_thinking_must_come_first():
    body = continued(claude(SMALL, user("scenario:tools"), tools=TOOLS, **THINKING))
    body["messages"][1]["content"].reverse()
    assert "but found `tool_use`" in (anthropic.refusal_of(body) or "")


def test_no_thinking_block_may_be_dropped():
    body = claude(SMALL, user("scenario:redacted"), tools=TOOLS, **THINKING)
    content = anthropic.whole(body)["content"]
    kinds = [block["type"] for block in content]
    assert kinds == ["thinking", "redacted_thinking", "text"]
    for kept, refused in ((content, None), ([content[0], content[2]], "cannot be modified")):
        again = body | {"messages": [*body["messages"], assistant(*kept), user("Hi")]}
        assert (refused or "") in (anthropic.refusal_of(again) or "")
        assert bool(anthropic.refusal_of(again)) == bool(refused)


@pytest.mark.parametrize(
    "change", [{"system": "Be brief."}, {"tools": [*TOOLS, TOOLS[0] | {"name": "x"}]}]
)
def test_on_the_newest_models_thinking_is_bound_to_its_conversation(change):
    for model, refused in ((NEWEST, True), (SONNET_5, False)):
        body = claude(model, user("scenario:thinking_tools"), tools=TOOLS, thinking=ADAPTIVE)
        assert anthropic.refusal_of(continued(body)) is None
        message = anthropic.refusal_of(continued(body, **change)) or ""
        assert ("bound to a different conversation" in message) == refused


# ----------------------------------------------------------------------------- Gemini: bodies

PRO, FLASH, LITE = "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"
THREE, PRO_3, FLASH_38, FOUR = (
    "gemini-3.5-flash",
    "gemini-3.1-pro-preview",
    "gemini-3.8-flash",
    "gemini-4-argon",
)
OBJECT = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
LOOK = {"name": "look", "parameters": OBJECT}
SENTINEL = "skip_thought_signature_validator"


def turn(*parts: Any, role: str = "user") -> dict:
    return {"role": role, "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def call(name: str = "look", **more: Any) -> dict:
    return {"functionCall": {"name": name, "args": {}}} | more


def result(name: str = "look", **more: Any) -> dict:
    return {"functionResponse": {"name": name, "response": {"result": "sunny"}} | more}


def ask(*contents: dict, **more: Any) -> dict:
    return {"contents": list(contents) or [turn("Hi")]} | more


def config(**fields: Any) -> dict:
    return ask(generationConfig=fields)


def thinking(**fields: Any) -> dict:
    return config(thinkingConfig=fields)


def functions(*declared: dict, **more: Any) -> dict:
    return ask(tools=[{"functionDeclarations": list(declared) or [LOOK]}], **more)


def answered(*contents: dict) -> dict:
    """A user, a call of the model, and what follows."""
    return functions() | {"contents": [turn("Hi"), *contents]}


def blob(mime_type: str, data: str) -> dict:
    return ask(turn({"inlineData": {"mimeType": mime_type, "data": data}}))


def json_schema(**words: Any) -> dict:
    return config(
        responseMimeType="application/json", responseJsonSchema={"type": "object"} | words
    )


CALLED = turn(call(), role="model")
GEMINI_REFUSES = {
    "unknown field": (FLASH, ask(seed=1), 'Unknown name "seed": Cannot find field.'),
    "unknown field of a part": (
        FLASH,
        ask(turn({"text": "Hi", "x": 1})),
        "Unknown name \"x\" at 'contents[0].parts[0]': Cannot find field.",
    ),
    "unknown field of the config": (
        FLASH,
        config(max_tokens=1),
        "Unknown name \"maxTokens\" at 'generation_config': Cannot find field.",
    ),
    "unknown field of thinking": (FLASH, thinking(effort="low"), "thinking_config"),
    "unknown field of a tool": (FLASH, ask(tools=[{"function": {}}]), "tools[0]"),
    "strict": (FLASH, functions(LOOK | {"strict": True}), "function_declarations[0]"),
    "additionalProperties": (
        FLASH,
        functions(LOOK | {"parameters": OBJECT | {"additionalProperties": False}}),
        'Unknown name "additionalProperties"',
    ),
    "$ref in parameters": (FLASH, functions(LOOK | {"parameters": {"$ref": "x"}}), '"$ref"'),
    "both spellings": (FLASH, ask(toolConfig={}, tool_config={}), "Duplicate field"),
    "a string for a number": (FLASH, config(temperature="hot"), "(TYPE_FLOAT), hot"),
    "args as a string": (
        FLASH,
        answered(turn({"functionCall": {"name": "look", "args": "{}"}}, role="model")),
        "'contents[1].parts[0].function_call.args' (type.googleapis.com/google.protobuf.Struct)",
    ),
    "response as a string": (FLASH, answered(CALLED, turn(result(response="x"))), "Struct"),
    "no object": (FLASH, ["Hi"], "Root element must be a message"),
    "a number for a string": (FLASH, ask(turn({"text": 1})), "parts[0].text' (TYPE_STRING), 1"),
    "a fraction for a number": (FLASH, config(seed=1.5), "(TYPE_INT32), 1.5"),
    "an empty blob": (FLASH, blob("image/png", ""), "must not be empty"),
    "a picture for the system": (
        FLASH,
        ask(systemInstruction=turn({"inlineData": {"mimeType": "image/png", "data": PNG}})),
        "takes only text",
    ),
    "a result without response": (
        FLASH,
        answered(CALLED, turn({"functionResponse": {"name": "look"}})),
        "function_response.response: required field",
    ),
    "thinking on 2.0": ("gemini-2.0-flash", thinking(thinkingBudget=1), "Thinking is not supp"),
    "an empty enum": (
        FLASH,
        functions(LOOK | {"parameters": {"type": "STRING", "enum": ["a", ""]}}),
        "parameters.enum[1]: cannot be empty",
    ),
    "a schema of true": (FLASH, json_schema(properties={"a": True}), "must be a JSON Schema"),
    "upper-case JSON Schema": (FLASH, json_schema(type="OBJECT"), "unknown type: OBJECT"),
    "no contents": (FLASH, {}, "contents is not specified"),
    "empty contents": (FLASH, {"contents": []}, "contents is not specified"),
    "no parts": (FLASH, ask({"role": "user", "parts": []}), "contents.parts must not be empty"),
    "an empty part": (FLASH, ask(turn({})), "must have one initialized field"),
    "two kinds in a part": (FLASH, ask(turn({"text": "x"} | call())), "is already set"),
    "an empty text": (FLASH, ask(turn("")), "must have a text parameter"),
    "system in contents": (FLASH, ask(turn("Hi", role="system")), "Please use a valid role"),
    "assistant": (FLASH, ask(turn("Hi"), turn("Hi", role="assistant")), "Please use a valid role"),
    "an empty system": (FLASH, ask(systemInstruction={"parts": []}), "system_instruction.parts"),
    "unknown model": ("gpt-4o", ask(), "models/gpt-4o is not found for API version v1beta"),
    "embedding model": ("gemini-embedding-001", ask(), "not supported for generateContent"),
    "another model in the body": (FLASH, ask(model="models/x"), "not the one in the URL"),
    "budget and level": (
        THREE,
        thinking(thinkingBudget=1024, thinkingLevel="LOW"),
        "only set only one of thinking budget and thinking level",
    ),
    "level on 2.5": (FLASH, thinking(thinkingLevel="LOW"), "Thinking level is not supported"),
    "MINIMAL on 3.1 Pro": (
        PRO_3,
        thinking(thinkingLevel="MINIMAL"),
        "Thinking level MINIMAL is not supported for this model.",
    ),
    "MINIMAL on 3.7": ("gemini-3.7-flash", thinking(thinkingLevel="MINIMAL"), "MINIMAL"),
    "MINIMAL on 3.8": (FLASH_38, thinking(thinkingLevel="minimal"), "MINIMAL"),
    "MEDIUM on 3 Pro": ("gemini-3-pro-preview", thinking(thinkingLevel="MEDIUM"), "MEDIUM"),
    "budget 0 on 3.8": (FLASH_38, thinking(thinkingBudget=0), "MINIMAL is not supported"),
    "unknown level": (THREE, thinking(thinkingLevel="ultra"), "ThinkingLevel), ultra"),
    "budget 0 on Pro": (PRO, thinking(thinkingBudget=0), "only works in thinking mode"),
    "budget 127 on Pro": (PRO, thinking(thinkingBudget=127), "between 128 and 32768"),
    "budget on Flash": (FLASH, thinking(thinkingBudget=24577), "between 0 and 24576"),
    "budget on Lite": (LITE, thinking(thinkingBudget=511), "between 512 and 24576"),
    "thoughts without thinking": (
        FLASH,
        thinking(thinkingBudget=0, includeThoughts=True),
        "Include thoughts is only enabled",
    ),
    "temperature on 3.8": (FLASH_38, config(temperature=1), "temperature is not supported"),
    "top_p on 4": (FOUR, config(topP=0.5), "top_p is not supported"),
    "top_k on 4": (FOUR, config(topK=5), "top_k is not supported"),
    "temperature 3": (FLASH, config(temperature=3), "must be in the range [0, 2]"),
    "no output": (FLASH, config(maxOutputTokens=0), "max_output_tokens must be in the range"),
    "two candidates on 3": (THREE, config(candidateCount=2), "Multiple candidates is not enabled"),
    "nine candidates": (FLASH, config(candidateCount=9), "must be in the range [1, 8]"),
    "logprobs alone": (FLASH, config(logprobs=3), "when response_logprobs is true"),
    "six stops": (FLASH, config(stopSequences=list("abcdef")), "at most 5"),
    "an empty stop": (FLASH, config(stopSequences=[""]), "empty strings"),
    "a picture from a text model": (FLASH, config(responseModalities=["IMAGE"]), "modalities"),
    "a GIF": (FLASH, blob("image/gif", GIF), "Unsupported MIME type: image/gif"),
    "a GIF by another name": (FLASH, blob("image/png", GIF), "Unable to process input image"),
    "image/jpg": (FLASH, blob("image/jpg", PNG), "Unsupported MIME type: image/jpg"),
    "octets": (FLASH, blob("application/octet-stream", PNG), "Unsupported MIME type"),
    "no base64": (FLASH, blob("image/png", "!!"), 'Base64 decoding failed for "!!"'),
    "no PDF": (FLASH, blob("application/pdf", PNG), "no pages"),
    "no mime type": (FLASH, ask(turn({"inlineData": {"data": PNG}})), "mime_type"),
    "JSON and tools on 2.5": (
        FLASH,
        functions(generationConfig={"responseMimeType": "application/json"}),
        "Function calling with a response mime type: 'application/json' is unsupported",
    ),
    "two schemas": (
        FLASH,
        config(
            responseMimeType="application/json", responseSchema=OBJECT, responseJsonSchema={}
        ),
        "only one of response_schema and response_json_schema",
    ),
    "a schema for text": (FLASH, config(responseSchema=OBJECT), "only allowed for"),
    "unknown mime type": (FLASH, config(responseMimeType="text/html"), "allowed mimetypes"),
    "const": (FLASH, json_schema(properties={"a": {"const": 1}}), "keyword: const"),
    "default": (FLASH, json_schema(properties={"a": {"default": 1}}), "keyword: default"),
    "minLength": (FLASH, json_schema(properties={"a": {"minLength": 1}}), "keyword: minLength"),
    "$schema": (FLASH, json_schema(**{"$schema": "x"}), "keyword: $schema"),
    "allOf in a tool": (
        FLASH,
        functions({"name": "look", "parametersJsonSchema": {"allOf": []}}),
        "function_declarations[0].parameters_json_schema: unsupported JSON Schema keyword: allOf",
    ),
    "$ref with siblings": (
        FLASH,
        json_schema(properties={"a": {"$ref": "#/$defs/b", "title": "x"}}),
        "a schema with $ref",
    ),
    "an enum of booleans": (FLASH, json_schema(properties={"a": {"enum": [True]}}), "numbers"),
    "required recursion": (
        FLASH,
        json_schema(
            properties={"a": {"$ref": "#/$defs/b"}},
            required=["a"],
            **{"$defs": {"b": {"properties": {"c": {"$ref": "#/$defs/b"}}, "required": ["c"]}}},
        ),
        "recursive references",
    ),
    "parameters without properties": (
        FLASH,
        functions(LOOK | {"parameters": {"type": "OBJECT", "properties": {}}}),
        "parameters.properties: should be non-empty for OBJECT type",
    ),
    "an array of nothing": (
        FLASH,
        functions(LOOK | {"parameters": {"type": "ARRAY"}}),
        "parameters.items: missing field.",
    ),
    "an enum of numbers": (
        FLASH,
        functions(LOOK | {"parameters": {"type": "INTEGER", "enum": ["1"]}}),
        "only allowed for STRING type",
    ),
    "format uri": (
        FLASH,
        functions(LOOK | {"parameters": {"type": "STRING", "format": "uri"}}),
        "only enum, date-time are supported for STRING type",
    ),
    "required but not there": (
        FLASH,
        functions(LOOK | {"parameters": OBJECT | {"required": ["x"]}}),
        "property is not defined",
    ),
    "two kinds of parameters": (
        FLASH,
        functions(LOOK | {"parametersJsonSchema": {}}),
        "only one of parameters and parameters_json_schema",
    ),
    "a name with a digit first": (FLASH, functions(LOOK | {"name": "1a"}), "Invalid function name"),
    "a name with a slash": (FLASH, functions(LOOK | {"name": "a/b"}), "Invalid function name"),
    "a name twice": (FLASH, functions(LOOK, LOOK), "Duplicate function declaration found: look"),
    "search and functions on 2.5": (
        FLASH,
        ask(tools=[{"functionDeclarations": [LOOK]}, {"googleSearch": {}}]),
        "cannot be combined",
    ),
    "forcing without functions": (
        FLASH,
        ask(toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
        "without function_declarations",
    ),
    "an unknown mode": (
        FLASH,
        functions(toolConfig={"functionCallingConfig": {"mode": "FORCED"}}),
        "Mode), FORCED",
    ),
    "an unknown allowed name": (
        FLASH,
        functions(
            toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}}
        ),
        "Invalid allowed_function_names: x",
    ),
    "names without ANY": (
        FLASH,
        functions(
            toolConfig={"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["look"]}}
        ),
        "when the function calling mode is ANY",
    ),
    "too few results": (
        FLASH,
        answered(turn(call(), call(), role="model"), turn(result())),
        "number of function response parts is equal",
    ),
    "results in two contents": (
        FLASH,
        answered(turn(call(), call(), role="model"), turn(result()), turn(result())),
        "number of function response parts is equal",
    ),
    "text beside a result": (FLASH, answered(CALLED, turn(result(), "So?")), "number of function"),
    "no result": (FLASH, answered(CALLED, turn("So?")), "number of function response parts"),
    "a call at the end": (FLASH, answered(CALLED), "number of function response parts"),
    "a result of nothing": (FLASH, answered(turn(result())), "immediately after a function call"),
    "a result of the model": (
        FLASH,
        answered(CALLED, turn(result(), role="model")),
        "immediately after a function call",
    ),
    "a call at the beginning": (
        FLASH,
        functions() | {"contents": [CALLED, turn(result())]},
        "function call turn comes immediately after a user turn",
    ),
    "a result without name": (
        FLASH,
        answered(CALLED, turn(result(""))),
        "function_response.name: Name cannot be empty.",
    ),
    "a result by another name": (FLASH, answered(CALLED, turn(result("find"))), "names match"),
    "a result by another id": (
        FLASH,
        answered(
            turn({"functionCall": {"id": "a", "name": "look"}}, role="model"),
            turn(result(id="b")),
        ),
        "does not match any function call id",
    ),
    "a picture in a result on 2.5": (
        FLASH,
        answered(
            CALLED,
            turn(result(parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}])),
        ),
        "Multimodal function responses",
    ),
    "no signature": (THREE, answered(CALLED, turn(result())), "missing a thought_signature"),
    "a signature on the second call only": (
        THREE,
        answered(
            turn(call(), call(thoughtSignature=SENTINEL), role="model"), turn(result(), result())
        ),
        "missing a thought_signature",
    ),
    "an invented signature": (
        THREE,
        answered(turn(call(thoughtSignature="AAAA"), role="model"), turn(result())),
        "Thought signature is not valid",
    ),
    "a signature that is no base64": (
        THREE,
        answered(turn(call(thoughtSignature="a b"), role="model"), turn(result())),
        "Base64 decoding failed",
    ),
}  # fmt: skip

GEMINI_TAKES = {
    "the least": (FLASH, {"contents": [{"parts": [{"text": "Hi"}]}]}),
    "snake case": (
        FLASH,
        {
            "contents": [turn({"inline_data": {"mime_type": "image/png", "data": PNG}})],
            "system_instruction": {"parts": [{"text": "Be brief."}]},
            "generation_config": {
                "max_output_tokens": 5,
                "thinking_config": {"include_thoughts": True, "thinking_budget": 1024},
            },
            "safety_settings": [
                {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
            ],
        },
    ),
    "lower-case types": (FLASH, functions(LOOK | {"parameters": {"type": "string"}})),
    "user data as it is": (
        FLASH,
        answered(
            turn({"functionCall": {"name": "look", "args": {"user_id": None}}}, role="model"),
            turn(result(response={"any_key": [None]})),
        ),
    ),
    "URL-safe base64": (FLASH, blob("audio/wav", "-_-_")),
    "no parameters": (FLASH, functions({"name": "look"})),
    "a budget on 3": (THREE, thinking(thinkingBudget=1024)),
    "budget -1": (PRO, thinking(thinkingBudget=-1)),
    "budget 0 on Lite": (LITE, thinking(thinkingBudget=0)),
    "MINIMAL on 3.6": ("gemini-3.6-flash", thinking(thinkingLevel="MINIMAL")),
    "two candidates on 2.5": (FLASH, config(candidateCount=2)),
    "JSON and tools on 3": (
        THREE,
        functions(generationConfig={"responseMimeType": "application/json"}),
    ),
    "no signature on 2.5": (FLASH, answered(CALLED, turn(result()))),
    "the sentinel": (
        THREE,
        answered(turn(call(thoughtSignature=SENTINEL), role="model"), turn(result())),
    ),
    "the sentinel in base64": (
        THREE,
        answered(
            turn(call(thoughtSignature=base64.b64encode(SENTINEL.encode()).decode()), role="model"),
            turn(result()),
        ),
    ),
    "no signature in an earlier turn": (
        THREE,
        answered(CALLED, turn(result()), turn("Well", role="model"), turn("Hi")),
    ),
    "a picture in a result on 3": (
        THREE,
        answered(
            turn(call(thoughtSignature=SENTINEL), role="model"),
            turn(result(parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}])),
        ),
    ),
    "optional recursion": (
        FLASH,
        json_schema(
            properties={"a": {"$ref": "#/$defs/b"}},
            **{"$defs": {"b": {"properties": {"c": {"$ref": "#/$defs/b"}}}}},
        ),
    ),
    "results of the old SDK": (FLASH, answered(CALLED, turn(result(), role="function"))),
}


@pytest.mark.parametrize("case", GEMINI_REFUSES)
def test_gemini_refuses(case):
    model, body, words = GEMINI_REFUSES[case]
    assert words in (gemini.refusal_of(body, model) or "answered")


@pytest.mark.parametrize("case", GEMINI_TAKES)
def test_gemini_takes(case):
    model, body = GEMINI_TAKES[case]
    assert gemini.refusal_of(body, model) is None


# ----------------------------------------------------------------------------- Gemini: answers


def chunks(data: bytes) -> list[dict]:
    """The chunks of a stream with the service's line ends."""
    assert data.endswith(b"\r\n\r\n") and b"[DONE]" not in data
    events = data.split(b"\r\n\r\n")[:-1]
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def parts_of(response: dict) -> list[dict]:
    candidates = response.get("candidates") or [{}]
    return candidates[0].get("content", {}).get("parts", [])


def said(parts: list[dict]) -> tuple[str, str, list[dict]]:
    """Thoughts, text, and the rest with what is signed."""
    texts = [part for part in parts if "text" in part]
    thoughts = "".join(part["text"] for part in texts if part.get("thought"))
    words = "".join(part["text"] for part in texts if not part.get("thought"))
    return thoughts, words, [part for part in parts if "text" not in part]


GEMINI_PLAYED = (
    "normal", "unicode", "chunks:30", "tools", "tools_parallel", "tools_text", "thinking",
    "thinking_tools", "zeroarg", "refusal", "content_filter", "length", "empty", "blocked",
    "finish:OTHER", "malformed", "cached",
)  # fmt: skip


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("model", [THREE, FLASH])
@pytest.mark.parametrize("scenario", GEMINI_PLAYED)
def test_geminis_stream_says_what_its_answer_says(scenario, model, shows):
    body = functions(generationConfig={"thinkingConfig": {"includeThoughts": shows}})
    body["contents"] = [turn(f"scenario:{scenario}")]
    whole, pieces = gemini.whole(body, model), chunks(gemini.stream_bytes(body, model))
    assert all("usageMetadata" in piece for piece in pieces)
    assert pieces[-1]["usageMetadata"] == whole["usageMetadata"]
    streamed = [part for piece in pieces for part in parts_of(piece)]
    assert said(streamed) == said(parts_of(whole))
    reasons = [c.get("finishReason") for p in pieces for c in p.get("candidates", [])]
    finish = [c["finishReason"] for c in whole.get("candidates", [])]
    assert reasons[-1:] == finish and set(reasons[:-1]) <= {None}


@pytest.mark.parametrize(
    ("scenario", "reason", "count"),
    [
        ("normal", "STOP", 1),
        ("tools_parallel", "STOP", 2),
        ("length", "MAX_TOKENS", 1),
        ("content_filter", "SAFETY", 1),
        ("refusal", "PROHIBITED_CONTENT", 0),
        ("malformed", "MALFORMED_FUNCTION_CALL", 0),
        ("finish:UNEXPECTED_TOOL_CALL", "UNEXPECTED_TOOL_CALL", 0),
        ("empty", "STOP", 0),
    ],
)
def test_geminis_scenarios(scenario, reason, count):
    body = functions() | {"contents": [turn(f"scenario:{scenario}")]}
    answer = gemini.whole(body, THREE)
    assert answer["candidates"][0]["finishReason"] == reason
    assert len(parts_of(answer)) == count


def test_a_blocked_prompt_has_no_candidates():
    answer = gemini.whole(ask(turn("scenario:blocked:OTHER")), FLASH)
    assert "candidates" not in answer
    assert answer["promptFeedback"]["blockReason"] == "OTHER"


def test_geminis_usage_adds_up():
    usage = gemini.whole(ask(turn("scenario:cached")), FLASH)["usageMetadata"]
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    assert sum(usage[name] for name in names) == usage["totalTokenCount"] == 1160
    assert usage["cachedContentTokenCount"] == 1000


def test_only_the_first_call_is_signed_and_may_come_back():
    body = functions() | {"contents": [turn("scenario:tools_parallel")]}
    content = gemini.whole(body, THREE)["candidates"][0]["content"]
    assert ["thoughtSignature" in part for part in content["parts"]] == [True, False]
    results = turn(*[result(part["functionCall"]["name"]) for part in content["parts"]])
    again = body | {"contents": [*body["contents"], content, results]}
    assert gemini.refusal_of(again, THREE) is None
    assert parts_of(gemini.whole(again, THREE))[0]["text"].count("sunny") == 2
    content["parts"][0]["functionCall"]["args"] = {"city": "Oslo"}
    assert gemini.refusal_of(again, THREE) == "Thought signature is not valid."


def test_thoughts_only_when_asked_for():
    body = ask(turn("scenario:thinking"), generationConfig={"thinkingConfig": {}})
    assert not said(parts_of(gemini.whole(body, FLASH)))[0]
    body["generationConfig"]["thinkingConfig"] = {"includeThoughts": True}
    assert said(parts_of(gemini.whole(body, FLASH)))[0]


def test_a_call_without_arguments_has_no_args():
    body = functions() | {"contents": [turn("scenario:zeroarg")]}
    assert "args" not in parts_of(gemini.whole(body, FLASH))[0]["functionCall"]


def test_forcing_is_obeyed():
    more = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]}}
    body = functions(LOOK, LOOK | {"name": "find"}, toolConfig=more)
    assert parts_of(gemini.whole(body, FLASH))[0]["functionCall"]["name"] == "find"


def test_json_is_an_instance():
    body = json_schema(properties={"n": {"type": "integer", "minimum": 7}, "a": {"enum": ["x"]}})
    assert json.loads(parts_of(gemini.whole(body, FLASH))[0]["text"]) == {"n": 7, "a": "x"}


def test_without_sse_a_stream_is_one_array():
    data = gemini.stream_bytes(ask(), FLASH, sse=False)
    assert "".join(part["text"] for one in json.loads(data) for part in parts_of(one)) == TEXT


def test_instances_of_schemas():
    recursive = {"properties": {"next": {"$ref": "#/$defs/a"}}}
    assert instance_of({"anyOf": [{"type": ["null", "string"]}]}, {}) is None
    assert instance_of({"type": "string", "minLength": 7}, {}) == "Parisxx"
    assert instance_of({"type": "array", "items": {"const": 1}, "minItems": 2}, {}) == [1, 1]
    assert "next" in instance_of(recursive, {"a": recursive})


# ----------------------------------------------------------------------------- over HTTP

CLAUDE_HEADERS = {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
GOOGLE_HEADERS = {"x-goog-api-key": GEMINI_KEY}


@pytest.fixture
def post(fake_upstream):
    """`post(path, body, headers)` straight to the fake."""
    root = f"http://127.0.0.1:{fake_upstream.port}"

    def send(path: str, body: dict, headers: dict[str, str]) -> requests.Response:
        return requests.post(
            root + path, json=body, headers=headers, timeout=10, allow_redirects=False
        )

    return send


MESSAGES = "/v1/messages"


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 401, "authentication_error"),
        ({"authorization": f"Bearer {ANTHROPIC_KEY}"}, 401, "authentication_error"),
        (CLAUDE_HEADERS | {"x-api-key": "sk-other"}, 401, "authentication_error"),
        ({"x-api-key": ANTHROPIC_KEY}, 400, "invalid_request_error"),
        (CLAUDE_HEADERS | {"anthropic-version": "2024-01-01"}, 400, "invalid_request_error"),
    ],
)
def test_claudes_headers(post, headers, status, kind):
    answer = post(MESSAGES, claude(), headers)
    assert answer.status_code == status
    assert answer.json()["type"] == "error" and answer.json()["request_id"]
    assert answer.json()["error"]["type"] == kind


def test_an_unknown_claude_is_a_404(post):
    answer = post(MESSAGES, claude("gpt-4o"), CLAUDE_HEADERS)
    assert answer.status_code == 404
    assert answer.json()["error"] == {"type": "not_found_error", "message": "model: gpt-4o"}


def test_the_beta_header_unlocks_its_field(post):
    body = claude(NEWEST, thinking=ADAPTIVE | {"block_binding": {}})
    assert post(MESSAGES, body, CLAUDE_HEADERS).status_code == 400
    beta = CLAUDE_HEADERS | {"anthropic-beta": "x, thinking-binding-controls-2026-08-01"}
    assert post(MESSAGES, body, beta).status_code == 200


def test_claude_counts_tokens(post):
    path = f"{MESSAGES}/count_tokens"
    assert post(path, without(claude(), "max_tokens"), CLAUDE_HEADERS).json()["input_tokens"] > 0
    refused = post(path, claude(), CLAUDE_HEADERS).json()["error"]["message"]
    assert refused == "max_tokens: Extra inputs are not permitted"


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1beta/models/gemini-2.5-flash:generateContent"]
)
@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}'])
def test_a_body_must_be_json(fake_upstream, path, raw):
    headers = CLAUDE_HEADERS | GOOGLE_HEADERS | {"content-type": "application/json"}
    url = f"http://127.0.0.1:{fake_upstream.port}{path}"
    assert requests.post(url, data=raw, headers=headers, timeout=10).status_code == 400


def generate(model: str = FLASH, method: str = "generateContent") -> str:
    return f"/v1beta/models/{model}:{method}"


def test_geminis_key_is_in_its_header_alone(post):
    assert post(generate(), ask(), GOOGLE_HEADERS).status_code == 200
    assert post(generate(), ask(), {}).json()["error"]["status"] == "PERMISSION_DENIED"
    wrong = post(generate(), ask(), {"x-goog-api-key": "x"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    in_url = post(f"{generate()}?key={GEMINI_KEY}", ask(), {})
    assert in_url.status_code == 400 and "URL" in in_url.text


def test_gemini_streams_sse_or_an_array(post):
    path = generate(method="streamGenerateContent")
    sse = post(f"{path}?alt=sse", ask(), GOOGLE_HEADERS)
    assert sse.headers["content-type"] == "text/event-stream"
    assert "".join(p["text"] for c in chunks(sse.content) for p in parts_of(c)) == TEXT
    assert isinstance(post(path, ask(), GOOGLE_HEADERS).json(), list)
    refused = post(path, {}, GOOGLE_HEADERS)
    assert refused.status_code == 400 and refused.json()[0]["error"]["code"] == 400
    failed = post(path, ask(turn("scenario:error_mid:2")), GOOGLE_HEADERS)
    assert failed.json()[-1]["error"]["status"] == "UNAVAILABLE"


def test_gemini_counts_and_embeds(post):
    count = generate(method="countTokens")
    for body in (ask(), {"generateContentRequest": ask(model=f"models/{FLASH}")}):
        assert post(count, body, GOOGLE_HEADERS).json()["totalTokens"] > 0
    for body in (functions(), {"generateContentRequest": ask()}):
        assert post(count, body, GOOGLE_HEADERS).status_code == 400
    name = "gemini-embedding-001"
    one = {"content": turn("Hi"), "outputDimensionality": 3}
    path = generate(name, "embedContent")
    assert len(post(path, one, GOOGLE_HEADERS).json()["embedding"]["values"]) == 3
    batch = {"requests": [one | {"model": f"models/{name}"}] * 2}
    path = generate(name, "batchEmbedContents")
    assert len(post(path, batch, GOOGLE_HEADERS).json()["embeddings"]) == 2
    assert post(path, {"requests": [one]}, GOOGLE_HEADERS).status_code == 400
    assert post(generate(FLASH, "embedContent"), one, GOOGLE_HEADERS).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [("/v1/models", CLAUDE_HEADERS, "data"), ("/v1beta/models", GOOGLE_HEADERS, "models")],
)
def test_models_are_listed(fake_upstream, path, headers, field):
    url = f"http://127.0.0.1:{fake_upstream.port}{path}"
    assert len(requests.get(url, headers=headers, timeout=10).json()[field]) > 2


@pytest.fixture(params=["anthropic", "gemini"])
def play(request, post, tag):
    """`play(scenario, stream)` in either dialect; also its name."""

    def send(scenario: str, *, stream: bool = False) -> requests.Response:
        words = f"scenario:{scenario} tag:{tag}"
        if request.param == "anthropic":
            return post(MESSAGES, claude(SMALL, user(words), stream=stream), CLAUDE_HEADERS)
        path = generate(method="streamGenerateContent") + "?alt=sse" if stream else generate()
        return post(path, ask(turn(words)), GOOGLE_HEADERS)

    send.dialect = request.param
    return send


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 429, 500, 503, 504, 529])
@pytest.mark.parametrize("stream", [True, False])
def test_every_status_in_the_dialects_shape(play, status, stream):
    answer = play(f"status:{status}", stream=stream)
    assert answer.status_code == status
    error = answer.json()["error"]
    if play.dialect == "anthropic":
        assert answer.json()["type"] == "error" and error["type"].endswith("error")
    else:
        assert error["code"] == status and error["status"].isupper()


def test_overload_and_quota(play):
    limited, spent, overloaded = play("status:429"), play("no_retry_after"), play("status:529")
    if play.dialect == "anthropic":
        assert limited.headers["retry-after"] == "7" and "retry-after" not in spent.headers
        assert limited.json()["error"]["type"] == "rate_limit_error"
        assert overloaded.json()["error"]["type"] == "overloaded_error"
    else:
        error = limited.json()["error"]
        assert error["status"] == "RESOURCE_EXHAUSTED"
        assert "7s" in [detail.get("retryDelay") for detail in error["details"]]
        assert "details" not in spent.json()["error"]


@pytest.mark.parametrize("status", [413, 502])
def test_a_page_from_in_front(play, status):
    answer = play(f"status:{status}")
    assert answer.status_code == status and answer.headers["content-type"] == "text/html"


BEFORE = {
    "error_first": "error_first:500", "status": "status:500", "no_retry_after": "no_retry_after",
    "error_echo": "error_echo:401", "flaky": "flaky:9:500", "html_200": "html_200",
    "empty_200": "empty_200", "redirect": "redirect", "reset_fresh": "reset_fresh:rst",
    "slow_first": "slow_first:0.05", "reset_reused": "normal",
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("scenario", BEFORE_ANSWER)
def test_every_fault_before_the_answer(play, scenario, stream):
    try:
        answer = play(BEFORE[scenario], stream=stream)
    except requests.ConnectionError:
        assert scenario == "reset_fresh"
        return
    plays_on = scenario in ("slow_first", "reset_reused")
    assert ("capital" in answer.text) == plays_on
    leaks = ANTHROPIC_KEY in answer.text or GEMINI_KEY in answer.text
    assert leaks == (scenario == "error_echo")


BROKEN = ("cut_mid", "cut_half", "reset_mid")
COMPLETE = {
    "onewrite": "onewrite", "split": "split:40", "split_at": "split_at:33", "crlf": "crlf",
    "paced": "paced:1", "silent": "silent:0.05", "close_delimited": "close_delimited",
}  # fmt: skip


@pytest.mark.parametrize("scenario", [name for name in STREAMS if name != "endless"])
def test_every_fault_of_a_stream(play, scenario):
    try:
        data = play(COMPLETE.get(scenario, scenario), stream=True).content
    except requests.RequestException:
        assert scenario in BROKEN
        return
    assert scenario not in BROKEN
    plain, normal = data.replace(b"\r\n", b"\n"), play("normal", stream=True).content
    assert plain.endswith(normal.replace(b"\r\n", b"\n")) == (
        scenario in COMPLETE or (scenario == "no_done" and play.dialect == "gemini")
    )
    said_by_an_error = ("boom at", "Overloaded", "The model is overloaded")
    says_error = any(words in data.decode(errors="replace") for words in said_by_an_error)
    assert says_error == (scenario in ("error_mid", "error_event"))


def test_what_arrived_can_be_read_back(post, fake_upstream, tag):
    post(MESSAGES, claude(SMALL, user(f"tag:{tag}"), stream=True), CLAUDE_HEADERS)
    post(MESSAGES, claude(SMALL, user(f"tag:{tag}"), seed=1), CLAUDE_HEADERS)
    post(generate(), ask(turn(f"tag:{tag}")), GOOGLE_HEADERS)
    claudes, refused, geminis = fake_upstream.requests(tag)
    assert assembled(claudes["sent"])["usage"]["output_tokens"] == claudes["usage"]["output_tokens"]
    assert "seed" in refused["refused"]["message"]
    assert json.loads(geminis["sent"])["usageMetadata"] == geminis["usage"]
