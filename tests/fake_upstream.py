"""A strict OpenAI-compatible upstream that can fail in every way we know of.

Run as `python tests/fake_upstream.py --port 0`; prints its port, stops on SIGTERM. Standard library
only. It refuses what the real service refuses, by the tables below (each row cites the section of
the OpenAI wire reference it follows), and plays the scenario that the last user message names as
`scenario:NAME[:ARG]`. A `tag:WORD` beside it lets a test find its own requests again:

    GET /__requests[?tag=WORD]   what arrived, in order: method, path, headers, body, and what was
                                 sent back (`sent`, base64) with its usage
    GET /__closed[?tag=WORD]     connections that the peer closed before their answer was complete
    POST /__reset                forget both

The credential decides who is being played: OpenAI, DeepSeek or a local server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

OPENAI_KEY = "sk-canary-openai-5f2d9c81"
DEEPSEEK_KEY = "sk-canary-deepseek-7b1e04aa"
LOCAL_KEY = "sk-canary-local-c3d9f260"
CREATED = 1_741_569_952
POLL = 0.02
WORDS = ["The", " capital", " of", " France", " is", " Paris", "."]
UNICODE = ["Zażółć ", "日本語", " 👩‍👩‍👧‍👦", "\u2028", "a\r\nb", "\u0000", " é́", "𝒳", " ñ\u0085."]
JSON = dict[str, Any]


# ----------------------------------------------------------------------------- who is played


@dataclass(frozen=True)
class Profile:
    """What one provider accepts beyond, or short of, the common rules."""

    name: str
    models: re.Pattern[str]
    listed: tuple[str, ...]
    roles: frozenset[str]
    extra_parameters: frozenset[str] = frozenset()


COMMON_ROLES = frozenset({"system", "user", "assistant", "tool", "function"})
PROFILES = {
    OPENAI_KEY: Profile(
        "openai",
        re.compile(r"(gpt-|o[1-9]|chat-|chatgpt-).*"),
        ("gpt-4o", "gpt-4o-mini"),
        COMMON_ROLES | {"developer"},
    ),
    DEEPSEEK_KEY: Profile(
        "deepseek",
        re.compile(r"deepseek-.*"),
        ("deepseek-v4-flash",),
        COMMON_ROLES,
        frozenset({"thinking"}),
    ),
    LOCAL_KEY: Profile(
        "local",
        re.compile(r"(local-small|acme/.*)"),
        ("local-small", "acme/llama-4:8b"),
        COMMON_ROLES,
        frozenset({"top_k", "min_p"}),
    ),
}


def is_reasoning(model: str) -> bool:
    return re.match(r"(o[1-9]|gpt-5|gpt-6)", model) is not None


# ----------------------------------------------------------------------------- refusals (1.6)


class Refusal(Exception):
    """An HTTP error with OpenAI's body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}


def bad(message: str, *, code: str | None = None, param: str | None = None) -> Refusal:
    return Refusal(400, message, code=code, param=param)


NAMES = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a decimal"),
    (list, "an array"),
    (dict, "an object"),
    (type(None), "null"),
)


def name_of(value: Any) -> str:
    return next(name for kind, name in NAMES if isinstance(value, kind))


def wrong_type(path: str, wanted: str, value: Any) -> Refusal:
    return bad(
        f"Invalid type for '{path}': expected {wanted}, but got {name_of(value)} instead.",
        code="invalid_type",
        param=path,
    )


def missing(path: str) -> Refusal:
    return bad(
        f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path
    )


def out_of_range(path: str, kind: str, low: float, high: float, value: float) -> Refusal | None:
    if low <= value <= high:
        return None
    above = value > high
    word, sign, bound = ("above maximum", "<=", high) if above else ("below minimum", ">=", low)
    code = f"{kind}_{'above_max' if above else 'below_min'}_value"
    return bad(
        f"Invalid '{path}': {kind} {word} value. Expected a value {sign} {bound}, "
        f"but got {value} instead.",
        code=code,
        param=path,
    )


@dataclass(frozen=True)
class Rule:
    """One row of section 1.2: the type, its bounds and whether null means the default."""

    kind: str
    low: float = float("-inf")
    high: float = float("inf")
    null: bool = True
    values: tuple[str, ...] = ()


KINDS: dict[str, tuple[type, ...]] = {
    "a string": (str,),
    "a boolean": (bool,),
    "an integer": (int,),
    "a decimal": (int, float),
    "an array": (list,),
    "an object": (dict,),
    "a string or array": (str, list),
    "a string or object": (str, dict),
}

PARAMETERS: dict[str, Rule] = {  # 1.2, row by row
    "model": Rule("a string", null=False),
    "messages": Rule("an array", null=False),
    "stream": Rule("a boolean"),
    "stream_options": Rule("an object"),
    "max_completion_tokens": Rule("an integer", low=1),
    "max_tokens": Rule("an integer", low=1),
    "temperature": Rule("a decimal", 0, 2),
    "top_p": Rule("a decimal", 0, 1),
    "n": Rule("an integer", 1, 128),
    "stop": Rule("a string or array"),
    "seed": Rule("an integer"),
    "presence_penalty": Rule("a decimal", -2, 2),
    "frequency_penalty": Rule("a decimal", -2, 2),
    "logit_bias": Rule("an object"),
    "logprobs": Rule("a boolean"),
    "top_logprobs": Rule("an integer", 0, 20),
    "response_format": Rule("an object", null=False),
    "tools": Rule("an array", null=False),
    "tool_choice": Rule("a string or object", null=False),
    "parallel_tool_calls": Rule("a boolean", null=False),
    "functions": Rule("an array", null=False),
    "function_call": Rule("a string or object", null=False),
    "reasoning_effort": Rule(
        "a string", values=("none", "minimal", "low", "medium", "high", "xhigh", "max")
    ),
    "verbosity": Rule("a string", values=("low", "medium", "high")),
    "service_tier": Rule(
        "a string", values=("auto", "default", "flex", "scale", "priority", "fast")
    ),
    "store": Rule("a boolean"),
    "metadata": Rule("an object"),
    "user": Rule("a string", null=False),
    "safety_identifier": Rule("a string"),
    "prompt_cache_key": Rule("a string"),
    "prompt_cache_options": Rule("an object", null=False),
    "prompt_cache_retention": Rule("a string"),
    "prediction": Rule("an object"),
    "modalities": Rule("an array"),
    "audio": Rule("an object"),
    "web_search_options": Rule("an object", null=False),
    "moderation": Rule("an object"),
}
REASONING_REFUSES = {  # 1.2 max_tokens, 1.6 unsupported_parameter
    "max_tokens": "Use 'max_completion_tokens' instead.",
    "presence_penalty": "",
    "frequency_penalty": "",
    "logprobs": "",
    "top_logprobs": "",
}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_parameters(body: JSON, profile: Profile) -> None:
    """1.2: no unknown names; types and ranges."""
    unknown = [name for name in body if name not in PARAMETERS.keys() | profile.extra_parameters]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise bad(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
    for name, value in body.items():
        if name in PARAMETERS:
            check_value(name, PARAMETERS[name], value)


def check_value(path: str, rule: Rule, value: Any) -> None:
    if value is None and rule.null:
        return
    fits = isinstance(value, KINDS[rule.kind])
    if not fits or (isinstance(value, bool) and rule.kind != "a boolean"):
        raise wrong_type(path, rule.kind, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        kind = "integer" if rule.kind == "an integer" else "decimal"
        if problem := out_of_range(path, kind, rule.low, rule.high, value):
            raise problem
    if rule.values and value not in rule.values:
        raise bad(
            f"Invalid value: '{value}'. Supported values are: "
            + ", ".join(f"'{v}'" for v in rule.values)
            + ".",
            code="invalid_value",
            param=path,
        )


def check_required(body: JSON, profile: Profile) -> None:
    """1.6: `model` in its own words, `messages` in the usual ones."""
    if body.get("model") is None:
        raise bad("you must provide a model parameter")
    if "messages" not in body:
        raise missing("messages")
    if body["messages"] == []:
        raise bad(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but "
            "got an empty array instead.",
            code="empty_array",
            param="messages",
        )


def check_stop(body: JSON, profile: Profile) -> None:
    """1.2 stop: a string, or one to four of them."""
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        raise bad(
            "Invalid 'stop': array too long. Expected an array with maximum length 4, but "
            f"got an array with length {len(stop)} instead.",
            code="array_above_max_length",
            param="stop",
        )


def check_stream_options(body: JSON, profile: Profile) -> None:
    """1.2, 1.6: only together with stream, and only the two known switches."""
    options = body.get("stream_options")
    if options is None:
        return
    if body.get("stream") is not True:
        raise bad(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation"):
            raise bad(
                f"Unknown parameter: 'stream_options.{name}'.",
                code="unknown_parameter",
                param=f"stream_options.{name}",
            )
        if not isinstance(value, bool):
            raise wrong_type(f"stream_options.{name}", "a boolean", value)


def check_logprobs(body: JSON, profile: Profile) -> None:
    """1.2 top_logprobs needs logprobs; logit_bias is bounded."""
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise bad(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
            param="top_logprobs",
        )
    for value in (body.get("logit_bias") or {}).values():
        if problem := out_of_range("logit_bias", "integer", -100, 100, value):
            raise problem


def check_reasoning_model(body: JSON, profile: Profile) -> None:
    """1.2, 1.6: what reasoning models refuse, and what only they understand."""
    model = body["model"]
    if profile.name != "openai":
        return
    if not is_reasoning(model):
        if body.get("reasoning_effort") is not None:
            raise bad("Unrecognized request argument supplied: reasoning_effort")
        return
    for name, advice in REASONING_REFUSES.items():
        if body.get(name) is not None:
            raise bad(
                f"Unsupported parameter: '{name}' is not supported with this model. "
                f"{advice}".strip(),
                code="unsupported_parameter",
                param=name,
            )
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            raise bad(
                f"Unsupported value: '{name}' does not support {body[name]} with this "
                "model. Only the default (1) value is supported.",
                code="unsupported_value",
                param=name,
            )


def check_tools(body: JSON, profile: Profile) -> None:
    """1.4: shapes and names of tools, and switches that need them."""
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body and body[name] != "none":
                raise bad(f"'{name}' is only allowed when 'tools' are specified.", param=name)
        return
    if not 1 <= len(tools) <= 128:
        raise bad("Invalid 'tools': empty array or too long.", code="empty_array", param="tools")
    for i, tool in enumerate(tools):
        check_tool(f"tools[{i}]", tool)
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise bad(
            f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
            code="invalid_value",
            param="tool_choice",
        )


def check_tool(path: str, tool: Any) -> None:
    if not isinstance(tool, dict):
        raise wrong_type(path, "an object", tool)
    if tool.get("type") not in ("function", "custom"):
        raise bad(
            f"Invalid value: '{tool.get('type')}'. Supported values are: 'function' and 'custom'.",
            code="invalid_value",
            param=f"{path}.type",
        )
    inner = tool.get(tool["type"])
    if not isinstance(inner, dict) or "name" not in inner:
        raise missing(f"{path}.{tool['type']}.name")
    if not TOOL_NAME.fullmatch(inner["name"]):
        raise bad(
            f"Invalid '{path}.function.name': string does not match pattern. Expected a "
            "string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            code="invalid_value",
            param=f"{path}.function.name",
        )


def check_response_format(body: JSON, profile: Profile) -> None:
    """1.5: json_object wants the word, a strict schema must be closed."""
    wanted = body.get("response_format")
    if wanted is None:
        return
    if wanted.get("type") not in ("text", "json_object", "json_schema"):
        raise bad(
            f"Invalid value: '{wanted.get('type')}'. Supported values are: 'json_object', "
            "'json_schema', and 'text'.",
            code="invalid_value",
            param="response_format.type",
        )
    if wanted["type"] == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise bad(
            "'messages' must contain the word 'json' in some form, to use "
            "'response_format' of type 'json_object'.",
            param="messages",
        )
    if wanted["type"] == "json_schema":
        check_json_schema(wanted.get("json_schema"))


def check_json_schema(outer: Any) -> None:
    if not isinstance(outer, dict) or "name" not in outer:
        raise missing("response_format.json_schema.name")
    if outer.get("strict"):
        for path, schema in objects_of(outer.get("schema") or {}, ()):
            if schema.get("additionalProperties") is not False:
                raise bad(
                    f"Invalid schema for response_format '{outer['name']}': In context="
                    f"{path}, 'additionalProperties' is required to be supplied and to be "
                    "false.",
                    param="response_format",
                )
            if set(schema.get("required", [])) != set(schema.get("properties", {})):
                raise bad(
                    f"Invalid schema for response_format '{outer['name']}': In context="
                    f"{path}, 'required' is required to be supplied and to be an array "
                    "including every key in properties.",
                    param="response_format",
                )


def objects_of(schema: Any, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], JSON]]:
    """Every object schema inside a schema, with the way to it."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from objects_of(value, (*path, key))
    elif isinstance(schema, list):
        for item in schema:
            yield from objects_of(item, path)


def check_messages(body: JSON, profile: Profile) -> None:
    """1.3: roles, content, parts."""
    for i, message in enumerate(body["messages"]):
        path = f"messages[{i}]"
        if not isinstance(message, dict):
            raise wrong_type(path, "an object", message)
        if "role" not in message:
            raise missing(f"{path}.role")
        check_role(path, message["role"], body["model"], profile)
        check_content(path, message)


def check_role(path: str, role: Any, model: str, profile: Profile) -> None:
    if role == "developer" and "developer" not in profile.roles:
        raise bad(
            f"Unsupported value: '{path}.role' does not support 'developer' with this model.",
            code="unsupported_value",
            param=f"{path}.role",
        )
    if role not in profile.roles:
        raise bad(
            f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', "
            "'user', 'function', 'tool', and 'developer'.",
            code="invalid_value",
            param=f"{path}.role",
        )


PART_TYPES = {  # 1.3
    "system": {"text"},
    "developer": {"text"},
    "tool": {"text"},
    "function": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
}


def check_content(path: str, message: JSON) -> None:
    role, content = message["role"], message.get("content")
    if content is None:
        if role == "function" or (
            role == "assistant" and (message.get("tool_calls") or message.get("function_call"))
        ):
            return
        if "content" not in message:
            raise missing(f"{path}.content")
        raise bad(
            f"Invalid value for 'content': expected a string, got null. - '{path}.content'",
            code="invalid_type",
            param=f"{path}.content",
        )
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(f"{path}.content", "a string or array", content)
    for j, part in enumerate(content):
        check_part(f"{path}.content[{j}]", part, PART_TYPES[role])


def check_part(path: str, part: Any, allowed: set[str]) -> None:
    if not isinstance(part, dict):
        raise wrong_type(path, "an object", part)
    if "type" not in part:
        raise missing(f"{path}.type")
    if part["type"] not in allowed:
        raise bad(
            f"Invalid value: '{part['type']}'. Supported values are: {', '.join(sorted(allowed))}.",
            code="invalid_value",
            param=f"{path}.type",
        )
    if part["type"] not in part:
        raise missing(f"{path}.{part['type']}")


def check_tool_messages(body: JSON, profile: Profile) -> None:
    """1.3, 1.6: every call is answered, and nothing is answered that was not called."""
    open_calls: list[str] = []
    for i, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if "tool_call_id" not in message:
                raise missing(f"messages[{i}].tool_call_id")
            if message["tool_call_id"] not in open_calls:
                raise bad(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"messages.[{i}].role",
                )
            open_calls.remove(message["tool_call_id"])
            continue
        refuse_unanswered(open_calls, i)
        open_calls = [call["id"] for call in message.get("tool_calls") or []]
    refuse_unanswered(open_calls, len(body["messages"]))


def refuse_unanswered(calls: list[str], index: int) -> None:
    if calls:
        raise bad(
            "An assistant message with 'tool_calls' must be followed by tool messages "
            "responding to each 'tool_call_id'. The following tool_call_ids did not have "
            f"response messages: {', '.join(calls)}",
            param=f"messages.[{index}].role",
        )


def check_model(body: JSON, profile: Profile) -> None:
    """1.6: unknown model."""
    if not profile.models.fullmatch(body["model"]):
        raise Refusal(
            404,
            f"The model `{body['model']}` does not exist or you do not have access to it.",
            code="model_not_found",
        )


CHECKS: tuple[Callable[[JSON, Profile], None], ...] = (  # in the order of 1.6's last paragraph
    check_required,
    check_parameters,
    check_stop,
    check_stream_options,
    check_logprobs,
    check_messages,
    check_tool_messages,
    check_tools,
    check_response_format,
    check_model,
    check_reasoning_model,
)


def profile_of(headers: list[tuple[str, str]]) -> Profile:
    """1.1: exactly one Authorization, Bearer, known."""
    values = [value for name, value in headers if name.lower() == "authorization"]
    if not values:
        raise Refusal(
            401,
            "You didn't provide an API key. You need to provide your API key in an "
            "Authorization header using Bearer auth.",
        )
    key = values[0].removeprefix("Bearer ")
    if len(values) > 1 or key not in PROFILES:
        raise Refusal(401, "Incorrect API key provided: sk-ab***yz.", code="invalid_api_key")
    return PROFILES[key]


def refuse_duplicates(pairs: list[tuple[str, Any]]) -> JSON:
    """The real service keeps the last of two; ours must never send two, so this one refuses."""
    if len(names := [name for name, _ in pairs]) != len(set(names)):
        raise bad("We could not parse the JSON body of your request. (HINT: duplicate field)")
    return dict(pairs)


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def parse_body(headers: list[tuple[str, str]], raw: bytes) -> JSON:
    """1.1, 1.6: JSON, labelled as such, an object."""
    content_type = next((v for n, v in headers if n.lower() == "content-type"), "")
    if content_type.split(";")[0].strip() != "application/json":
        raise Refusal(
            415,
            f"Unsupported content type: '{content_type}'. This API method only "
            "accepts 'application/json' requests.",
        )
    try:
        body = json.loads(
            raw.decode(), object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant
        )
    except ValueError:
        raise bad(
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            "aren't using your HTTP library correctly.)"
        ) from None
    if not isinstance(body, dict):
        raise bad("We could not parse the JSON body of your request. (HINT: not an object)")
    return body


# ----------------------------------------------------------------------------- images (3.1-3.3)

IMAGE_PARAMETERS: dict[str, Rule] = {  # 3.1, what gpt-image takes
    "model": Rule("a string", null=False),
    "prompt": Rule("a string", null=False),
    "n": Rule("an integer", 1, 10),
    "size": Rule("a string"),
    "quality": Rule("a string", values=("low", "medium", "high", "auto")),
    "background": Rule("a string", values=("transparent", "opaque", "auto")),
    "moderation": Rule("a string", values=("low", "auto")),
    "output_format": Rule("a string", values=("png", "jpeg", "webp")),
    "output_compression": Rule("an integer", 0, 100),
    "user": Rule("a string", null=False),
    "safety_identifier": Rule("a string"),
}


def check_image_parameters(body: JSON, profile: Profile) -> None:
    """3.1: gpt-image refuses `response_format`, `style` and the qualities of DALL-E."""
    for name, value in body.items():
        if name not in IMAGE_PARAMETERS:
            raise bad(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
        check_value(name, IMAGE_PARAMETERS[name], value)
    for name in ("model", "prompt"):
        if name not in body:
            raise missing(name)
    if not 1 <= len(body["prompt"]) <= 32_000:
        raise bad("Invalid 'prompt'.", code="string_above_max_length", param="prompt")


def check_image_model(body: JSON, profile: Profile) -> None:
    """The life cycle of 3.2: DALL-E is gone."""
    if profile.name != "openai" or not body["model"].startswith("gpt-image-"):
        raise Refusal(
            404,
            f"The model `{body['model']}` does not exist or you do not have access to it.",
            code="model_not_found",
        )


def check_image_size(body: JSON, profile: Profile) -> None:
    """3.2: sides in steps of 16, neither too small nor too narrow."""
    size = body.get("size") or "auto"
    if size == "auto":
        return
    sides = re.fullmatch(r"(\d{2,4})x(\d{2,4})", size)
    low, high = sorted(map(int, sides.groups())) if sides else (0, 0)
    if low < 512 or low % 16 or high % 16 or high > 3 * low or high > 3840:
        raise bad(f"Invalid value: '{size}'.", code="invalid_value", param="size")


IMAGE_CHECKS = (check_image_parameters, check_image_model, check_image_size)


def png(width: int, height: int) -> bytes:
    """A grey picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * 3 * width for _ in range(height)), 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


def images_for(play: Play) -> JSON:
    """3.3: always base64, with usage."""
    size = play.body.get("size") or "auto"
    width, height = map(int, size.split("x")) if size != "auto" else (1024, 1024)
    item: JSON = {"b64_json": base64.b64encode(png(width, height)).decode()}
    if play.scenario == "no_image":
        item = {"b64_json": "bm90IGFuIGltYWdl"}
    count = play.body.get("n") or 1
    usage = {"input_tokens": 9, "output_tokens": 100 * count, "total_tokens": 9 + 100 * count}
    return {
        "created": CREATED,
        "data": [item] * count,
        "size": f"{width}x{height}",
        "quality": play.body.get("quality") or "auto",
        "usage": "plenty" if play.scenario == "odd_usage" else usage,
    }


# ----------------------------------------------------------------------------- answers (2.1-2.3)


@dataclass
class Play:
    """One answer being given: what was asked, and which scenario was named."""

    body: JSON
    scenario: str
    argument: str
    tag: str
    words: list[str] = field(default_factory=lambda: list(WORDS))

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def usage(self) -> JSON:
        prompt = 8 + 3 * len(self.body["messages"])
        completion = len(self.words) * (self.body.get("n") or 1)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
        }

    @property
    def number(self) -> int:
        return int(self.argument or 3)

    @property
    def seconds(self) -> float:
        return float(self.argument or 1)


def last_user_text(body: JSON) -> str:
    for message in reversed(body["messages"]):
        if message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return ""


def play_of(body: JSON) -> Play:
    scenario, argument, tag = scenario_of(last_user_text(body))
    return Play(body, scenario, argument, tag, words_for(scenario, argument))


def scenario_of(text: str) -> tuple[str, str, str]:
    """The scenario, its argument and the tag that a prompt names."""
    named = re.search(r"scenario:([a-z0-9_]+)(?::([\w.:-]+))?", text)
    tag = re.search(r"tag:([\w-]+)", text)
    scenario, argument = (named[1], named[2] or "") if named else ("normal", "")
    return scenario, argument, tag[1] if tag else ""


def words_for(scenario: str, argument: str) -> list[str]:
    if scenario == "unicode":
        return list(UNICODE)
    if scenario == "big":
        return ["ü" * 524_288]
    if scenario == "chunks":
        return [f"w{i} " for i in range(int(argument))]
    return list(WORDS)


def calls_for(play: Play) -> list[JSON]:
    """The tool calls of a scenario; `tools_named` obeys a forced choice (1.4)."""
    tools = [
        tool["function"]["name"]
        for tool in play.body.get("tools") or [{}]
        if tool.get("type") == "function"
    ] or ["lookup"]
    choice = play.body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        tools = [choice["function"]["name"]]
    count = 2 if play.scenario == "tools_parallel" else 1
    return [
        {
            "id": f"call_{i}abc",
            "type": "function",
            "function": {
                "name": tools[i % len(tools)],
                "arguments": json.dumps({"city": ["Paris", "Łódź"][i]}, ensure_ascii=False),
            },
        }
        for i in range(count)
    ]


def logprobs_for(word: str) -> JSON:
    return {
        "content": [
            {"token": word, "logprob": -0.25, "bytes": list(word.encode()), "top_logprobs": []}
        ],
        "refusal": None,
    }


def structured(play: Play) -> str | None:
    """An instance of the schema asked for: just enough of JSON Schema for the SDKs' helpers."""
    wanted = play.body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema") or {}
        return json.dumps(instance_of(schema, schema.get("$defs", {})))
    return '{"ok": true}' if wanted.get("type") == "json_object" else None


INSTANCES: dict[str, Any] = {
    "string": "Paris",
    "integer": 3,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


def instance_of(schema: JSON, definitions: JSON) -> Any:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: instance_of(inner, definitions) for name, inner in properties.items()}
    if schema.get("type") == "array":
        return [instance_of(schema.get("items", {}), definitions)]
    return INSTANCES.get(schema.get("type", "string"))


def message_for(play: Play) -> tuple[JSON, str]:
    """The whole message of an answer and its finish reason (2.1)."""
    message: JSON = {
        "role": "assistant",
        "content": structured(play) or "".join(play.words),
        "refusal": None,
        "annotations": [],
    }
    if play.scenario.startswith("tools"):
        return message | {"content": None, "tool_calls": calls_for(play)}, "tool_calls"
    if play.scenario == "refusal":
        return message | {"content": None, "refusal": "I can't help with that."}, "stop"
    if play.scenario == "content_filter":
        return message, "content_filter"
    return message, "length" if play.scenario == "length" else "stop"


def envelope(play: Play, kind: str) -> JSON:
    return {
        "id": f"chatcmpl-fake{play.tag or 'x'}",
        "object": kind,
        "created": CREATED,
        "model": f"{play.body['model']}-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def completion(play: Play) -> JSON:
    message, reason = message_for(play)
    logprobs = None
    if play.body.get("logprobs"):
        entries = [logprobs_for(word)["content"][0] for word in play.words]
        logprobs = {"content": entries, "refusal": None}
    choices = [
        {"index": i, "message": message, "logprobs": logprobs, "finish_reason": reason}
        for i in range(play.body.get("n") or 1)
    ]
    answer = envelope(play, "chat.completion") | {"choices": choices, "usage": play.usage}
    if play.scenario == "nousage":
        del answer["usage"]
    return answer


# ----------------------------------------------------------------------------- streams (2.2-2.4)


def deltas_for(play: Play) -> list[JSON]:
    """The deltas of one choice between its role and its finish (2.2)."""
    if play.scenario.startswith("tools"):
        return [delta for i, call in enumerate(calls_for(play)) for delta in call_deltas(i, call)]
    if play.scenario == "refusal":
        return [{"refusal": "I can't "}, {"refusal": "help with that."}]
    if text := structured(play):
        return [{"content": text[i : i + 5]} for i in range(0, len(text), 5)]
    return [{"content": word} for word in play.words]


def call_deltas(index: int, call: JSON) -> Iterable[JSON]:
    head = {
        "index": index,
        "id": call["id"],
        "type": "function",
        "function": {"name": call["function"]["name"], "arguments": ""},
    }
    yield {"tool_calls": [head]}
    arguments = call["function"]["arguments"]
    for start in range(0, len(arguments), 6):
        piece = arguments[start : start + 6]
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chunks_of(play: Play) -> list[JSON]:
    """Every chunk of a whole stream, in the order of 2.2."""
    base = envelope(play, "chat.completion.chunk")
    n = play.body.get("n") or 1
    first = {"role": "assistant", "content": "", "refusal": None}
    if play.scenario.startswith("tools"):
        first["content"] = None
    _, reason = message_for(play)
    steps = [(i, first, None) for i in range(n)]
    steps += [(i, delta, None) for delta in deltas_for(play) for i in range(n)]
    steps += [(i, {}, reason) for i in range(n)]
    return [base | {"choices": [choice_of(play, *step)]} for step in steps]


def choice_of(play: Play, index: int, delta: JSON, reason: str | None) -> JSON:
    word = delta.get("content")
    logprobs = logprobs_for(word) if play.body.get("logprobs") and word else None
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def place_usage(play: Play, chunks: list[JSON]) -> list[JSON]:
    """2.2, 2.3: null on every chunk and one usage chunk, or a variant seen in the field."""
    if play.scenario == "nousage" or not play.include_usage:
        return chunks
    tail = envelope(play, "chat.completion.chunk") | {"choices": [], "usage": play.usage}
    if play.scenario != "usage_after_finish":
        return [chunk | {"usage": None} for chunk in chunks] + [tail]
    variants: dict[str, Callable[[], list[JSON]]] = {
        "": lambda: [*chunks, tail],
        "same": lambda: [*chunks[:-1], chunks[-1] | {"usage": play.usage}],
        "every": lambda: [chunk | {"usage": play.usage} for chunk in chunks] + [tail],
        "twice": lambda: [*chunks[:-1], chunks[-1] | {"usage": play.usage}, tail],
        "choice": lambda: [*chunks, tail | {"choices": [choice_of(play, 0, {}, None)]}],
    }
    return variants[play.argument]()


def event(data: JSON | str) -> bytes:
    text = (
        data
        if isinstance(data, str)
        else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    )
    return b"data: " + text.encode() + b"\n\n"


def events_of(play: Play) -> list[bytes]:
    events = [event(chunk) for chunk in place_usage(play, chunks_of(play))]
    return [*events, event("[DONE]")]


# ----------------------------------------------------------------------------- HTTP


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Ledger:
    """What arrived and what was cut off, for the tests to read."""

    requests: list[JSON] = field(default_factory=list)
    closed: list[JSON] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)


class Closed(Exception):
    """The peer went away."""


class Connection:
    """One accepted socket: reads requests, writes answers, notices when the peer leaves."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Ledger
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.ledger = ledger
        self.served = 0
        self.entry: JSON = {}
        self.sent = bytearray()
        self.chunked = True

    async def serve(self) -> None:
        try:
            while (request := await read_request(self.reader)) is not None:
                await self.answer(request)
                self.served += 1
                if self.writer.is_closing():
                    return
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            self.note_closed()
        finally:
            self.keep_sent()
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    def note_closed(self) -> None:
        if self.entry:
            self.ledger.closed.append(
                {
                    "scenario": self.entry["scenario"],
                    "tag": self.entry["tag"],
                    "at": time.time(),
                    "started_at": self.entry["at"],
                    "sent_bytes": len(self.sent),
                }
            )

    def keep_sent(self) -> None:
        if self.entry:
            self.entry["sent"] = base64.b64encode(bytes(self.sent)).decode()

    async def answer(self, request: Request) -> None:
        if request.path.startswith("/__"):
            await self.send_json(200, control(request, self.ledger))
            return
        self.sent = bytearray()
        self.entry = {
            "method": request.method,
            "path": request.path,
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode(errors="replace"),
            "at": time.time(),
            "scenario": "",
            "tag": "",
            "reused": self.served > 0,
        }
        self.ledger.requests.append(self.entry)
        try:
            await self.route(request)
        except Refusal as refusal:
            self.entry["refused"] = refusal.body["error"]
            await self.send_json(refusal.status, refusal.body)
        self.keep_sent()
        self.entry = {}

    async def route(self, request: Request) -> None:
        profile = profile_of(request.headers)
        if request.path == "/v1/models" and request.method == "GET":
            models = [model_object(name, profile) for name in profile.listed]
            await self.send_json(200, {"object": "list", "data": models})
            return
        if request.path == "/v1/images/generations" and request.method == "POST":
            await self.send_images(parse_body(request.headers, request.body), profile)
            return
        if request.path != "/v1/chat/completions":
            raise Refusal(404, f"Invalid URL ({request.method} {request.path})")
        if request.method != "POST":
            raise Refusal(
                405,
                f"Not allowed to {request.method} on /v1/chat/completions. (HINT: "
                "Perhaps you meant to use a different HTTP method?)",
            )
        body = parse_body(request.headers, request.body)
        for check in CHECKS:
            check(body, profile)
        await self.play(play_of(body))

    async def play(self, play: Play) -> None:
        self.entry |= {"scenario": play.scenario, "tag": play.tag}
        self.entry["usage"] = None if play.scenario == "nousage" else play.usage
        self.ledger.tries[play.tag] += 1
        if play.scenario in BEFORE_ANSWER and await BEFORE_ANSWER[play.scenario](self, play):
            return
        if play.streams:
            await STREAMS.get(play.scenario, stream_whole)(self, play)
        else:
            await WHOLE.get(play.scenario, whole)(self, play)

    async def send_images(self, body: JSON, profile: Profile) -> None:
        for check in IMAGE_CHECKS:
            check(body, profile)
        play = Play({**body, "messages": []}, *scenario_of(body["prompt"]))
        self.entry |= {"scenario": play.scenario, "tag": play.tag}
        if play.scenario in BEFORE_ANSWER and await BEFORE_ANSWER[play.scenario](self, play):
            return
        await self.send_json(200, images_for(play))

    # -- writing

    async def send_json(self, status: int, value: Any, extra: Iterable[str] = ()) -> None:
        await self.send(
            status, "application/json", json.dumps(value, ensure_ascii=False).encode(), extra
        )

    async def send(
        self, status: int, content_type: str, body: bytes, extra: Iterable[str] = ()
    ) -> None:
        self.head(status, content_type, [f"content-length: {len(body)}", *extra])
        self.sent += body
        self.writer.write(body)
        await self.writer.drain()

    def head(self, status: int, content_type: str, lines: Iterable[str]) -> None:
        lines = [
            f"HTTP/1.1 {status} Fake",
            f"content-type: {content_type}",
            "x-request-id: req_upstream_only",
            "openai-organization: org-canary",
            "x-ratelimit-limit-requests: 3",
            "set-cookie: canary=1",
            *lines,
        ]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def start_stream(self, *, chunked: bool = True) -> None:
        self.chunked = chunked
        framing = "transfer-encoding: chunked" if chunked else "connection: close"
        self.head(200, "text/event-stream; charset=utf-8", [framing])
        await self.writer.drain()

    async def write(self, data: bytes) -> None:
        """One write to the socket, framed; raises `Closed` once the peer is gone."""
        if self.reader.at_eof() or self.writer.is_closing():
            raise Closed
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data
        self.writer.write(framed)
        self.sent += data
        await self.writer.drain()

    async def end_stream(self) -> None:
        if self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        else:
            self.writer.close()

    async def wait(self, seconds: float) -> None:
        """Say nothing, but notice when the peer leaves."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.reader.at_eof() or self.writer.is_closing():
                raise Closed
            await asyncio.sleep(min(POLL, max(0.0, until - time.monotonic())))

    async def cut(self) -> None:
        """Close without the terminating chunk; what was written still goes out."""
        await self.writer.drain()
        self.writer.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def model_object(name: str, profile: Profile) -> JSON:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": profile.name}


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when the peer closed between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = [(n.strip(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
    return Request(method, target, headers, await read_body(reader, headers))


async def read_body(reader: asyncio.StreamReader, headers: list[tuple[str, str]]) -> bytes:
    named = {name.lower(): value for name, value in headers}
    if named.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(named.get("content-length", 0)))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


def control(request: Request, ledger: Ledger) -> Any:
    tag = request.query.get("tag", [None])[0]
    if request.path == "/__reset":
        ledger.requests.clear()
        ledger.closed.clear()
        ledger.tries.clear()
        return {}
    rows = ledger.requests if request.path == "/__requests" else ledger.closed
    return [row for row in rows if tag is None or row["tag"] == tag]


# ----------------------------------------------------------------------------- scenarios

ERRORS: dict[int, JSON] = {  # 1.6
    400: {
        "message": "Invalid value for 'messages[0].content': the fake upstream refuses it.",
        "type": "invalid_request_error",
        "param": "messages[0].content",
        "code": "invalid_value",
    },
    401: {
        "message": "Incorrect API key provided: sk-canar***. You can find your API key at ...",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    },
    402: {
        "message": "Insufficient Balance",
        "type": "unknown_error",
        "param": None,
        "code": "invalid_request_error",
    },
    403: {
        "message": "Country, region, or territory not supported",
        "type": "request_forbidden",
        "param": None,
        "code": "unsupported_country_region_territory",
    },
    404: {
        "message": "The model `x` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    },
    408: {"message": "Request timed out.", "type": "server_error", "param": None, "code": None},
    429: {
        "message": "Rate limit reached for MODEL in organization org-canary on requests per min "
        "(RPM): Limit 3, Used 3, Requested 1.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    },
    500: {
        "message": "The server had an error processing your request. Sorry about that!",
        "type": "server_error",
        "param": None,
        "code": None,
    },
    503: {
        "message": "The engine is currently overloaded, please try again later.",
        "type": "server_error",
        "param": None,
        "code": None,
    },
    529: {"message": "Overloaded", "type": "overloaded_error", "param": None, "code": None},
}
HTML = (
    b"<!doctype html><html><head><title>502 Bad Gateway</title></head>"
    b"<body>nginx sk-canary-html</body></html>"
)


async def send_error(connection: Connection, status: int) -> None:
    if status == 502:
        await connection.send(502, "text/html", HTML)
        return
    extra = ["retry-after: 7"] if status in (429, 503) else []
    await connection.send_json(status, {"error": ERRORS[status]}, extra)


async def error_first(connection: Connection, play: Play) -> bool:
    """The HTTP error STATUS before the first byte."""
    await send_error(connection, play.number)
    return True


async def error_echo(connection: Connection, play: Play) -> bool:
    """The HTTP error STATUS with the credential in its text, as careless servers send it."""
    key = {n.lower(): v for n, v in connection.entry["headers"]}["authorization"]
    error = ERRORS[play.number] | {"message": f"Not with this: {key}", "param": None}
    await connection.send_json(play.number, {"error": error})
    return True


async def flaky(connection: Connection, play: Play) -> bool:
    """`flaky:K:STATUS`: the first K requests of this tag fail."""
    count, _, status = play.argument.partition(":")
    if connection.ledger.tries[play.tag] > int(count):
        return False
    await send_error(connection, int(status or 500))
    return True


async def slow_first(connection: Connection, play: Play) -> bool:
    """Nothing at all for SECONDS, then a normal answer."""
    await connection.wait(play.seconds)
    return False


async def reset_reused(connection: Connection, play: Play) -> bool:
    """A kept-alive connection dies (`rst` or `fin`) under the next request, before any answer."""
    if not connection.served:
        return False
    return await reset_fresh(connection, play)


async def reset_fresh(connection: Connection, play: Play) -> bool:
    """Every connection dies before any answer byte."""
    if play.argument == "fin":
        await connection.cut()
    else:
        connection.reset()
    return True


async def html_200(connection: Connection, play: Play) -> bool:
    await connection.send(200, "text/html", HTML)
    return True


async def empty_200(connection: Connection, play: Play) -> bool:
    await connection.send(200, "application/json", b"")
    return True


async def redirect(connection: Connection, play: Play) -> bool:
    """A redirect must not be followed: it would carry the credential elsewhere."""
    await connection.send(307, "text/plain", b"", ["location: /v1/models"])
    return True


BEFORE_ANSWER = {
    "error_first": error_first,
    "error_echo": error_echo,
    "flaky": flaky,
    "slow_first": slow_first,
    "reset_reused": reset_reused,
    "reset_fresh": reset_fresh,
    "html_200": html_200,
    "empty_200": empty_200,
    "redirect": redirect,
}
"""Each returns whether it has answered; if not, the normal answer follows."""


# -- streams


async def stream_whole(connection: Connection, play: Play) -> None:
    await connection.start_stream()
    for item in events_of(play):
        await connection.write(item)
    await connection.end_stream()


async def stream_onewrite(connection: Connection, play: Play) -> None:
    await connection.start_stream()
    await connection.write(b"".join(events_of(play)))
    await connection.end_stream()


async def stream_pieces(
    connection: Connection, pieces: Iterable[bytes], pause: float = 0.002
) -> None:
    await connection.start_stream()
    for piece in pieces:
        if piece:
            await connection.write(piece)
            await asyncio.sleep(pause)
    await connection.end_stream()


async def stream_split(connection: Connection, play: Play) -> None:
    data, step = b"".join(events_of(play)), play.number
    pause = 0.002 if step > 20 else 0.0002
    await stream_pieces(connection, (data[i : i + step] for i in range(0, len(data), step)), pause)


async def stream_split_at(connection: Connection, play: Play) -> None:
    data, at = b"".join(events_of(play)), play.number
    await stream_pieces(connection, (data[:at], data[at:]))


async def stream_crlf(connection: Connection, play: Play) -> None:
    """CRLF line ends and comments between the events, cut every 7 bytes."""
    data = b": hello\r\n\r\n" + b"".join(events_of(play)).replace(b"\n", b"\r\n")
    await stream_pieces(connection, (data[i : i + 7] for i in range(0, len(data), 7)))


async def stream_paced(connection: Connection, play: Play) -> None:
    """MILLISECONDS between events."""
    await connection.start_stream()
    for item in events_of(play):
        await connection.write(item)
        await connection.wait(play.number / 1000)
    await connection.end_stream()


async def first_events(connection: Connection, play: Play, count: int = 3) -> None:
    await connection.start_stream()
    for item in events_of(play)[:count]:
        await connection.write(item)


async def stream_error_mid(connection: Connection, play: Play) -> None:
    """An error event after K chunks (2.4)."""
    await first_events(connection, play, play.number)
    key = {n.lower(): v for n, v in connection.entry["headers"]}["authorization"]
    await connection.write(event({"error": ERRORS[500] | {"message": f"boom at {key}"}}))
    await connection.end_stream()


async def stream_cut_mid(connection: Connection, play: Play) -> None:
    await first_events(connection, play, play.number)
    await connection.cut()


async def stream_cut_half(connection: Connection, play: Play) -> None:
    """Cut in the middle of an event."""
    await first_events(connection, play, 2)
    await connection.write(events_of(play)[2][:40])
    await connection.cut()


async def stream_reset_mid(connection: Connection, play: Play) -> None:
    await first_events(connection, play, play.number)
    await connection.wait(0.2)
    connection.reset()


async def stream_cut_clean(connection: Connection, play: Play) -> None:
    """Properly framed to its end, but without finish and [DONE]."""
    await first_events(connection, play, play.number)
    await connection.end_stream()


async def stream_no_done(connection: Connection, play: Play) -> None:
    """Complete but for [DONE], as several servers do."""
    await first_events(connection, play, len(events_of(play)) - 1)
    await connection.end_stream()


async def stream_silent(connection: Connection, play: Play) -> None:
    """SECONDS of silence after three chunks, then the rest."""
    await first_events(connection, play, 3)
    await connection.wait(play.seconds)
    for item in events_of(play)[3:]:
        await connection.write(item)
    await connection.end_stream()


async def endless_events(play: Play) -> AsyncIterator[bytes]:
    chunks = chunks_of(play)
    if play.include_usage:
        chunks = [chunk | {"usage": None} for chunk in chunks]
    yield event(chunks[0])
    while True:
        yield event(chunks[1])
        await asyncio.sleep(POLL)


async def stream_endless(connection: Connection, play: Play) -> None:
    await connection.start_stream()
    async for item in endless_events(play):
        await connection.write(item)


async def stream_garbage(connection: Connection, play: Play) -> None:
    """Not SSE, not UTF-8, but labelled as a stream."""
    await connection.start_stream()
    await connection.write(bytes(range(256)) * 8)
    await connection.end_stream()


async def stream_garbage_mid(connection: Connection, play: Play) -> None:
    await first_events(connection, play, 3)
    await connection.write(b'data: {"id": nonsense\xff\xfe}\n\n')
    await connection.end_stream()


async def stream_json_trunc(connection: Connection, play: Play) -> None:
    """The third event's JSON stops in the middle, properly framed."""
    await first_events(connection, play, 2)
    await connection.write(events_of(play)[2][:30] + b"\n\n")
    await connection.end_stream()


async def stream_close_delimited(connection: Connection, play: Play) -> None:
    """Neither length nor chunks: the end of the connection ends the body."""
    await connection.start_stream(chunked=False)
    for item in events_of(play):
        await connection.write(item)
    await connection.end_stream()


STREAMS = {
    "onewrite": stream_onewrite,
    "split": stream_split,
    "split_at": stream_split_at,
    "crlf": stream_crlf,
    "paced": stream_paced,
    "error_mid": stream_error_mid,
    "cut_mid": stream_cut_mid,
    "cut_half": stream_cut_half,
    "reset_mid": stream_reset_mid,
    "cut_clean": stream_cut_clean,
    "no_done": stream_no_done,
    "silent": stream_silent,
    "endless": stream_endless,
    "garbage": stream_garbage,
    "garbage_mid": stream_garbage_mid,
    "json_trunc": stream_json_trunc,
    "close_delimited": stream_close_delimited,
}


# -- whole answers


async def whole(connection: Connection, play: Play) -> None:
    await connection.send_json(200, completion(play))


async def whole_cut(connection: Connection, play: Play) -> None:
    """The connection ends before the announced length."""
    body = json.dumps(completion(play)).encode()
    connection.head(200, "application/json", [f"content-length: {len(body)}"])
    connection.writer.write(body[: len(body) // 2])
    await connection.cut()


async def whole_trunc(connection: Connection, play: Play) -> None:
    """Complete by its length, but half a JSON document."""
    body = json.dumps(completion(play)).encode()
    await connection.send(200, "application/json", body[: len(body) // 2])


async def whole_garbage(connection: Connection, play: Play) -> None:
    await connection.send(200, "application/json", bytes(range(256)))


async def whole_error_200(connection: Connection, play: Play) -> None:
    """An error under status 200 (2.1: never valid)."""
    await connection.send_json(200, {"error": ERRORS[500]})


async def whole_silent(connection: Connection, play: Play) -> None:
    await connection.wait(play.seconds)
    await whole(connection, play)


async def whole_endless(connection: Connection, play: Play) -> None:
    """Never answers; waits for the peer to leave."""
    await connection.wait(3600)


async def whole_close_delimited(connection: Connection, play: Play) -> None:
    connection.head(200, "application/json", ["connection: close"])
    connection.writer.write(json.dumps(completion(play)).encode())
    await connection.cut()


WHOLE = {
    "cut_mid": whole_cut,
    "json_trunc": whole_trunc,
    "garbage": whole_garbage,
    "error_mid": whole_error_200,
    "silent": whole_silent,
    "endless": whole_endless,
    "close_delimited": whole_close_delimited,
}


# ----------------------------------------------------------------------------- running


async def serve(port: int) -> None:
    ledger = Ledger()
    open_connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        open_connections.add(task)
        try:
            await Connection(reader, writer, ledger).serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            open_connections.discard(task)

    server = await asyncio.start_server(
        accept, "127.0.0.1", port, limit=64 * 1024 * 1024, backlog=2048
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()
    for task in open_connections:
        task.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
