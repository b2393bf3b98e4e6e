"""The dialect of Anthropic Messages: /v1/messages, its token counts and its list of models.

What it refuses stands in `anthropic_rules`; here is what it answers (anthropic-wire, sections 4
and 8). Beyond the scenarios of every dialect it plays

    thinking, thinking_tools, redacted   reasoning blocks; `thinking_tools` with two calls
    tools_text, zeroarg                  text before a call; a call without any input delta
    stop_sequence, context_window, empty, finish:REASON
    cached, two_deltas                   cache usage; two message_delta events

Tool scenarios think when the request asks for thinking. After tool results the answer is a text
that quotes them, whatever the scenario.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.fakes import anthropic_rules as rules
from tests.fakes import signatures
from tests.fakes.anthropic_rules import model_of, of_type, refusal
from tests.fakes.play import (
    CITIES,
    JSON,
    THOUGHTS,
    Play,
    Refusal,
    Reply,
    Request,
    compact,
    instance_of,
    scenario_of,
    strict_json,
)

ANTHROPIC_KEY = "sk-ant-canary-1e77d0c4"
HEADERS = (
    "request-id: req_upstream_only",
    "anthropic-organization-id: org-canary",
    "anthropic-ratelimit-requests-limit: 3",
    "set-cookie: canary=1",
)
LISTED = ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5-20251001")
STOPS = {
    "refusal": "refusal",
    "content_filter": "refusal",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "context_window": "model_context_window_exceeded",
}
CALLING = ("tools", "thinking_tools", "zeroarg")


# ----------------------------------------------------------------------------- requests


def check_headers(request: Request) -> None:
    """1: one x-api-key, and a version that exists."""
    keys = request.values("x-api-key")
    if not keys:
        raise refusal(401, "x-api-key header is required")
    if keys != [ANTHROPIC_KEY]:
        raise refusal(401, "invalid x-api-key")
    versions = request.values("anthropic-version")
    if not versions:
        raise rules.bad("anthropic-version: header is required")
    if versions[0] not in (rules.OLD, rules.NEW):
        raise rules.bad(f'anthropic-version: "{versions[0]}" is not a valid version')


def read_body(request: Request) -> Any:
    if request.content_type != "application/json":
        raise rules.bad("Content-Type header must be application/json")
    try:
        return strict_json(request.body)
    except ValueError as problem:
        raise rules.bad(f"The request body is not valid JSON: {problem}") from None


def check(request: Request) -> None:
    """Raise what the real service would refuse a request with."""
    answer(request)


def answer(request: Request) -> Play | Reply:
    check_headers(request)
    if request.method == "GET" and request.path.startswith("/v1/models"):
        return models(request.path)
    if request.path not in ("/v1/messages", "/v1/messages/count_tokens"):
        raise refusal(404, "Not found")
    if request.method != "POST":
        words = "Method Not Allowed"
        raise Refusal(405, words, rules.error_body("invalid_request_error", words))
    body, counting = read_body(request), request.path.endswith("count_tokens")
    rules.check_body(
        body,
        counting=counting,
        version=request.values("anthropic-version")[0],
        betas=frozenset(",".join(request.values("anthropic-beta")).replace(" ", "").split(",")),
    )
    return Reply({"input_tokens": tokens_of(body)}) if counting else play_of(body)


def models(path: str) -> Reply:
    """1: the list, or one with its limits."""
    name = path.removeprefix("/v1/models").strip("/")
    if name:
        return Reply(model_object(name))
    listed = [model_object(one) for one in LISTED]
    ends = {"first_id": LISTED[0], "last_id": LISTED[-1]}
    return Reply({"data": listed, "has_more": False} | ends)


def model_object(name: str) -> JSON:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": 1_000_000,
        "max_tokens": model_of(name).ceiling,
    }


def tokens_of(body: JSON) -> int:
    return 8 + 3 * len(body["messages"])


def play_of(body: JSON) -> Message:
    """The play of a body that has been checked."""
    texts = [text for one in body["messages"] if one["role"] == "user" if (text := text_of(one))]
    return Message(body, *scenario_of(texts[-1] if texts else ""), ANTHROPIC_KEY)


def text_of(one: JSON) -> str:
    return "\n".join(block["text"] for block in of_type(one, "text"))


# ----------------------------------------------------------------------------- answers (4)


@dataclass
class Block:
    """A content block: as it starts, what is added to it, and whole."""

    start: JSON
    whole: JSON
    deltas: list[JSON] = field(default_factory=list)


def text_block(pieces: list[str]) -> Block:
    return Block(
        {"type": "text", "text": ""},
        {"type": "text", "text": "".join(pieces), "citations": None},
        [{"type": "text_delta", "text": piece} for piece in pieces],
    )


def tool_block(name: str, tool: str, given: JSON) -> Block:
    """A call; without arguments there is no delta at all (8)."""
    start = {"type": "tool_use", "id": name, "name": tool, "input": {}}
    text = json.dumps(given, ensure_ascii=False) if given else ""
    pieces = ["", *(text[i : i + 4] for i in range(0, len(text), 4))] if given else []
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return Block(start, start | {"input": given}, deltas)


class Message(Play):
    """A message of the assistant, whole or as events."""

    closing = 1
    midway = 529
    html = frozenset({413, 502})
    garbage = b'event: content_block_delta\ndata: {"type": nonsense\xff\xfe}\n\n'

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True

    @property
    def _thinking(self) -> str:
        """The type of thinking in force, asked for or by default; empty when off."""
        asked = (self.body.get("thinking") or {}).get("type", "")
        default = "adaptive" if model_of(self.body["model"]).default != "off" else ""
        kind = asked or default
        return "" if kind == "disabled" else kind

    @property
    def _shows_thinking(self) -> bool:
        display = (self.body.get("thinking") or {}).get("display")
        return model_of(self.body["model"]).shows if display is None else display == "summarized"

    @property
    def _thinks(self) -> bool:
        if not self._thinking or (self._thinking == "between_tools" and not self._results):
            return False
        is_asked = "thinking" in self.body
        return (
            self.scenario.startswith(("thinking", "redacted"))
            or self._thinking == "enabled"
            or (is_asked and bool(self._calls or self._results))
        )

    @cached_property
    def _results(self) -> list[JSON]:
        """The tool results that the conversation ends with."""
        last = self.body["messages"][-1]
        return [] if text_of(last) else of_type(last, "tool_result")

    @cached_property
    def _calls(self) -> list[tuple[str, JSON]]:
        """Names and inputs of the calls to make."""
        tools = [tool["name"] for tool in self.body.get("tools") or []]
        choice = self.body.get("tool_choice") or {"type": "auto"}
        forced = choice["type"] in ("any", "tool")
        calls = self.scenario.startswith(CALLING) or forced
        if not tools or choice["type"] == "none" or self._results or not calls:
            return []
        tools = [choice["name"]] if choice["type"] == "tool" else tools
        several = self.scenario in ("tools_parallel", "thinking_tools")
        count = 2 if several and not choice.get("disable_parallel_tool_use") else 1
        given: list[JSON] = [{"city": city} for city in CITIES]
        if self.scenario == "zeroarg":
            given = [{}]
        return [(tools[i % len(tools)], given[i]) for i in range(count)]

    @cached_property
    def blocks(self) -> list[Block]:
        blocks = self._thoughts()
        if self._results:
            return [*blocks, text_block([quoted(result) for result in self._results])]
        if self._calls:
            text = [text_block(["Let me ", "look."])] if self.scenario == "tools_text" else []
            return [*blocks, *text, *self._tool_blocks()]
        if self.scenario in ("empty", "refusal", "finish") or self.body.get("max_tokens") == 0:
            return []
        return [*blocks, text_block(self._pieces())]

    def _pieces(self) -> list[str]:
        wanted = (self.body.get("output_config") or {}).get("format")
        if not wanted:
            return self.words
        schema = wanted["schema"]
        definitions = schema.get("$defs") or schema.get("definitions") or {}
        text = json.dumps(instance_of(schema, definitions), ensure_ascii=False)
        return [text[i : i + 5] for i in range(0, len(text), 5)]

    def _thoughts(self) -> list[Block]:
        """Reasoning: a block with a signature, in `redacted` an opaque one after it."""
        if not self._thinks:
            return []
        count = 2 if self.scenario == "redacted" else 1
        shown = THOUGHTS if self._shows_thinking else []
        text = "".join(shown)
        signature = self._signature(text, 0, count)
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in shown]
        block = Block(
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking", "thinking": text, "signature": signature},
            [*deltas, {"type": "signature_delta", "signature": signature}],
        )
        opaque = {"type": "redacted_thinking", "data": self._signature("", 1, count)}
        return [block, Block(opaque, opaque)][:count]

    def _signature(self, text: str, index: int, count: int) -> str:
        claims = {
            "model": self.body["model"],
            "text": signatures.digest(text),
            "index": index,
            "count": count,
            "prefix": rules.prefix_of(self.body, len(self.body["messages"])),
        }
        return signatures.issue("anthropic", claims)

    def _tool_blocks(self) -> list[Block]:
        """Ids that are new in every turn of a conversation (3.2)."""
        stem = signatures.digest(self.body["messages"])
        return [
            tool_block(f"toolu_{stem}{i}", tool, given)
            for i, (tool, given) in enumerate(self._calls)
        ]

    @property
    def stop(self) -> JSON:
        """`stop_reason` and what belongs to it."""
        reason = "tool_use" if self._calls else STOPS.get(self.scenario, "end_turn")
        if self._results:
            reason = "end_turn"
        elif self.scenario == "finish":
            reason = self.argument
        sequence = (self.body.get("stop_sequences") or ["END"])[0]
        details = {"type": "refusal", "category": "cyber", "explanation": "It may do harm."}
        return {
            "stop_reason": reason,
            "stop_sequence": sequence if reason == "stop_sequence" else None,
            "stop_details": details if reason == "refusal" else None,
        }

    @property
    def usage(self) -> JSON:
        if self.scenario == "cached":
            return usage_of(10, 100, 1000, 50, 20)
        thoughts = 20 if self._thinks else 0
        written = len(self.words) if self.blocks else 2
        return usage_of(tokens_of(self.body), 0, 4, written + thoughts, thoughts)

    def _envelope(self) -> JSON:
        return {
            "id": f"msg_fake{self.tag or 'x'}",
            "type": "message",
            "role": "assistant",
            "model": self.body["model"],
        }

    def whole(self) -> JSON:
        content = [block.whole for block in self.blocks]
        answer = self._envelope() | {"content": content} | self.stop
        return answer if self.scenario == "nousage" else answer | {"usage": self.usage}

    # -- the stream (8)

    def frames(self) -> list[bytes]:
        """A write for each delta; starts, stops, pings and strangers ride along."""
        frames: list[bytes] = []
        for name, data in self._events():
            event = sse(name, data)
            begins = name in ("content_block_delta", "message_delta", "message_stop")
            if begins or not frames:
                frames.append(event)
            else:
                frames[-1] += event
        return frames

    def _events(self) -> list[tuple[str, JSON]]:
        events = [("message_start", {"message": self._started()}), ("ping", {})]
        for i, block in enumerate(self.blocks):
            events.append(("content_block_start", {"index": i, "content_block": block.start}))
            if i == 0:
                events += [("ping", {}), ("weather_report", {"index": i, "note": "ignore me"})]
            deltas = [*block.deltas]
            if block.start["type"] == "text":
                deltas.insert(1, {"type": "weather_delta", "weather": "ignore me too"})
            events += [("content_block_delta", {"index": i, "delta": delta}) for delta in deltas]
            events.append(("content_block_stop", {"index": i}))
        return [*events, *self._finish(), ("message_stop", {})]

    def _started(self) -> JSON:
        nothing = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
        started = self._envelope() | nothing
        if self.scenario == "nousage":
            return started
        usage = {k: v for k, v in self.usage.items() if k != "output_tokens_details"}
        return started | {"usage": usage | {"output_tokens": 1}}

    def _finish(self) -> list[tuple[str, JSON]]:
        """The message_delta events: counts are cumulative, the last one wins."""
        last: JSON = {"delta": self.stop}
        if self.scenario == "nousage":
            return [("message_delta", last)]
        names = ("output_tokens", "output_tokens_details")
        written = {name: self.usage[name] for name in names}
        if self.scenario != "two_deltas":
            return [("message_delta", last | {"usage": written})]
        first = {"delta": {"stop_reason": None, "stop_sequence": None}}
        early = first | {"usage": {"output_tokens": self.usage["output_tokens"] - 1}}
        return [("message_delta", early), ("message_delta", last | {"usage": self.usage})]

    # -- errors (9)

    def error(self, status: int, message: str | None = None) -> JSON:
        kind, text = rules.ERRORS.get(status, rules.ERRORS[500])
        return rules.error_body(kind, text if message is None else message)

    def error_event(self, status: int, message: str | None = None, *, first: bool = False) -> bytes:
        return sse("error", self.error(status, message))

    def error_headers(self, status: int) -> list[str]:
        return ["retry-after: 7"] if status == 429 else []


def quoted(result: JSON) -> str:
    content = result.get("content", "")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [part.get("text", f"[{part['type']}]") for part in parts]
    kind = "error" if result.get("is_error") else "result"
    return f"The {kind} of {result['tool_use_id']} is: {' '.join(texts)}. "


def usage_of(fresh: int, created: int, read: int, written: int, thoughts: int) -> JSON:
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": created, "ephemeral_1h_input_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"thinking_tokens": thoughts},
        "server_tool_use": None,
        "service_tier": "standard",
        "speed": "standard",
        "inference_geo": "us",
    }


def sse(name: str, data: JSON) -> bytes:
    return f"event: {name}\ndata: {compact({'type': name} | data)}\n\n".encode()


# ----------------------------------------------------------------------------- for unit tests


def refusal_of(body: JSON, *, version: str = rules.OLD) -> str | None:
    """The message with which the real service would refuse a body; None if it would answer."""
    try:
        rules.check_body(body, version=version)
    except Refusal as refused:
        return refused.message
    return None


def stream_bytes(body: JSON) -> bytes:
    """The whole stream that answers a body."""
    return b"".join(play_of(body).frames())


def whole(body: JSON) -> JSON:
    """The message that answers a body."""
    return play_of(body).whole()
