"""The dialect of OpenAI, DeepSeek and local servers: what they refuse, and what they answer.

It refuses what the real service refuses, by the tables below (each row cites the section of the
OpenAI wire reference it follows). The credential decides which of the three is being played.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.fakes.play import (
    CITIES,
    JSON,
    DuplicateField,
    Play,
    Refusal,
    Reply,
    Request,
    instance_of,
    scenario_of,
    strict_json,
)

OPENAI_KEY = "sk-canary-openai-5f2d9c81"
DEEPSEEK_KEY = "sk-canary-deepseek-7b1e04aa"
LOCAL_KEY = "sk-canary-local-c3d9f260"
HEADERS = (
    "x-request-id: req_upstream_only",
    "openai-organization: org-canary",
    "x-ratelimit-limit-requests: 3",
    "set-cookie: canary=1",
)
CREATED = 1_741_569_952


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
        ("local-small", "acme/llama-4:8b", "local-embed"),
        COMMON_ROLES,
        frozenset({"top_k", "min_p"}),
    ),
}


def is_reasoning(model: str) -> bool:
    return re.match(r"(o[1-9]|gpt-5|gpt-6)", model) is not None


# ----------------------------------------------------------------------------- refusals (1.6)


def refusal(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    type: str = "invalid_request_error",
) -> Refusal:
    """An HTTP error with OpenAI's body."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return Refusal(status, message, {"error": error})


def bad(message: str, *, code: str | None = None, param: str | None = None) -> Refusal:
    return refusal(400, message, code=code, param=param)


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
    wants_word = wanted["type"] == "json_object" and profile.name != "local"
    if wants_word and "json" not in json.dumps(body["messages"]).lower():
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
        raise refusal(
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


def profile_of(request: Request) -> Profile:
    """1.1: exactly one Authorization, Bearer, known."""
    values = request.values("authorization")
    if not values:
        raise refusal(
            401,
            "You didn't provide an API key. You need to provide your API key in an "
            "Authorization header using Bearer auth.",
        )
    key = values[0].removeprefix("Bearer ")
    if len(values) > 1 or key not in PROFILES:
        raise refusal(401, "Incorrect API key provided: sk-ab***yz.", code="invalid_api_key")
    return PROFILES[key]


def parse_body(request: Request) -> JSON:
    """1.1, 1.6: JSON, labelled as such, an object."""
    if request.content_type != "application/json":
        raise refusal(
            415,
            f"Unsupported content type: '{request.content_type}'. This API method only "
            "accepts 'application/json' requests.",
        )
    hint = "This likely means you aren't using your HTTP library correctly."
    try:
        body = strict_json(request.body)
    except DuplicateField:
        hint, body = "duplicate field", None
    except ValueError:
        body = None
    else:
        hint = "not an object"
    if not isinstance(body, dict):
        raise bad(f"We could not parse the JSON body of your request. (HINT: {hint})")
    return body


def check(request: Request) -> None:
    """Raise what the real service would refuse a request with."""
    answer(request)


def answer(request: Request) -> Play | Reply:
    profile = profile_of(request)
    route = (request.method, request.path)
    if route == ("GET", "/v1/models"):
        models = [model_object(name, profile) for name in profile.listed]
        return Reply({"object": "list", "data": models})
    if route == ("POST", "/v1/images/generations"):
        return image_play(parse_body(request), profile)
    if route == ("POST", "/v1/embeddings"):
        return embeddings_play(parse_body(request), profile)
    if request.path != "/v1/chat/completions":
        raise refusal(404, f"Invalid URL ({request.method} {request.path})")
    if request.method != "POST":
        raise refusal(
            405,
            f"Not allowed to {request.method} on /v1/chat/completions. (HINT: "
            "Perhaps you meant to use a different HTTP method?)",
        )
    body = parse_body(request)
    for one in CHECKS:
        one(body, profile)
    credential = request.values("authorization")[0]
    return Chat(body, *scenario_of(last_user_text(body)), credential)


def image_play(body: JSON, profile: Profile) -> Image:
    for one in IMAGE_CHECKS:
        one(body, profile)
    return Image({**body, "messages": []}, *scenario_of(body["prompt"]))


def model_object(name: str, profile: Profile) -> JSON:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": profile.name}


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
        raise refusal(
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


def images_for(play: Chat) -> JSON:
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


# ----------------------------------------------------------------------------- embeddings (7)

EMBEDDING_PARAMETERS: dict[str, Rule] = {
    "model": Rule("a string", null=False),
    "input": Rule("a string or array", null=False),
    "encoding_format": Rule("a string", null=False, values=("float", "base64")),
    "dimensions": Rule("an integer", 1, 3072, null=False),
    "user": Rule("a string", null=False),
}
EMBEDDERS = {"openai": r"text-embedding-(3-small|3-large|ada-002)", "local": r"local-embed"}
VECTOR = 8
"""The length of a vector for who names none."""


def embeddings_play(body: JSON, profile: Profile) -> Vectors:
    """Check, and find the scenario in the inputs."""
    for name, value in body.items():
        if name not in EMBEDDING_PARAMETERS:
            raise bad(f"Unrecognized request argument supplied: {name}")
        check_value(name, EMBEDDING_PARAMETERS[name], value)
    if "model" not in body:
        raise bad("you must provide a model parameter")
    if "input" not in body:
        raise missing("input")
    inputs = embedding_inputs(body["input"])
    if not re.fullmatch(EMBEDDERS.get(profile.name, ""), body["model"]):
        raise refusal(
            404,
            f"The model `{body['model']}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    if "dimensions" in body and body["model"] == "text-embedding-ada-002":
        raise bad("This model does not support specifying dimensions.")
    texts = " ".join(one for one in inputs if isinstance(one, str))
    return Vectors({**body, "input": inputs, "messages": []}, *scenario_of(texts))


def embedding_inputs(given: Any) -> list[str | list[int]]:
    """One text, several, the tokens of one, or those of several; none of them empty."""
    inputs = [given] if isinstance(given, str) or given and isinstance(given[0], int) else given
    kinds = {type(one) for one in inputs}
    is_tokens = all(isinstance(one, list) and {type(t) for t in one} == {int} for one in inputs)
    if not inputs or not all(inputs) or len(inputs) > 2048 or not (kinds == {str} or is_tokens):
        raise bad("'$.input' is invalid. Please check the API reference.")
    return inputs


def vector_of(one: str | list[int], size: int) -> list[float]:
    """Numbers that the input decides and that a float32 holds exactly."""
    seed = zlib.crc32(json.dumps(one).encode())
    return [((seed >> (i % 21)) % 2048 - 1024) / 1024 for i in range(size)]


# ----------------------------------------------------------------------------- answers (2.1-2.3)


class Chat(Play):
    """A chat completion."""

    closing = 1

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

    def frames(self) -> list[bytes]:
        events = [event(chunk) for chunk in place_usage(self, chunks_of(self))]
        return [*events, event("[DONE]")]

    def whole(self) -> JSON:
        return completion(self)

    def error(self, status: int, message: str | None = None) -> JSON:
        error = ERRORS.get(status) or ERRORS[500]
        if message is not None:
            error = error | {"message": message, "param": None}
        return {"error": error}

    def error_event(self, status: int, message: str | None = None, *, first: bool = False) -> bytes:
        return event(self.error(status, message))

    def error_headers(self, status: int) -> list[str]:
        return ["retry-after: 7"] if status in (429, 503) else []


class Image(Chat):
    """A picture: one way to answer, but every way to fail before."""

    whole_only = True

    @property
    def usage(self) -> JSON | None:
        return None

    def whole(self) -> JSON:
        return images_for(self)


class Vectors(Chat):
    """Embeddings. A server may ignore `encoding_format`, mix the order up, or leave something out.

    The scenarios of it: floats, base64, unordered, short, words (no numbers), nousage.
    """

    whole_only = True

    @property
    def usage(self) -> JSON:
        tokens = sum(
            len(one.split() if isinstance(one, str) else one) for one in self.body["input"]
        )
        return {"prompt_tokens": tokens, "total_tokens": tokens}

    def whole(self) -> JSON:
        data = [
            {"object": "embedding", "index": index, "embedding": self.encoded(one)}
            for index, one in enumerate(self.body["input"])
        ]
        if self.scenario == "unordered":
            data.reverse()
        if self.scenario == "short":
            data.pop()
        answer = {"object": "list", "data": data, "model": self.body["model"], "usage": self.usage}
        if self.scenario == "nousage":
            del answer["usage"]
        return answer

    def encoded(self, one: str | list[int]) -> Any:
        if self.scenario == "words":
            return ["one", "two"]
        wanted = self.scenario if self.scenario in ("floats", "base64") else ""
        vector = vector_of(one, self.body.get("dimensions", VECTOR))
        if (wanted or self.body.get("encoding_format")) != "base64":
            return vector
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def last_user_text(body: JSON) -> str:
    for message in reversed(body["messages"]):
        if message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return ""


def calls_for(play: Chat) -> list[JSON]:
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
                "arguments": json.dumps({"city": CITIES[i]}, ensure_ascii=False),
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


def structured(play: Chat) -> str | None:
    """An instance of the schema asked for: just enough of JSON Schema for the SDKs' helpers."""
    wanted = play.body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema") or {}
        return json.dumps(instance_of(schema, schema.get("$defs", {})))
    return '{"ok": true}' if wanted.get("type") == "json_object" else None


def message_for(play: Chat) -> tuple[JSON, str]:
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


def envelope(play: Chat, kind: str) -> JSON:
    return {
        "id": f"chatcmpl-fake{play.tag or 'x'}",
        "object": kind,
        "created": CREATED,
        "model": f"{play.body['model']}-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def completion(play: Chat) -> JSON:
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


def deltas_for(play: Chat) -> list[JSON]:
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


def chunks_of(play: Chat) -> list[JSON]:
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


def choice_of(play: Chat, index: int, delta: JSON, reason: str | None) -> JSON:
    word = delta.get("content")
    logprobs = logprobs_for(word) if play.body.get("logprobs") and word else None
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def place_usage(play: Chat, chunks: list[JSON]) -> list[JSON]:
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


# ----------------------------------------------------------------------------- errors (1.6)

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
