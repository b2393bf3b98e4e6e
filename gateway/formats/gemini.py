"""Gemini generateContent <-> gateway types, as a client speaks it. Facts: reference/gemini-wire.md.

Requests are read in camelCase or snake_case (the Python SDK mixes both); user data inside them is
never renamed. Streams carry whole function calls, usage on every chunk, and never a comment.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from gateway import sse
from gateway.errors import GatewayError, InvalidRequest, NotFound, UpstreamFailed
from gateway.metering import Meter
from gateway.types import (
    JSON,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Media,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
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
from gateway.validation import (
    Problem,
    Rule,
    array,
    boolean,
    check_fields,
    check_nesting,
    decimal,
    integer,
    obj,
    one_of,
    string,
)

NAME = "gemini"

# ----------------------------------------------------------------------------- reading robustly (5)

USER_DATA = frozenset(
    {
        "args",
        "response",
        "parametersJsonSchema",
        "responseJsonSchema",
        "labels",
        "partMetadata",
        "default",
        "example",
        "const",
    }
)
"""Keys whose values belong to the caller: nothing inside them is renamed."""
SCHEMA_MAPS = frozenset({"properties", "defs", "$defs"})
"""Keys whose value maps names of the caller's own to schemas."""
ALIASES = {"_responseJsonSchema": "responseJsonSchema"}
TYPES = ("", "string", "number", "integer", "boolean", "array", "object", "null")
"""Schema types by the integers that the oldest Google SDK sends for them."""


def camel(value: Any) -> Any:
    """The same JSON with camelCase keys, except inside user data."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, inner in value.items():
        name = _camel_key(key)
        if name in USER_DATA:
            renamed[name] = inner
        elif name in SCHEMA_MAPS and isinstance(inner, dict):
            renamed[name] = {own: camel(schema) for own, schema in inner.items()}
        else:
            renamed[name] = camel(inner)
    return renamed


def _camel_key(key: str) -> str:
    key = ALIASES.get(key, key)
    head, *rest = key.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest) if head else key


def standard_base64(text: str) -> str:
    """Standard base64 of what may be URL-safe or unpadded. Raises `Problem`."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid_value", "Invalid value at '{path}': not valid base64.") from None
    return padded


# ----------------------------------------------------------------------------- what a body may be

PART_KINDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
PART_FIELDS: dict[str, Rule] = {
    "text": string(),
    "inlineData": obj(
        {"mimeType": string(), "data": string(), "displayName": string()}, required=("data",)
    ),
    "fileData": obj({"fileUri": string(), "mimeType": string()}, required=("fileUri",)),
    "thought": boolean,
    "thoughtSignature": string(),
    "functionCall": obj({"id": string(), "name": string(), "args": obj({})}, required=("name",)),
    "functionResponse": obj(
        {"id": string(), "name": string(), "response": obj({})}, required=("name",)
    ),
}


def _part(value: Any) -> None:
    obj(PART_FIELDS)(value)
    if not any(value.get(kind) is not None for kind in PART_KINDS):
        raise Problem(
            "invalid_value",
            f"Invalid value at '{{path}}': a part needs one of {', '.join(PART_KINDS[:5])}.",
        )


def enum(*names: str) -> Rule:
    """One of these names, in any case (5.2)."""
    rule = one_of(*names)

    def check(value: Any) -> None:
        rule(value.upper() if type(value) is str else value)

    return check


CONTENT_FIELDS: dict[str, Rule] = {
    "role": one_of("user", "model", "function", "system"),
    "parts": array(_part, of="objects"),
}
CONTENT = obj(CONTENT_FIELDS)
MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
LEVELS = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high", "XHIGH": "xhigh"}
GENERATION_FIELDS: dict[str, Rule] = {
    "temperature": decimal(0, 2),
    "topP": decimal(0, 1),
    "topK": decimal(0),
    "candidateCount": integer(1, 8),
    "maxOutputTokens": integer(1),
    "stopSequences": array(string(), of="strings", maximum=5),
    "presencePenalty": decimal(-2, 2),
    "frequencyPenalty": decimal(-2, 2),
    "seed": integer(),
    "responseMimeType": string(),
    "responseSchema": obj({}),
    "responseJsonSchema": obj({}),
    "thinkingConfig": obj(
        {
            "thinkingBudget": integer(-1),
            "thinkingLevel": enum(*LEVELS, "THINKING_LEVEL_UNSPECIFIED"),
            "includeThoughts": boolean,
        }
    ),
}
DECLARATION = obj(
    {
        "name": string(max_length=128, allow_empty=False),
        "description": string(),
        "parameters": obj({}),
        "parametersJsonSchema": obj({}),
    },
    required=("name",),
)
BODY_FIELDS: dict[str, Rule] = {
    "contents": array(CONTENT, of="objects", minimum=1, maximum=4096),
    "tools": array(obj({"functionDeclarations": array(DECLARATION, of="objects")}), of="objects"),
    "toolConfig": obj(
        {
            "functionCallingConfig": obj(
                {
                    "mode": enum(*MODES, "MODE_UNSPECIFIED"),
                    "allowedFunctionNames": array(string(), of="strings"),
                }
            )
        }
    ),
    "generationConfig": obj(GENERATION_FIELDS),
    "safetySettings": array(obj({}), of="objects"),
}
KNOWN_FIELDS = frozenset(BODY_FIELDS) | {
    "systemInstruction",
    "cachedContent",
    "labels",
    "serviceTier",
    "store",
    "continuationToken",
    "model",
    "stream",
}


def normalise(body: JSON) -> JSON:
    """A body with one spelling: camelCase keys, lists where a single object was sent.

    Raises `InvalidRequest` for one that nests too deep.
    """
    check_nesting(body)
    wire: JSON = camel(body)
    if isinstance(wire.get("contents"), dict | str):
        wire["contents"] = [wire["contents"]]
    contents = wire.get("contents")
    if isinstance(contents, list):
        wire["contents"] = [_content(item) for item in contents]
    if wire.get("systemInstruction") is not None:
        wire["systemInstruction"] = _content(wire["systemInstruction"])
    if isinstance(wire.get("tools"), dict):
        wire["tools"] = [wire["tools"]]
    return wire


def _content(item: Any) -> Any:
    if isinstance(item, str):
        return {"parts": [{"text": item}]}
    if isinstance(item, dict) and isinstance(item.get("parts"), dict):
        return {**item, "parts": [item["parts"]]}
    return item


def check_request(body: JSON) -> None:
    """Raise `InvalidRequest` for a normalised body that no generateContent can mean."""
    try:
        check_fields(body, BODY_FIELDS, ("contents",))
        if body.get("systemInstruction") is not None:
            try:
                CONTENT(body["systemInstruction"])
            except Problem as problem:
                raise problem.within("systemInstruction") from None
    except Problem as problem:
        raise problem.error() from None
    thinking = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    if thinking.get("thinkingBudget") is not None and thinking.get("thinkingLevel") is not None:
        raise InvalidRequest(
            "You can only set one of thinkingBudget and thinkingLevel.",
            param="generationConfig.thinkingConfig",
        )
    if body.get("cachedContent"):
        raise InvalidRequest(
            "cachedContent is not supported for this model.",
            code="unsupported_parameter",
            param="cachedContent",
        )


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in KNOWN_FIELDS]


# ----------------------------------------------------------------------------- request: reading

READ_DIRECTLY = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}


def read_request(body: JSON) -> ChatRequest:
    """A checked, normalised body (with `model` and `stream` from the path) as a `ChatRequest`."""
    config = body.get("generationConfig") or {}
    top_k = config.get("topK")
    request = ChatRequest(
        model=body["model"],
        messages=_Conversation().read(body),
        stream=bool(body.get("stream")),
        include_usage=True,
        top_k=int(top_k) if top_k is not None else None,
        stop=list(config.get("stopSequences") or ()),
        n=config.get("candidateCount") or 1,
        tools=[
            _read_tool(d)
            for tool in body.get("tools") or ()
            for d in tool.get("functionDeclarations") or ()
        ],
        tool_choice=_read_tool_choice(body),
        response_format=_read_response_format(config),
    )
    for wire, ours in READ_DIRECTLY.items():
        setattr(request, ours, config.get(wire))
    thinking = config.get("thinkingConfig") or {}
    request.reasoning_effort = LEVELS.get(str(thinking.get("thinkingLevel", "")).upper())
    request.reasoning_budget = thinking.get("thinkingBudget")
    if thinking.get("includeThoughts"):
        request.extra[NAME] = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    return request


def _shows_thoughts(request: ChatRequest) -> bool:
    """Thoughts are told only to who asks for them; no other request has anything in `extra`."""
    return NAME in request.extra


class _Conversation:
    """Reads contents in order; results without an id answer the oldest open call of that name."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []

    def read(self, body: JSON) -> list[Message]:
        messages: list[Message] = []
        if system := body.get("systemInstruction"):
            messages.append(Message("system", _texts(system)))
        for turn, content in enumerate(body["contents"]):
            messages += self._turn(turn, content)
        return messages

    def _turn(self, turn: int, content: JSON) -> Iterator[Message]:
        if content.get("role") == "system":
            yield Message("system", _texts(content))
            return
        parts = [
            self._read(turn, place, part) for place, part in enumerate(content.get("parts") or ())
        ]
        known: list[Part] = [part for part in parts if part is not None]
        if content.get("role") == "model":
            if known:  # SDKs keep empty turns of the model in their history
                yield Message("assistant", known)
            return
        results: list[Part] = [part for part in known if isinstance(part, ToolResult)]
        rest: list[Part] = [part for part in known if not isinstance(part, ToolResult)]
        for result in results:
            yield Message("tool", [result])
        if rest or not results:
            yield Message("user", rest)

    def _read(self, turn: int, place: int, part: JSON) -> Part | None:
        if call := part.get("functionCall"):
            id_ = call.get("id") or _stable_id(turn, place, call["name"])
            self._open.append((id_, call["name"]))
            arguments = orjson.dumps(call.get("args") or {}).decode()
            return ToolCall(id_, call["name"], arguments, part.get("thoughtSignature"))
        if result := part.get("functionResponse"):
            return self._result(result)
        if data := part.get("inlineData"):
            return _read_blob(data)
        if file := part.get("fileData"):
            kind = (file.get("mimeType") or "image/").partition("/")[0]
            return Media(
                "image" if kind == "image" else "file",
                url=file["fileUri"],
                mime_type=file.get("mimeType"),
            )
        text = part.get("text")
        if text is None:
            raise InvalidRequest(
                "This kind of part is not supported for this model.",
                code="unsupported_value",
                param=f"contents[{turn}].parts[{place}]",
            )
        return Reasoning(text) if part.get("thought") else Text(text)

    def _result(self, result: JSON) -> ToolResult:
        name = result["name"]
        id_ = result.get("id") or next((i for i, n in self._open if n == name), None)
        self._open = [(i, n) for i, n in self._open if i != id_]
        response = result.get("response") or {}
        shown = response
        for key in ("result", "output"):
            if set(response) == {key}:
                shown = response[key]
        text = shown if isinstance(shown, str) else orjson.dumps(shown).decode()
        return ToolResult(id_ or f"call_{name}", [Text(text)], name, is_error="error" in response)


def _stable_id(turn: int, place: int, name: str) -> str:
    """The same history always gives the same ids (reference/translation.md 9.1)."""
    return "call_" + sha256(f"{turn}/{place}/{name}".encode()).hexdigest()[:24]


def _texts(content: JSON) -> list[Part]:
    return [Text(part["text"]) for part in content.get("parts") or () if part.get("text")]


def _read_blob(blob: JSON) -> Media:
    mime = blob.get("mimeType") or "application/octet-stream"
    kind = mime.partition("/")[0]
    try:
        data = standard_base64(blob["data"])
    except Problem as problem:
        raise problem.within("inlineData").error() from None
    if kind not in ("image", "audio"):
        return Media("file", data=data, mime_type=mime, name=blob.get("displayName"))
    return Media("image" if kind == "image" else "audio", data=data, mime_type=mime)


def _read_tool(declaration: JSON) -> Tool:
    schema = declaration.get("parametersJsonSchema") or declaration.get("parameters")
    return Tool(declaration["name"], declaration.get("description"), json_schema(schema))


def _read_tool_choice(body: JSON) -> ToolChoice | None:
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = MODES.get(str(config.get("mode", "")).upper())
    if mode is None:
        return None
    return ToolChoice(mode, list(config.get("allowedFunctionNames") or ()))  # type: ignore[arg-type]


def _read_response_format(config: JSON) -> ResponseFormat | None:
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema:
        return ResponseFormat("json_schema", "response", json_schema(schema))
    if config.get("responseMimeType") == "application/json":
        return ResponseFormat("json_object")
    return None


GEMINI_ONLY = frozenset({"propertyOrdering", "nullable", "example"})
RENAMED = {"defs": "$defs", "ref": "$ref"}
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def json_schema(schema: Any) -> Any:
    """JSON Schema for Gemini's OpenAPI subset: lower-case types, `nullable` as a type."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain: JSON = {
        RENAMED.get(str(key), str(key)): _keyword(key, inner)
        for key, inner in schema.items()
        if key not in GEMINI_ONLY
    }
    if plain.get("format") == "enum":
        del plain["format"]
    return _nullable(plain) if schema.get("nullable") is True else plain


def _keyword(key: str, value: Any) -> Any:
    """The value of one keyword; the schemas in it are turned as well."""
    if key == "type":
        return _type(value)
    if key in ("properties", "defs", "$defs") and isinstance(value, dict):
        return {name: json_schema(own) for name, own in value.items()}
    if key in ("items", "anyOf", "oneOf", "prefixItems", "additionalProperties"):
        return json_schema(value)
    if key in COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)  # 64-bit integers are strings in Google's JSON
    return value


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    if type(value) is int and 0 < value < len(TYPES):
        return TYPES[value]
    return value


def _nullable(schema: JSON) -> JSON:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


# ----------------------------------------------------------------------------- errors

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
REASONS = {
    "invalid_api_key": "API_KEY_INVALID",
    "missing_api_key": "API_KEY_INVALID",
    "expired_api_key": "API_KEY_INVALID",
    "revoked_api_key": "API_KEY_INVALID",
    "rate_limit_exceeded": "RATE_LIMIT_EXCEEDED",
}


def write_error(error: GatewayError) -> JSON:
    """Google's error body; `details` carry the reason, the field and when to come back."""
    reason = REASONS.get(error.code, error.code.upper())
    details: list[JSON] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": {"code": error.code},
        }
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append(
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        )
    if error.retry_after is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{error.retry_after}s",
            }
        )
    return {
        "error": {
            "code": error.status,
            "message": error.message,
            "status": STATUSES[error.status],
            "details": details,
        }
    }


def model_not_found(error: NotFound, model: str, version: str, method: str) -> NotFound:
    """The same error in Google's words, which clients look for, ours in the middle."""
    return NotFound(
        f"models/{model[:200]} is not found for API version {version}, or is not supported for "
        f"{method}. {error.message} "
        "Call ListModels to see the list of available models and their supported methods.",
        code=error.code,
        param=error.param,
    )


def error_event(error: GatewayError) -> bytes:
    return sse.event(ascii_json(write_error(error)))


# ----------------------------------------------------------------------------- answers: writing

FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
    "other": "STOP",
}
NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def ascii_json(value: Any) -> bytes:
    """JSON in ASCII: older SDKs split their lines at U+2028 and its like."""
    text = orjson.dumps(value).decode()
    if text.isascii():
        return text.encode()
    return NOT_ASCII.sub(_escape, text).encode()


def _escape(match: re.Match[str]) -> str:
    data = match.group().encode("utf-16-be")
    return "".join(f"\\u{data[i]:02x}{data[i + 1]:02x}" for i in range(0, len(data), 2))


def write_usage(usage: Usage) -> JSON:
    wire = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.reasoning_tokens:
        wire["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        wire["cachedContentTokenCount"] = usage.cached_tokens
    return wire


@dataclass(slots=True)
class _Candidate:
    """One candidate while events are folded into it; calls wait until they are whole."""

    shows_thoughts: bool = False
    parts: list[JSON] = field(default_factory=list)
    calls: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    reason: str = "STOP"
    has_refused: bool = False

    def add(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._join(text, {})
            case RefusalDelta(text=text):
                self.has_refused = True
                self._join(text, {})
            case ReasoningDelta(text=text) if self.shows_thoughts:
                self._join(text, {"thought": True})
            case ToolCallStart(index=index, id=id_, name=name):
                self.calls[index] = (id_, name, [])
            case ToolCallDelta(index=index, arguments=arguments):
                self.calls[index][2].append(arguments)
            case Finish(reason=reason):
                refused = self.has_refused and reason == "stop"
                self.reason = "SAFETY" if refused else FINISH_REASONS[reason]

    def _join(self, text: str, marks: JSON) -> None:
        last = self.parts[-1] if self.parts else None
        if last is not None and last.get("thought") == marks.get("thought"):
            last["text"] += text
        elif text:
            self.parts.append({"text": text, **marks})

    def call_parts(self) -> list[JSON]:
        """The calls as parts. One whose arguments are no JSON changes the reason instead."""
        parts = []
        for index in sorted(self.calls):
            part = _call_part(*self.calls[index])
            if part is not None:
                parts.append(part)
            elif self.reason == "STOP":
                self.reason = "MALFORMED_FUNCTION_CALL"
        return parts

    def wire(self, index: int) -> JSON:
        content = {"parts": self.parts + self.call_parts(), "role": "model"}
        return {"content": content, "finishReason": self.reason, "index": index}


def _call_part(id_: str, name: str, pieces: list[str]) -> JSON | None:
    """A whole call; None if its arguments broke off or were never JSON."""
    try:
        args = orjson.loads("".join(pieces) or "{}")
    except orjson.JSONDecodeError:
        return None
    args = args if type(args) is dict else {"value": args}
    return {"functionCall": {"id": id_, "name": name, "args": args}}


def write_response(events: Iterable[Event], request: ChatRequest, meter: Meter) -> JSON:
    """Fold events into a GenerateContentResponse. Raises `UpstreamFailed` if they end so."""
    started, usage = Started(), Usage()
    candidates: dict[int, _Candidate] = {}
    shows_thoughts = _shows_thoughts(request)
    for event in events:
        match event:
            case Started():
                started = event
            case UsageReport():
                meter.usage = usage = event.usage
            case StreamFailed():
                raise UpstreamFailed(event.message, reason=event.reason, retry_after=1)
            case Silence():
                pass
            case _:
                meter.frames += 1
                if isinstance(event, Finish):
                    meter.finish_reason = event.reason
                candidates.setdefault(event.choice, _Candidate(shows_thoughts)).add(event)
    meter.upstream_model = started.model
    return {
        "candidates": [candidates[index].wire(index) for index in sorted(candidates)],
        "usageMetadata": write_usage(usage),
        "modelVersion": started.model or request.model,
        "responseId": started.id or secrets.token_hex(12),
    }


class StreamWriter:
    """Writes events as chunks, each a whole GenerateContentResponse with what is new.

    Calls are held until they are whole and go out one a chunk. The last chunk of a candidate waits
    for the usage, which ends the stream; there is no end marker.
    """

    def __init__(self, request: ChatRequest, meter: Meter) -> None:
        self._request = request
        self._meter = meter
        self._shows_thoughts = _shows_thoughts(request)
        self._candidates: dict[int, _Candidate] = {}
        self._finished: list[int] = []
        self._usage = Usage()
        self._started = Started(id=secrets.token_hex(12))

    def write(self, events: Iterable[Event]) -> Iterator[bytes]:
        for event in events:
            match event:
                case Started():
                    self._start(event)
                case UsageReport():
                    self._meter.usage = self._usage = event.usage
                case StreamFailed():
                    self._meter.failed = event.reason or event.message
                    yield error_event(UpstreamFailed(event.message, reason=event.reason))
                    return
                case Silence():
                    pass  # this stream knows no comments
                case _:
                    self._meter.frames += 1
                    yield from self._candidate(event)
        for index in self._finished:
            yield from self._finish(index)

    def _start(self, started: Started) -> None:
        self._meter.upstream_model = started.model
        self._started.model = started.model
        self._started.id = started.id or self._started.id

    def _candidate(self, event: Event) -> Iterator[bytes]:
        index: int = event.choice  # type: ignore[union-attr]  # all that reach here have one
        candidate = self._candidates.setdefault(index, _Candidate())
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                candidate.has_refused |= isinstance(event, RefusalDelta)
                if text:  # an empty part makes the oldest SDK forget the turn
                    yield self._chunk(index, [{"text": text}])
            case ReasoningDelta(text=text):
                if text and self._shows_thoughts:
                    yield self._chunk(index, [{"text": text, "thought": True}])
            case Finish():
                self._meter.finish_reason = event.reason
                self._meter.is_done = True
                candidate.add(event)
                self._finished.append(index)
            case _:
                candidate.add(event)

    def _finish(self, index: int) -> Iterator[bytes]:
        candidate = self._candidates[index]
        for part in candidate.call_parts():
            yield self._chunk(index, [part])
        yield self._chunk(index, [], candidate.reason)

    def _chunk(self, index: int, parts: list[JSON], reason: str | None = None) -> bytes:
        candidate: JSON = {"content": {"parts": parts, "role": "model"}, "index": index}
        if reason is not None:
            candidate["finishReason"] = reason
        chunk = {
            "candidates": [candidate],
            "usageMetadata": write_usage(self._usage),
            "modelVersion": self._started.model or self._request.model,
            "responseId": self._started.id,
        }
        return sse.event(ascii_json(chunk))
