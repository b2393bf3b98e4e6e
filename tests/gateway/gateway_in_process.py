"""The gateway without sockets: the real dispatcher, and strict fake providers as its transport.

`Gateway().call("openai", "claude-sonnet-5", body)` checks a body as the routes do, sends it and
returns an `Outcome`: what the caller gets, and what the provider was sent. Fault scenarios are
played here as `tests.fakes.faults` plays them on a socket; `cut` says where the bytes of an answer
are split.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import orjson
from geventhttpclient.response import HTTPParseError

from gateway import catalog
from gateway.dispatch import Call, Dispatcher
from gateway.errors import GatewayError
from gateway.formats import gemini as gemini_format
from gateway.formats import openai as openai_format
from gateway.metering import Meter
from gateway.providers import ROWS
from gateway.reasoning import Memory, MemoryReasoningStore
from gateway.transport import Timeouts
from tests.fakes import anthropic, compatible, gemini
from tests.fakes.play import JSON, Play, Refusal, Reply, Request, page

SURFACES = {"openai": openai_format, "gemini": gemini_format}
CREDENTIALS = {
    "openai": compatible.OPENAI_KEY,
    "deepseek": compatible.DEEPSEEK_KEY,
    "local": compatible.LOCAL_KEY,
    "anthropic": anthropic.ANTHROPIC_KEY,
    "gemini": gemini.GEMINI_KEY,
}
DIALECTS: Mapping[str, ModuleType] = {"anthropic": anthropic, "gemini": gemini}
"""The dialect of each provider; every other one speaks OpenAI's."""
LOCAL_MODEL = "local-small"
LOCAL_URL = "http://models.test/v1"

Cut = Callable[[bytes], Iterable[bytes]]


def shipped() -> catalog.Catalog:
    """The shipped catalog with every chat provider configured, and one local model."""
    providers = {
        name: replace(ROWS[name], credential=key, base_url=ROWS[name].base_url or LOCAL_URL)
        for name, key in CREDENTIALS.items()
    }
    return catalog.build(providers, discovered={"local": [LOCAL_MODEL]})


CATALOG = shipped()
PROVIDER_OF_HOST = {
    urlsplit(provider.base_url).netloc: name for name, provider in CATALOG.providers.items()
}


# ----------------------------------------------------------------------------- the far end


@dataclass
class Wire:
    """An HTTP answer: its body in pieces, which may end before their time."""

    status: int
    media_type: str
    pieces: list[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass
class Sent:
    """One request as a provider received it. `refused` is why it would not answer."""

    provider: str
    request: Request
    refused: str | None = None

    @property
    def body(self) -> JSON:
        body: JSON = json.loads(self.request.body)
        return body

    @property
    def path(self) -> str:
        return self.request.path


def _json(status: int, value: Any, lines: Iterable[str] = ()) -> Wire:
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    return Wire(status, "application/json", [json.dumps(value).encode()], headers)


def _error(play: Play, status: int) -> Wire:
    if status in play.html:
        return Wire(status, "text/html", [page(status)])
    return _json(status, play.error(status), play.error_headers(status))


def without_code(error: JSON) -> JSON:
    """As servers send it that know words only."""
    return {**error, "error": {k: v for k, v in error["error"].items() if k != "code"}}


BEFORE: dict[str, Callable[[Play], Wire]] = {
    "status": lambda play: _error(play, play.number),
    "error_echo": lambda play: _json(
        play.number, play.error(play.number, f"Not with this: {play.credential}")
    ),
    "says": lambda play: _json(400, without_code(play.error(400, SAYINGS[play.argument]))),
    "html_200": lambda play: Wire(200, "text/html", [page(200)]),
    "empty_200": lambda play: Wire(200, "application/json", [b""]),
}
"""What fails before any answer, whole or streamed."""
SAYINGS: dict[str, str] = {
    "too_long.openai": "This model's maximum context length is 128000 tokens. However, your "
    "messages resulted in 200000 tokens. Please reduce the length of the messages.",
    "too_long.anthropic": "prompt is too long: 200001 tokens > 200000 maximum",
    "too_long.gemini": "The input token count (2000000) exceeds the maximum number of tokens "
    "allowed (1048576).",
    "credit": "Your credit balance is too low to access the API.",
}
"""Messages that a 400 of `scenario:says:NAME` carries."""


def _first(play: Play) -> list[bytes]:
    return play.frames()[: play.number]


def _stream(play: Play, pieces: list[bytes], *, is_cut: bool = False) -> Wire:
    return Wire(200, play.stream_type.partition(";")[0], pieces, is_cut=is_cut)


STREAMS: dict[str, Callable[[Play], Wire]] = {
    "error_mid": lambda play: _stream(
        play, [*_first(play), play.error_event(play.midway, f"boom at {play.credential}")]
    ),
    "error_event": lambda play: _stream(play, [play.error_event(play.number, first=True)]),
    "cut_mid": lambda play: _stream(play, _first(play), is_cut=True),
    "cut_clean": lambda play: _stream(play, _first(play)),
    "garbage": lambda play: _stream(play, [bytes(range(256)) * 8]),
    "garbage_mid": lambda play: _stream(play, [*_first(play), play.garbage]),
    "no_done": lambda play: _stream(play, play.frames()[: -play.closing or None]),
}
"""What fails in a stream."""


def _whole(play: Play) -> bytes:
    return json.dumps(play.whole(), ensure_ascii=False).encode()


def _half(play: Play) -> bytes:
    body = _whole(play)
    return body[: len(body) // 2]


WHOLE: dict[str, Callable[[Play], Wire]] = {
    "error_mid": lambda play: _json(200, play.error(play.midway)),
    "error_event": lambda play: _json(200, play.error(play.midway)),
    "cut_mid": lambda play: Wire(200, "application/json", [_half(play)], is_cut=True),
    "cut_clean": lambda play: Wire(200, "application/json", [_half(play)]),
    "garbage": lambda play: Wire(200, "application/json", [bytes(range(256))]),
    "garbage_mid": lambda play: Wire(200, "application/json", [bytes(range(256))]),
}
"""What fails in a whole answer."""


def played(play: Play) -> Wire:
    """The answer that a play gives, whatever its scenario is."""
    if play.scenario in BEFORE:
        return BEFORE[play.scenario](play)
    if play.streams:
        fault = STREAMS.get(play.scenario)
        return fault(play) if fault else _stream(play, play.frames())
    fault = WHOLE.get(play.scenario)
    return fault(play) if fault else Wire(200, "application/json", [_whole(play)])


class StubExchange:
    """What `gateway.transport.Exchange` is, over bytes that are there already."""

    def __init__(self, wire: Wire) -> None:
        self.status = 0
        self.is_closed = False
        self._wire = wire
        self._pieces: Iterator[bytes] = (piece for piece in wire.pieces if piece)

    def read_head(self, wait: float) -> int:
        self.status = self._wire.status
        return self.status

    def header(self, name: str) -> str | None:
        return {"content-type": self._wire.media_type, **self._wire.headers}.get(name)

    def read_some(self, wait: float) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._wire.is_cut:
            raise HTTPParseError("connection closed in mid-answer")
        return piece

    def read_all(self, wait: float, limit: int) -> bytes:
        return b"".join(iter(lambda: self.read_some(wait), b""))

    def finish(self, wait: float) -> None:
        self.close()

    def close(self) -> None:
        self.is_closed = True


def uncut(data: bytes) -> Iterable[bytes]:
    return [data]


def by_bytes(step: int) -> Cut:
    """Pieces of so many bytes."""
    return lambda data: [data[i : i + step] for i in range(0, len(data), step)]


def at(*places: int) -> Cut:
    """Cuts at these places, wherever they lie in the data."""

    def cut(data: bytes) -> Iterable[bytes]:
        ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
        return [data[a:b] for a, b in itertools.pairwise(ends)]

    return cut


class StubTransport:
    """Answers from the fakes, or with what `answers` gives for a provider's body."""

    def __init__(self, cut: Cut | None = None) -> None:
        self.timeouts = Timeouts()
        self.sent: list[Sent] = []
        self.exchanges: list[StubExchange] = []
        self.cut = cut
        self.answers: Callable[[Sent], Wire] | None = None

    def post(self, origin: str, head: bytes, body: bytes) -> StubExchange:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        provider = PROVIDER_OF_HOST[urlsplit(origin).netloc]
        self.sent.append(Sent(provider, Request(method, target, headers, body)))
        wire = (self.answers or self._answer)(self.sent[-1])
        if self.cut is not None:
            wire.pieces = list(self.cut(b"".join(wire.pieces)))
        self.exchanges.append(StubExchange(wire))
        return self.exchanges[-1]

    def _answer(self, sent: Sent) -> Wire:
        try:
            found = DIALECTS.get(sent.provider, compatible).answer(sent.request)
        except Refusal as refusal:
            sent.refused = refusal.message
            return _json(refusal.status, refusal.body)
        return _json(200, found.body) if isinstance(found, Reply) else played(found)


# ----------------------------------------------------------------------------- the near end


@dataclass
class Outcome:
    """What a caller got: `body` for a whole answer or an error, `chunks` for a stream."""

    surface: str
    status: int
    meter: Meter
    sent: list[Sent]
    body: JSON = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: GatewayError | None = None

    @property
    def upstream(self) -> JSON:
        """The body that the provider was sent last."""
        return self.sent[-1].body

    @property
    def said(self) -> Said:
        """What the answer says, folded from the stream if it is one."""
        if self.chunks:
            return READ_STREAM[self.surface](self.chunks)
        return READ_WHOLE[self.surface](self.body)


class Gateway:
    """One user's gateway; reasoning state lives as long as it."""

    def __init__(self, catalog_: catalog.Catalog = CATALOG) -> None:
        self.catalog = catalog_
        self.store = MemoryReasoningStore()
        self.transport = StubTransport()
        self.dispatcher = Dispatcher(self.transport)  # type: ignore[arg-type]  # a stub

    def call(
        self,
        surface: str,
        model: str,
        body: JSON,
        *,
        stream: bool = False,
        strict: bool = False,
        user: str = "ada",
        cut: Cut | None = None,
        answers: Callable[[Sent], Wire] | None = None,
    ) -> Outcome:
        """Send a body as a client of `surface` would; errors are outcomes, too."""
        self.transport.sent, self.transport.exchanges = [], []
        self.transport.cut, self.transport.answers = cut, answers
        outcome = Outcome(surface, 200, Meter(), self.transport.sent)
        try:
            call = self._checked(surface, model, body, stream, strict, user)
            reply = self.dispatcher.send(call, outcome.meter)
        except GatewayError as error:
            outcome.status, outcome.error = error.status, error
            outcome.body = SURFACES[surface].write_error(error)
            return outcome
        outcome.warnings = reply.warnings
        if reply.chunks is not None:
            outcome.chunks = list(reply.chunks)
        else:
            outcome.body = orjson.loads(reply.body or b"")
        assert all(exchange.is_closed for exchange in self.transport.exchanges)
        return outcome

    def _checked(
        self, surface: str, model: str, body: JSON, stream: bool, strict: bool, user: str
    ) -> Call:
        format_: Any = SURFACES[surface]
        if surface == "gemini":
            raw = orjson.dumps(body)
            body = gemini_format.normalise(orjson.loads(raw))
            format_.check_request(body)
            body |= {"model": model, "stream": stream}
        else:
            body = {"model": model, **body, **({"stream": True} if stream else {})}
            raw = orjson.dumps(body)
            body = orjson.loads(raw)
            format_.check_request(body)
        found = self.catalog.find(model)
        assert found is not None, model
        return Call(
            format=format_,
            model=found,
            raw=raw,
            body=body,
            is_stream=stream,
            wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            is_test=False,
            is_strict=strict,
            memory=Memory(self.store, user, b"secret"),
        )


# ----------------------------------------------------------------------------- reading answers

ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass
class Said:
    """The meaning of an answer. `calls` are (name, arguments) with the `ids` beside them.

    `usage` is (input, output, total, cached, reasoning), None if nothing said it; `raw` are the
    arguments as text. `broke` is the error object that ended a stream.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, ...] | None = None
    choices: int = 0
    broke: JSON | None = None
    message: JSON = field(default_factory=dict)
    """The assistant's turn as a client would send it back."""

    def meaning(self) -> tuple[Any, ...]:
        """What has to be the same, streamed or whole."""
        return (self.text, self.reasoning, self.refusal, self.calls, self.finish, self.usage)


def arguments_of(text: str) -> Any:
    """Parsed, or as it is where a limit cut it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _openai_usage(usage: JSON | None) -> tuple[int, ...] | None:
    if usage is None:
        return None
    prompt, completion, total = (
        usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens", 0)
    thoughts = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    assert total == prompt + completion and cached <= prompt and thoughts <= completion, usage
    return prompt, completion, total, cached, thoughts


def read_openai(body: JSON) -> Said:
    """A chat.completion; its shape is checked on the way."""
    assert body["object"] == "chat.completion", body
    assert [choice["index"] for choice in body["choices"]] == list(range(len(body["choices"])))
    choice = body["choices"][0]
    return _said_of(choice["message"], choice["finish_reason"], body["usage"], len(body["choices"]))


def _said_of(message: JSON, finish: str | None, usage: JSON | None, choices: int) -> Said:
    calls = message.get("tool_calls") or []
    assert calls or "tool_calls" not in message, "an empty list of calls"
    assert all(ID.fullmatch(call["id"]) for call in calls), calls
    return Said(
        text=message["content"] or "",
        reasoning=message.get("reasoning_content") or message.get("reasoning") or "",
        refusal=message.get("refusal") or "",
        calls=[(c["function"]["name"], arguments_of(c["function"]["arguments"])) for c in calls],
        ids=[call["id"] for call in calls],
        finish=finish,
        usage=_openai_usage(usage),
        choices=choices,
        message=message,
    )


def events_of(chunks: list[bytes]) -> list[str]:
    """The data of a stream's events; comments are left out."""
    data = b"".join(chunks).decode()
    assert data.endswith("\n\n"), data[-100:]
    events = [one for one in re.split(r"\n\n+", data.replace("\r\n", "\n")) if one]
    return [one.removeprefix("data: ") for one in events if not one.startswith(":")]


def read_openai_stream(chunks: list[bytes]) -> Said:
    """Fold a stream as an SDK does, and hold it to the rules of 2.2."""
    *events, last = events_of(chunks)
    if last != "[DONE]":
        return Said(broke=json.loads(last)["error"])
    usage: JSON | None = None
    messages: dict[int, JSON] = {}
    finishes: dict[int, str] = {}
    for event in map(json.loads, events):
        assert event["object"] == "chat.completion.chunk"
        if event.get("usage"):
            assert usage is None or not event["choices"], "usage twice"
            usage = event["usage"]
        for choice in event["choices"] or ():
            place, delta = choice["index"], choice["delta"]
            assert place not in finishes or not delta, "something after the finish"
            if place not in messages:
                assert delta.get("role") == "assistant", delta
                messages[place] = {"role": "assistant", "content": None}
            _fold(messages[place], delta)
            if choice["finish_reason"]:
                assert place not in finishes, "two finishes"
                finishes[place] = choice["finish_reason"]
    assert set(finishes) == set(messages)
    return _said_of(messages[0], finishes[0], usage, len(messages))


def _fold(message: JSON, delta: JSON) -> None:
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    for piece in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if piece["index"] == len(calls):
            assert piece["id"] and piece["function"]["name"] and piece["type"] == "function", piece
            calls.append({k: v for k, v in piece.items() if k != "index"})
            continue
        assert "id" not in piece and "name" not in piece["function"], piece
        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


def _gemini_usage(usage: JSON | None) -> tuple[int, ...] | None:
    if usage is None:
        return None
    assert all(value is not None for value in usage.values()), usage
    prompt, thoughts = usage["promptTokenCount"], usage.get("thoughtsTokenCount", 0)
    output = usage.get("candidatesTokenCount", 0) + thoughts
    cached, total = usage.get("cachedContentTokenCount", 0), usage["totalTokenCount"]
    assert total == prompt + output and cached <= prompt, usage
    return prompt, output, total, cached, thoughts


def read_gemini(body: JSON) -> Said:
    """A GenerateContentResponse."""
    candidates = body.get("candidates") or []
    said = Said(usage=_gemini_usage(body.get("usageMetadata")), choices=len(candidates))
    if not candidates:
        said.refusal, said.finish = body["promptFeedback"]["blockReason"], "SAFETY"
        return said
    said.finish = candidates[0]["finishReason"]
    parts = candidates[0]["content"].get("parts") or []
    _add_parts(said, parts)
    said.message = {"role": "model", "parts": parts}
    return said


def _add_parts(said: Said, parts: list[JSON]) -> None:
    for part in parts:
        if call := part.get("functionCall"):
            said.calls.append((call["name"], call.get("args") or {}))
            if "id" in call:
                assert ID.fullmatch(call["id"]), call
                said.ids.append(call["id"])
        elif part.get("thought"):
            said.reasoning += part["text"]
        elif "text" in part:
            said.text += part["text"]


def read_gemini_stream(chunks: list[bytes]) -> Said:
    """Fold a stream as Google's SDKs do: the last usage counts, one finish ends a candidate."""
    said = Said()
    parts: list[JSON] = []
    finishes: dict[int, str] = {}
    data = b"".join(chunks)
    assert not re.search(rb"^:", data, re.MULTILINE), "a comment kills Google's SDKs"
    for event in map(json.loads, events_of(chunks)):
        if "error" in event:
            return Said(broke=event["error"])
        said.usage = _gemini_usage(event.get("usageMetadata")) or said.usage
        if feedback := event.get("promptFeedback"):
            said.refusal, said.finish = feedback["blockReason"], "SAFETY"
        for candidate in event.get("candidates") or ():
            place = candidate.get("index", 0)
            assert place not in finishes, "something after the finish"
            if place == 0:
                parts += (candidate.get("content") or {}).get("parts") or []
            if candidate.get("finishReason"):
                finishes[place] = candidate["finishReason"]
    _add_parts(said, parts)
    said.message = {"role": "model", "parts": parts}
    said.choices = len(finishes)
    said.finish = finishes.get(0, said.finish)
    assert said.finish, "no finish at all"
    return said


READ_WHOLE = {"openai": read_openai, "gemini": read_gemini}
READ_STREAM = {"openai": read_openai_stream, "gemini": read_gemini_stream}
