"""Provider-neutral values: what a chat request and its answer are, whoever speaks.

Pure values. They model what at least two wire formats share; what only one format can say rides in
`extra` and is restored when the target is that format. Token counts are inclusive: cached and
cache-write tokens are part of `input_tokens`, reasoning tokens part of `output_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]

# ----------------------------------------------------------------------------- parts


@dataclass(slots=True)
class Text:
    text: str


@dataclass(slots=True)
class Media:
    """An image, sound, film or document: either `url` or base64 `data` with its `mime_type`.

    `where` is its place in the caller's body, for the message to who sent what a model can't take.
    """

    kind: Literal["image", "audio", "video", "file"]
    url: str | None = None
    data: str | None = None
    mime_type: str | None = None
    name: str | None = None
    detail: str | None = None
    where: str = ""


@dataclass(slots=True)
class Reasoning:
    """Reasoning text, and the provider's signature that must be replayed with it.

    `redacted` is reasoning that the provider keeps secret: opaque text instead of `text`.
    """

    text: str
    signature: str | None = None
    redacted: str | None = None


@dataclass(slots=True)
class ToolCall:
    """`arguments` is JSON text exactly as the model wrote it, possibly not parseable.

    `signature` is what the caller echoes beside the call: a provider's own, or state that we sealed
    (`gateway.reasoning`).
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None


@dataclass(slots=True)
class ToolResult:
    call_id: str
    content: list[Part]
    name: str | None = None
    is_error: bool = False


@dataclass(slots=True)
class Refusal:
    text: str


@dataclass(slots=True)
class Opaque:
    """A part that only its own format understands, kept as it came."""

    format: str
    value: JSON
    where: str = ""


Part = Text | Media | Reasoning | ToolCall | ToolResult | Refusal | Opaque


@dataclass(slots=True)
class Message:
    role: Role
    parts: list[Part]
    name: str | None = None


# ----------------------------------------------------------------------------- request


@dataclass(slots=True)
class Tool:
    """A function the model may call. `parameters` is a JSON Schema object, or None for none."""

    name: str
    description: str | None = None
    parameters: JSON | None = None
    strict: bool | None = None


@dataclass(slots=True)
class ToolChoice:
    """`names` limits the choice; with mode "required" and one name that tool is forced."""

    mode: Literal["auto", "none", "required"]
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ResponseFormat:
    """`json_schema` with a `schema`, or any JSON object."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: JSON | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(slots=True)
class ChatRequest:
    """One generating call. None always means: the caller did not say.

    `logprobs` is the number of alternatives asked for with each token, 0 for none beside the token
    itself. `shows_reasoning` says that the caller wants to read what the model thought,
    `joins_calls` that the caller's SDK looks for tool calls in the last event of a stream only.
    `names` says what the caller called a field that has several names.
    """

    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    n: int = 1
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    shows_reasoning: bool = False
    joins_calls: bool = False
    user: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    extra: dict[str, JSON] = field(default_factory=dict)


# ----------------------------------------------------------------------------- answer


@dataclass(slots=True)
class Usage:
    """Tokens of one call, inclusive (see the module's first lines)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class Started:
    """The first event of every answer: who answers, as the upstream says it.

    `input_tokens` is there where they are told before the answer: all that is known of the usage of
    one that breaks off.
    """

    id: str | None = None
    model: str | None = None
    created: int | None = None
    fingerprint: str | None = None
    input_tokens: int | None = None


@dataclass(slots=True)
class TextDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of reasoning. One with a `signature` ends its block; `redacted` is a whole block."""

    text: str
    choice: int = 0
    signature: str | None = None
    redacted: str | None = None


@dataclass(slots=True)
class RefusalDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class ToolCallStart:
    """`index` counts the calls of one choice from 0 in order of appearance.

    `signature` is what the caller has to send back with the call, if anything.
    """

    index: int
    id: str
    name: str
    choice: int = 0
    signature: str | None = None


@dataclass(slots=True)
class ToolCallDelta:
    index: int
    arguments: str
    choice: int = 0


@dataclass(slots=True)
class LogprobsDelta:
    """OpenAI's `logprobs.content` entries, the only dialect that two formats share."""

    content: list[JSON]
    choice: int = 0


@dataclass(slots=True)
class Finish:
    reason: FinishReason
    choice: int = 0
    raw: str | None = None


@dataclass(slots=True)
class UsageReport:
    usage: Usage
    is_estimate: bool = False


@dataclass(slots=True)
class Silence:
    """Nothing came for a while: a writer may send a sign of life. With `is_hint` the upstream sent
    one, which says nothing of how long it was quiet."""

    is_hint: bool = False


@dataclass(slots=True)
class Pause:
    """All that has arrived is told: what is written by now goes out, at once and together."""


@dataclass(slots=True)
class StreamFailed:
    """The upstream broke off after its first byte: the last event of its stream."""

    message: str
    code: str = "provider_unavailable"
    reason: str = ""


Event = (
    Started
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | LogprobsDelta
    | Finish
    | UsageReport
    | Silence
    | Pause
    | StreamFailed
)
PAUSE = Pause()

Clock = Callable[[], float]
"""Seconds since the epoch, UTC. Passed in so that a test can hold time still."""
