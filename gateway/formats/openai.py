"""OpenAI Chat Completions <-> gateway types. Facts: reference/openai-wire.md.

`read_` is from the wire, `write_` is to the wire. Where both sides speak this format and the
upstream keeps its rules, neither is used: `patch_request` edits the body once and `tap` looks for
usage in the bytes that go by.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import sse
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    RequestTooLarge,
    UpstreamFailed,
)
from gateway.formats.openai_schema import KNOWN_FIELDS, check_chat
from gateway.metering import Meter
from gateway.types import (
    JSON,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    LogprobsDelta,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    ResponseFormat,
    Role,
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
from gateway.validation import Problem

NAME = "openai"
DOCUMENTED_CODES = frozenset(
    {
        "missing_required_parameter",
        "invalid_type",
        "invalid_value",
        "empty_array",
        "array_above_max_length",
        "string_above_max_length",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "integer_above_max_value",
        "integer_below_min_value",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "context_length_exceeded",
        "content_policy_violation",
    }
)
"""Codes of an upstream's 400 that are in our own table; any other becomes `invalid_request`."""

# ----------------------------------------------------------------------------- the request


def check_request(body: JSON) -> None:
    """Raise the `InvalidRequest` that OpenAI would answer this body with."""
    try:
        check_chat(body)
    except Problem as problem:
        raise problem.error() from None


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in KNOWN_FIELDS]


def patch_request(
    raw: bytes,
    body: JSON,
    *,
    upstream_model: str,
    defaults: Mapping[str, Any],
    quirks: frozenset[str] = frozenset(),
) -> bytes:
    """The body for an upstream of this very format: the bytes as they came if nothing changes.

    Sets the upstream's model name, asks for usage on streams (the tap needs it), lays `defaults`
    under what the caller said, minds the provider's `quirks`, and drops top-level nulls, which mean
    "default" everywhere.
    """
    changes: JSON = {}
    for quirk in quirks & QUIRK_PATCHES.keys():
        changes |= QUIRK_PATCHES[quirk](body)
    if body["model"] != upstream_model:
        changes["model"] = upstream_model
    if body.get("stream"):
        options = body.get("stream_options") or {}
        if not options.get("include_usage"):
            changes["stream_options"] = {**options, "include_usage": True}
    for name, value in defaults.items():
        if body.get(name) is None:
            changes[name] = value
    if not changes and None not in body.values():
        return raw
    patched = {**body, **changes}
    return orjson.dumps({name: value for name, value in patched.items() if value is not None})


def _developer_as_system(body: JSON) -> JSON:
    if not any(message["role"] == "developer" for message in body["messages"]):
        return {}
    return {
        "messages": [
            {**message, "role": "system"} if message["role"] == "developer" else message
            for message in body["messages"]
        ]
    }


def _max_tokens(body: JSON) -> JSON:
    limit = body.get("max_completion_tokens")
    return {} if limit is None else {"max_tokens": limit, "max_completion_tokens": None}


QUIRK_PATCHES: dict[str, Callable[[JSON], JSON]] = {
    "developer_as_system": _developer_as_system,
    "max_tokens": _max_tokens,
}
"""What a provider's quirk (`providers.QUIRKS`) changes in a body that otherwise passes through."""

READ_DIRECTLY = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "reasoning_effort",
    "user",
)
"""Fields with the same name and meaning in `ChatRequest`."""
READ_SPECIALLY = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "n",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "response_format",
    }
)


def read_request(body: JSON) -> ChatRequest:
    """A checked body as a `ChatRequest`; what only this format can say stays in `extra`."""
    stop = body.get("stop")
    request = ChatRequest(
        model=body["model"],
        messages=[_read_message(message) for message in body["messages"]],
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=[stop] if isinstance(stop, str) else list(stop or []),
        n=body.get("n") or 1,
        tools=_read_tools(body),
        tool_choice=_read_tool_choice(body),
        response_format=_read_response_format(body.get("response_format")),
    )
    for name in READ_DIRECTLY:
        setattr(request, name, body.get(name))
    request.extra[NAME] = {
        name: value
        for name, value in body.items()
        if value is not None and name not in READ_SPECIALLY and name not in READ_DIRECTLY
    }
    return request


def _read_message(message: JSON) -> Message:
    role = message["role"]
    parts: list[Part] = []
    if role in ("tool", "function"):
        parts.append(
            ToolResult(
                call_id=message.get("tool_call_id") or message.get("name", ""),
                content=_read_content(message.get("content")),
                name=message.get("name"),
            )
        )
        return Message("tool", parts)
    if reasoning := message.get("reasoning_content") or message.get("reasoning"):
        parts.append(Reasoning(str(reasoning)))
    parts += _read_content(message.get("content"))
    if message.get("refusal"):
        parts.append(Refusal(message["refusal"]))
    parts += [_read_tool_call(call) for call in message.get("tool_calls") or ()]
    if call := message.get("function_call"):
        parts.append(ToolCall(call["name"], call["name"], call["arguments"]))
    return Message(role, parts, message.get("name"))


def _read_content(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [PART_READERS[part["type"]](part) for part in content]


def _read_image(part: JSON) -> Part:
    url, detail = part["image_url"]["url"], part["image_url"].get("detail")
    if not url.startswith("data:"):
        return Media("image", url=url, detail=detail)
    head, _, data = url[5:].partition(",")
    return Media("image", data=data, mime_type=head.partition(";")[0], detail=detail)


PART_READERS: dict[str, Callable[[JSON], Part]] = {
    "text": lambda part: Text(part["text"]),
    "refusal": lambda part: Refusal(part["refusal"]),
    "image_url": _read_image,
    "input_audio": lambda part: Media(
        "audio",
        data=part["input_audio"]["data"],
        mime_type="audio/" + part["input_audio"]["format"],
    ),
    "file": lambda part: Opaque(NAME, part),
}


def _read_tool_call(call: JSON) -> ToolCall:
    if call["type"] == "custom":
        return ToolCall(call["id"], call["custom"]["name"], call["custom"]["input"])
    return ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])


def _read_tools(body: JSON) -> list[Tool]:
    functions = [tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"]
    return [
        Tool(f["name"], f.get("description"), f.get("parameters"), f.get("strict"))
        for f in functions + list(body.get("functions") or ())
    ]


def _read_tool_choice(body: JSON) -> ToolChoice | None:
    choice = body.get("tool_choice") or body.get("function_call")
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice(choice)  # type: ignore[arg-type]  # the schema allows just the modes
    if choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [t.get("function", t).get("name", "") for t in allowed["tools"]]
        return ToolChoice(allowed["mode"], names)
    named = choice.get("function") or choice.get("custom") or choice
    return ToolChoice("required", [named["name"]])


def _read_response_format(wanted: JSON | None) -> ResponseFormat | None:
    if wanted is None:
        return None
    if wanted["type"] != "json_schema":
        return ResponseFormat(wanted["type"])
    spec = wanted["json_schema"]
    return ResponseFormat(
        "json_schema", spec["name"], spec.get("schema"), spec.get("strict"), spec.get("description")
    )


def write_request(
    request: ChatRequest, *, upstream_model: str, developer_role: bool = False
) -> JSON:
    """The body for an OpenAI-compatible upstream that may not keep every rule.

    `developer_role` False sends developer messages as system ones: most servers know no other.
    """
    body: JSON = {
        "model": upstream_model,
        "messages": [
            wire for message in request.messages for wire in _write_message(message, developer_role)
        ],
        **request.extra.get(NAME, {}),
    }
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body |= {name: value for name in READ_DIRECTLY if (value := getattr(request, name)) is not None}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop
    if request.n != 1:
        body["n"] = request.n
    if request.tools:
        body["tools"] = [_write_tool(tool) for tool in request.tools]
        if request.tool_choice:
            body["tool_choice"] = _write_tool_choice(request.tool_choice)
    if request.response_format and request.response_format.kind != "text":
        body["response_format"] = _write_response_format(request.response_format)
    return body


def _write_message(message: Message, developer_role: bool) -> Iterator[JSON]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {
            "role": "tool",
            "tool_call_id": result.call_id,
            "content": _write_content(result.content),
        }
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if not rest and results:
        return
    role: Role = message.role
    if role == "developer" and not developer_role:
        role = "system"
    wire: JSON = {"role": role, "content": _write_content(rest)}
    if message.name:
        wire["name"] = message.name
    calls = [part for part in rest if isinstance(part, ToolCall)]
    if calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in calls
        ]
    yield wire


def _write_content(parts: Sequence[Part]) -> str | list[JSON]:
    """Plain text where possible: many servers know no part lists for system and tool."""
    shown = [part for part in parts if isinstance(part, Text | Media | Refusal | Opaque)]
    if all(isinstance(part, Text | Refusal) for part in shown):
        return "".join(part.text for part in shown if isinstance(part, Text | Refusal))
    return [_write_part(part) for part in shown]


def _write_part(part: Part) -> JSON:
    if isinstance(part, Opaque):
        return part.value
    if isinstance(part, Media):
        return _write_media(part)
    assert isinstance(part, Text | Refusal)
    return {"type": "text", "text": part.text}


def _write_media(media: Media) -> JSON:
    if media.kind == "audio":
        sound = (media.mime_type or "audio/wav").removeprefix("audio/")
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": sound}}
    url = media.url or f"data:{media.mime_type};base64,{media.data}"
    image: JSON = {"url": url}
    if media.detail:
        image["detail"] = media.detail
    return {"type": "image_url", "image_url": image}


def _write_tool(tool: Tool) -> JSON:
    function: JSON = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _write_tool_choice(choice: ToolChoice) -> str | JSON:
    if not choice.names:
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "function": {"name": choice.names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _write_response_format(wanted: ResponseFormat) -> JSON:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    spec: JSON = {"name": wanted.name or "answer"}
    for name in ("description", "schema", "strict"):
        if (value := getattr(wanted, name)) is not None:
            spec[name] = value
    return {"type": "json_schema", "json_schema": spec}


# ----------------------------------------------------------------------------- usage and errors


def read_usage(usage: JSON | None) -> Usage | None:
    """A `usage` object, None when there is none worth the name."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    cached = prompt.get("cached_tokens")
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")  # DeepSeek's older name
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def write_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def write_error(error: GatewayError) -> JSON:
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def error_event(error: GatewayError) -> bytes:
    """The last event of a stream that broke."""
    return sse.event(orjson.dumps(write_error(error)))


UNAVAILABLE = "The model provider is temporarily unavailable. Please retry shortly."


def read_error(status: int, body: bytes, *, provider: str, retry_after: int | None) -> GatewayError:
    """What an upstream's error means to our caller.

    Only what the caller can mend stays a 400; everything else, the provider's 401, 403, 404 and
    429 included, is our 503, because it is not the caller's key, right or limit that failed.
    """
    detail = _error_object(body)
    message = str(detail.get("message") or "")[:2000]
    if status == 413:
        return RequestTooLarge(message or "The request is too large for this model.")
    if status in (400, 422):
        code = detail.get("code") or ""
        return InvalidRequest(
            message or "The provider refused the request.",
            code=code if code in DOCUMENTED_CODES else "invalid_request",
            param=detail["param"] if isinstance(detail.get("param"), str) else None,
        )
    return UpstreamFailed(
        UNAVAILABLE,
        reason=f"{provider} answered {status}: {message[:300]}",
        upstream_status=status,
        retry_after=retry_after or 1,
    )


def _error_object(body: bytes) -> JSON:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    detail = parsed.get("error", parsed)
    return detail if isinstance(detail, dict) else {"message": str(detail)}


# ----------------------------------------------------------------------------- pass through


def meter_response(body: bytes, meter: Meter) -> None:
    """Read usage from a whole answer. Raises `ValueError` if it is not one."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise ValueError("not a chat completion")
    meter.usage = read_usage(answer.get("usage"))
    meter.upstream_model = answer.get("model")
    meter.output_bytes = len(body)
    if answer["choices"]:
        meter.finish_reason = FINISH_REASONS.get(answer["choices"][0].get("finish_reason"))


FINISH = re.compile(rb'"finish_reason":\s?"(\w+)"')


class Tap:
    """Watches a stream's bytes go by: meters, withholds what the client did not ask for.

    Feed it whole events (`sse.FrameSplitter`). Looks inside only where a usage or error object can
    be: in a JSON string the quotes around the word would be escaped, so a hit is never content.
    """

    __slots__ = ("_meter", "_wants_usage", "error", "_last")

    def __init__(self, meter: Meter, wants_usage: bool) -> None:
        self._meter = meter
        self._wants_usage = wants_usage
        self._last = (b"", b"", b"")
        self.error: str | None = None

    def pass_on(self, events: bytes) -> bytes:
        """The bytes for the client."""
        self._meter.frames += events.count(b"data: {")
        if b'"usage":{' in events or b'"usage": {' in events or b'"error":' in events:
            events = self._inspect(events)
        if events.endswith(sse.DONE):
            self._meter.is_done = True
        # Finish reason, usage and [DONE] are the last three events, at worst a read each.
        self._last = (self._last[1], self._last[2], events)
        return events

    def finish(self) -> None:
        """At the end of the stream: note how the model says it ended."""
        found = FINISH.findall(b"".join(self._last))
        if found and self._meter.finish_reason is None:
            self._meter.finish_reason = FINISH_REASONS.get(found[-1].decode())

    def _inspect(self, events: bytes) -> bytes:
        return b"".join(frame for frame in sse.frames(events) if self._keeps(frame))

    def _keeps(self, frame: bytes) -> bool:
        data = sse.data_of(frame)
        if data is None or not data.startswith(b"{"):
            return True
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = "the stream holds an event that is not JSON"
            return False
        if chunk.get("error"):
            self.error = str(chunk["error"])[:300]
            return False
        usage = read_usage(chunk.get("usage"))
        if usage is None:
            return True
        self._meter.usage = usage
        self._meter.upstream_model = chunk.get("model")
        if chunk.get("choices"):
            finish = chunk["choices"][0].get("finish_reason")
            self._meter.finish_reason = FINISH_REASONS.get(finish, self._meter.finish_reason)
            return True
        return self._wants_usage


# ----------------------------------------------------------------------------- answers: reading

FINISH_REASONS: dict[Any, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # What compatible servers say instead, reference/translation.md 9.4a.
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "COMPLETE": "stop",
    "max_tokens": "length",
    "model_length": "length",
}


@dataclass(slots=True)
class _Choice:
    """What is known of one choice while its chunks arrive."""

    calls: dict[Any, int] = field(default_factory=dict)
    last_call: Any = None
    reason: FinishReason | None = None
    raw: str | None = None


@dataclass(slots=True)
class _Reading:
    """A stream of one upstream, mended where the server breaks the rules of the format."""

    choices: dict[int, _Choice] = field(default_factory=dict)
    usage: Usage | None = None
    has_started: bool = False

    def chunk(self, chunk: JSON) -> Iterator[Event]:
        if not self.has_started:
            self.has_started = True
            yield Started(
                _text(chunk.get("id")),
                _text(chunk.get("model")),
                _integer(chunk.get("created")),
                _text(chunk.get("system_fingerprint")),
            )
        self.usage = read_usage(chunk.get("usage")) or self.usage
        for position, wire in enumerate(chunk.get("choices") or ()):
            if isinstance(wire, dict):
                yield from self._choice(position, wire)

    def _choice(self, position: int, wire: JSON) -> Iterator[Event]:
        index = wire["index"] if isinstance(wire.get("index"), int) else position
        choice = self.choices.setdefault(index, _Choice())
        delta = wire.get("delta") or wire.get("message") or {}
        if reasoning := _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")):
            yield ReasoningDelta(reasoning, index)
        if text := _joined(delta.get("content")):
            yield TextDelta(text, index)
        if refusal := _text(delta.get("refusal")):
            yield RefusalDelta(refusal, index)
        for place, call in enumerate(delta.get("tool_calls") or ()):
            if isinstance(call, dict):
                yield from self._tool_call(choice, index, place, call)
        logprobs = (wire.get("logprobs") or {}).get("content")
        if logprobs:
            yield LogprobsDelta(logprobs, index)
        if raw := wire.get("finish_reason"):
            choice.raw, choice.reason = str(raw), FINISH_REASONS.get(raw, "other")

    def _tool_call(self, choice: _Choice, index: int, place: int, call: JSON) -> Iterator[Event]:
        """Servers leave out `index` or repeat id and name: an unknown identity starts a call."""
        function = call.get("function") or {}
        identity = self._identity(choice, place, call, function)
        choice.last_call = identity
        if identity not in choice.calls:
            choice.calls[identity] = len(choice.calls)
            yield ToolCallStart(
                choice.calls[identity],
                _text(call.get("id")) or new_call_id(),
                _text(function.get("name")) or "",
                index,
            )
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = orjson.dumps(arguments).decode()
        if arguments:
            yield ToolCallDelta(choice.calls[identity], str(arguments), index)

    def _identity(self, choice: _Choice, place: int, call: JSON, function: JSON) -> Any:
        if isinstance(call.get("index"), int):
            return call["index"]
        if id_ := call.get("id"):
            return ("id", id_)
        if function.get("name") or choice.last_call is None:
            return ("place", len(choice.calls), place)
        return choice.last_call

    def end(self) -> Iterator[Event]:
        """One Finish per choice, in order, then the usage."""
        for index in sorted(self.choices):
            choice = self.choices[index]
            reason = choice.reason or ("tool_calls" if choice.calls else "stop")
            if choice.calls and reason in ("stop", "other"):
                reason = "tool_calls"
            yield Finish(reason, index, choice.raw)
        if self.usage is not None:
            yield UsageReport(self.usage)

    @property
    def is_complete(self) -> bool:
        return bool(self.choices) and all(c.reason for c in self.choices.values())


def read_stream(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of an SSE body. Ends with `StreamFailed` if the upstream broke off."""
    reading = _Reading()
    is_done = False
    for data in sse.read_data(chunks):
        if not data:
            yield Silence()
            continue
        if data.startswith(b"[DONE]"):
            is_done = True
            break
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            yield StreamFailed(UNAVAILABLE, reason="the stream holds an event that is not JSON")
            return
        if not isinstance(chunk, dict) or chunk.get("error"):
            detail = chunk.get("error") if isinstance(chunk, dict) else chunk
            yield StreamFailed(UNAVAILABLE, reason=f"error in mid-stream: {str(detail)[:300]}")
            return
        yield from reading.chunk(chunk)
    if not reading.is_complete and not (is_done and reading.choices):
        yield StreamFailed(UNAVAILABLE, reason="the stream ended before the answer did")
        return
    yield from reading.end()


def read_response(body: bytes) -> Iterator[Event]:
    """A whole answer as the stream that it could have been. Raises `ValueError` for garbage."""
    answer = orjson.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise ValueError("not a chat completion")
    reading = _Reading()
    yield from reading.chunk(answer)
    yield from reading.end()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _joined(content: Any) -> str | None:
    """Text, also where a server sends a list of text parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict)) or None
    return _text(content)


def new_call_id() -> str:
    return "call_" + secrets.token_hex(12)


# ----------------------------------------------------------------------------- answers: writing

WIRE_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "error": "stop",
    "other": "stop",
}
LINE_ENDERS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)
"""Characters that line iterators of HTTP libraries cut at, escaped in what we write ourselves."""


def completion_id(token: str | None) -> str:
    if token and token.startswith("chatcmpl"):
        return token
    return "chatcmpl-" + (token or secrets.token_urlsafe(21).replace("-", "x").replace("_", "y"))


@dataclass(slots=True)
class _Answer:
    """One choice of a whole answer while its events are folded."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[JSON] = field(default_factory=list)
    logprobs: list[JSON] = field(default_factory=list)
    reason: FinishReason = "stop"

    def wire(self, index: int) -> JSON:
        message: JSON = {
            "role": "assistant",
            "content": "".join(self.text) or (None if self.calls or self.refusal else ""),
            "refusal": "".join(self.refusal) or None,
            "annotations": [],
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = self.calls
        return {
            "index": index,
            "message": message,
            "logprobs": {"content": self.logprobs, "refusal": None} if self.logprobs else None,
            "finish_reason": WIRE_REASONS[self.reason],
        }


def write_response(events: Iterable[Event], request: ChatRequest, meter: Meter) -> JSON:
    """Fold events into a `chat.completion`. Raises `UpstreamFailed` if they end in failure."""
    started, usage = Started(), Usage()
    answers: dict[int, _Answer] = {}
    for event in events:
        if isinstance(event, Started):
            started = event
        elif isinstance(event, UsageReport):
            meter.usage = usage = event.usage
        elif isinstance(event, StreamFailed):
            raise UpstreamFailed(event.message, reason=event.reason, retry_after=1)
        elif not isinstance(event, Silence):
            meter.frames += 1
            _fold(answers.setdefault(event.choice, _Answer()), event)
    meter.upstream_model = started.model
    if answers:
        meter.finish_reason = answers[min(answers)].reason
    return {
        "id": completion_id(started.id),
        "object": "chat.completion",
        "created": started.created or int(time.time()),
        "model": started.model or request.model,
        "choices": [answers[index].wire(index) for index in sorted(answers)],
        "usage": write_usage(usage),
        "system_fingerprint": started.fingerprint,
    }


def _fold(answer: _Answer, event: Event) -> None:
    match event:
        case TextDelta(text=text):
            answer.text.append(text)
        case ReasoningDelta(text=text):
            answer.reasoning.append(text)
        case RefusalDelta(text=text):
            answer.refusal.append(text)
        case ToolCallStart(id=id_, name=name):
            function = {"name": name, "arguments": ""}
            answer.calls.append({"id": id_, "type": "function", "function": function})
        case ToolCallDelta(index=index, arguments=arguments):
            answer.calls[index]["function"]["arguments"] += arguments
        case LogprobsDelta(content=content):
            answer.logprobs += content
        case Finish(reason=reason):
            answer.reason = reason


class StreamWriter:
    """Writes the events of one stream as chunks, each one event of SSE.

    Role goes into the first delta of a choice only, a call's id and name into the first delta of
    that call only, usage into one last chunk and only if asked for (openai-wire.md section 0).
    """

    def __init__(self, request: ChatRequest, meter: Meter) -> None:
        self._request = request
        self._meter = meter
        self._wants_usage = request.include_usage
        self._begun: set[int] = set()
        self._usage: Usage | None = None
        self._head = b""
        self._tail = b',"usage":null}' if self._wants_usage else b"}"

    def write(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Chunks for events; ends with `[DONE]`, or with an error event and nothing after it."""
        for event in events:
            if isinstance(event, Started):
                self._start(event)
            elif isinstance(event, UsageReport):
                self._meter.usage = self._usage = event.usage
            elif isinstance(event, Silence):
                yield sse.KEEP_ALIVE
            elif isinstance(event, StreamFailed):
                self._meter.failed = event.reason or event.message
                yield error_event(UpstreamFailed(event.message, reason=event.reason))
                return
            else:
                self._meter.frames += 1
                yield self._chunk(event)
        yield self._end()

    def _start(self, started: Started) -> None:
        self._meter.upstream_model = started.model
        head = {
            "id": completion_id(started.id),
            "object": "chat.completion.chunk",
            "created": started.created or int(time.time()),
            "model": started.model or self._request.model,
        }
        if started.fingerprint:
            head["system_fingerprint"] = started.fingerprint
        self._head = b"data: " + _dumps(head)[:-1] + b',"choices":['

    def _chunk(self, event: Event) -> bytes:
        choice: int = event.choice  # type: ignore[union-attr]  # all that reach here have one
        opening = b""
        if choice not in self._begun:
            self._begun.add(choice)
            content = None if isinstance(event, ToolCallStart) else ""
            opening = self._wire(
                choice, {"role": "assistant", "content": content, "refusal": None}, None, None
            )
        if isinstance(event, Finish):
            self._meter.finish_reason = event.reason
            self._meter.is_done = True
            return opening + self._wire(choice, {}, None, WIRE_REASONS[event.reason])
        logprobs = event.content if isinstance(event, LogprobsDelta) else None
        return opening + self._wire(choice, _delta(event), logprobs, None)

    def _wire(
        self, choice: int, delta: JSON, logprobs: list[JSON] | None, reason: str | None
    ) -> bytes:
        body = {
            "index": choice,
            "delta": delta,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": reason,
        }
        return b"%b%b]%b\n\n" % (self._head, _dumps(body), self._tail)

    def _end(self) -> bytes:
        if not (self._wants_usage and self._usage):
            return sse.DONE
        usage = _dumps(write_usage(self._usage))
        return self._head + b'],"usage":' + usage + b"}\n\n" + sse.DONE


def _delta(event: Event) -> JSON:
    match event:
        case TextDelta(text=text):
            return {"content": text}
        case ReasoningDelta(text=text):
            return {"reasoning_content": text}
        case RefusalDelta(text=text):
            return {"refusal": text}
        case ToolCallStart(index=index, id=id_, name=name):
            function = {"name": name, "arguments": ""}
            return {
                "tool_calls": [
                    {"index": index, "id": id_, "type": "function", "function": function}
                ]
            }
        case ToolCallDelta(index=index, arguments=arguments):
            return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
    return {}


def _dumps(value: Any) -> bytes:
    data = orjson.dumps(value)
    for raw, escaped in LINE_ENDERS:
        if raw in data:
            data = data.replace(raw, escaped)
    return data
