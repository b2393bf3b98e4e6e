"""Sending embeddings calls: passed through where caller and provider speak alike, or translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import orjson

from gateway.catalog import Deployment, Model
from gateway.dispatch import Dispatcher, Reply, blamed, choose, let_others_run, warnings_of
from gateway.embeddings import EmbeddingRequest, Embeddings, joined, simulate
from gateway.formats.gemini import embeddings as gemini
from gateway.formats.openai import embeddings as openai
from gateway.losses import Losses
from gateway.metering import Meter
from gateway.providers import Provider
from gateway.transport import failed
from gateway.types import JSON

FORMATS: dict[str, ModuleType] = {"openai": openai, "gemini": gemini}
"""Formats in which a provider can be asked for embeddings."""


@dataclass(slots=True)
class EmbeddingCall:
    """A checked request on its way to a model. `format` is the caller's, one of `FORMATS`."""

    format: Any
    model: Model
    raw: bytes
    body: JSON
    is_test: bool
    is_strict: bool


def embed(dispatcher: Dispatcher, call: EmbeddingCall, meter: Meter) -> Reply:
    """Answer the call. Raises `GatewayError`."""
    if call.is_test:
        return _simulate(call, meter)
    deployment = choose(call.model)
    provider = deployment.provider
    assert provider is not None
    reply = Reply(provider.name, meter, warnings=warnings_of(call.model))
    with blamed(reply):
        if FORMATS[provider.format] is call.format and provider.exact:
            reply.body = _pass_through(dispatcher, call, deployment, provider, meter)
        else:
            _translate(dispatcher, call, deployment, provider, reply)
    return reply


def _simulate(call: EmbeddingCall, meter: Meter) -> Reply:
    request = call.format.read_request(call.body)
    request.model = call.model.id
    made = simulate(request, call.model.context, let_others_run)
    body = _write(call, made, meter)
    return Reply("simulator", meter, body=body, warnings=warnings_of(call.model))


def _pass_through(
    dispatcher: Dispatcher,
    call: EmbeddingCall,
    deployment: Deployment,
    provider: Provider,
    meter: Meter,
) -> bytes:
    name = deployment.upstream_model
    path = call.format.path_of(provider.embeddings_path, name, call.body)
    body = call.format.patch_request(call.raw, call.body, name, deployment.defaults)
    answer = dispatcher.ask(deployment, provider, call.format, body, path)
    try:
        call.format.meter_response(answer, call.body, meter)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failed(f"{provider.name} sent no valid answer: {error}") from None
    return answer


def _translate(
    dispatcher: Dispatcher,
    call: EmbeddingCall,
    deployment: Deployment,
    provider: Provider,
    reply: Reply,
) -> None:
    upstream = FORMATS[provider.format]
    request = call.format.read_request(call.body)
    losses = Losses(request.names, is_strict=call.is_strict)
    path = upstream.path_of(provider.embeddings_path, deployment.upstream_model)
    parts = []
    for part in _batches(request, upstream.MAX_BATCH):
        wire = upstream.write_request(part, deployment.upstream_model, losses, deployment.defaults)
        answer = dispatcher.ask(deployment, provider, upstream, orjson.dumps(wire), path)
        parts.append(_read(upstream, answer, len(part.inputs), provider))
    reply.warnings += losses.warnings()
    reply.body = _write(call, joined(parts), reply.meter)


def _batches(request: EmbeddingRequest, size: int) -> Iterator[EmbeddingRequest]:
    """The request in parts that the upstream takes."""
    for start in range(0, len(request.inputs), size):
        yield replace(request, inputs=request.inputs[start : start + size])


def _read(upstream: ModuleType, answer: bytes, count: int, provider: Provider) -> Embeddings:
    """An answer with as many vectors as there were inputs. Raises `UpstreamFailed`."""
    try:
        embeddings: Embeddings = upstream.read_response(answer)
        if len(embeddings.vectors) != count:
            raise ValueError(f"{len(embeddings.vectors)} embeddings for {count} inputs")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failed(f"{provider.name} sent no valid answer: {error}") from None
    return embeddings


def _write(call: EmbeddingCall, embeddings: Embeddings, meter: Meter) -> bytes:
    """The answer for the caller, who is told the usage that is recorded."""
    meter.usage = embeddings.usage
    meter.upstream_model = embeddings.model
    usage, _ = meter.final_usage(len(call.raw))
    return orjson.dumps(call.format.write_response(embeddings, call.body, usage))
