"""The provider behind test-mode keys: answers in process, the same way every time.

Everything follows from the request alone: the text, the tool calls, the JSON, the embeddings, the
token counts. Words like `test:429` in the last user message rehearse a failure; `MAGIC` lists them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, takewhile
from typing import Any

from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    Unavailable,
)
from gateway.instances import Unsatisfiable, instance
from gateway.types import (
    JSON,
    ChatRequest,
    Clock,
    Event,
    Finish,
    FinishReason,
    Media,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Started,
    StreamFailed,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
    Usage,
    UsageReport,
)

# --------------------------------------------------------------------------- magic words

MAGIC: Mapping[str, str] = {
    "test:429": "a rate limit: 429 `rate_limit_exceeded` with `Retry-After: 1`",
    "test:500": "a fault of ours: 500 `internal_error`",
    "test:503": "a provider that is away: 503 `provider_unavailable` with `Retry-After: 1`",
    "test:400": "a request that is refused: 400 `invalid_value`",
    "test:context": "a prompt that is too long: 400 `context_length_exceeded`",
    "test:filter": "a text that a content filter cuts off: finish reason `content_filter`",
    "test:refusal": "a model that declines: the answer comes as a refusal",
    "test:slow": "a slow model: 2 s to the first word, then 100 ms between words",
    "test:cut": "a stream that breaks off after some words",
    "test:tool": "a call of the first tool given",
    "test:long": "an answer of 2,000 words",
    "test:unicode": "emoji, CJK, combining marks and line separators",
}
"""What to write into a prompt, and what happens then."""

ERRORS: Mapping[str, Callable[[str, int], GatewayError]] = {
    "test:429": lambda model, _: LimitExceeded(
        f"Rate limit reached for {model} on requests per min (RPM). Please try again in 1s.",
        retry_after=1,
    ),
    "test:500": lambda _, __: InternalError(
        "The server had an error processing your request. Sorry about that!"
    ),
    "test:503": lambda _, __: Unavailable(
        "The upstream model provider is temporarily unavailable.", retry_after=1
    ),
    "test:400": lambda _, __: InvalidRequest(
        "Invalid value: 'test:400'. This prompt asks for an error.", param="messages"
    ),
    "test:context": lambda _, tokens: InvalidRequest(
        f"This model's maximum context length is {max(1, tokens - 1)} tokens. However, your "
        f"messages resulted in {tokens} tokens. Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    ),
}
"""The errors that stand in place of an answer. Called with the model and the input tokens."""

SPOKEN = frozenset({"test:filter", "test:refusal", "test:long", "test:unicode"})
"""The words that are about what is said: no tool is called instead."""

SECONDS_TO_FIRST_WORD = 2.0
SECONDS_BETWEEN_WORDS = 0.1
WORDS_BEFORE_CUT = 5
LONG_WORDS = 2_000

_MAGIC_WORD = re.compile(r"(?<![\w:])test:[a-z0-9]+")


def magic_word(prompt: str) -> str | None:
    """The first word of `MAGIC` in a prompt."""
    return next((word for word in _MAGIC_WORD.findall(prompt) if word in MAGIC), None)


def rehearse(prompt: str, model: str, tokens: int = 1) -> None:
    """Raise the error that a prompt asks for, if it asks for one."""
    error = ERRORS.get(magic_word(prompt) or "")
    if error:
        raise error(model, tokens)


# -------------------------------------------------------------------------------- tokens

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIA = 85
END_TOKENS = 1  # what ends an answer is a token too


def count_tokens(text: str) -> int:
    """Tokens of a text: one for every four characters begun in each word."""
    return sum(-(-len(word) // CHARACTERS_PER_TOKEN) for word in text.split())


def count_input(request: ChatRequest) -> int:
    """Tokens of everything a request hands to the model: messages, tools and schema."""
    messages = sum(
        TOKENS_PER_MESSAGE + sum(map(_count_part, message.parts)) for message in request.messages
    )
    tools = sum(
        count_tokens(f"{tool.name} {tool.description or ''} {_dump(tool.parameters or {})}")
        for tool in request.tools
    )
    shape = request.response_format
    return messages + tools + (count_tokens(_dump(shape.schema)) if shape and shape.schema else 0)


def _count_part(part: Part) -> int:
    match part:
        case Text(text=text) | Reasoning(text=text) | Refusal(text=text):
            return count_tokens(text)
        case ToolCall():
            return count_tokens(f"{part.name} {part.arguments}")
        case ToolResult():
            return sum(map(_count_part, part.content))
        case Media():
            return TOKENS_PER_MEDIA
        case _:
            return count_tokens(_dump(part.value))


# -------------------------------------------------------------------------------- answer


@dataclass(slots=True)
class _Script:
    """What one choice is going to say, before any limit cuts it."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: FinishReason = "stop"


def answer(request: ChatRequest, *, clock: Clock = time.time) -> Iterator[Event]:
    """The events of one answer, deterministic but for `created`.

    An error that stands in place of an answer is raised before the first event: the ones of
    `MAGIC`, and InvalidRequest for a schema that nothing can satisfy.
    """
    prompt = last_user_text(request)
    word = magic_word(prompt)
    tokens = count_input(request)
    rehearse(prompt, request.model, tokens)
    scripts = [_script(request, prompt, word, choice) for choice in range(max(1, request.n))]
    token = _token(request.model, prompt, str(tokens), str(len(request.messages)))
    events = _play(request, scripts, Started(token, request.model, int(clock())), tokens)
    if word == "test:slow":
        events = _slowly(events)
    if word == "test:cut":
        events = _cut(events)
    yield from events


def last_user_text(request: ChatRequest) -> str:
    """The text of the last user message, or of the last message where no user spoke."""
    spoken = [message for message in request.messages if message.role == "user"]
    for message in reversed(spoken or request.messages):
        return _message_text(message)
    return ""


def _message_text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))


def _play(
    request: ChatRequest, scripts: Sequence[_Script], started: Started, tokens: int
) -> Iterator[Event]:
    """Speak the scripts one after the other, then report what they took."""
    usage = Usage(input_tokens=tokens)
    yield started
    for choice, script in enumerate(scripts):
        yield from _speak(script, choice, request.max_tokens, usage, started.id or "")
    yield UsageReport(usage)


def _speak(
    script: _Script, choice: int, limit: int | None, usage: Usage, token: str
) -> Iterator[Event]:
    """One choice, word by word, until its end or its limit; what it takes is added to `usage`."""
    budget = _Budget(limit)
    for piece in budget.take(script.reasoning):
        yield ReasoningDelta(piece, choice)
    usage.reasoning_tokens += budget.used
    for piece in budget.take(script.text):
        yield TextDelta(piece, choice)
    for piece in budget.take(script.refusal):
        yield RefusalDelta(piece, choice)
    for index, (name, arguments) in enumerate(script.calls):
        if budget.is_spent:
            break
        budget.pay(count_tokens(name))
        yield ToolCallStart(index, f"call_{_token(token, name, f'{choice}.{index}')}", name, choice)
        for piece in budget.take(arguments):
            yield ToolCallDelta(index, piece, choice)
    budget.pay(END_TOKENS)
    usage.output_tokens += budget.used
    yield Finish("length" if budget.is_spent else script.finish, choice)


@dataclass(slots=True)
class _Budget:
    """Counts the output tokens of a choice; `is_spent` once something did not fit any more."""

    limit: int | None
    used: int = 0
    is_spent: bool = False

    def take(self, text: str) -> Iterator[str]:
        """The words of a text with the spaces around them, the last one cut where the limit is."""
        for piece in _pieces(text):
            if self.is_spent:
                return
            cost = count_tokens(piece)
            paid = self.pay(cost)
            head = piece if paid == cost else _head(piece, paid)
            if head:
                yield head

    def pay(self, tokens: int) -> int:
        """Take tokens from what is left; returns how many there were."""
        paid = tokens if self.limit is None else min(tokens, self.limit - self.used)
        self.used += paid
        self.is_spent = self.is_spent or paid < tokens
        return paid


def _pieces(text: str) -> list[str]:
    """A text as words, each with the white space before it; joined they are the text."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def _head(piece: str, tokens: int) -> str:
    """As much of a piece as costs so many tokens."""
    spaces = len(piece) - len(piece.lstrip())
    return piece[: spaces + tokens * CHARACTERS_PER_TOKEN] if tokens else ""


def _slowly(events: Iterator[Event]) -> Iterator[Event]:
    time.sleep(SECONDS_TO_FIRST_WORD)
    for count, event in enumerate(events):
        if count > 1:
            time.sleep(SECONDS_BETWEEN_WORDS)
        yield event


def _cut(events: Iterator[Event]) -> Iterator[Event]:
    spoken = takewhile(lambda event: not isinstance(event, Finish), events)
    yield from islice(spoken, 1 + WORDS_BEFORE_CUT)
    yield StreamFailed(
        "The upstream model provider closed the stream before it was complete.",
        reason="test:cut in the prompt",
    )


# -------------------------------------------------------------------------------- script

FACTS: Mapping[str, str] = {
    "capital of france": "The capital of France is Paris.",
    "capital of germany": "The capital of Germany is Berlin.",
    "capital of japan": "The capital of Japan is Tokyo.",
    "2+2": "2 + 2 = 4.",
    "2 + 2": "2 + 2 = 4.",
}
"""Questions from everybody's first example, so that the first answer makes sense."""

UNICODE = (
    "Emoji \U0001f44b\U0001f3fd \U0001f469\u200d\U0001f4bb \U0001f1ea\U0001f1fa, "
    "CJK 你好世界 こんにちは 안녕하세요, right to left مرحبا שלום, "
    "combining e\u0301 n\u0303 Z\u0351\u036b\u0343, separators\u2028here\u2029and\u0085here, "
    "astral \U0001d518\U0001d52b\U0001d526, zero\u200bwidth, byte order \ufeffmark, "
    "quotes “„«»\"', backslash \\ and </script>."
)
SENTENCE = "Every word of this sentence is worth a token and comes round again until the end,"
EFFORTS: Mapping[str, int] = {
    "none": 0, "minimal": 1, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 5,
}  # fmt: skip
THOUGHTS = (
    "The user wants an answer in test mode.",
    "It has to follow from the request alone.",
    "So I look at the last message again.",
    "Nothing in it needs a real model.",
    "A short reply will do.",
)
EXCERPT = 200


def _script(request: ChatRequest, prompt: str, word: str | None, choice: int) -> _Script:
    """What this choice says: a tool call where one is due, else text in the wanted shape."""
    script = _Script(reasoning=_reasoning(request))
    tools = () if word in SPOKEN else _tools_due(request)
    if tools:
        script.calls = [_call(tool, prompt, choice + turn) for turn, tool in enumerate(tools)]
        script.finish = "tool_calls"
    elif word == "test:refusal":
        script.refusal = "I'm sorry, but I can't help with that."
    else:
        script.text = _until_stop(_text(request, prompt, word, choice), request.stop)
        script.finish = "content_filter" if word == "test:filter" else "stop"
    return script


def _reasoning(request: ChatRequest) -> str:
    """As many thoughts as the effort asks for; none unless reasoning was asked for."""
    if request.reasoning_effort is not None:
        count = EFFORTS.get(request.reasoning_effort, 2)
    else:
        budget = request.reasoning_budget
        count = 2 if budget or (budget is None and request.shows_reasoning) else 0
    return " ".join(THOUGHTS[:count])


def _until_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop sequence in it."""
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(found)] if found else text


def _text(request: ChatRequest, prompt: str, word: str | None, choice: int) -> str:
    shape = request.response_format
    if shape and shape.kind == "json_schema" and shape.schema is not None:
        return _dump(_schema_instance(shape.schema, shape.name, prompt, choice))
    text = _plain_text(request, prompt, word)
    if shape and shape.kind == "json_object":
        return _dump({"answer": text, "model": request.model, "choice": choice})
    return f"Variant {choice + 1}: {text}" if choice else text


def _plain_text(request: ChatRequest, prompt: str, word: str | None) -> str:
    if word == "test:long":
        return " ".join(islice(cycle(SENTENCE.split()), LONG_WORDS))
    if word == "test:unicode":
        return UNICODE
    results = _results(request)
    if results:
        return f"The tools answered: {_excerpt('; '.join(results))}. That settles it."
    question = " ".join(prompt[:EXCERPT].lower().split())
    for fact, sentence in FACTS.items():
        if fact in question:
            return sentence
    return (
        f'You said: "{_excerpt(prompt)}". This is a test-mode answer in place of {request.model}: '
        "no model was called and nothing is billed."
    )


def _excerpt(text: str) -> str:
    text = text.strip()
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


def _schema_instance(schema: JSON, name: str | None, prompt: str, choice: int) -> Any:
    try:
        return instance(schema, salt=choice, words=_excerpt(prompt))
    except Unsatisfiable as error:
        raise InvalidRequest(
            f"Invalid schema for response_format '{name or 'response'}': {error}",
            param="response_format",
        ) from None


# --------------------------------------------------------------------------------- tools


def _tools_due(request: ChatRequest) -> list[Tool]:
    """The tools that this turn calls: none when they are forbidden or have answered already."""
    choice = request.tool_choice or ToolChoice("auto")
    allowed = [tool for tool in request.tools if not choice.names or tool.name in choice.names]
    if not allowed or choice.mode == "none":
        return []
    if choice.mode == "auto" and _results(request):
        return []
    is_named = choice.mode == "required" and len(choice.names) == 1
    if request.parallel_tool_calls and not is_named:
        return [allowed[0], allowed[1 % len(allowed)]]
    return allowed[:1]


def _results(request: ChatRequest) -> list[str]:
    """The texts of the tool results that came after the last thing the user said."""
    texts: list[str] = []
    for message in reversed(request.messages):
        parts = [part for part in message.parts if isinstance(part, ToolResult)]
        if message.role == "user" and not parts:
            break
        texts[:0] = [_result_text(part) for part in parts]
    return texts


def _result_text(result: ToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, Text)) or "nothing"


def _call(tool: Tool, prompt: str, salt: int) -> tuple[str, str]:
    """Name and arguments of a call that the tool's own schema accepts."""
    schema = {"type": "object", **(tool.parameters or {})}
    try:
        return tool.name, _dump(instance(schema, salt=salt, words=_excerpt(prompt)))
    except Unsatisfiable as error:
        raise InvalidRequest(
            f"Invalid schema for function '{tool.name}': {error}", param="tools"
        ) from None


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _token(*parts: str) -> str:
    """24 hexadecimal digits that follow from the parts."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()


# ---------------------------------------------------------------------------- embeddings


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector for a text. Texts that share words lie closer together than others."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=64).digest()
        for place, sign in struct.iter_unpack("<Ii", digest):
            vector[place % dimensions] += 1.0 if sign >= 0 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    if not length:
        vector[0] = length = 1.0
    return [x / length for x in vector]
