"""generateContent requests to `ChatRequest`s."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any, Literal

import orjson

from gateway.errors import InvalidRequest
from gateway.formats.gemini.checks import LEVELS, MODES, OUR_FIELDS, PART_KINDS
from gateway.formats.gemini.spelling import standard_base64
from gateway.losses import Losses, unsupported
from gateway.schemas import from_gemini
from gateway.types import (
    JSON,
    ChatRequest,
    Media,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.validation import Problem

NAME = "gemini"

READ_DIRECTLY = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
READ_SPECIALLY = frozenset(
    {
        "topK",
        "stopSequences",
        "candidateCount",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "thinkingConfig",
    }
)
TOP_LEVEL = OUR_FIELDS | {
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
}
"""What is read, or says nothing, at the top of a body."""
WIRE_NAMES = {
    **{ours: f"generationConfig.{wire}" for wire, ours in READ_DIRECTLY.items()},
    "top_k": "generationConfig.topK",
    "stop": "generationConfig.stopSequences",
    "n": "generationConfig.candidateCount",
    "logprobs": "generationConfig.responseLogprobs",
    "response_format": "generationConfig.responseSchema",
    "reasoning_effort": "generationConfig.thinkingConfig",
    "reasoning_budget": "generationConfig.thinkingConfig",
    "shows_reasoning": "generationConfig.thinkingConfig.includeThoughts",
    "tool_choice": "toolConfig.functionCallingConfig",
    "strict": "toolConfig.functionCallingConfig.mode",
}
"""What callers of this format know the fields of `ChatRequest` as."""
TEXT_TYPES = ("", "text/plain", "application/json")


def read_request(body: JSON) -> ChatRequest:
    """A checked, normalised body (with `model` and `stream` from the path) as a `ChatRequest`.

    `joinsCalls` is put in by who knows the caller's SDK.

    Raises `InvalidRequest` where calls of the history lack their answers.
    """
    config = body.get("generationConfig") or {}
    top_k = config.get("topK")
    request = ChatRequest(
        model=body["model"],
        messages=_Conversation().read(body),
        stream=bool(body.get("stream")),
        joins_calls=bool(body.get("joinsCalls")),
        include_usage=True,
        top_k=int(top_k) if top_k is not None else None,
        stop=list(config.get("stopSequences") or ()),
        n=config.get("candidateCount") or 1,
        logprobs=(config.get("logprobs") or 0) if config.get("responseLogprobs") else None,
        tools=_read_tools(body),
        tool_choice=_read_tool_choice(body),
        response_format=_read_response_format(config),
        extra={NAME: _extra(body, config)},
    )
    for name in ("responseJsonSchema", "responseMimeType"):
        if config.get(name) and not config.get("responseSchema"):
            request.names = {"response_format": f"generationConfig.{name}"}
            break
    for wire, ours in READ_DIRECTLY.items():
        setattr(request, ours, config.get(wire))
    thinking = config.get("thinkingConfig") or {}
    request.reasoning_effort = LEVELS.get(str(thinking.get("thinkingLevel", "")).upper())
    request.reasoning_budget = thinking.get("thinkingBudget")
    request.shows_reasoning = bool(thinking.get("includeThoughts"))
    return request


def _extra(body: JSON, config: JSON) -> JSON:
    """What only Gemini can say, by its path in the body."""
    extra = {name: value for name, value in body.items() if name not in TOP_LEVEL}
    for name, value in config.items():
        if name not in READ_DIRECTLY and name not in READ_SPECIALLY:
            extra[f"generationConfig.{name}"] = value
    if (mime_type := config.get("responseMimeType") or "") not in TEXT_TYPES:
        extra["generationConfig.responseMimeType"] = mime_type
    if config.get("logprobs") and not config.get("responseLogprobs"):
        extra["generationConfig.logprobs"] = config["logprobs"]
    extra |= _extra_of_tools(body) | _extra_of_parts(body)
    for name, value in (body.get("toolConfig") or {}).items():
        if name != "functionCallingConfig":
            extra[f"toolConfig.{name}"] = value
    return {path: value for path, value in extra.items() if value is not None}


def _extra_of_tools(body: JSON) -> JSON:
    extra: JSON = {}
    for place, tool in enumerate(body.get("tools") or ()):
        for name, value in tool.items():
            if name != "functionDeclarations":
                extra[f"tools[{place}].{name}"] = value
        for number, declaration in enumerate(tool.get("functionDeclarations") or ()):
            where = f"tools[{place}].functionDeclarations[{number}]"
            extra |= _others(declaration, READ_OF_DECLARATIONS, where)
    return extra


def _extra_of_parts(body: JSON) -> JSON:
    """What modifies parts beside what they are, and labels of pictures and sounds."""
    extra: JSON = {}
    for turn, content in enumerate(body["contents"]):
        for place, part in enumerate(content.get("parts") or ()):
            where = f"contents[{turn}].parts[{place}]"
            extra |= _others(part, READ_OF_PARTS, where)
            for name, read in READ_WITHIN_PARTS.items():
                extra |= _others(part.get(name) or {}, read, f"{where}.{name}")
            for name in ("inlineData", "fileData"):
                media = part.get(name) or {}
                if media.get("displayName") and _kind(media.get("mimeType")) != "file":
                    extra[f"{where}.{name}.displayName"] = media["displayName"]
    return extra


def _others(value: JSON, read: frozenset[str], where: str) -> JSON:
    return {f"{where}.{name}": inner for name, inner in value.items() if name not in read and inner}


READ_OF_DECLARATIONS = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
READ_OF_PARTS = frozenset({*PART_KINDS, "thought", "thoughtSignature"})
READ_WITHIN_PARTS = {
    "functionCall": frozenset({"id", "name", "args"}),
    "functionResponse": frozenset({"id", "name", "response", "parts"}),
}


def account_for_extra(request: ChatRequest, losses: Losses) -> None:
    """Name, or refuse, what no other format can say. Raises `InvalidRequest`."""
    for path, value in request.extra.get(NAME, {}).items():
        if _is_essential(path, value):
            losses.refuse(path)
        if not _says_nothing(path, value):
            losses.drop(path)
    for part in (part for message in request.messages for part in message.parts):
        if isinstance(part, Media) and KEPT_AT_GOOGLE.match(part.url or ""):
            raise unsupported("This model can't read files kept at Google.", part.where)


def _says_nothing(path: str, value: Any) -> bool:
    """Text alone is what other models answer anyway, and filters that are off filter nothing."""
    if path == "safetySettings":
        return all(str(rule.get("threshold", "")).upper() in FILTERS_OFF for rule in value)
    return path == "generationConfig.responseModalities"


FILTERS_OFF = ("BLOCK_NONE", "OFF")
KEPT_AT_GOOGLE = re.compile(
    r"gs://|files/|https://(generativelanguage\.googleapis\.com|(www\.)?youtube\.com|youtu\.be)/"
)
"""Where a file may be that only Google's own models can open."""


def _is_essential(path: str, value: Any) -> bool:
    """Would the answer be another without it?"""
    if path == "generationConfig.responseModalities":
        return not {str(word).upper() for word in value} <= {"TEXT"}
    if path.startswith("tools["):
        return "functionDeclarations" not in path  # of these, results and behaviour are told
    return path in (
        "cachedContent",
        "continuationToken",
        "generationConfig.responseMimeType",
    )


MISMATCH = (
    "Please ensure that the number of function response parts is equal to the number of function "
    "call parts of the function call turn."
)
"""Google's own words."""


class _Conversation:
    """Reads contents in order. Results without an id answer the oldest open call of their name."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []

    def read(self, body: JSON) -> list[Message]:
        messages: list[Message] = []
        if system := body.get("systemInstruction"):
            messages.append(Message("system", _texts(system, "systemInstruction")))
        for turn, content in enumerate(body["contents"]):
            for message in self._turn(turn, content):
                _append(messages, message)
        self._check_answered(len(body["contents"]))
        for message in messages:
            if message.role == "assistant":
                message.parts = list(_joined(message.parts))
        return messages

    def _turn(self, turn: int, content: JSON) -> Iterator[Message]:
        if content.get("role") == "system":
            yield Message("system", _texts(content, f"contents[{turn}]"))
            return
        parts = content.get("parts") or ()
        if content.get("role") == "model":
            said = [self._said(turn, place, part) for place, part in enumerate(parts)]
            if said:  # SDKs keep empty turns of the model in their history
                yield Message("assistant", said)
            return
        yield from self._heard(turn, parts)

    def _heard(self, turn: int, parts: Sequence[JSON]) -> Iterator[Message]:
        """Results first, whatever their order: each is a message of its own."""
        rest: list[Part] = []
        for place, part in enumerate(parts):
            if result := part.get("functionResponse"):
                yield Message("tool", [self._result(turn, place, result)])
            else:
                rest.append(_read_part(turn, place, part))
        if rest or not parts:
            self._check_answered(turn)
            yield Message("user", rest)

    def _said(self, turn: int, place: int, part: JSON) -> Part:
        call = part.get("functionCall")
        if call is None:
            return _read_part(turn, place, part)
        id_ = call.get("id") or _stable_id(turn, place, call["name"])
        self._open.append((id_, call["name"]))
        arguments = orjson.dumps(call.get("args") or {}).decode()
        return ToolCall(id_, call["name"], arguments, part.get("thoughtSignature"))

    def _result(self, turn: int, place: int, result: JSON) -> ToolResult:
        id_ = self._take(result.get("id"), result["name"])
        if id_ is None:
            raise _mismatch(turn)
        response = result.get("response") or {}
        shown = response
        for key in ("result", "output"):
            if set(response) == {key}:
                shown = response[key]
        text = shown if isinstance(shown, str) else orjson.dumps(shown).decode()
        content: list[Part] = [Text(text)]
        for nested in result.get("parts") or ():
            content.append(_read_part(turn, place, nested))
        return ToolResult(id_, content, result["name"], is_error="error" in response)

    def _take(self, id_: str | None, name: str) -> str | None:
        """The open call that a result answers, which is open no longer."""
        tests = ((lambda c: c[0] == id_), (lambda c: c[1] == name), (lambda _: True))
        for test in tests:
            found = next((call for call in self._open if test(call)), None)
            if found is not None:
                self._open.remove(found)
                return found[0]
        return None

    def _check_answered(self, turn: int) -> None:
        if self._open:
            raise _mismatch(turn)


def _append(messages: list[Message], message: Message) -> None:
    """SDKs keep every chunk of a stream as a content of its own: together they are one turn."""
    if messages and messages[-1].role == message.role == "assistant":
        messages[-1].parts += message.parts
    else:
        messages.append(message)


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Texts that follow each other are pieces of one, as a stream cut it."""
    for kind, run in groupby(parts, type):
        if kind is Text:
            yield Text("".join(part.text for part in run if isinstance(part, Text)))
        else:
            yield from run


def _mismatch(turn: int) -> InvalidRequest:
    return InvalidRequest(MISMATCH, param=f"contents[{turn}]")


def _read_part(turn: int, place: int, part: JSON) -> Part:
    where = f"contents[{turn}].parts[{place}]"
    if data := part.get("inlineData"):
        return _read_blob(data, where)
    if file := part.get("fileData"):
        mime_type = file.get("mimeType")
        name = file.get("displayName")
        return Media(
            _kind(mime_type), url=file["fileUri"], mime_type=mime_type, name=name, where=where
        )
    text = part.get("text")
    if text is None:
        raise unsupported("This kind of part is not supported for this model.", where)
    return Reasoning(text) if part.get("thought") else Text(text)


MediaKind = Literal["image", "audio", "video", "file"]
KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


def _kind(mime_type: str | None) -> MediaKind:
    return KINDS.get((mime_type or "").partition("/")[0].lower(), "file")


def _stable_id(turn: int, place: int, name: str) -> str:
    """The same history always gives the same ids (reference/translation.md 9.1)."""
    return "call_" + sha256(f"{turn}/{place}/{name}".encode()).hexdigest()[:24]


def _texts(content: JSON, where: str) -> list[Part]:
    """Instructions as one text: their parts are paragraphs."""
    parts = content.get("parts") or ()
    for place, part in enumerate(parts):
        if part.get("text") is None:
            raise unsupported("Instructions can only be text.", f"{where}.parts[{place}]")
    texts = [part["text"] for part in parts if part["text"]]
    return [Text("\n\n".join(texts))] if texts else []


def _read_blob(blob: JSON, where: str) -> Media:
    mime_type = blob.get("mimeType") or "application/octet-stream"
    try:
        data = standard_base64(blob["data"])
    except Problem as problem:
        raise problem.within(f"{where}.inlineData").error() from None
    name = blob.get("displayName")
    return Media(_kind(mime_type), data=data, mime_type=mime_type, name=name, where=where)


def _read_tools(body: JSON) -> list[Tool]:
    mode = str(_calling(body).get("mode", "")).upper()
    strict = True if mode == "VALIDATED" else None
    return [
        _read_tool(declaration, strict)
        for tool in body.get("tools") or ()
        for declaration in tool.get("functionDeclarations") or ()
    ]


def _calling(body: JSON) -> JSON:
    config: JSON = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    return config


def _read_tool(declaration: JSON, strict: bool | None) -> Tool:
    schema = declaration.get("parametersJsonSchema") or declaration.get("parameters")
    return Tool(declaration["name"], declaration.get("description"), from_gemini(schema), strict)


def _read_tool_choice(body: JSON) -> ToolChoice | None:
    config = _calling(body)
    mode = MODES.get(str(config.get("mode", "")).upper())
    if mode is None or not _read_tools(body):
        return None
    return ToolChoice(mode, list(config.get("allowedFunctionNames") or ()))  # type: ignore[arg-type]


def _read_response_format(config: JSON) -> ResponseFormat | None:
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema:
        return ResponseFormat("json_schema", "response", from_gemini(schema))
    if config.get("responseMimeType") == "application/json":
        return ResponseFormat("json_object")
    return None
