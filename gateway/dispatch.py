"""Sending a call to a deployment and getting its answer back in the caller's format.

Two ways, one decision: where the caller and an exact upstream speak the same format, bytes pass
through; otherwise the answer is read into events and written anew. Either way the first bytes are
awaited before a `Reply` exists, so that whatever fails early is an ordinary HTTP error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import gevent
import orjson
from geventhttpclient.response import HTTPParseError

from gateway import images, media_fetch, simulator, sse
from gateway.catalog import Deployment, Model
from gateway.catalog import Kind as ModelKind
from gateway.errors import GatewayError, InvalidRequest, Unavailable
from gateway.finishing import REMEMBERED_FORMATS, finished
from gateway.formats import anthropic, gemini, openai
from gateway.images import Picture
from gateway.losses import Losses
from gateway.metering import Meter, estimate_tokens
from gateway.providers import ROWS, Provider, unconfigured
from gateway.reasoning import Memory
from gateway.target import Target
from gateway.transport import (
    Exchange,
    Transport,
    failed,
    origin_of,
    parse_retry_after,
    request_head,
)
from gateway.types import JSON, PAUSE, ChatRequest, Event

UPSTREAM_FORMATS: dict[str, ModuleType] = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
}
"""Formats in which a provider can be called."""
MENDERS: Mapping[str, Callable[[JSON, str], JSON | None]] = {"anthropic": anthropic.mended}
"""What to send instead after a 400 with this message, by format; None if nothing helps."""
FORMATS_BY_KIND: Mapping[ModelKind, Collection[str]] = {
    "chat": UPSTREAM_FORMATS,
    "image": ("openai",),
    "embedding": ("openai", "gemini"),
}
"""Formats in which each kind of model can be called."""

FIRST_EVENT_WAIT = 15.0
"""Seconds that a stream's headers wait for the upstream's first event."""
KEEP_ALIVE_EVERY = 10.0
"""Seconds of silence after which a stream carries a comment."""
DRAIN_WAIT = 0.25
"""Seconds that the end of an answered stream is waited for: then its connection is reused."""
IMAGES_PATH = "/images/generations"
NO_STREAMS = ("text/html", "application/json")
MAX_ANSWER = 64 * 1024 * 1024
MAX_ERROR = 64 * 1024


@dataclass(slots=True)
class Call:
    """A checked request on its way to a model."""

    format: Any
    model: Model
    raw: bytes
    body: JSON
    is_stream: bool
    wants_usage: bool
    is_test: bool
    is_strict: bool
    memory: Memory


@dataclass(slots=True)
class Reply:
    """An answer that has begun: `body` if it is whole, else `chunks`, which must be closed."""

    provider: str
    meter: Meter
    attempts: int = 1
    body: bytes | None = None
    chunks: Iterator[bytes] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Way:
    """A call on its way to one deployment. `upstream` is the format that is spoken there."""

    call: Call
    deployment: Deployment
    provider: Provider
    upstream: Any
    target: Target
    reply: Reply

    def path(self, is_stream: bool) -> str:
        template, model = self.provider.chat_path, self.deployment.upstream_model
        path: str = self.upstream.call_path(template, model, is_stream=is_stream)
        return path


@dataclass(slots=True)
class Pictures:
    """Generated images and who made them."""

    provider: str
    pictures: list[Picture]
    warnings: list[str] = field(default_factory=list)


class Dispatcher:
    """Sends calls. Heads of requests are built once per deployment and kept."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._heads: dict[tuple[int, str], tuple[Deployment, str, bytes]] = {}

    def can_call(self, model: Model) -> bool:
        """Can a live key call this model now?"""
        formats = FORMATS_BY_KIND[model.kind]
        return any(
            d.provider is not None and d.provider.format in formats for d in model.deployments
        )

    def send(self, call: Call, meter: Meter) -> Reply:
        """Answer the call. Raises `GatewayError` for everything before the first byte."""
        if call.is_test:
            return self._simulate(call, meter)
        way = self._way(call, meter)
        passes = way.upstream is call.format and way.provider.exact
        with blamed(way.reply):
            if passes and call.format.can_pass(call.body, way.target):
                self._pass_through(way)
            else:
                self._translate(way)
        way.reply.warnings += way.target.losses.warnings()
        return way.reply

    def _way(self, call: Call, meter: Meter) -> _Way:
        deployment = choose(call.model)
        provider = deployment.provider
        assert provider is not None
        return _Way(
            call=call,
            deployment=deployment,
            provider=provider,
            upstream=UPSTREAM_FORMATS[provider.format],
            target=target_of(call, deployment, provider),
            reply=Reply(provider.name, meter, warnings=warnings_of(call.model)),
        )

    def _simulate(self, call: Call, meter: Meter) -> Reply:
        reply = Reply("simulator", meter, warnings=warnings_of(call.model) + rehearsed(call))
        request = call.format.read_request(call.body)
        self._write(call, request, one_by_one(simulator.answer(request)), reply)
        return reply

    def _pass_through(self, way: _Way) -> None:
        call, provider, reply = way.call, way.provider, way.reply
        body = call.format.patch_request(call.raw, call.body, way.target, way.deployment.defaults)
        exchange = self._post(way.deployment, provider, body, way.path(call.is_stream))
        if call.is_stream:
            chunks = self._stream(exchange, provider, call.format, reply.meter)
            reply.chunks = primed(pass_through(chunks, call, reply.meter), reply.meter)
            return
        reply.body = self._whole(exchange, provider, call.format)
        try:
            call.format.meter_response(reply.body, reply.meter)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise failed(f"{provider.name} sent no valid answer: {error}") from None

    def _translate(self, way: _Way) -> None:
        call, target, meter = way.call, way.target, way.reply.meter
        request = call.format.read_request(call.body)
        prepare(call, way.upstream, request, target)
        if way.upstream.NEEDS_MEDIA_DATA:
            media_fetch.fetch_all(request)
        wire = {**target.defaults, **way.upstream.write_request(request, target)}
        try:
            self._exchange(way, request, wire)
        except InvalidRequest as error:
            mend = MENDERS.get(way.provider.format)
            mended = mend(wire, error.message) if mend else None
            if mended is None:
                if way.upstream is not call.format:
                    error.param = None  # a path into a body that the caller never wrote
                raise
            meter.failed = meter.error = None
            way.reply.attempts += 1
            self._exchange(way, request, mended)

    def _exchange(self, way: _Way, request: ChatRequest, wire: JSON) -> None:
        """Send a written request and write its answer anew."""
        provider, upstream, target = way.provider, way.upstream, way.target
        path = way.path(target.streams)
        body = orjson.dumps(wire)
        exchange = self._post(way.deployment, provider, body, path)
        events: Iterator[Event]
        if target.streams:
            chunks = self._stream(exchange, provider, upstream, way.reply.meter)
            events = upstream.read_stream(chunks)
        else:
            events = _read_whole(upstream, self._whole(exchange, provider, upstream), provider)
        events = finished(
            events,
            target,
            choices=request.n,
            vendor=keeper_of(provider) if request.tools else None,
            seals=way.call.format.SEALS_REASONING,
            input_tokens=estimate_tokens(len(body)),
        )
        self._write(way.call, request, events, way.reply)

    def _write(
        self, call: Call, request: ChatRequest, events: Iterator[Event], reply: Reply
    ) -> None:
        meter = reply.meter
        if call.is_stream:
            writer = call.format.StreamWriter(request, meter)
            reply.chunks = primed(guarded(writer.write(events), call, meter), meter)
        else:
            reply.body = orjson.dumps(call.format.write_response(events, request, meter))

    def generate_images(self, model: Model, body: JSON, is_test: bool, meter: Meter) -> Pictures:
        """Make the pictures that a checked body asks for. Raises `GatewayError`."""
        if is_test:
            made = images.simulate(body, pause=let_others_run)
            return Pictures("simulator", made, warnings_of(model))
        deployment = choose(model)
        provider = deployment.provider
        assert provider is not None
        wire = images.write_request(body, deployment.upstream_model)
        with blamed(Reply(provider.name, meter)):
            exchange = self._post(deployment, provider, orjson.dumps(wire), IMAGES_PATH)
            answer = self._whole(exchange, provider, openai)
        return Pictures(provider.name, images.read_response(answer, meter), warnings_of(model))

    # ------------------------------------------------------------------------- the wire

    def ask(
        self, deployment: Deployment, provider: Provider, upstream: Any, body: bytes, path: str
    ) -> bytes:
        """The whole answer to a body. Raises what a bad one means, as `upstream` reads it."""
        return self._whole(self._post(deployment, provider, body, path), provider, upstream)

    def _post(
        self, deployment: Deployment, provider: Provider, body: bytes, path: str | None = None
    ) -> Exchange:
        path = path or provider.chat_path
        kept = self._heads.get((id(deployment), path))
        if kept is None or kept[0] is not deployment:
            url = provider.base_url + path
            kept = (deployment, origin_of(url), request_head(url, provider.headers()))
            if len(self._heads) > 4096:
                self._heads.clear()
            self._heads[id(deployment), path] = kept
        try:
            return self._transport.post(kept[1], kept[2], body)
        except OSError as error:
            raise failed(f"{provider.name}: {type(error).__name__}: {error}") from None

    def _whole(self, exchange: Exchange, provider: Provider, upstream: Any) -> bytes:
        """The body of a good answer. Raises what a bad one means."""
        timeouts = self._transport.timeouts
        try:
            status = exchange.read_head(timeouts.first)
            if status != 200:
                raise _error_of(exchange, provider, upstream, timeouts.connect)
            return exchange.read_all(timeouts.between, MAX_ANSWER)
        except (OSError, HTTPParseError) as error:
            raise failed(f"{provider.name}: {type(error).__name__}: {error}") from None
        finally:
            exchange.close()

    def _stream(
        self, exchange: Exchange, provider: Provider, upstream: Any, meter: Meter
    ) -> Iterator[bytes]:
        """The body of a good answer as it arrives; an empty chunk is a moment of silence."""
        timeouts = self._transport.timeouts
        wait, quiet, limit = FIRST_EVENT_WAIT, 0.0, timeouts.first
        try:
            while True:
                try:
                    if not exchange.status:
                        status = exchange.read_head(wait)
                        if status != 200:
                            raise _error_of(exchange, provider, upstream, timeouts.connect)
                        _check_is_stream(exchange, provider)
                    data = exchange.read_some(wait)
                except TimeoutError:
                    quiet += wait
                    if quiet >= limit:
                        raise failed(f"{provider.name} was silent for {quiet:.0f} s") from None
                    wait = KEEP_ALIVE_EVERY
                    yield b""
                    continue
                if not data:
                    return
                wait, quiet, limit = KEEP_ALIVE_EVERY, 0.0, timeouts.between
                yield data
        except (OSError, HTTPParseError) as error:
            raise failed(f"{provider.name}: {type(error).__name__}: {error}") from None
        finally:
            if meter.is_done:
                exchange.finish(DRAIN_WAIT)
            else:
                exchange.close()


def one_by_one(events: Iterator[Event]) -> Iterator[Event]:
    """Every event goes out as it comes: nothing of the simulator's arrives together."""
    for event in events:
        yield event
        yield PAUSE


@contextmanager
def blamed(reply: Reply) -> Iterator[None]:
    """Errors in here say which provider had the call, and how often it was asked."""
    try:
        yield
    except GatewayError as error:
        error.provider, error.attempts = reply.provider, reply.attempts
        raise


def rehearsed(call: Call) -> list[str]:
    """The warnings that a live call would get: what a test says holds for the model itself.

    Raises the `InvalidRequest` that it would get. Nothing is sent, and nothing fetched.
    """
    deployment = call.model.deployments[0]
    provider = ROWS[deployment.provider_name]
    upstream = UPSTREAM_FORMATS[provider.format]
    target = target_of(call, deployment, provider)
    if upstream is call.format and provider.exact and call.format.can_pass(call.body, target):
        call.format.patch_request(call.raw, call.body, target, deployment.defaults)
    else:
        request = call.format.read_request(call.body)
        prepare(call, upstream, request, target)
        if upstream.NEEDS_MEDIA_DATA:
            media_fetch.stand_in(request)
        upstream.write_request(request, target)
    return target.losses.warnings()


def prepare(call: Call, upstream: Any, request: ChatRequest, target: Target) -> None:
    """Account for what the caller's format says and the upstream's can't."""
    target.losses.rename(request.names)
    if upstream is not call.format:
        call.format.account_for_extra(request, target.losses)


def target_of(call: Call, deployment: Deployment, provider: Provider) -> Target:
    """The facts about where a call goes, for whoever writes its request."""
    return Target(
        provider=provider.name,
        upstream_model=deployment.upstream_model,
        capabilities=call.model.capabilities,
        losses=Losses(call.format.WIRE_NAMES, is_strict=call.is_strict),
        memory=call.memory,
        max_output=call.model.max_output,
        quirks=provider.quirks,
        defaults=deployment.defaults,
    )


def keeper_of(provider: Provider) -> str | None:
    """Whose reasoning state it is that an answer of this provider holds, None if nobody's."""
    if provider.format in REMEMBERED_FORMATS:
        return provider.format
    return provider.name if "replay_reasoning" in provider.quirks else None


def warnings_of(model: Model) -> list[str]:
    """What the caller should know of who answers."""
    return [f"served_by={model.served_by}"] if model.served_by else []  # a new list each time


def let_others_run() -> None:
    gevent.sleep(0)  # type: ignore[no-untyped-call]


def choose(model: Model) -> Deployment:
    """The deployment to call. Raises `provider_not_configured`, naming the variable to set."""
    formats = FORMATS_BY_KIND[model.kind]
    for deployment in model.deployments:
        if deployment.provider is not None and deployment.provider.format in formats:
            return deployment
    missing = [
        unconfigured(d.provider_name)
        for d in model.deployments
        if d.provider is None and ROWS[d.provider_name].format in formats
    ]
    hint = f"The operator has to set {missing[0]}." if missing else ""
    fault = "has no configured provider" if missing else "can't be called yet"
    raise Unavailable(
        f"The model `{model.id}` {fault}. {hint}".rstrip(),
        code="provider_not_configured",
        retry_after=60,
        should_retry=False,
    )


def pass_through(chunks: Iterator[bytes], call: Call, meter: Meter) -> Iterator[bytes]:
    """The upstream's own bytes; a failure ends them in an error event."""
    return guarded(_tapped(chunks, call, meter), call, meter)


def _tapped(chunks: Iterator[bytes], call: Call, meter: Meter) -> Iterator[bytes]:
    """The upstream's own bytes, whole events at a time, with a tap for usage.

    An exact upstream ends its stream with `[DONE]`. Raises `UpstreamFailed` if it does not.
    """
    splitter, tap = sse.FrameSplitter(), call.format.Tap(meter, call.wants_usage)
    try:
        for data in chunks:
            if not data:
                if tap.keep_alive:
                    yield tap.keep_alive
                continue
            events = splitter.feed(data)
            if not events:
                continue
            events = tap.pass_on(events)
            if events:
                yield events
            if meter.is_done or tap.error:
                break
        if splitter.tail.startswith(b"data:") and not (meter.is_done or tap.error):
            events = tap.pass_on(splitter.feed(b"\n\n"))  # a last event without its blank line
            if events:
                yield events
        tap.finish()
        if not meter.is_done:
            raise failed(tap.error or "the stream ended before the answer did")
    finally:
        if not meter.is_done:
            tap.leave()
        chunks.close()  # type: ignore[attr-defined]  # a generator


def guarded(chunks: Iterator[bytes], call: Call, meter: Meter) -> Iterator[bytes]:
    """A stream whose failure ends in an error event instead of an exception."""
    try:
        yield from chunks
    except GatewayError as error:
        yield _broken(error, call, meter)
    except sse.FrameTooLarge:
        yield _broken(failed("an event of the stream has no end"), call, meter)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # a generator


def _broken(error: GatewayError, call: Call, meter: Meter) -> bytes:
    meter.failed = getattr(error, "reason", None) or error.message
    meter.error = error
    event: bytes = call.format.error_event(error)
    return event


def primed(chunks: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    """The same stream once its first bytes are there.

    A stream that fails before them raises instead: nothing went out yet, so the caller can still
    have a status.
    """
    first = next(chunks)
    if meter.failed is not None:
        chunks.close()  # type: ignore[attr-defined]  # a generator
        raise meter.error or failed(meter.failed)
    meter.mark_first()
    return _resumed(first, chunks)


def _resumed(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from chunks
    finally:
        chunks.close()  # type: ignore[attr-defined]  # a generator


def _error_of(exchange: Exchange, provider: Provider, upstream: Any, wait: float) -> GatewayError:
    """Read an upstream's error answer and say what it means to the caller."""
    body = exchange.read_all(wait, MAX_ERROR)
    retry_after = parse_retry_after(exchange.header("retry-after"))
    error: GatewayError = upstream.read_error(
        exchange.status, body, provider=provider.name, retry_after=retry_after
    )
    if provider.credential and provider.credential in error.message:
        error.message = error.message.replace(provider.credential, "***")
    return error


def _check_is_stream(exchange: Exchange, provider: Provider) -> None:
    """A page or a plain JSON object is no stream, whatever its status says."""
    media_type = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type in NO_STREAMS:
        raise failed(f"{provider.name} answered a stream with {media_type}")


def _read_whole(upstream: Any, body: bytes, provider: Provider) -> Iterator[Event]:
    try:
        yield from upstream.read_response(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failed(f"{provider.name} sent no valid answer: {error}") from None
