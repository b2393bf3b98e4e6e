"""How many tokens a request has, before it is sent: asked of its provider where that can count."""

from __future__ import annotations

from dataclasses import replace

import orjson

from gateway import simulator
from gateway.catalog import Deployment
from gateway.dispatch import Call, Dispatcher, Reply, choose, target_of, warnings_of
from gateway.errors import InvalidRequest
from gateway.formats import anthropic, gemini
from gateway.formats.gemini import counting
from gateway.metering import Meter
from gateway.providers import Provider
from gateway.transport import failed
from gateway.types import JSON

ANTHROPIC_FIELDS = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
)
"""What its count_tokens takes (reference/anthropic-wire.md section 1)."""
CONFIG_FIELDS = frozenset(
    {"responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig"}
)
"""What of generationConfig can be part of the input."""


def count(dispatcher: Dispatcher, call: Call) -> Reply:
    """Google's answer to countTokens for a checked generateContent body. Raises `GatewayError`."""
    if call.is_test:
        return Reply("simulator", Meter(), body=_counted_here(call))
    deployment = choose(call.model)
    provider = deployment.provider
    assert provider is not None
    reply = Reply(provider.name, Meter(), warnings=warnings_of(call.model))
    ask = ASK.get(provider.format)
    try:
        if ask is not None and provider.count_path:
            reply.body = ask(dispatcher, call, deployment, provider)
            return reply
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failed(f"{provider.name} sent no valid answer: {error}") from None
    if call.is_strict:
        raise InvalidRequest(
            "The provider of this model counts no tokens, and x-gateway-strict refuses estimates.",
            code="unsupported_parameter",
        )
    reply.body = _counted_here(call)
    reply.warnings.append("emulated=countTokens")
    return reply


def _counted_here(call: Call) -> bytes:
    """By the simulator's rule, which is exact for its own answers and near for others'."""
    request = gemini.read_request(call.body)
    media = {
        kind: number * simulator.TOKENS_PER_MEDIA
        for kind, number in counting.media_in(request).items()
    }
    return orjson.dumps(counting.write_response(simulator.count_input(request), media))


def _ask_gemini(
    dispatcher: Dispatcher, call: Call, deployment: Deployment, provider: Provider
) -> bytes:
    wire = orjson.dumps(counting.write_request(call.body, deployment.upstream_model))
    path = counting.path_of(provider.count_path, deployment.upstream_model)
    answer = dispatcher.ask(deployment, provider, gemini, wire, path)
    counting.read_count(answer)
    return answer


def _ask_anthropic(
    dispatcher: Dispatcher, call: Call, deployment: Deployment, provider: Provider
) -> bytes:
    target = target_of(replace(call, is_strict=False), deployment, provider)
    wire = anthropic.write_request(gemini.read_request(_counted_part(call.body)), target)
    body = orjson.dumps({name: value for name, value in wire.items() if name in ANTHROPIC_FIELDS})
    answer = dispatcher.ask(deployment, provider, anthropic, body, provider.count_path)
    return orjson.dumps(counting.write_response(int(orjson.loads(answer)["input_tokens"])))


def _counted_part(body: JSON) -> JSON:
    """A body without what is about the answer only, such as how many there should be."""
    config = body.get("generationConfig") or {}
    return {
        **body,
        "generationConfig": {name: v for name, v in config.items() if name in CONFIG_FIELDS},
    }


ASK = {"gemini": _ask_gemini, "anthropic": _ask_anthropic}
"""How each format's providers are asked to count."""
