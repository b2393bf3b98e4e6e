"""Chat Completions requests: checking, patching, reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.formats.openai.schema import KNOWN_FIELDS, check_chat
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
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.validation import Problem

NAME = "openai"


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
    content = _read_content(message.get("content"))
    if role != "assistant":
        return Message(role, content, message.get("name"))
    return Message(
        role, [*_read_thoughts(message), *content, *_read_calls(message)], message.get("name")
    )


def _read_thoughts(message: JSON) -> Iterator[Part]:
    """What the assistant thought, in the two spellings that compatible servers use."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        yield Reasoning(reasoning)


def _read_calls(message: JSON) -> Iterator[Part]:
    if message.get("refusal"):
        yield Refusal(message["refusal"])
    for call in message.get("tool_calls") or ():
        yield _read_tool_call(call)
    if call := message.get("function_call"):
        yield ToolCall(call["name"], call["name"], call["arguments"])


def _read_content(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [PART_READERS[part["type"]](part) for part in content]


def _read_image(part: JSON) -> Part:
    url, detail = part["image_url"]["url"], part["image_url"].get("detail")
    head, _, data = url[5:].partition(",")
    if not url.startswith("data:") or not head.endswith(";base64"):
        return Media("image", url=url, detail=detail)
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
    if reasoning := "".join(part.text for part in rest if isinstance(part, Reasoning)):
        wire["reasoning_content"] = reasoning
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
    if media.kind == "file" and media.data:
        file = {"file_data": f"data:{media.mime_type};base64,{media.data}"}
        return {"type": "file", "file": {**file, "filename": media.name or "document"}}
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
