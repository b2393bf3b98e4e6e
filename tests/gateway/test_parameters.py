"""No parameter is lost silently: every documented one, for every kind of model.

Each row of the tables is a parameter with a telling value. For every upstream it has to be found in
what is sent (as it came, or where the table says that it belongs there), named in the warnings, or
refused by its name. With `x-gateway-strict` each warning is a refusal. What the classes mean:
reference/translation.md 13.2; the parameters: openai-wire.md 1.2 to 1.5, gemini-wire.md 4 to 6.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from gateway import catalog, dispatch
from gateway.dispatch import Call, Dispatcher
from gateway.errors import InvalidRequest
from gateway.formats import gemini, openai
from gateway.formats.gemini import checks
from gateway.formats.openai import schema
from gateway.metering import Meter
from gateway.providers import ROWS, connect
from gateway.types import Media
from tests.gateway.targets import new_memory

SETTINGS = {f"{name}_api_key": "k" for name in ROWS} | {"local_base_url": "http://localhost:1/v1"}
CATALOG = catalog.build(connect(SETTINGS), discovered={"local": ["llama"]})
UPSTREAMS = (
    "gpt-4o",
    "gpt-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-opus-5-5",
    "gemini-2.5-flash",
    "gemini-3.5-flash",
    "gemini-3.8-flash",
    "deepseek-v4-flash",
    "llama",
)
CODES = ("unsupported_parameter", "unsupported_value")

# ----------------------------------------------------------------------------- one call

WHOLE = {
    "openai": {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]},
    "anthropic": {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn"},
    "gemini": {"candidates": [{"content": {"parts": [{"text": "{}"}]}, "finishReason": "STOP"}]},
}
STREAMED = {
    "openai": [{"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}],
    "anthropic": [
        {"type": "message_start", "message": {}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ],
    "gemini": [WHOLE["gemini"]],
}


class Catching(Dispatcher):
    """The real dispatcher, with an upstream that answers everything and keeps what it was sent."""

    sent: Any = None

    def _post(self, deployment, provider, body, path=None):
        self.sent = orjson.loads(body)

    def _whole(self, exchange, provider, upstream):
        return json.dumps(WHOLE[provider.format]).encode()

    def _stream(self, exchange, provider, upstream, meter):
        for chunk in STREAMED[provider.format]:
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        if provider.format == "openai":
            yield b"data: [DONE]\n\n"


@dataclass
class Outcome:
    """What became of a call: what its upstream got, or the refusal, and the warnings."""

    sent: Any = None
    error: InvalidRequest | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def warned(self) -> set[str]:
        """The parameters in the warnings."""
        lists = (warning.partition("=")[2] for warning in self.warnings)
        return {name.partition(":")[0] for names in lists for name in names.split(",")}


def openai_body(fields):
    body = {"messages": [{"role": "user", "content": "Some json, please."}], **fields}
    openai.check_request({**body, "model": "m"})
    return body


def gemini_body(fields):
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}], **fields}
    return body


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch):
    """A stand-in for what fetches pictures for models that do not."""

    def fetch_all(request):
        for media in (p for m in request.messages for p in m.parts if isinstance(p, Media)):
            media.data = media.data or PNG

    monkeypatch.setattr(dispatch.media_fetch, "fetch_all", fetch_all)


def outcome(format_, fields, model_id, *, is_strict=False) -> Outcome:
    """Send a body the way that the views do."""
    model = CATALOG.find(model_id)
    body = {"openai": openai_body, "gemini": gemini_body}[format_.NAME](fields)
    raw = orjson.dumps({**body, "model": model_id} if format_ is openai else body)
    dispatcher = Catching(None)
    try:
        if format_ is gemini:
            body = gemini.normalise(body)
            gemini.check_request(body)
            body["stream"] = False
        call = Call(
            format=format_,
            model=model,
            raw=raw,
            body={**body, "model": model_id},
            is_stream=bool(body.get("stream")),
            wants_usage=False,
            is_test=False,
            is_strict=is_strict,
            memory=new_memory(),
        )
        reply = dispatcher.send(call, Meter())
    except InvalidRequest as error:
        return Outcome(error=error)
    return Outcome(dispatcher.sent, warnings=reply.warnings)


def spoken_by(model_id):
    return ROWS[CATALOG.find(model_id).provider_name].format


# ----------------------------------------------------------------------------- rows

Found = Callable[[Any], bool]
MISSING = object()


def at(wire, path):
    """The value at a path such as `messages[0].content[1].text`, MISSING if there is none."""
    for key in re.findall(r"[^.\[\]]+", path):
        try:
            wire = wire[int(key)] if isinstance(wire, list) else wire[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return MISSING
    return wire


def has(path, value) -> Found:
    return lambda wire: at(wire, path) == value


def says(word, below="") -> Found:
    """Is the word anywhere in it, or below a path?"""
    return lambda wire: word in json.dumps(at(wire, below) if below else wire)


def any_of(*tests) -> Found:
    return lambda wire: any(test(wire) for test in tests)


@dataclass(frozen=True)
class Row:
    """A parameter in a body.

    `what` it is decides what may become of it: `harmless` ones are never refused, those with a
    `meaning` are never just left out, a `default` is neither warned of nor refused. `found` says
    where it belongs for each wire format; at `path` where it says nothing. `names` are further
    names under which the caller would look for it.
    """

    path: str
    fields: Mapping[str, Any]
    what: str = "harmless"
    found: Mapping[str, Found] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    @property
    def value(self):
        return at(self.fields, self.path)

    @property
    def label(self):
        return f"{self.path}={json.dumps(self.value)[:60]}"

    def is_in(self, wire, format_name):
        test = self.found.get(format_name) or has(self.path, self.value)
        return test(wire)

    @property
    def spellings(self):
        return {*re.findall(r"[^.\[\]]+", self.path), *self.names}

    def is_named_by(self, param):
        """Does the `param` of an error, a path, lead to it or into it?"""
        pair = (self.path, param or "?")
        return param in self.spellings or pair[0].startswith(pair[1]) or pair[1].startswith(pair[0])


def top(name, value, what="harmless", names=(), **found):
    """A row of a field at the top of a body."""
    return Row(name, {name: value}, what, found, tuple(names))


# ----------------------------------------------------------------------------- OpenAI (1.2 to 1.5)

OBJECT = {
    "type": "object",
    "properties": {"zebra": {"type": "string"}},
    "required": ["zebra"],
    "additionalProperties": False,
}


def function(name="f", **more):
    return {"type": "function", "function": {"name": name, "parameters": OBJECT, **more}}


def custom(name="c"):
    return {"type": "custom", "custom": {"name": name, "description": "zebra"}}


TOOLS = [function("f"), function("g")]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
WAV = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)).decode()
PDF = base64.b64encode(b"%PDF-1.4\n%zebra").decode()
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
TEXT = {"type": "text", "text": "Look."}
BREAKPOINT = {"mode": "explicit", "ttl": "30m"}


def with_tools(name, value, what="harmless", names=(), tools=TOOLS, **found):
    return Row(name, {"tools": tools, name: value}, what, found, tuple(names))


def message(path, what, *messages, names=(), **found):
    """A row about something in the first of these messages."""
    return Row(f"messages[0].{path}", {"messages": list(messages)}, what, found, tuple(names))


def asks(path, what, *parts, **found):
    return message(path, what, {"role": "user", "content": [TEXT, *parts]}, **found)


def json_schema(path, what, found=None, **spec):
    spec = {"name": "shape", "schema": OBJECT, **spec}
    wanted = {"type": "json_schema", "json_schema": spec}
    return Row(f"response_format{path}", {"response_format": wanted}, what, found or {})


USER = {"role": "user", "content": "Go on."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"zebra":"x"}'}}
ANSWERED = {"role": "tool", "tool_call_id": "call_1", "content": "gnu"}
MAX_TOKENS = {
    "openai": any_of(has("max_tokens", 77), has("max_completion_tokens", 77)),
    "anthropic": has("max_tokens", 77),
    "gemini": has("generationConfig.maxOutputTokens", 77),
}
TOO_MANY = {
    "openai": any_of(has("max_tokens", 9_999_999), has("max_completion_tokens", 9_999_999)),
}
CLAUDE_TOOL = "tool_choice.type"
MODE = "toolConfig.functionCallingConfig.mode"
ALLOWED = {"type": "function", "function": {"name": "g"}}


LABEL = {"anthropic": lambda _: True, "gemini": lambda _: True}
"""What only names or repeats what the rest says: nothing is lost with it."""


def effort(word, level=None, **found):
    """An effort, and Gemini's level of that name; budgets of older models are its translation."""
    config = "generationConfig.thinkingConfig"

    def gemini_has(wire):
        found = at(wire, config)
        return found is not MISSING and found.get("thinkingLevel") in (level, None)

    return top(
        "reasoning_effort", word, openai=has("reasoning_effort", word), gemini=gemini_has, **found
    )


def allowed(mode):
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [ALLOWED]}}


def only_g(path) -> Found:
    """Is `g` left as the only tool, or as the only one allowed?"""
    return lambda wire: (
        says('"g"', path)(wire)
        and (
            not says('"f"', path)(wire)
            or at(wire, "toolConfig.functionCallingConfig.allowedFunctionNames") == ["g"]
        )
    )


OPENAI_ROWS = [
    top("stream", True, "meaning", gemini=lambda _: True),
    Row("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": True}},
        "default"),
    Row("stream_options.include_obfuscation",
        {"stream": True, "stream_options": {"include_obfuscation": True}}),
    Row("stream_options.include_obfuscation",
        {"stream": True, "stream_options": {"include_obfuscation": False}}, "default"),
    top("max_completion_tokens", 77, **MAX_TOKENS),
    top("max_completion_tokens", 9_999_999, names=("max_tokens",), **TOO_MANY),
    top("max_tokens", 77, **MAX_TOKENS),
    top("max_tokens", 9_999_999, **TOO_MANY),
    top("temperature", 0.37, gemini=has("generationConfig.temperature", 0.37)),
    top("temperature", 0, gemini=has("generationConfig.temperature", 0)),
    top("temperature", 1.7, gemini=has("generationConfig.temperature", 1.7)),
    top("temperature", 1, "default"),
    top("temperature", None, "default"),
    top("top_p", 0.51, gemini=has("generationConfig.topP", 0.51)),
    top("top_p", 1, "default"),
    top("n", 2, "meaning", gemini=has("generationConfig.candidateCount", 2)),
    top("n", 1, "default"),
    top("stop", "zebra", anthropic=has("stop_sequences", ["zebra"]),
        gemini=has("generationConfig.stopSequences", ["zebra"]), openai=says("zebra", "stop")),
    top("stop", ["zebra", "\n"], gemini=has("generationConfig.stopSequences", ["zebra", "\n"])),
    top("stop", [], "default"),
    top("seed", 7, gemini=has("generationConfig.seed", 7)),
    top("presence_penalty", 0.7, gemini=has("generationConfig.presencePenalty", 0.7)),
    top("presence_penalty", 0, "default"),
    top("frequency_penalty", 0.7, gemini=has("generationConfig.frequencyPenalty", 0.7)),
    top("frequency_penalty", 0, "default"),
    top("logit_bias", {"50": -100}),
    top("logit_bias", {}, "default"),
    top("logprobs", True, "meaning", gemini=has("generationConfig.responseLogprobs", True)),
    top("logprobs", False, "default"),
    Row("top_logprobs", {"logprobs": True, "top_logprobs": 3}, "meaning",
        {"gemini": has("generationConfig.logprobs", 3)}, names=("logprobs",)),
    top("response_format", {"type": "text"}, "default"),
    top("response_format", {"type": "json_object"},
        gemini=has("generationConfig.responseMimeType", "application/json")),
    json_schema(".json_schema.schema", "harmless", {
        "anthropic": says("zebra", "output_config.format.schema"),
        "gemini": says("zebra", "generationConfig.responseJsonSchema"),
    }),
    json_schema(".json_schema.name", "harmless", LABEL),
    json_schema(".json_schema.strict", "harmless", {
        "anthropic": says("zebra", "output_config.format.schema"),  # it is always enforced
        "gemini": says("zebra", "generationConfig.responseJsonSchema"),
    }, strict=True),
    json_schema(".json_schema.strict", "harmless", LABEL, strict=False),
    json_schema(".json_schema.description", "harmless",
                {"anthropic": says("quagga"), "gemini": says("quagga")}, description="quagga"),
    Row("tools[0].function.name", {"tools": TOOLS}, "meaning", {
        "anthropic": has("tools[0].name", "f"),
        "gemini": has("tools[0].functionDeclarations[0].name", "f")}),
    Row("tools[0].function.description", {"tools": [function(description="quagga")]}, "meaning", {
        "anthropic": has("tools[0].description", "quagga"),
        "gemini": has("tools[0].functionDeclarations[0].description", "quagga")}),
    Row("tools[0].function.parameters", {"tools": TOOLS}, "meaning", {
        "anthropic": says("zebra", "tools[0].input_schema"),
        "gemini": says("zebra", "tools[0].functionDeclarations[0].parametersJsonSchema")}),
    Row("tools[0].function.strict", {"tools": [function(strict=True)]}, "harmless",
        {"anthropic": has("tools[0].strict", True)}),
    Row("tools[0].function.strict", {"tools": [function(strict=False)]}, "default"),
    Row("tools[0].custom", {"tools": [custom()]}, "meaning"),
    Row("tools[0].custom", {"tools": [custom(), function()]}, "meaning", {
        "openai": says("zebra", "tools")}),
    with_tools("tool_choice", "none", "meaning", anthropic=has(CLAUDE_TOOL, "none"),
               gemini=has(MODE, "NONE")),
    with_tools("tool_choice", "auto", "default"),
    with_tools("tool_choice", "required", anthropic=has(CLAUDE_TOOL, "any"),
               gemini=has(MODE, "ANY")),
    with_tools("tool_choice", ALLOWED, anthropic=has("tool_choice.name", "g"), gemini=only_g("")),
    with_tools("tool_choice", allowed("auto"), anthropic=only_g("tools"), gemini=only_g("tools")),
    with_tools("tool_choice", allowed("required"), anthropic=only_g("tools"), gemini=only_g(""),
               openai=any_of(has("tool_choice", allowed("required")), has("tool_choice", ALLOWED))),
    with_tools("tool_choice", {"type": "custom", "custom": {"name": "c"}}, "meaning", ["tools"],
               [custom(), function()]),
    with_tools("tool_choice", "required", "meaning", ["tools"], [custom()]),
    with_tools("parallel_tool_calls", False,
               anthropic=has("tool_choice.disable_parallel_tool_use", True)),
    with_tools("parallel_tool_calls", True, "default"),
    top("functions", [TOOLS[0]["function"]], "meaning", ["tools"], openai=says("zebra"),
        anthropic=says("zebra", "tools"), gemini=says("zebra", "tools")),
    Row("function_call", {"functions": [t["function"] for t in TOOLS],
                          "function_call": {"name": "g"}}, "harmless", {
        "openai": any_of(has("function_call.name", "g"), has("tool_choice.function.name", "g")),
        "anthropic": has("tool_choice.name", "g"), "gemini": only_g("")},
        names=("tool_choice", "tools")),
    top("reasoning_effort", "none", anthropic=has("thinking.type", "disabled"),
        gemini=has("generationConfig.thinkingConfig.thinkingBudget", 0),
        openai=any_of(has("reasoning_effort", "none"), has("thinking.type", "disabled"),
                      has("model", "gpt-4o"))),
    effort("minimal", "MINIMAL", anthropic=has("output_config.effort", "low")),
    effort("low", "LOW", anthropic=has("output_config.effort", "low")),
    effort("medium", "MEDIUM", anthropic=has("output_config.effort", "medium")),
    effort("high", "HIGH", anthropic=has("output_config.effort", "high")),
    effort("xhigh", "XHIGH", anthropic=has("output_config.effort", "xhigh")),
    effort("max", "XHIGH", anthropic=has("output_config.effort", "max")),
    top("verbosity", "low"),
    top("verbosity", "medium", "default"),
    top("service_tier", "flex"),
    top("service_tier", "auto", "default"),
    top("service_tier", "default", anthropic=has("service_tier", "standard_only"),
        gemini=lambda _: True),
    top("store", True),
    top("store", False, "default"),
    top("metadata", {"zebra": "x"}),
    top("metadata", {}, "default"),
    top("user", "zebra", anthropic=lambda wire: len(at(wire, "metadata.user_id")) == 64),
    top("safety_identifier", "zebra"),
    top("prompt_cache_key", "zebra"),
    top("prompt_cache_options", {"mode": "explicit", "ttl": "30m"}),
    top("prompt_cache_retention", "24h"),
    top("prediction", {"type": "content", "content": "zebra"}),
    Row("modalities", {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}},
        "meaning", names=("audio",)),
    top("modalities", ["text"], "default"),
    Row("audio", {"audio": {"voice": "zebra", "format": "wav"}}, "meaning"),
    top("web_search_options", {"search_context_size": "low"}, "meaning"),
    top("moderation", {"model": "zebra"}),
    # ------------------------------------------------------------------ messages
    message("content", "meaning", {"role": "system", "content": "zebra"}, USER,
            openai=says("zebra"), anthropic=says("zebra", "system"),
            gemini=says("zebra", "systemInstruction")),
    message("content", "meaning", {"role": "developer", "content": "zebra"}, USER,
            openai=says("zebra"), anthropic=says("zebra", "system"),
            gemini=says("zebra", "systemInstruction")),
    message("name", "harmless", {"role": "user", "name": "zebra", "content": "Hi"}),
    message("name", "harmless", {"role": "system", "name": "zebra", "content": "Hi"}, USER),
    message("name", "harmless", {"role": "assistant", "name": "zebra", "content": "Hi"}, USER),
    message("refusal", "meaning", {"role": "assistant", "refusal": "zebra"}, USER,
            openai=says("zebra"), anthropic=says("zebra"), gemini=says("zebra")),
    message("content[0].refusal", "meaning",
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "zebra"}]}, USER,
            openai=says("zebra"), anthropic=says("zebra"), gemini=says("zebra")),
    message("audio", "meaning", {"role": "assistant", "audio": {"id": "zebra"}}, USER),
    message("annotations", "harmless",
            {"role": "assistant", "content": "x", "annotations": [{"type": "url_citation"}]}, USER),
    message("annotations", "default",
            {"role": "assistant", "content": "x", "annotations": [], "audio": None,
             "function_call": None, "refusal": None}, USER),
    message("tool_calls[0].function.arguments", "meaning",
            {"role": "assistant", "tool_calls": [CALL]}, ANSWERED,
            anthropic=says("zebra"), gemini=says("zebra")),
    message("tool_calls[0].function.arguments", "harmless",
            {"role": "assistant", "tool_calls": [
                {**CALL, "function": {"name": "f", "arguments": "{zebra"}}]}, ANSWERED),
    message("tool_calls[0].custom", "meaning",
            {"role": "assistant", "tool_calls": [
                {"id": "call_1", "type": "custom", "custom": {"name": "c", "input": "zebra"}}]},
            ANSWERED),
    message("function_call", "meaning",
            {"role": "assistant", "function_call": CALL["function"]},
            {"role": "function", "name": "f", "content": "gnu"},
            openai=says("zebra"), anthropic=says("zebra"), gemini=says("zebra")),
    Row("messages[1].content", {"messages": [{"role": "assistant", "tool_calls": [CALL]}, ANSWERED]},
        "meaning", {name: says("gnu") for name in WHOLE}),
    Row("messages[1].tool_call_id",
        {"messages": [{"role": "assistant", "tool_calls": [CALL]}, ANSWERED]}, "meaning", {
            "anthropic": says("call_1"), "gemini": has("contents[2].parts[0].functionResponse.name", "f")}),
    Row("messages[1].content[1].text",
        {"messages": [{"role": "assistant", "tool_calls": [CALL]},
                      {**ANSWERED, "content": [TEXT, {"type": "text", "text": "quagga"}]}]},
        "meaning", {name: says("quagga") for name in WHOLE}),
    Row("messages[1].content",
        {"messages": [{"role": "assistant", "function_call": CALL["function"]},
                      {"role": "function", "name": "f", "content": "gnu"}]},
        "meaning", {name: says("gnu") for name in WHOLE}),
    asks("content[1].text", "meaning", {"type": "text", "text": "zebra"},
         openai=says("zebra"), anthropic=says("zebra"), gemini=says("zebra")),
    asks("content[1].image_url.url", "meaning", IMAGE, anthropic=says(PNG), gemini=says(PNG)),
    asks("content[1].image_url.url", "meaning",
         {"type": "image_url", "image_url": {"url": "https://zebra.example/a.png"}},
         anthropic=says("zebra"), gemini=says(PNG)),
    asks("content[1].image_url.detail", "harmless",
         {"type": "image_url", "image_url": {**IMAGE["image_url"], "detail": "low"}}),
    asks("content[1].image_url.detail", "default",
         {"type": "image_url", "image_url": {**IMAGE["image_url"], "detail": "auto"}}),
    asks("content[1].input_audio", "meaning",
         {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
         gemini=says(WAV)),
    asks("content[1].file.file_id", "meaning", {"type": "file", "file": {"file_id": "zebra"}}),
    asks("content[1].file.file_data", "meaning",
         {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
         anthropic=says(PDF), gemini=says(PDF)),
    asks("content[1].file.filename", "harmless",
         {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}",
                                   "filename": "zebra.pdf"}}, anthropic=says("zebra.pdf")),
    asks("content[1].prompt_cache_breakpoint", "harmless",
         {**TEXT, "prompt_cache_breakpoint": BREAKPOINT}, anthropic=says("cache_control")),
    asks("content[1].prompt_cache_breakpoint", "harmless",
         {**IMAGE, "prompt_cache_breakpoint": BREAKPOINT}, anthropic=says("cache_control")),
    message("content[0].prompt_cache_breakpoint", "harmless",
            {"role": "system", "content": [{**TEXT, "prompt_cache_breakpoint": BREAKPOINT}]}, USER,
            anthropic=says("cache_control")),
]  # fmt: skip

# ----------------------------------------------------------------------------- Gemini (4 to 6)

DECLARED = [{"functionDeclarations": [
    {"name": "f", "parametersJsonSchema": OBJECT}, {"name": "g", "parametersJsonSchema": OBJECT}]}]  # fmt: skip
UPPER = {
    "type": "OBJECT",
    "properties": {"zebra": {"type": "STRING", "nullable": True}},
    "required": ["zebra"],
}


def config(name, value, what="harmless", names=(), more=None, **found):
    return Row(
        f"generationConfig.{name}",
        {"generationConfig": {name: value, **(more or {})}},
        what,
        found,
        tuple(names),
    )


def thinking(name, value, what="harmless", **found):
    fields = {"generationConfig": {"thinkingConfig": {name: value}}}
    return Row(f"generationConfig.thinkingConfig.{name}", fields, what, found)


def declares(name, value, what, **found):
    declaration = {"name": "f", name: value}
    fields = {"tools": [{"functionDeclarations": [declaration]}]}
    return Row(f"tools[0].functionDeclarations[0].{name}", fields, what, found)


def calls(name, value, what="harmless", names=(), **found):
    """A row of functionCallingConfig."""
    modes = {"mode": "ANY", **({name: value} if name else {})}
    fields = {"tools": DECLARED, "toolConfig": {"functionCallingConfig": modes}}
    return Row(f"toolConfig.functionCallingConfig.{name}", fields, what, found, tuple(names))


def part(path, value, what, *, role="user", more=None, after=(), **found):
    """A row about one part of the first content."""
    contents = [{"role": role, "parts": [{path.partition(".")[0]: value, **(more or {})}]}, *after]
    return Row(f"contents[0].parts[0].{path}", {"contents": contents}, what, found)


def built_in(name):
    return Row(f"tools[0].{name}", {"tools": [{name: {}}]}, "meaning")


def answered(response, **more):
    """A history in which `f` was called and answered."""
    return [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"zebra": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response, **more}}]},
    ]  # fmt: skip


def result_row(name, what, response, found=None, **more):
    return Row(f"contents[1].parts[0].functionResponse.{name}",
               {"contents": answered(response, **more)}, what, found or {})  # fmt: skip


ANY_FORMAT = ("openai", "anthropic")
SOME_THINKING = says("thinkingConfig")
"""A level that the model knows, or the budget of an older one that stands for it."""
HEARD = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]}
GEMINI_ROWS = [
    config("temperature", 0.37, openai=has("temperature", 0.37), anthropic=has("temperature", 0.37)),
    config("temperature", 1, "default"),
    config("topP", 0.51, openai=has("top_p", 0.51), anthropic=has("top_p", 0.51)),
    config("topP", 1, "default"),
    config("topK", 7, openai=has("top_k", 7), anthropic=has("top_k", 7)),
    config("candidateCount", 2, "meaning", openai=has("n", 2)),
    config("candidateCount", 1, "default"),
    config("maxOutputTokens", 77, openai=MAX_TOKENS["openai"], anthropic=has("max_tokens", 77)),
    config("maxOutputTokens", 9_999_999, openai=TOO_MANY["openai"]),
    config("stopSequences", ["zebra"], openai=has("stop", ["zebra"]),
           anthropic=has("stop_sequences", ["zebra"])),
    config("stopSequences", ["a", "b", "c", "d", "zebra"],
           anthropic=has("stop_sequences", ["a", "b", "c", "d", "zebra"])),
    config("stopSequences", [], "default"),
    config("presencePenalty", 0.7, openai=has("presence_penalty", 0.7)),
    config("presencePenalty", 0, "default"),
    config("frequencyPenalty", 0.7, openai=has("frequency_penalty", 0.7)),
    config("frequencyPenalty", 0, "default"),
    config("seed", 7, openai=has("seed", 7)),
    config("responseLogprobs", True, "meaning", openai=has("logprobs", True)),
    config("responseLogprobs", False, "default"),
    config("logprobs", 3, "meaning", ["responseLogprobs", "generationConfig.responseLogprobs"],
           {"responseLogprobs": True}, openai=has("top_logprobs", 3)),
    config("logprobs", 3),
    config("responseModalities", ["Text"], "default"),
    config("responseModalities", ["TEXT", "IMAGE"], "meaning"),
    config("responseModalities", ["AUDIO"], "meaning"),
    config("responseMimeType", "text/plain", "default"),
    config("responseMimeType", "application/json", "harmless",
           ["responseSchema", "generationConfig.responseSchema"],
           openai=has("response_format.type", "json_object")),
    config("responseMimeType", "text/x.enum", "meaning", more={"responseSchema": {"type": "STRING"}}),
    config("responseSchema", UPPER, more={"responseMimeType": "application/json"},
           openai=says("zebra", "response_format"),
           anthropic=says("zebra", "output_config.format")),
    config("responseJsonSchema", OBJECT, "harmless",
           ["responseSchema", "generationConfig.responseSchema"],
           {"responseMimeType": "application/json"}, openai=says("zebra", "response_format"),
           anthropic=says("zebra", "output_config.format")),
    config("imageConfig", {"aspectRatio": "1:1"}),
    config("mediaResolution", "MEDIA_RESOLUTION_LOW"),
    config("speechConfig", {"languageCode": "de-DE"}),
    config("enableEnhancedCivicAnswers", True),
    config("audioTranscriptionConfig", {}),
    thinking("thinkingBudget", 0, openai=lambda wire: (
        at(wire, "reasoning_effort") is MISSING or at(wire, "thinking.type") == "disabled"
        or at(wire, "reasoning_effort") == "none"), anthropic=has("thinking.type", "disabled")),
    thinking("thinkingBudget", -1, "default"),
    thinking("thinkingBudget", 1024, openai=has("reasoning_effort", "low"),
             anthropic=has("output_config.effort", "low")),
    thinking("thinkingBudget", 30_000, openai=has("reasoning_effort", "xhigh"),
             anthropic=says("effort")),
    thinking("thinkingLevel", "LOW", gemini=SOME_THINKING, openai=has("reasoning_effort", "low"),
             anthropic=has("output_config.effort", "low")),
    thinking("thinkingLevel", "minimal", gemini=SOME_THINKING,
             openai=has("reasoning_effort", "minimal"), anthropic=has("output_config.effort", "low")),
    thinking("thinkingLevel", "XHIGH", gemini=SOME_THINKING,
             openai=has("reasoning_effort", "xhigh"), anthropic=has("output_config.effort", "xhigh")),
    thinking("thinkingLevel", "THINKING_LEVEL_UNSPECIFIED", "default"),
    thinking("includeThoughts", False, "default"),
    thinking("includeThoughts", True, anthropic=has("thinking.display", "summarized"),
             openai=lambda wire: wire["model"] in ("deepseek-v4-flash", "llama")),
    # ------------------------------------------------------------------ tools
    declares("name", "f", "meaning", openai=has("tools[0].function.name", "f"),
             anthropic=has("tools[0].name", "f")),
    declares("description", "zebra", "meaning", openai=has("tools[0].function.description", "zebra"),
             anthropic=has("tools[0].description", "zebra")),
    declares("parameters", UPPER, "meaning", openai=says("zebra", "tools[0].function.parameters"),
             anthropic=says("zebra", "tools[0].input_schema")),
    declares("parametersJsonSchema", OBJECT, "meaning",
             openai=has("tools[0].function.parameters", OBJECT),
             anthropic=has("tools[0].input_schema", OBJECT)),
    declares("response", UPPER, "harmless"),
    declares("responseJsonSchema", OBJECT, "harmless"),
    declares("behavior", "NON_BLOCKING", "harmless"),
    *map(built_in, ("googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext",
                    "googleMaps", "fileSearch", "computerUse", "mcpServers")),
    calls("mode", "AUTO", "default"),
    calls("mode", "MODE_UNSPECIFIED", "default"),
    calls("mode", "NONE", "meaning", openai=has("tool_choice", "none"),
          anthropic=has("tool_choice.type", "none")),
    calls("mode", "any", openai=has("tool_choice", "required"),
          anthropic=has("tool_choice.type", "any")),
    calls("mode", "VALIDATED", openai=has("tools[0].function.strict", True),
          anthropic=has("tools[0].strict", True)),
    calls("allowedFunctionNames", ["g"], openai=has("tool_choice.function.name", "g"),
          anthropic=has("tool_choice.name", "g")),
    calls("allowedFunctionNames", ["f", "g"], openai=any_of(says('"f", "g"'), says('"g"')),
          anthropic=says('"g"')),
    Row("toolConfig.retrievalConfig", {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}),
    Row("toolConfig.includeServerSideToolInvocations",
        {"toolConfig": {"includeServerSideToolInvocations": True}}),
    # ------------------------------------------------------------------ the top of the body
    Row("systemInstruction.parts[0].text", {"systemInstruction": {"parts": [{"text": "zebra"}]}},
        "meaning", {"openai": says("zebra", "messages[0]"), "anthropic": says("zebra", "system")}),
    Row("systemInstruction.parts[0].inlineData", {"systemInstruction": {"parts": [
        {"inlineData": {"mimeType": "image/png", "data": PNG}}]}}, "meaning"),
    Row("safetySettings", {"safetySettings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}, "default"),
    Row("safetySettings", {"safetySettings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]}),
    Row("cachedContent", {"cachedContent": "cachedContents/x"}, "meaning"),
    Row("labels", {"labels": {"zebra": "x"}}),
    Row("serviceTier", {"serviceTier": "flex"}),
    Row("store", {"store": True}),
    Row("continuationToken", {"continuationToken": "emVicmE="}, "meaning"),
    # ------------------------------------------------------------------ contents
    Row("contents[0].role", {"contents": [{"role": "system", "parts": [{"text": "zebra"}]},
                                          {"parts": [{"text": "Hi"}]}]}, "meaning",
        {"openai": says("zebra", "messages[0]"), "anthropic": says("zebra", "system")}),
    Row("contents[1].role", {"contents": answered({"zebra": 1})[:1] + [
        {"role": "function", "parts": HEARD["parts"]}]}, "meaning",
        {"openai": has("messages[1].role", "tool"), "anthropic": says("tool_result")}),
    part("text", "zebra", "meaning", openai=says("zebra"), anthropic=says("zebra")),
    part("text", "quagga", "harmless", role="model", more={"thought": True},
         openai=lambda _: True, anthropic=lambda _: True,  # one model's thoughts are not another's
         after=[{"parts": [{"text": "Go on."}]}]),
    part("thought", False, "default", more={"text": "x"}),
    part("thoughtSignature", "emVicmE=", "default", more={"text": "x"}),
    part("inlineData.data", {"mimeType": "image/png", "data": PNG}, "meaning",
         openai=says(PNG), anthropic=says(PNG)),
    part("inlineData.data", {"mimeType": "audio/wav", "data": WAV}, "meaning", openai=says(WAV)),
    part("inlineData.data", {"mimeType": "video/mp4", "data": "AAAAHGZ0eXBpc29t"}, "meaning"),
    part("inlineData.data", {"mimeType": "application/pdf", "data": PDF}, "meaning",
         openai=says(PDF), anthropic=says(PDF)),
    part("inlineData.displayName",
         {"mimeType": "application/pdf", "data": PDF, "displayName": "zebra.pdf"}, "harmless",
         openai=says("zebra.pdf"), anthropic=says("zebra.pdf")),
    part("inlineData.displayName",
         {"mimeType": "image/png", "data": PNG, "displayName": "zebra.png"}, "harmless"),
    part("fileData.fileUri", {"fileUri": "https://zebra.example/a.png", "mimeType": "image/png"},
         "meaning", openai=says("zebra"), anthropic=says("zebra")),
    part("fileData.fileUri", {"fileUri": "gs://zebra/a.png", "mimeType": "image/png"}, "meaning"),
    part("fileData.displayName",
         {"fileUri": "https://x.example/a.png", "mimeType": "image/png", "displayName": "zebra"},
         "harmless"),
    Row("contents[0].parts[0].functionCall.args", {"contents": answered({"x": 1})}, "meaning",
        {"openai": says("zebra"), "anthropic": says("zebra")}),
    Row("contents[0].parts[0].functionCall.id", {"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "call_9"}}]}, HEARD]},
        "meaning", {"openai": says("call_9"), "anthropic": says("call_9")}),
    result_row("response", "meaning", {"gnu": 1}, {"openai": says("gnu"), "anthropic": says("gnu")}),
    result_row("parts", "meaning", {"gnu": 1}, {"openai": says(PNG), "anthropic": says(PNG)},
               parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}]),
    result_row("scheduling", "harmless", {"gnu": 1}, scheduling="WHEN_IDLE"),
    result_row("willContinue", "harmless", {"gnu": 1}, willContinue=True),
    part("executableCode", {"code": "1", "language": "PYTHON"}, "meaning", role="model"),
    part("codeExecutionResult", {"outcome": "OUTCOME_OK", "output": "1"}, "meaning", role="model"),
    part("toolCall", {"id": "a", "toolType": "x"}, "meaning", role="model"),
    part("toolResponse", {"id": "a", "toolType": "x"}, "meaning"),
    part("videoMetadata", {"fps": 1}, "harmless", more={"text": "x"}),
    part("mediaResolution", {"level": "MEDIA_RESOLUTION_LOW"}, "harmless", more={"text": "x"}),
    part("partMetadata", {"zebra": 1}, "harmless", more={"text": "x"}),
    part("mediaProcessing", {"zebra": 1}, "harmless", more={"text": "x"}),
]  # fmt: skip

ROWS_OF = {"openai": OPENAI_ROWS, "gemini": GEMINI_ROWS}
FORMATS = {"openai": openai, "gemini": gemini}
CASES = [
    pytest.param(FORMATS[name], row, id=f"{name} {place} {row.label}")
    for name, rows in ROWS_OF.items()
    for place, row in enumerate(rows)
]


@pytest.mark.parametrize(("format_", "path", "fields"), [
    (openai, "max_completion_tokens", {"max_completion_tokens": 9_999_999}),
    (openai, "function_call", {"functions": [TOOLS[0]["function"]], "function_call": {"name": "f"}}),
    (gemini, "generationConfig.responseMimeType",
     {"generationConfig": {"responseMimeType": "application/json"}}),
])  # fmt: skip
def test_a_strict_caller_hears_the_very_name_that_it_used(format_, path, fields):
    seen = outcome(format_, fields, "claude-opus-5-5", is_strict=True)
    assert seen.error.param == path


# ----------------------------------------------------------------------------- the walk


def fault_of(row, seen, upstream) -> str | None:
    """What is wrong with what became of a row's parameter, None if nothing is."""
    if row.what == "default":
        return describe(seen) if seen.error or seen.warnings else None
    if seen.error is not None:
        is_good = (
            (row.what != "harmless" or row.path.startswith(f"{seen.error.param}."))
            and row.is_named_by(seen.error.param)
            and seen.error.code in CODES
        )
        return None if is_good else describe(seen)
    if seen.warned & row.spellings:
        return describe(seen) if row.what == "meaning" else None
    if row.is_in(seen.sent, spoken_by(upstream)):
        return None
    return f"lost: {json.dumps(seen.sent)[:600]}"


def strict_fault_of(row, lenient, strict) -> str | None:
    if lenient.error is None and not lenient.warnings:
        return None if strict == lenient else describe(strict)
    is_good = (
        strict.error is not None
        and strict.error.code in CODES
        and row.is_named_by(strict.error.param)
    )
    return None if is_good else describe(strict)


def describe(seen):
    if seen.error is not None:
        return f"refused: {seen.error.code} {seen.error.param}: {seen.error.message}"
    return f"warned of: {seen.warnings}" if seen.warnings else "neither warned of nor refused"


def faults(format_, row, find) -> dict[str, str]:
    """What is wrong with a row, by upstream."""
    found = {upstream: find(upstream) for upstream in UPSTREAMS}
    return {upstream: fault for upstream, fault in found.items() if fault}


@pytest.mark.parametrize(("format_", "row"), CASES)
def test_no_parameter_is_lost_silently(format_, row):
    """Meanings are kept or refused, defaults never warned of, everything else kept or named."""

    def find(upstream):
        return fault_of(row, outcome(format_, row.fields, upstream), upstream)

    assert not faults(format_, row, find)


@pytest.mark.parametrize(("format_", "row"), CASES)
def test_a_strict_caller_gets_an_error_for_each_warning(format_, row):
    """With its own name for what it said, and nothing else that a lenient one would not get."""

    def find(upstream):
        lenient = outcome(format_, row.fields, upstream)
        return strict_fault_of(row, lenient, outcome(format_, row.fields, upstream, is_strict=True))

    assert not faults(format_, row, find)


# ----------------------------------------------------------------------------- nothing is left out


def named_in(rows, prefix=""):
    """The fields right below a prefix of the rows' paths."""
    below = (row.path[len(prefix) :] for row in rows if row.path.startswith(prefix))
    return {re.split(r"[.\[]", path)[0] for path in below}


def test_every_known_field_of_openai_has_a_row():
    assert named_in(OPENAI_ROWS) >= schema.KNOWN_FIELDS - {"model"}
    parts = {row.path.rpartition("]")[2].strip(".") for row in OPENAI_ROWS}
    told = {word for path in parts for word in path.split(".")}
    assert told >= {*schema.USER_PARTS, *schema.ASSISTANT_PARTS, *schema.ASSISTANT_FIELDS} - {
        "image_url",
        "tool_calls",
    }


def test_every_known_field_of_gemini_has_a_row():
    assert named_in(GEMINI_ROWS) >= checks.KNOWN_FIELDS - {"model", "stream"}
    assert named_in(GEMINI_ROWS, "generationConfig.") >= set(checks.GENERATION_FIELDS)
    parts = {part for row in GEMINI_ROWS for part in named_in([row], "contents[0].parts[0].")}
    parts |= named_in(GEMINI_ROWS, "contents[1].parts[0].")
    assert parts >= {*checks.PART_FIELDS, *checks.PART_KINDS}
