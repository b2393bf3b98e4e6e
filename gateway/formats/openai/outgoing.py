"""`ChatRequest`s to Chat Completions bodies, for upstreams that the caller's bytes can't go to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway import schemas
from gateway.efforts import effort_of
from gateway.formats.openai.patching import changed, pictures_after_tools
from gateway.formats.openai.requests import MESSAGES, NAME, READ_DIRECTLY
from gateway.losses import unsupported
from gateway.media import mime_of_base64
from gateway.target import Target
from gateway.tool_names import ToolNames, plain_id
from gateway.types import (
    JSON,
    ChatRequest,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)


def write_request(request: ChatRequest, target: Target) -> JSON:
    """The body for an OpenAI-compatible upstream, as its provider's quirks want it.

    Raises `InvalidRequest` for what it can't take.
    """
    target.streams = request.stream
    if target.has("no_files"):
        _check_media(request, target)
    body: JSON = {
        **target.defaults,
        "model": target.upstream_model,
        "messages": list(pictures_after_tools(_write_messages(request, target.tool_names))),
        **request.extra.get(NAME, {}),
    }
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    body |= {name: value for name in READ_DIRECTLY if (value := getattr(request, name)) is not None}
    if request.reasoning_effort is None and request.reasoning_budget is not None:
        body["reasoning_effort"] = effort_of(request.reasoning_budget)
    body |= _write_knobs(request, target)
    body |= _write_tools(request, target, body.get("tools", []))
    if _asks_for_thoughts_only(request) and target.has("reasoning_parameters"):
        target.losses.drop("shows_reasoning")
    if request.response_format and request.response_format.kind != "text":
        body["response_format"] = _write_response_format(request.response_format)
    body |= changed(body, target)
    return {name: value for name, value in body.items() if value is not None}


def _check_media(request: ChatRequest, target: Target) -> None:
    """What the quirk refuses, by the caller's own paths."""
    parts = [part for message in request.messages for part in message.parts]
    parts += [inner for part in parts if isinstance(part, ToolResult) for inner in part.content]
    for part in parts:
        if isinstance(part, Media) and (part.kind != "image" or not target.can("vision")):
            raise unsupported("This model does not support this kind of file.", part.where)


def call_path(template: str, model: str, *, is_stream: bool) -> str:
    """The path of a call: the same for all models."""
    return template


def _write_knobs(request: ChatRequest, target: Target) -> JSON:
    body: JSON = {}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop[:MAX_STOPS]
        if len(request.stop) > MAX_STOPS:
            target.losses.emulate("stop")
            target.cut_at = [stop for stop in request.stop[MAX_STOPS:] if stop]
    if request.n != 1:
        body["n"] = request.n
    if request.logprobs is not None:
        body["logprobs"] = True
        if request.logprobs:
            body["top_logprobs"] = request.logprobs
    if request.top_k is not None:
        if target.has("top_k"):
            body["top_k"] = request.top_k
        else:
            target.losses.drop("top_k")
    return body


MAX_STOPS = 4


def _write_messages(request: ChatRequest, names: ToolNames) -> Iterator[JSON]:
    """With what only this format can say, where it came in this format."""
    kept = request.extra.get(MESSAGES, {}).get("kept", [])
    for place, message in enumerate(request.messages):
        first, *others = _write_message(message, names)
        more = kept[place] if place < len(kept) else {}
        if calls := more.get("tool_calls"):
            more = {**more, "tool_calls": [{**c, "id": plain_id(c["id"])} for c in calls]}
        yield first | more
        yield from others


def _write_message(message: Message, names: ToolNames) -> Iterator[JSON]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield _write_result(result)
    rest: list[Part] = [part for part in message.parts if not isinstance(part, ToolResult)]
    if results:
        if rest:
            yield {"role": "user", "content": _write_parts(rest)}
        return
    write = _write_parts if message.role == "user" else _write_content
    wire: JSON = {"role": message.role, "content": write(rest)}
    if message.name:
        wire["name"] = message.name
    if reasoning := "".join(part.text for part in rest if isinstance(part, Reasoning)):
        wire["reasoning_content"] = reasoning
    calls = [part for part in rest if isinstance(part, ToolCall)]
    if calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [_write_call(call, names) for call in calls]
    yield wire


def _write_call(call: ToolCall, names: ToolNames) -> JSON:
    wire: JSON = {
        "id": plain_id(call.id),
        "type": "function",
        "function": {"name": names.sent(call.name), "arguments": call.arguments or "{}"},
    }
    return wire | _signed(call.signature)


def _signed(signature: str | None) -> JSON:
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _write_result(result: ToolResult) -> JSON:
    """With what the tool shows, which is put into a user's message afterwards."""
    return {
        "role": "tool",
        "tool_call_id": plain_id(result.call_id),
        "content": _write_content(result.content),
    }


def _write_parts(parts: Sequence[Part]) -> str | list[JSON]:
    """What a user says: several texts stay apart, joined they would run into each other."""
    shown = [part for part in parts if isinstance(part, Text | Media | Refusal | Opaque)]
    return [_write_part(part) for part in shown] if len(shown) > 1 else _write_content(shown)


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


SOUNDS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}


def _write_media(media: Media) -> JSON:
    """As what its bytes say it is: names and headers are often wrong."""
    mime_type = mime_of_base64(media.data or "") or media.mime_type or ""
    if mime_type == "application/pdf" and media.data:
        file = {"file_data": f"data:{mime_type};base64,{media.data}"}
        return {"type": "file", "file": {**file, "filename": media.name or "document.pdf"}}
    if media.kind == "audio":
        sound = SOUNDS.get(mime_type)
        if sound is None or media.data is None:
            raise unsupported("Sound has to be WAV or MP3, sent along.", media.where)
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": sound}}
    if media.kind != "image" and not mime_type.startswith("image/"):
        raise unsupported("This model can't take this kind of file.", media.where)
    if media.url and not media.url.startswith(("https://", "http://", "data:")):
        raise unsupported("This model can't read files kept at another provider.", media.where)
    url = media.url or f"data:{mime_type};base64,{media.data}"
    image: JSON = {"url": url}
    if media.detail:
        image["detail"] = media.detail
    return {"type": "image_url", "image_url": image}


def _write_tools(request: ChatRequest, target: Target, custom: list[JSON]) -> JSON:
    tools, choice = request.tools, request.tool_choice
    if NAME not in request.extra:
        tools, choice = _narrowed(tools, choice)
        tools = [_enforceable(tool, target) for tool in tools]
    wire = [_write_tool(tool, target) for tool in tools] + custom
    body: JSON = {"tools": wire} if wire else {}
    if wire and choice:
        body["tool_choice"] = _write_tool_choice(choice, target.tool_names)
    return body


def _narrowed(tools: list[Tool], choice: ToolChoice | None) -> tuple[list[Tool], ToolChoice | None]:
    """Only the tools that may be called: few servers know how to be told so otherwise."""
    if choice is None or not choice.names or (choice.mode == "required" and len(choice.names) == 1):
        return tools, choice
    return [tool for tool in tools if tool.name in choice.names], ToolChoice(choice.mode)


def _enforceable(tool: Tool, target: Target) -> Tool:
    """A tool whose schema shall be kept to, as far as this format can be told so."""
    if not tool.strict:
        return tool
    schema = schemas.closed(tool.parameters or {"type": "object", "properties": {}})
    if schemas.is_openai_strict(schema):
        return replace(tool, parameters=schema)
    target.losses.drop("strict")
    return replace(tool, strict=None)


def _asks_for_thoughts_only(request: ChatRequest) -> bool:
    """To read what a model thinks, without a word on how much it should."""
    return request.shows_reasoning and request.reasoning_effort is None


def _write_tool(tool: Tool, target: Target) -> JSON:
    function: JSON = {"name": target.tool_names.sent(tool.name)}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _write_tool_choice(choice: ToolChoice, tool_names: ToolNames) -> str | JSON:
    if not choice.names:
        return choice.mode
    names = [tool_names.sent(name) for name in choice.names]
    if choice.mode == "required" and len(names) == 1:
        return {"type": "function", "function": {"name": names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _write_response_format(wanted: ResponseFormat) -> JSON:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    spec: JSON = {"name": wanted.name or "answer"}
    if wanted.description is not None:
        spec["description"] = wanted.description
    if wanted.schema is not None:
        spec["schema"] = (
            wanted.schema if wanted.strict is not None else schemas.closed(wanted.schema)
        )
    spec["strict"] = (
        schemas.is_openai_strict(spec.get("schema") or {})
        if wanted.strict is None
        else wanted.strict
    )
    return {"type": "json_schema", "json_schema": spec}
