"""What a Chat Completions body must be: the tables behind `openai.check_request`.

Facts: reference/openai-wire.md 1.2 to 1.6. A field that isn't in a table is let through: upstreams
have extensions, and what would change the meaning is for them to refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.types import JSON
from gateway.validation import (
    Problem,
    Rule,
    anything,
    array,
    boolean,
    check_fields,
    decimal,
    either,
    integer,
    missing,
    obj,
    one_of,
    string,
    tagged,
    wrong_type,
)

MAX_MESSAGES = 4096
NAME = "[a-zA-Z0-9_-]+"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# ----------------------------------------------------------------------------- messages (1.3)

TEXT_PART = obj({"text": string()}, required=("text",))
USER_PARTS: dict[str, Rule] = {
    "text": TEXT_PART,
    "image_url": obj(
        {
            "image_url": obj(
                {
                    "url": string(allow_empty=False),
                    "detail": one_of("auto", "low", "high", "original"),
                },
                required=("url",),
            )
        },
        required=("image_url",),
    ),
    "input_audio": obj(
        {
            "input_audio": obj(
                {"data": string(), "format": one_of("wav", "mp3")}, required=("data", "format")
            )
        },
        required=("input_audio",),
    ),
    "file": obj(
        {"file": obj({"file_id": string(), "file_data": string(), "filename": string()})},
        required=("file",),
    ),
}
ASSISTANT_PARTS: dict[str, Rule] = {
    "text": TEXT_PART,
    "refusal": obj({"refusal": string()}, required=("refusal",)),
}


def content(parts: dict[str, Rule]) -> Rule:
    """Text, or a list of parts."""
    return either(
        "a string or an array of objects",
        {str: string(), list: array(tagged("type", parts), of="objects", minimum=1)},
    )


TEXT_CONTENT = content({"text": TEXT_PART})
TOOL_CONTENT = content({name: USER_PARTS[name] for name in ("text", "image_url")})
"""Wider than OpenAI's own: pictures are told to each provider as it can take them."""
TOOL_CALL = tagged(
    "type",
    {
        "function": obj(
            {
                "id": string(allow_empty=False),
                "function": obj(
                    {"name": string(), "arguments": string()}, required=("name", "arguments")
                ),
            },
            required=("id", "function"),
        ),
        "custom": obj(
            {
                "id": string(allow_empty=False),
                "custom": obj({"name": string(), "input": string()}, required=("name", "input")),
            },
            required=("id", "custom"),
        ),
    },
)
FUNCTION_CALL = obj({"name": string(), "arguments": string()}, required=("name", "arguments"))
ASSISTANT_FIELDS: dict[str, Rule] = {
    "content": content(ASSISTANT_PARTS),
    "name": string(),
    "refusal": string(),
    "tool_calls": array(TOOL_CALL, of="objects", minimum=1, maximum=128),
    "function_call": FUNCTION_CALL,
}


def assistant(value: JSON) -> None:
    check_fields(value, ASSISTANT_FIELDS, ())
    if value.get("content") is None and not _says_something(value):
        raise (
            missing("content")
            if "content" not in value
            else wrong_type("a string or an array of objects", None).within("content")
        )


def _says_something(value: JSON) -> bool:
    return any(value.get(name) for name in ("tool_calls", "function_call", "audio", "refusal"))


INSTRUCTION = obj({"content": TEXT_CONTENT, "name": string()}, required=("content",))
MESSAGE = tagged(
    "role",
    {
        "system": INSTRUCTION,
        "assistant": assistant,
        "user": obj({"content": content(USER_PARTS), "name": string()}, required=("content",)),
        "function": obj({"content": string(), "name": string()}, required=("name",)),
        "tool": obj(
            {"content": TOOL_CONTENT, "tool_call_id": string(allow_empty=False)},
            required=("content", "tool_call_id"),
        ),
        "developer": INSTRUCTION,
    },
)

# ----------------------------------------------------------------------------- tools (1.4)

FUNCTION = obj(
    {
        "name": string(max_length=64, pattern=NAME),
        "description": string(),
        "parameters": obj({}),
        "strict": boolean,
    },
    required=("name",),
)
TOOL = tagged(
    "type",
    {
        "function": obj({"function": FUNCTION}, required=("function",)),
        "custom": obj(
            {"custom": obj({"name": string(), "description": string()}, required=("name",))},
            required=("custom",),
        ),
    },
)
NAMED = obj({"name": string()}, required=("name",))
TOOL_CHOICE = either(
    "a string or an object",
    {
        str: one_of("none", "auto", "required"),
        dict: tagged(
            "type",
            {
                "function": obj({"function": NAMED}, required=("function",)),
                "custom": obj({"custom": NAMED}, required=("custom",)),
                "allowed_tools": obj(
                    {
                        "allowed_tools": obj(
                            {
                                "mode": one_of("auto", "required"),
                                "tools": array(obj({}), of="objects"),
                            },
                            required=("mode", "tools"),
                        )
                    },
                    required=("allowed_tools",),
                ),
            },
        ),
    },
)

# ----------------------------------------------------------------------------- the rest (1.2, 1.5)

RESPONSE_FORMAT = tagged(
    "type",
    {
        "text": anything,
        "json_object": anything,
        "json_schema": obj(
            {
                "json_schema": obj(
                    {
                        "name": string(max_length=64, pattern=NAME),
                        "description": string(),
                        "schema": obj({}),
                        "strict": boolean,
                    },
                    required=("name",),
                )
            },
            required=("json_schema",),
        ),
    },
)
BIAS = integer(-100, 100)


def logit_bias(value: Any) -> None:
    if type(value) is not dict:
        raise wrong_type("an object", value)
    for token, bias in value.items():
        try:
            BIAS(bias)
        except Problem as problem:
            raise problem.within(token) from None


def metadata(value: Any) -> None:
    if type(value) is not dict:
        raise wrong_type("an object", value)
    if len(value) > 16:
        raise Problem(
            "array_above_max_length",
            "Invalid '{path}': too many properties. Expected "
            f"an object with at most 16 properties, but got {len(value)} instead.",
        )
    key_rule, value_rule = string(max_length=64), string(max_length=512)
    for key, text in value.items():
        try:
            key_rule(key)
            value_rule(text)
        except Problem as problem:
            raise problem.within(key[:64]) from None


CHAT_FIELDS: dict[str, Rule] = {
    "model": string(allow_empty=False, max_length=256),
    "messages": array(MESSAGE, of="objects", minimum=1, maximum=MAX_MESSAGES),
    "stream": boolean,
    "stream_options": obj({"include_usage": boolean, "include_obfuscation": boolean}),
    "max_completion_tokens": integer(1),
    "max_tokens": integer(1),
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "n": integer(1, 128),
    "stop": either(
        "a string or an array of strings",
        {str: string(), list: array(string(), of="strings", maximum=4)},
    ),
    "seed": integer(),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "logit_bias": logit_bias,
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "response_format": RESPONSE_FORMAT,
    "tools": array(TOOL, of="objects", maximum=128),
    "tool_choice": TOOL_CHOICE,
    "parallel_tool_calls": boolean,
    "functions": array(FUNCTION, of="objects", minimum=1, maximum=128),
    "function_call": either("a string or an object", {str: one_of("none", "auto"), dict: NAMED}),
    "reasoning_effort": one_of(*EFFORTS),
    "verbosity": one_of("low", "medium", "high"),
    "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "store": boolean,
    "metadata": metadata,
    "user": string(),
    "safety_identifier": string(max_length=128),
    "prompt_cache_key": string(),
    "modalities": array(one_of("text", "audio"), of="strings"),
}
KNOWN_FIELDS = frozenset(CHAT_FIELDS) | {
    "audio",
    "moderation",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "web_search_options",
}
"""Every documented parameter, with a rule or judged by the upstream alone."""


def check_chat(body: JSON) -> None:
    """Raise `Problem` at the first thing OpenAI would refuse."""
    if body.get("model") is None:
        raise Problem("missing_required_parameter", "you must provide a model parameter", "model")
    if "messages" not in body and "input" in body:
        raise Problem(
            "missing_required_parameter",
            "Missing required parameter: 'messages'. This looks like a request for the Responses "
            "API ('input'); this endpoint takes Chat Completions.",
            "messages",
        )
    check_fields(body, CHAT_FIELDS, ("messages",))
    for check in CROSS_CHECKS:
        check(body)


def _stream_options(body: JSON) -> None:
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Problem(
            "invalid_value",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        )


def _top_logprobs(body: JSON) -> None:
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Problem(
            "invalid_value",
            "Invalid value for 'top_logprobs': it is only allowed when 'logprobs' is true.",
            "top_logprobs",
        )


def _tool_choice(body: JSON) -> None:
    choice = body.get("tool_choice")
    if choice is not None and choice != "none" and not body.get("tools"):
        raise Problem(
            "invalid_value",
            "Invalid value for 'tool_choice': 'tool_choice' is only "
            "allowed when 'tools' are specified.",
            "tool_choice",
        )


def _tool_answers(body: JSON) -> None:
    """Every tool call is answered at once, and every answer has its call (1.6)."""
    waiting: list[str] = []
    for index, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise Problem(
                    "invalid_value",
                    "Invalid parameter: messages with role 'tool' must "
                    "be a response to a preceding message with 'tool_calls'.",
                    "messages",
                    index,
                    "role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            raise _unanswered(waiting)
        if message["role"] == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
    if waiting:
        raise _unanswered(waiting)


def calls_of(message: JSON) -> Sequence[Any]:
    """The calls of a checked message: only the assistant makes any, and only its are checked."""
    return message.get("tool_calls") or () if message["role"] == "assistant" else ()


def _unanswered(ids: list[str]) -> Problem:
    return Problem(
        "invalid_value",
        "An assistant message with 'tool_calls' must be followed by "
        "tool messages responding to each 'tool_call_id'. The following tool_call_ids "
        f"did not have response messages: {', '.join(ids)}",
        "messages",
    )


CROSS_CHECKS = (_stream_options, _top_logprobs, _tool_choice, _tool_answers)
