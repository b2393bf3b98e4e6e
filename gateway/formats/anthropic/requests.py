"""`ChatRequest`s to bodies of the Messages API (reference/translation.md 2).

Unknown fields are refused there, so a body is built from what is known and nothing else.
"""

from __future__ import annotations

from hashlib import sha256

import orjson

from gateway.formats.anthropic.enforced import Enforced
from gateway.formats.anthropic.messages import misses_thoughts, write_messages
from gateway.formats.anthropic.thinking import Thinking, write_thinking
from gateway.formats.anthropic.tools import write_tools
from gateway.schemas import described
from gateway.target import Target
from gateway.turns import split
from gateway.types import JSON, ChatRequest, ResponseFormat

NAME = "anthropic"
UNKNOWN_CEILING = 32_768
"""`max_tokens` where neither caller nor catalog say one: it is required."""
MAX_UNARY = 16_000
"""Tokens above which a whole answer takes so long that it has to be streamed."""
SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}
JSON_ONLY = (
    "Answer with exactly one JSON object and nothing else: no words around it and no code fence."
)
ANY_JSON_ONLY = "Answer with JSON and nothing else: no words around it and no code fence."


def call_path(template: str, model: str, *, is_stream: bool) -> str:
    """The path of a call: the same for all models."""
    return template


def write_request(request: ChatRequest, target: Target) -> JSON:
    """The body for a model of Anthropic's; fills in what the answer needs undone.

    Raises `InvalidRequest` for what the model can't do.
    """
    _refuse_more_than_text(request, target)
    system, turns = split(request)
    enforced = Enforced()
    format_, instruction = _response_format(request.response_format, target, enforced)
    toolbox = write_tools(request, turns, target, enforced)
    messages = write_messages(turns, request, target)
    max_tokens = _max_tokens(request, target)
    thinking = write_thinking(
        request,
        target,
        max_tokens=max_tokens,
        can_be_enabled=not toolbox.is_forced and not misses_thoughts(messages),
    )
    system += [text for text in (toolbox.instruction, instruction) if text]
    body: JSON = {"model": target.upstream_model, "max_tokens": max_tokens}
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    body["messages"] = messages
    if toolbox.tools:
        body["tools"] = toolbox.tools
    if toolbox.choice:
        body["tool_choice"] = toolbox.choice
    body |= _write_thinking(thinking, format_)
    body |= _sampling(request, target, thinking.is_on)
    body |= _rest(request, target)
    target.streams = request.stream or max_tokens > MAX_UNARY
    return {**body, "stream": True} if target.streams else body


def _refuse_more_than_text(request: ChatRequest, target: Target) -> None:
    if request.n > 1:
        target.losses.refuse("n", "It gives one answer a call.")
    if request.logprobs is not None:
        target.losses.refuse("logprobs")


def _max_tokens(request: ChatRequest, target: Target) -> int:
    ceiling = target.max_output
    if not request.max_tokens:
        return ceiling or UNKNOWN_CEILING
    if ceiling and request.max_tokens > ceiling:
        target.losses.clamp("max_tokens", ceiling)
        return ceiling
    return request.max_tokens


# ------------------------------------------------------------------------------- output


def _write_thinking(thinking: Thinking, format_: JSON | None) -> JSON:
    output = {"effort": thinking.effort, "format": format_}
    output = {name: value for name, value in output.items() if value is not None}
    body: JSON = {"thinking": thinking.wire} if thinking.wire else {}
    return {**body, "output_config": output} if output else body


def _response_format(
    wanted: ResponseFormat | None, target: Target, enforced: Enforced
) -> tuple[JSON | None, str | None]:
    """The wire's own format, or else an instruction that asks for it."""
    if wanted is None or wanted.kind == "text":
        return None, None
    if wanted.schema is None:
        return None, _emulate_json(JSON_ONLY, target)
    schema = enforced.for_format(wanted.schema) if target.can("json_schema") else None
    if schema is None:
        text = orjson.dumps(described(wanted.schema, wanted.description)).decode()
        text = f"{ANY_JSON_ONLY} It must be valid against this JSON Schema:\n{text}"
        return None, _emulate_json(text, target)
    if schema.lost:
        target.losses.emulate("response_format")
    shape = described(schema.schema or {}, wanted.description)
    return {"type": "json_schema", "schema": shape}, None


def _emulate_json(instruction: str, target: Target) -> str:
    target.losses.emulate("response_format")
    target.unfences = True
    return instruction


# ----------------------------------------------------------------------------- sampling


def _sampling(request: ChatRequest, target: Target, thinks: bool) -> JSON:
    """What differs from the default, as far as the model takes it: temperature or top_p, not both.

    A model that thinks takes no temperature or top_k, and a top_p of 0.95 at least.
    """
    losses, body = target.losses, {}
    takes = target.can("sampling")
    if request.temperature not in (None, 1):
        if takes and not thinks:
            body["temperature"] = _temperature(request.temperature or 0, target)
        else:
            losses.drop("temperature")
    if request.top_p not in (None, 1):
        if takes and "temperature" not in body and not (thinks and request.top_p < 0.95):
            body["top_p"] = request.top_p
        else:
            losses.drop("top_p")
    if request.top_k is not None and request.top_k > 0:
        if takes and not thinks:
            body["top_k"] = request.top_k
        else:
            losses.drop("top_k")
    return body


def _temperature(temperature: float, target: Target) -> float:
    if temperature > 1:
        target.losses.clamp("temperature", 1)
        return 1
    return temperature


# ------------------------------------------------------------------------------ the rest


def _rest(request: ChatRequest, target: Target) -> JSON:
    """Stop strings, who asks, the tier; and what the API has nothing like."""
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value is not None and (name == "seed" or value):
            target.losses.drop(name)
    body: JSON = {}
    if stop := _stop_sequences(request, target):
        body["stop_sequences"] = stop
    if request.user:
        user_id = sha256(request.user.encode("utf-8", "replace")).hexdigest()
        body["metadata"] = {"user_id": user_id}
    tier = request.extra.get("openai", {}).get("service_tier")
    if tier in SERVICE_TIERS:
        body["service_tier"] = SERVICE_TIERS[tier]
    elif tier is not None:
        target.losses.drop("service_tier")
    return body


def _stop_sequences(request: ChatRequest, target: Target) -> list[str]:
    """Each one once; white space alone is refused there, so the gateway looks for it itself.

    An empty string stops nothing.
    """
    stop = [text for text in dict.fromkeys(request.stop) if text]
    blank = [text for text in stop if text.isspace()]
    if blank:
        target.losses.emulate("stop")
        target.cut_at = [*target.cut_at, *blank]
    return [text for text in stop if not text.isspace()]
