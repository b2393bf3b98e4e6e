"""Chat Completions requests: checking and reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gateway.formats.openai.schema import KNOWN_FIELDS, check_chat
from gateway.formats.openai.unshared import account_for_unshared, unshared
from gateway.losses import Losses
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
from gateway.validation import Problem

NAME = "openai"
MESSAGES = "openai.messages"
"""A further place in `extra`: what is unshared in messages."""


def check_request(body: JSON) -> None:
    """Raise the `InvalidRequest` that OpenAI would answer this body with."""
    try:
        check_chat(body)
    except Problem as problem:
        raise problem.error() from None


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in KNOWN_FIELDS]


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
        "logprobs",
        "top_logprobs",
        "include_reasoning",
    }
)
OTHER_NAMES = {
    "max_tokens": "max_completion_tokens",
    "tools": "functions",
    "tool_choice": "function_call",
}
"""The second name of a field."""
ESSENTIAL = frozenset({"audio", "web_search_options", "tools", "tool_choice"})
"""Fields of `extra` without which the answer would be another: refused where they can't be sent."""
WHY_NOT = {"tools": "It takes tools of the type `function` only."}
MEANINGLESS: dict[str, tuple[Any, ...]] = {
    "store": (False,),
    "metadata": ({},),
    "logit_bias": ({},),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "stream_options": ({"include_obfuscation": False},),
}
"""Values of fields of `extra` that say what is so anyway."""


def account_for_extra(request: ChatRequest, losses: Losses) -> None:
    """Name, or refuse, what no other format can say. Raises `InvalidRequest`."""
    account_for_unshared(request.extra.get(MESSAGES, {}), losses)
    for name, value in request.extra.get(NAME, {}).items():
        if name in ESSENTIAL or (name == "modalities" and "audio" in value):
            losses.refuse(name, WHY_NOT.get(name, ""))
        if value not in MEANINGLESS.get(name, ()):
            losses.drop(name)


def read_request(body: JSON) -> ChatRequest:
    """A checked body as a `ChatRequest`; what only this format can say stays in `extra`."""
    stop = body.get("stop")
    request = ChatRequest(
        model=body["model"],
        messages=[
            _read_message(message, f"messages[{place}]")
            for place, message in enumerate(body["messages"])
        ],
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=[stop] if isinstance(stop, str) else list(stop or []),
        n=body.get("n") or 1,
        tools=_read_tools(body),
        tool_choice=_read_tool_choice(body),
        response_format=_read_response_format(body.get("response_format")),
        logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )
    for name in READ_DIRECTLY:
        setattr(request, name, body.get(name))
    effort = request.reasoning_effort
    request.shows_reasoning = bool(body.get("include_reasoning", effort not in (None, "none")))
    request.names = {
        field: name for field, name in OTHER_NAMES.items() if body.get(name) is not None
    }
    request.extra[NAME] = {
        name: value
        for name, value in body.items()
        if value is not None and name not in READ_SPECIALLY and name not in READ_DIRECTLY
    }
    if type(request.extra[NAME].get("top_k")) is int:  # of many servers, not of OpenAI's own
        request.top_k = request.extra[NAME].pop("top_k")
    request.extra[NAME] |= _read_custom(body) | _read_stream_options(body)
    request.extra[MESSAGES] = unshared(body["messages"])
    return request


def _read_custom(body: JSON) -> JSON:
    """Tools with free text for input, and a choice among them: no other format has any."""
    custom = [tool for tool in body.get("tools") or () if tool["type"] != "function"]
    extra: JSON = {"tools": custom} if custom else {}
    return {**extra, "tool_choice": body["tool_choice"]} if _chooses_custom(body) else extra


def _chooses_custom(body: JSON) -> bool:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return False
    named = [choice, *(choice.get("allowed_tools") or {}).get("tools", ())]
    return any(one.get("type") == "custom" for one in named)


def _read_stream_options(body: JSON) -> JSON:
    options = dict(body.get("stream_options") or {})
    options.pop("include_usage", None)
    return {"stream_options": options} if options else {}


def _read_message(message: JSON, where: str) -> Message:
    role = message["role"]
    parts: list[Part] = []
    if role in ("tool", "function"):
        parts.append(
            ToolResult(
                call_id=message.get("tool_call_id") or message.get("name", ""),
                content=_read_content(message.get("content"), where),
                name=message.get("name"),
            )
        )
        return Message("tool", parts)
    content = _read_content(message.get("content"), where)
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


def _read_content(content: Any, where: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [
        PART_READERS[part["type"]](part, f"{where}.content[{place}]")
        for place, part in enumerate(content)
    ]


def _read_image(part: JSON, where: str) -> Part:
    url, detail = part["image_url"]["url"], part["image_url"].get("detail")
    found = data_url(url)
    if found is None:
        return Media("image", url=url, detail=detail, where=where)
    return Media("image", data=found[1], mime_type=found[0], detail=detail, where=where)


def _read_file(part: JSON, where: str) -> Part:
    """A document that came along; one that only its provider holds stays as it is."""
    file = part["file"]
    found = data_url(file.get("file_data") or "")
    if found is None:
        return Opaque(NAME, part, where)
    mime_type, data = found
    return Media("file", data=data, mime_type=mime_type, name=file.get("filename"), where=where)


def data_url(url: str) -> tuple[str, str] | None:
    """MIME type and base64 of a data URL, None for any other. White space in it is let pass."""
    head, comma, data = url.partition(",")
    words = [word.strip() for word in head[5:].split(";")]
    if not comma or head[:5].lower() != "data:" or "base64" not in words:
        return None
    return words[0].lower() or "application/octet-stream", "".join(data.split())


PART_READERS: dict[str, Callable[[JSON, str], Part]] = {
    "text": lambda part, _: Text(part["text"]),
    "refusal": lambda part, _: Refusal(part["refusal"]),
    "image_url": _read_image,
    "input_audio": lambda part, where: Media(
        "audio",
        data=part["input_audio"]["data"],
        mime_type="audio/" + part["input_audio"]["format"],
        where=where,
    ),
    "file": _read_file,
}


def _read_tool_call(call: JSON) -> ToolCall:
    if call["type"] == "custom":
        return ToolCall(call["id"], call["custom"]["name"], call["custom"]["input"])
    function = call["function"]
    return ToolCall(call["id"], function["name"], function["arguments"], echoed_signature(call))


def echoed_signature(call: JSON) -> str | None:
    """Where Google's own OpenAI layer, and ours, carries the signature of a call."""
    google = call.get("extra_content")
    for name in ("google", "thought_signature"):
        google = google.get(name) if isinstance(google, dict) else None
    return google if isinstance(google, str) else None


def _read_tools(body: JSON) -> list[Tool]:
    functions = [tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"]
    return [
        Tool(f["name"], f.get("description"), f.get("parameters"), f.get("strict"))
        for f in functions + list(body.get("functions") or ())
    ]


def _read_tool_choice(body: JSON) -> ToolChoice | None:
    choice = body.get("tool_choice") or body.get("function_call")
    if choice is None or _chooses_custom(body):
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
        "json_schema",
        spec["name"],
        spec.get("schema"),
        bool(spec.get("strict")),
        spec.get("description"),
    )
