"""What Anthropic Messages refuses, rule by rule; each cites its section of anthropic-wire.

`check_body` raises `Refusal` with the status and words of the real service. The order is that of
the real one as far as it is known: shape, model, then meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tests.fakes import anthropic_schemas as schemas
from tests.fakes import signatures
from tests.fakes.play import JSON, Refusal
from tests.fakes.shapes import (
    Check,
    Mismatch,
    Path,
    array,
    boolean,
    choice,
    decode,
    integer,
    mapping,
    nullable,
    number,
    picture_type,
    record,
    string,
    tagged,
    text_or,
)

OLD, NEW = "2023-06-01", "2026-10-21"
BINDING_BETA = "thinking-binding-controls-2026-08-01"

ERRORS = {  # section 9
    400: ("invalid_request_error", "messages.0.content: the fake upstream refuses it"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is a problem with your billing information."),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "model: claude-x"),
    409: ("conflict_error", "The request conflicts with the current state of the resource."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: (
        "rate_limit_error",
        "This request would exceed your organization's (org-canary) rate limit of 3 requests "
        "per minute.",
    ),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out. Please try streaming."),
    529: ("overloaded_error", "Overloaded"),
}


def error_body(kind: str, message: str) -> JSON:
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": "req_fake"}


def refusal(status: int, message: str) -> Refusal:
    return Refusal(status, message, error_body(ERRORS[status][0], message))


def bad(message: str) -> Refusal:
    return refusal(400, message)


# ----------------------------------------------------------------------------- models (6)


@dataclass(frozen=True)
class Model:
    """One row of the table of section 6."""

    thinking: tuple[str, ...]
    default: str = "off"
    efforts: tuple[str, ...] = ("low", "medium", "high")
    forced: bool = True
    sampling: bool = False
    prefill: bool = False
    system: bool = False
    bound: bool = False
    ceiling: int = 128_000
    shows: bool = False
    """Whether thinking text comes without being asked for (0.5)."""


TO_MAX = ("low", "medium", "high", "max")
ALL = ("low", "medium", "high", "xhigh", "max")
SMALL = Model(
    ("enabled", "disabled"), efforts=(), sampling=True, prefill=True, ceiling=64_000, shows=True
)
OPUS_45 = Model(("enabled", "disabled"), sampling=True, prefill=True, ceiling=64_000, shows=True)
SIX = Model(("adaptive", "enabled", "disabled"), efforts=TO_MAX, sampling=True, shows=True)
OPUS_47 = Model(("adaptive", "disabled"), efforts=ALL)
OPUS_48 = Model(("adaptive", "disabled"), efforts=ALL, system=True)
SONNET_5 = Model(("adaptive", "disabled"), "on", ALL)
OPUS_5 = Model(("adaptive", "disabled"), "on", ALL, system=True)
FABLE_5 = Model(("adaptive",), "always", ALL, system=True)
FABLE_51 = Model(("adaptive",), "always", ALL, forced=False, system=True, bound=True)
SONNET_55 = Model(("adaptive", "between_tools"), "on", ALL, forced=False, system=True, bound=True)
MODELS = (
    (r"(haiku|sonnet)-4-5", SMALL),
    (r"opus-4-5", OPUS_45),
    (r"(sonnet|opus)-4-6", SIX),
    (r"opus-4-7", OPUS_47),
    (r"opus-4-8", OPUS_48),
    (r"sonnet-5", SONNET_5),
    (r"opus-5", OPUS_5),
    (r"(fable|mythos)-5", FABLE_5),
    (r"(sonnet|haiku)-5-5", SONNET_55),
    (r"opus-5-5|(fable|mythos)-(5-1|5-2|preview)", FABLE_51),
)
RETIRED = r"claude-(3|2|instant|(opus|sonnet)-4(-[01])?(-\d{8})?$|.*-latest)"


def model_of(name: str) -> Model:
    """The row of a model; unknown and retired ones are a 404, other new ones like the newest."""
    if not name.startswith("claude-") or re.match(RETIRED, name):
        raise refusal(404, f"model: {name}")
    family = re.sub(r"-\d{8}$", "", name.removeprefix("claude-"))
    return next((row for pattern, row in MODELS if re.fullmatch(pattern, family)), FABLE_51)


# ----------------------------------------------------------------------------- shapes (2, 3.1, 5)

CACHE = nullable(record({"type": choice("ephemeral")}, {"ttl": choice("5m", "1h")}))
MARK = {"cache_control": CACHE}
TYPE = {"type": string()}
TEXT = record(TYPE | {"text": string()}, MARK | {"citations": nullable(array(mapping))})
PICTURE = choice("image/jpeg", "image/png", "image/gif", "image/webp")
URL = record(TYPE | {"url": string()})
IMAGE = record(
    TYPE
    | {
        "source": tagged(
            {"base64": record(TYPE | {"media_type": PICTURE, "data": string()}), "url": URL}
        )
    },
    MARK,
)
DOCUMENT = record(
    TYPE
    | {
        "source": tagged(
            {
                "base64": record(
                    TYPE | {"media_type": choice("application/pdf"), "data": string()}
                ),
                "text": record(TYPE | {"media_type": choice("text/plain"), "data": string()}),
                "content": record(TYPE | {"content": text_or(array(tagged({"text": TEXT})))}),
                "url": URL,
            }
        )
    },
    MARK
    | {
        "title": nullable(string()),
        "context": nullable(string()),
        "citations": nullable(record({}, {"enabled": boolean})),
    },
)
SEARCH = record(
    TYPE | {"source": string(), "title": string(), "content": array(tagged({"text": TEXT}))},
    MARK | {"citations": mapping},
)
MEDIA = {"text": TEXT, "image": IMAGE, "document": DOCUMENT, "search_result": SEARCH}
ID = string(r"[a-zA-Z0-9_-]+")
TOOL_RESULT = record(
    TYPE | {"tool_use_id": ID},
    MARK | {"content": text_or(array(tagged(MEDIA))), "is_error": boolean},
)
TOOL_USE = record(TYPE | {"id": ID, "name": string(low=1, high=200), "input": mapping}, MARK)
THINKING = record(TYPE | {"thinking": string(), "signature": string()})
REDACTED = record(TYPE | {"data": string()})
BLOCKS: dict[str, dict[str, Check]] = {
    "user": MEDIA | {"tool_result": TOOL_RESULT},
    "assistant": {
        "text": TEXT,
        "tool_use": TOOL_USE,
        "thinking": THINKING,
        "redacted_thinking": REDACTED,
    },
    "system": {"text": TEXT},
}
ROLE_OF = {
    "tool_result": "user",
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
}


def message(path: Path, value: Any) -> None:
    record({"role": choice("user", "assistant", "system"), "content": lambda *_: None})(path, value)
    text_or(array(tagged(BLOCKS[value["role"]])))((*path, "content"), value["content"])


TOOL = record(
    {"name": string(r"[a-zA-Z0-9_-]{1,64}"), "input_schema": mapping},
    MARK
    | {
        "type": choice("custom"),
        "description": string(),
        "strict": boolean,
        "eager_input_streaming": boolean,
    },
)
PARALLEL = {"disable_parallel_tool_use": boolean}
TOOL_CHOICE = tagged(
    {
        "auto": record(TYPE, PARALLEL),
        "any": record(TYPE, PARALLEL),
        "tool": record(TYPE | {"name": string()}, PARALLEL),
        "none": record(TYPE),
    }
)
DISPLAY = {"display": nullable(choice("summarized", "omitted"))}
BINDING = record({}, {"prefix_mismatch_behavior": choice("error", "drop_block")})


def thinking_shape(betas: frozenset[str]) -> Check:
    binding = {"block_binding": BINDING} if BINDING_BETA in betas else {}
    return tagged(
        {
            "enabled": record(TYPE | {"budget_tokens": integer(1024)}, DISPLAY | binding),
            "adaptive": record(TYPE, DISPLAY | binding),
            "between_tools": record(TYPE, DISPLAY | binding),
            "disabled": record(TYPE),
        }
    )


FORMAT = record({"type": choice("json_schema"), "schema": mapping})
OUTPUT = record({}, {"effort": nullable(choice(*ALL)), "format": nullable(FORMAT)})
SYSTEM = text_or(array(tagged({"text": TEXT})))
COUNTED: dict[str, Check] = {
    "system": SYSTEM,
    "tools": array(tagged({"custom": TOOL}, default="custom")),
    "tool_choice": TOOL_CHOICE,
    "output_config": OUTPUT,
    "cache_control": CACHE,
}
SAMPLING: dict[str, Check] = {
    "temperature": number(0, 1),
    "top_p": number(0, 1),
    "top_k": integer(0),
}
CREATED: dict[str, Check] = {
    "stop_sequences": array(string()),
    "stream": boolean,
    "metadata": record({}, {"user_id": nullable(string(high=256))}),
    "service_tier": choice("auto", "standard_only"),
    "speed": nullable(choice("standard", "fast")),
    "inference_geo": nullable(string()),
    "container": nullable(string()),
    "diagnostics": nullable(record({}, {"previous_message_id": nullable(string())})),
}
REQUIRED = {
    "model": string(low=1, high=256),
    "messages": array(message, high=100_000),
}


def body_shape(*, counting: bool, version: str, betas: frozenset[str]) -> Check:
    optional = COUNTED | {"thinking": thinking_shape(betas)}
    if counting:
        return record(REQUIRED, optional)
    if version == OLD:
        optional |= SAMPLING
    return record(REQUIRED | {"max_tokens": integer(0)}, optional | CREATED)


KINDS = {
    "string": "string",
    "array": "list",
    "object": "dictionary",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


def worded(problem: Mismatch) -> str:
    """A mismatch in the words of the service."""
    path, detail = ".".join(map(str, problem.path)), problem.detail
    is_text = isinstance(problem.value, str)
    unit, noun = ("character", "String") if is_text else ("item", "List")
    values = [f"'{value}'" for value in detail] if isinstance(detail, tuple) else []
    texts = {
        "unknown": "Extra inputs are not permitted",
        "missing": "Field required",
        "type": f"Input should be a valid {KINDS.get(str(detail), '')}",
        "low": f"Input should be greater than or equal to {detail}",
        "high": f"Input should be less than or equal to {detail}",
        "pattern": f"String should match pattern '^{detail}$'",
        "short": f"{noun} should have at least {detail} {unit}{'' if detail == 1 else 's'}",
        "long": f"{noun} should have at most {detail} {unit}s",
        "choice": f"Input should be {' or '.join(filter(None, [', '.join(values[:-1]), *values[-1:]]))}",
        "tag": f"Input tag '{problem.value}' found using 'type' does not match any of the "
        f"expected tags: {', '.join(values)}",
    }
    return f"{path}: {texts[problem.problem]}"


# ----------------------------------------------------------------------------- the rules


@dataclass(frozen=True)
class Asked:
    """A body of good shape with what the rules ask of it."""

    body: JSON
    model: Model
    version: str
    counting: bool

    @property
    def thinking(self) -> str:
        """The type of thinking asked for; empty when nothing is said."""
        return str((self.body.get("thinking") or {}).get("type", ""))

    @property
    def effort(self) -> str:
        return (self.body.get("output_config") or {}).get("effort") or ""

    @property
    def messages(self) -> list[JSON]:
        messages: list[JSON] = self.body["messages"]
        return messages

    @property
    def tools(self) -> list[JSON]:
        tools: list[JSON] = self.body.get("tools") or []
        return tools

    def blocks(self) -> Iterator[tuple[str, JSON]]:
        """Every block of the messages with its path, those inside results included."""
        for i, one in enumerate(self.messages):
            for j, block in enumerate(blocks_of(one)):
                path = f"messages.{i}.content.{j}"
                yield path, block
                inner = block.get("content")
                if block["type"] == "tool_result" and isinstance(inner, list):
                    for k, part in enumerate(inner):
                        yield f"{path}.tool_result.content.{k}", part


def blocks_of(one: JSON) -> list[JSON]:
    content = one["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def of_type(one: JSON, *kinds: str) -> list[JSON]:
    return [block for block in blocks_of(one) if block["type"] in kinds]


def check_max_tokens(asked: Asked) -> None:
    """2: the ceiling of the model."""
    wanted = asked.body.get("max_tokens", 0)
    if wanted > asked.model.ceiling:
        raise bad(
            f"max_tokens: {wanted} > {asked.model.ceiling}, which is the maximum allowed number "
            f"of output tokens for {asked.body['model']}"
        )


def check_stop_sequences(asked: Asked) -> None:
    if any(not text.strip() for text in asked.body.get("stop_sequences", [])):
        raise bad("stop_sequences: each stop sequence must contain non-whitespace")


def check_sampling(asked: Asked) -> None:
    """0.2, 2: by model, one of two, and hardly with thinking."""
    given = {name: asked.body[name] for name in SAMPLING if name in asked.body}
    if not asked.model.sampling:
        for name, value in given.items():
            if name == "top_k" or value != 1 or len(given) > 1:
                raise bad(f"`{name}` is deprecated for this model.")
    if {"temperature", "top_p"} <= given.keys():
        raise bad(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only "
            "one."
        )
    if asked.thinking in ("enabled", "adaptive"):
        check_sampling_while_thinking(given)


def check_sampling_while_thinking(given: JSON) -> None:
    if given.get("temperature", 1) != 1:
        raise bad("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in given:
        raise bad("`top_k` must be unset when thinking is enabled.")
    if given.get("top_p", 1) < 0.95:
        raise bad(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
        )


def check_thinking(asked: Asked) -> None:
    """6: the types of each model, and the budget."""
    if asked.thinking and asked.thinking not in asked.model.thinking:
        raise bad(thinking_advice(asked))
    budget = asked.body.get("thinking", {}).get("budget_tokens", 0)
    if budget and not asked.counting and budget >= asked.body["max_tokens"]:
        raise bad("`max_tokens` must be greater than `thinking.budget_tokens`.")


def thinking_advice(asked: Asked) -> str:
    if asked.thinking == "adaptive":
        return "adaptive thinking is not supported on this model"
    advice = {
        "enabled": ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking '
        "behavior.",
    }
    return f'"thinking.type.{asked.thinking}" is not supported for this model.' + advice.get(
        asked.thinking, ""
    )


def check_effort(asked: Asked) -> None:
    """6: the efforts of each model, and those that leave no choice."""
    if not asked.effort:
        return
    if not asked.model.efforts:
        raise bad("This model does not support the effort parameter.")
    if asked.effort not in asked.model.efforts:
        raise bad(
            f"output_config.effort: '{asked.effort}' is not supported for this model. Supported "
            f"values: {', '.join(asked.model.efforts)}"
        )
    has_no_choice = asked.thinking in ("disabled", "between_tools")
    if has_no_choice and asked.effort in ("xhigh", "max") and asked.model in (OPUS_5, SONNET_55):
        raise bad(
            f'"thinking.type.{asked.thinking}" is only supported with effort "high" or lower.'
        )


def check_tools(asked: Asked) -> None:
    """5: unique names, sound schemas, at most 20 strict ones."""
    names = [tool["name"] for tool in asked.tools]
    if len(names) != len(set(names)):
        raise bad("tools: Tool names must be unique.")
    strict = [tool for tool in asked.tools if tool.get("strict")]
    if len(strict) > schemas.STRICT_LIMIT:
        raise bad(f"Too many strict tools ({len(strict)}). The maximum is 20.")
    for i, tool in enumerate(asked.tools):
        where = f"tools.{i}.custom.input_schema"
        schemas.check_tool_schema(tool["input_schema"], lambda text, at=where: bad(at + text))
        if tool.get("strict"):
            schemas.check_subset(
                tool["input_schema"], lambda text, at=f"tools.{i}.custom": bad(at + text)
            )


def check_tool_choice(asked: Asked) -> None:
    """0.3, 5: needs tools; forcing is refused by the newest models and while thinking."""
    wanted = asked.body.get("tool_choice")
    if wanted is None:
        return
    if not asked.tools:
        raise bad("tool_choice: `tool_choice` may only be specified while providing `tools`.")
    if wanted["type"] not in ("any", "tool"):
        return
    if not asked.model.forced:
        raise bad('tool_choice: type "tool" and "any" are not supported for this model.')
    if asked.thinking == "enabled":
        raise bad("Thinking may not be enabled when tool_choice forces tool use.")
    if wanted["type"] == "tool" and wanted["name"] not in [tool["name"] for tool in asked.tools]:
        raise bad(f"tool_choice: Tool '{wanted['name']}' not found in provided tools")


def check_format(asked: Asked) -> None:
    """7: the subset, and what it does not go with."""
    wanted = (asked.body.get("output_config") or {}).get("format")
    strict = [tool["input_schema"] for tool in asked.tools if tool.get("strict")]
    if wanted:
        schemas.check_subset(
            wanted["schema"], lambda text: bad("output_config.format.schema" + text)
        )
        if asked.messages[-1]["role"] == "assistant":
            raise bad("output_config.format: prefill is not supported with structured outputs")
        if any((block.get("citations") or {}) for _, block in asked.blocks()):
            raise bad("output_config.format: citations are not supported with structured outputs")
    schemas.check_totals([*strict, *([wanted["schema"]] if wanted else [])], bad)


def check_system_field(asked: Asked) -> None:
    system = asked.body.get("system", "")
    if isinstance(system, list) and any(not block["text"].strip() for block in system):
        raise bad("system: text content blocks must be non-empty")


def check_roles(asked: Asked) -> None:
    """3: user first, no prefill from 4.6 on."""
    if not asked.messages:
        raise bad("messages: at least one message is required")
    if asked.messages[0]["role"] != "user":
        raise bad('messages: first message must use the "user" role')
    last = asked.messages[-1]
    if last["role"] != "assistant":
        return
    if not asked.model.prefill:
        raise bad(
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )
    texts = of_type(last, "text")
    if texts and texts[-1]["text"] != texts[-1]["text"].rstrip():
        raise bad("messages: final assistant content cannot end with trailing whitespace")


def check_system_messages(asked: Asked) -> None:
    """3: where a system message may stand, and on which models."""
    roles = [one["role"] for one in asked.messages]
    if "system" not in roles:
        return
    if not asked.model.system:
        raise bad(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
            'parameter, not "system" as an input message role.'
        )
    for i, role in enumerate(roles):
        if role != "system":
            continue
        before = next((other for other in reversed(roles[:i]) if other != "system"), "")
        after = next((other for other in roles[i + 1 :] if other != "system"), "assistant")
        if before != "user" or after != "assistant":
            raise bad(
                f"messages.{i}: `system` messages must directly follow a `user` message and be "
                "last or followed by an `assistant` message"
            )


def check_empty(asked: Asked) -> None:
    """3: no empty message but a final assistant's, no empty text block."""
    for i, one in enumerate(asked.messages):
        is_final = i == len(asked.messages) - 1 and one["role"] == "assistant"
        if not one["content"] and not is_final:
            raise bad(
                f"messages.{i}: all messages must have non-empty content except for the optional "
                "final assistant message"
            )
    texts = [b["text"] for _, b in asked.blocks() if b["type"] == "text" and b["text"] != ""]
    if any(b["type"] == "text" and b["text"] == "" for _, b in asked.blocks()):
        raise bad("messages: text content blocks must be non-empty")
    if any(not text.strip() for text in texts):
        raise bad("messages: text content blocks must contain non-whitespace text")


def check_misplaced(body: JSON) -> None:
    """3.1: blocks that belong to the other role; told before their shape."""
    for i, one in enumerate(body.get("messages", [])):
        content = one.get("content") if isinstance(one, dict) else None
        for j, block in enumerate(content if isinstance(content, list) else []):
            kind = block.get("type") if isinstance(block, dict) else None
            owner = ROLE_OF.get(kind) if isinstance(kind, str) else None
            if owner and one.get("role") != owner:
                raise bad(
                    f"messages.{i}.content.{j}: `{kind}` blocks can only be in `{owner}` messages"
                )


def check_tool_blocks(asked: Asked) -> None:
    """3.2: every call is answered at once, in one message, and nothing else is."""
    seen: set[str] = set()
    previous: list[str] = []
    for i, one in enumerate(asked.messages):
        check_results(i, one, previous)
        previous = [block["id"] for block in of_type(one, "tool_use")]
        for name in previous:
            if name in seen:
                raise bad(f"messages.{i}.content: `tool_use` ids must be unique")
            seen.add(name)
        if previous:
            check_answered(i, previous, asked.messages[i + 1 : i + 2])
    if not asked.tools and any(b["type"] in ("tool_use", "tool_result") for _, b in asked.blocks()):
        raise bad(
            "Requests which have `tool_use` or `tool_result` blocks in their messages must define "
            "tools."
        )


def check_results(i: int, one: JSON, calls: list[str]) -> None:
    """Rules 3 and 4: a result answers a call of the message before, once."""
    answered: set[str] = set()
    for block in of_type(one, "tool_result"):
        name = block["tool_use_id"]
        if name not in calls:
            raise bad(
                f"messages.{i}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{name}. Each `tool_result` block must have a corresponding `tool_use` block in "
                "the previous message."
            )
        if name in answered:
            raise bad(
                f"messages.{i}.content: each tool_use must have a single result. Found multiple "
                f"`tool_result` blocks with id: {name}"
            )
        answered.add(name)


def check_answered(i: int, calls: list[str], following: list[JSON]) -> None:
    """Rules 1, 2 and 5: all results in the next message, before anything else."""
    heads: list[JSON] = []
    for one in following:
        if one["role"] == "user":
            heads = list(takewhile(lambda block: block["type"] == "tool_result", blocks_of(one)))
    answered = {block["tool_use_id"] for block in heads}
    if unanswered := [name for name in calls if name not in answered]:
        raise bad(
            f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(unanswered)}. Each `tool_use` block must have a corresponding "
            "`tool_result` block in the next message."
        )


def check_media(asked: Asked) -> None:
    """3.1: bytes are what they are said to be."""
    for path, block in asked.blocks():
        if block["type"] in ("image", "document"):
            check_source(f"{path}.{block['type']}.source", block["source"])


def check_source(path: str, source: JSON) -> None:
    if source["type"] == "url" and not source["url"].startswith("https://"):
        raise bad(f"{path}.url.url: Only HTTPS URLs are supported.")
    if source["type"] != "base64":
        return
    data = decode(source["data"])
    if data is None:
        raise bad(f"{path}.base64: invalid base64 data")
    if source["media_type"] == "application/pdf":
        if not data.startswith(b"%PDF-"):
            raise bad("The PDF specified was not valid.")
        return
    actual = picture_type(data)
    if actual not in ("image/png", "image/jpeg", "image/gif", "image/webp"):
        raise bad("Could not process image")
    if actual != source["media_type"]:
        raise bad(
            f"{path}.base64.data: The image was specified using the {source['media_type']} media "
            f"type, but the image appears to be a {actual} image"
        )
    if len(source["data"]) > 10 * 1024 * 1024:
        raise bad(f"{path}.base64: image exceeds 10 MB maximum")


def check_cache(asked: Asked) -> None:
    """10: at most four marks, the long-lived ones first."""
    system = asked.body.get("system")
    places = [*asked.tools, *(system if isinstance(system, list) else [])]
    places += [block for _, block in asked.blocks()]
    marks = [mark for block in places if (mark := block.get("cache_control"))]
    if len(marks) > 4:
        raise bad(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    lives = [mark.get("ttl", "5m") for mark in marks]
    if lives != sorted(lives):
        raise bad(
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
        )


# ----------------------------------------------------------------------------- thinking blocks (6)


def prefix_of(body: JSON, count: int) -> str:
    """What a thinking block is bound to: system, tools and the messages before it, as they mean."""
    merged: list[tuple[str, list[JSON]]] = []
    for one in body["messages"][:count]:
        blocks = [bare(b) for b in blocks_of(one) if not b["type"].endswith("thinking")]
        if merged and merged[-1][0] == one["role"]:
            merged[-1][1].extend(blocks)
        else:
            merged.append((one["role"], blocks))
    system = body.get("system") or []
    system = [{"type": "text", "text": system}] if isinstance(system, str) else system
    tools = [bare(tool) for tool in body.get("tools") or []]
    return signatures.digest([[bare(block) for block in system], tools, merged])


def bare(block: JSON) -> JSON:
    """A block without what only marks it."""
    kept = {k: v for k, v in block.items() if k not in ("cache_control", "citations")}
    if kept.get("type") == "tool_result" and isinstance(kept.get("content"), list):
        kept["content"] = [bare(part) for part in kept["content"]]
    return kept


UNMODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)
FIRST = (
    "When `thinking` is enabled, a final `assistant` message must start with a thinking block "
    "(preceding the lastmost set of `tool_use` and `tool_result` blocks). To avoid this "
    "requirement, disable `thinking`."
)


def check_thinking_blocks(asked: Asked) -> None:
    """0.7, 6: issued here, unchanged, first, complete, and of this conversation."""
    for i, one in enumerate(asked.messages):
        blocks = of_type(one, "thinking", "redacted_thinking")
        if blocks and blocks_of(one)[0] not in blocks:
            found = blocks_of(one)[0]["type"]
            raise bad(
                f"messages.{i}.content.0.type: Expected `thinking` or `redacted_thinking`, but "
                f"found `{found}`. {FIRST}"
            )
        claims = [check_issued(asked, i, block) for block in blocks]
        own = [claim for claim in claims if claim["model"] == asked.body["model"]]
        if own and [claim["index"] for claim in own] != list(range(own[0]["count"])):
            raise bad(f"messages.{i}.content.0: {UNMODIFIED}")


def check_issued(asked: Asked, i: int, block: JSON) -> JSON:
    field = "data" if block["type"] == "redacted_thinking" else "signature"
    j = blocks_of(asked.messages[i]).index(block)
    claims = signatures.read("anthropic", block[field])
    if claims is None:
        raise bad(f"messages.{i}.content.{j}: Invalid `{field}` in `{block['type']}` block")
    if claims["text"] != signatures.digest(block.get("thinking", "")):
        raise bad(f"messages.{i}.content.{j}: {UNMODIFIED}")
    binding = (asked.body.get("thinking") or {}).get("block_binding") or {}
    bound = asked.model.bound and binding.get("prefix_mismatch_behavior") != "drop_block"
    is_own = claims["model"] == asked.body["model"]
    if bound and is_own and claims["prefix"] != prefix_of(asked.body, i):
        raise bad(
            f"messages.{i}.content.{j}: Invalid signature in thinking block. The block is bound "
            "to a different conversation prefix."
        )
    return claims


def check_thinking_before_tools(asked: Asked) -> None:
    """6: in `enabled` mode the message being answered begins with its thinking."""
    if asked.thinking != "enabled" or len(asked.messages) < 2:
        return
    answered, last = asked.messages[-2:]
    if not of_type(last, "tool_result"):
        return
    found = blocks_of(answered)[0]["type"]
    if found not in ("thinking", "redacted_thinking"):
        raise bad(
            f"messages.{len(asked.messages) - 2}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{found}`. {FIRST}"
        )


RULES: tuple[Callable[[Asked], None], ...] = (
    check_roles,
    check_max_tokens,
    check_stop_sequences,
    check_sampling,
    check_thinking,
    check_effort,
    check_system_field,
    check_system_messages,
    check_empty,
    check_tools,
    check_tool_choice,
    check_tool_blocks,
    check_format,
    check_media,
    check_cache,
    check_thinking_blocks,
    check_thinking_before_tools,
)


def check_body(
    body: Any,
    *,
    counting: bool = False,
    version: str = OLD,
    betas: frozenset[str] = frozenset(),
) -> None:
    """Raise `Refusal` for everything that the real service would refuse."""
    if not isinstance(body, dict):
        raise bad("Input should be a valid dictionary")
    check_misplaced(body)
    try:
        body_shape(counting=counting, version=version, betas=betas)((), body)
    except Mismatch as problem:
        raise bad(worded(problem)) from None
    asked = Asked(body, model_of(body["model"]), version, counting)
    for rule in RULES:
        rule(asked)
