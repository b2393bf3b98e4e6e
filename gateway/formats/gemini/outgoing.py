"""`ChatRequest`s to generateContent bodies.

Facts: reference/gemini-wire.md 4 to 6, translation.md 4.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway import schemas
from gateway.efforts import known_efforts, nearest
from gateway.losses import unsupported
from gateway.media import mime_of
from gateway.target import Target
from gateway.tool_names import ToolNames
from gateway.turns import Turn, split
from gateway.types import (
    JSON,
    ChatRequest,
    Media,
    Opaque,
    Part,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.validation import Problem

FITTING_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
SENTINEL = "skip_thought_signature_validator"
"""Google's documented stand-in for a signature that the model did not give (7)."""
MAX_STOPS = 5
LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
EFFORTS = {level: effort for effort, level in LEVELS.items()}
BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192}
MOST_BUDGET = 24_576
LEAST_BUDGET = 128
"""Thinking tokens of a model that can't be told not to think at all."""
IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
NEEDED = {"audio": "audio", "video": "video", "image": "vision"}
"""What a model has to be able to do for each kind of media."""


def call_path(template: str, model: str, *, is_stream: bool) -> str:
    """The path of a call; streams are always asked for as server-sent events."""
    method = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    return template.format(model=model, method=method)


def write_request(request: ChatRequest, target: Target) -> JSON:
    """The body for a Gemini model. Raises `InvalidRequest` for what it can't take."""
    target.streams = request.stream
    target.tool_names = ToolNames(FITTING_NAME)
    system, turns = split(request)
    body: JSON = {"contents": _contents(turns, target)}
    config = _sampling(request, target) | _limits(request, target) | _thinking(request, target)
    shape, order = _shape(request, target)
    if order:
        system.append(order)
    body |= _tools(request, target)
    if config := config | shape:
        body["generationConfig"] = config
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if request.user:
        target.losses.drop("user")
    return body


# ----------------------------------------------------------------------------- contents


def _contents(turns: list[Turn], target: Target) -> list[JSON]:
    names: dict[str, str] = {}
    contents: list[JSON] = []
    for turn in turns:
        if turn.role == "assistant":
            names |= {call.id: call.name for call in turn.calls()}
            contents.append({"role": "model", "parts": _model_parts(turn, target)})
        else:
            contents += _user_contents(turn, names, target)
    return [content for content in contents if content["parts"]]


def _model_parts(turn: Turn, target: Target) -> list[JSON]:
    parts: list[JSON] = []
    is_first = True
    for part in turn.parts:
        if isinstance(part, ToolCall):
            parts.append(_call(part, target, needs_signature=is_first))
            is_first = False
        elif isinstance(part, Text | Refusal):
            parts.append({"text": part.text})
        elif isinstance(part, Opaque | Media):
            raise unsupported("This model can't take this part.", part.where)
    return parts


def _call(call: ToolCall, target: Target, *, needs_signature: bool) -> JSON:
    """Parallel calls carry one signature, on the first; a missing one is made up for."""
    name = target.tool_names.sent(call.name)
    wire: JSON = {"functionCall": {"name": name, "args": _object(call.arguments, target)}}
    signature = _signature(call, target)
    if signature is None and needs_signature and target.can("adaptive"):
        signature = SENTINEL
    if signature is not None:
        wire["thoughtSignature"] = signature
    return wire


def _signature(call: ToolCall, target: Target) -> str | None:
    """The model's own; another model's would be refused as corrupted."""
    state = target.memory.recall(call)
    is_its = state is not None and state.vendor == "gemini"
    if not is_its or (state.model and state.model != target.upstream_model):  # type: ignore[union-attr]
        return None
    return state.signature  # type: ignore[union-attr]


def _object(arguments: str, target: Target) -> JSON:
    """Arguments as an object; a call whose arguments are none is kept, its result needs it."""
    try:
        args = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        target.losses.emulate("arguments")
        return {"_raw": arguments}
    return args if isinstance(args, dict) else {"value": args}


def _user_contents(turn: Turn, names: dict[str, str], target: Target) -> Iterator[JSON]:
    """Results stand alone in their content, one for each call; what else was said comes after."""
    results = turn.results()
    shown: list[Part] = []
    if results:
        yield {"role": "user", "parts": [_result(result, names, target) for result in results]}
        for result in results:
            pictures: list[Part] = [part for part in result.content if isinstance(part, Media)]
            if pictures:
                name = result.name or names.get(result.call_id, "the tool")
                shown += [Text(f"Output of {name}:"), *pictures]
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    yield {"role": "user", "parts": [_user_part(part, target) for part in shown + rest]}


def _result(result: ToolResult, names: dict[str, str], target: Target) -> JSON:
    name = names.get(result.call_id) or result.name or result.call_id
    text = "".join(part.text for part in result.content if isinstance(part, Text))
    response = _response(text, result.is_error)
    return {"functionResponse": {"name": target.tool_names.sent(name), "response": response}}


def _response(text: str, is_error: bool) -> JSON:
    """Text that is a JSON object is the response itself, anything else its `result`."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    return {"error" if is_error else "result": text}


def _user_part(part: Part, target: Target) -> JSON:
    if isinstance(part, Text | Refusal):
        return {"text": part.text}
    if isinstance(part, Media):
        return _media(part, target)
    where = part.where if isinstance(part, Opaque) else ""
    raise unsupported("This model can't take this part.", where)


def _media(media: Media, target: Target) -> JSON:
    if media.data is None:
        raise unsupported("The file has to be sent along, or be an https URL.", media.where)
    mime_type = mime_of(_head(media.data)) or media.mime_type or ""
    needed = NEEDED.get(mime_type.partition("/")[0], "pdf")
    if mime_type.startswith("image/") and mime_type not in IMAGES:
        raise unsupported(f"This model does not read {mime_type}.", media.where)
    if not mime_type.startswith("text/") and not target.can(needed):
        raise unsupported(f"This model does not take {mime_type or 'this file'}.", media.where)
    if media.name:
        target.losses.drop(f"{media.where}.file.filename")
    return {"inlineData": {"mimeType": mime_type, "data": media.data}}


def _head(data: str) -> bytes:
    """The first bytes of base64: enough to tell what it is."""
    try:
        return base64.b64decode(data[:64])
    except ValueError:
        return b""


# ----------------------------------------------------------------------------- configuration


def _sampling(request: ChatRequest, target: Target) -> JSON:
    config: JSON = {}
    for name, wire in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK")):
        value = getattr(request, name)
        if value is None:
            continue
        if target.can("sampling"):
            config[wire] = value
        else:
            target.losses.leave_out(name, value)
    return config


def _limits(request: ChatRequest, target: Target) -> JSON:
    config: JSON = {
        wire: value
        for name, wire in (
            ("seed", "seed"),
            ("presence_penalty", "presencePenalty"),
            ("frequency_penalty", "frequencyPenalty"),
        )
        if (value := getattr(request, name)) is not None
    }
    config |= _max_tokens(request, target) | _stops(request, target)
    if request.n > 1:
        if not target.can("choices"):
            target.losses.refuse("n", "It makes one answer at a time.")
        config["candidateCount"] = request.n
    if request.logprobs is not None:
        config |= {"responseLogprobs": True} | (
            {"logprobs": request.logprobs} if request.logprobs else {}
        )
    return config


def _max_tokens(request: ChatRequest, target: Target) -> JSON:
    limit = request.max_tokens
    if limit is None:
        return {}
    if target.max_output and limit > target.max_output:
        limit = target.max_output
        target.losses.clamp("max_tokens", limit)
    return {"maxOutputTokens": limit}


def _stops(request: ChatRequest, target: Target) -> JSON:
    stops = [stop for stop in dict.fromkeys(request.stop) if stop]
    if len(stops) > MAX_STOPS:
        target.losses.emulate("stop")
        target.cut_at = stops[MAX_STOPS:]
    return {"stopSequences": stops[:MAX_STOPS]} if stops else {}


def _thinking(request: ChatRequest, target: Target) -> JSON:
    config = _thinking_amount(request, target)
    if request.shows_reasoning and target.can("reasoning"):
        config["includeThoughts"] = True
    return {"thinkingConfig": config} if config else {}


def _thinking_amount(request: ChatRequest, target: Target) -> JSON:
    """A level for models that decide themselves, a budget for older ones, never both."""
    effort, budget = request.reasoning_effort, request.reasoning_budget
    if effort is None:
        return {} if budget is None else {"thinkingBudget": budget}
    if target.can("adaptive"):
        return {"thinkingLevel": LEVELS[_known(effort, target)]}
    if target.can("budget_thinking"):
        return {"thinkingBudget": _budget(effort, target)}
    if effort != "none":
        target.losses.drop("reasoning_effort")
    return {}


def fitting_thinking(config: JSON, target: Target) -> JSON:
    """A caller's own thinkingConfig as the model takes it: a level or a budget, whichever it knows.

    Off is the least there is where a model cannot be told not to think.
    """
    effort = EFFORTS.get(str(config.get("thinkingLevel", "")).upper())
    is_off = config.get("thinkingBudget") in (0, "0")
    rest = {
        name: v for name, v in config.items() if name not in ("thinkingLevel", "thinkingBudget")
    }
    if effort is not None and not target.can("adaptive") and target.can("budget_thinking"):
        return {**rest, "thinkingBudget": _budget(effort, target)}
    if effort is not None and target.can("adaptive"):
        return {**config, "thinkingLevel": LEVELS[_known(effort, target)]}
    if is_off and target.can("adaptive") and not target.can("effort_minimal"):
        return {**rest, "thinkingLevel": LEVELS[_known("none", target)]}
    return config


def _known(effort: str, target: Target) -> str:
    known = nearest(effort, known_efforts(target.capabilities) & LEVELS.keys())
    if known != effort:
        target.losses.clamp("reasoning_effort", known)
    return known


def _budget(effort: str, target: Target) -> int:
    if effort == "none" and not target.can("effort_none"):
        target.losses.clamp("reasoning_effort", "minimal")
        return LEAST_BUDGET
    return BUDGETS.get(effort, MOST_BUDGET)


def _shape(request: ChatRequest, target: Target) -> tuple[JSON, str | None]:
    """The wanted form of the answer: as configuration, or as an order in words."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return {}, None
    if request.tools and not target.can("json_with_tools"):
        target.losses.emulate("response_format")
        target.unfences = True
        return {}, _order(wanted)
    config: JSON = {"responseMimeType": "application/json"}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        adapted = _adapted(wanted.schema, "response_format", is_tool=False)
        if adapted.schema is not None:
            config["responseJsonSchema"] = schemas.described(adapted.schema, wanted.description)
        for keyword in adapted.lost:
            target.losses.drop(f"response_format.{keyword}")
    return config, None


def _adapted(schema: JSON | None, where: str, *, is_tool: bool) -> schemas.Adapted:
    try:
        return schemas.for_gemini(schema, is_tool=is_tool)
    except Problem as problem:
        raise problem.within(where).error() from None


def _order(wanted: ResponseFormat) -> str:
    order = "When you answer in text, answer with one JSON object, no code fence, nothing else."
    if wanted.schema is None:
        return order
    return f"{order} It must match this JSON Schema: {orjson.dumps(wanted.schema).decode()}"


# ----------------------------------------------------------------------------- tools


def _tools(request: ChatRequest, target: Target) -> JSON:
    choice = request.tool_choice
    if request.parallel_tool_calls is False and request.tools:
        target.losses.drop("parallel_tool_calls")
    if not request.tools:
        return {}
    narrowed = choice is not None and choice.mode == "auto" and choice.names
    tools = [t for t in request.tools if not narrowed or t.name in choice.names]  # type: ignore[union-attr]
    body: JSON = {"tools": [{"functionDeclarations": [_declaration(t, target) for t in tools]}]}
    if choice is None or (choice.mode == "auto" and not choice.names):
        return body
    mode: JSON = {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.mode]}
    if choice.mode == "required" and choice.names:
        mode["allowedFunctionNames"] = [target.tool_names.sent(name) for name in choice.names]
    return body | {"toolConfig": {"functionCallingConfig": mode}}


def _declaration(tool: Tool, target: Target) -> JSON:
    wire: dict[str, Any] = {"name": target.tool_names.sent(tool.name)}
    if tool.description:
        wire["description"] = tool.description
    if tool.strict:
        target.losses.drop("strict")
    adapted = _adapted(tool.parameters, "tools", is_tool=True)
    if adapted.schema is not None:
        wire["parametersJsonSchema"] = adapted.schema
    return wire
