"""The provider behind test-mode keys: answers in process, the same way every time.

Everything follows from the request alone: the text, the tool calls, the JSON, the pictures, the
token counts. Words like `test:429` in the last user message rehearse a failure; `MAGIC` lists them.
"""

from __future__ import annotations

import colorsys
import hashlib
import json
import math
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice, takewhile
from typing import Any
from urllib.parse import unquote

from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    Unavailable,
)
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
        count = 2 if request.reasoning_budget else 0
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
        return instance(schema, salt=choice, words=prompt)
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
        return tool.name, _dump(instance(schema, salt=salt, words=prompt))
    except Unsatisfiable as error:
        raise InvalidRequest(
            f"Invalid schema for function '{tool.name}': {error}", param="tools"
        ) from None


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _token(*parts: str) -> str:
    """24 hexadecimal digits that follow from the parts."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()


# ---------------------------------------------------------------------- schema instances

GENEROUS_DEPTH = 3
MAX_DEPTH = 48
MAX_WORK = 20_000
MAX_TEXT = 10_000

FORMATS: Mapping[str, str] = {
    "date-time": "2026-01-{day:02}T12:00:00Z",
    "date": "2026-01-{day:02}",
    "time": "12:00:{day:02}Z",
    "duration": "P{day}D",
    "email": "user{day}@example.com",
    "idn-email": "user{day}@example.com",
    "hostname": "host{day}.example.com",
    "idn-hostname": "host{day}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{day}",
    "iri": "https://example.com/{day}",
    "url": "https://example.com/{day}",
    "uri-reference": "/{day}",
    "iri-reference": "/{day}",
    "uuid": "00000000-0000-4000-8000-{day:012}",
    "byte": "dGVzdA==",
    "json-pointer": "/{day}",
    "relative-json-pointer": "{day}",
    "regex": "^test{day}$",
}
"""A valid string for each `format` keyword; `day` is 1 to 28."""

HINTS: Mapping[str, tuple[str, ...]] = {
    "city": ("Paris", "Berlin", "Tokyo"),
    "location": ("Paris", "Berlin", "Tokyo"),
    "country": ("France", "Germany", "Japan"),
    "name": ("Ada Lovelace", "Alan Turing", "Grace Hopper"),
    "language": ("English", "French", "German"),
    "currency": ("EUR", "USD", "JPY"),
}
ECHOES = ("query", "question", "prompt", "input", "text", "message", "search", "q")
SIMPLE_TYPES = ("null", "boolean", "integer", "number", "string")


class Unsatisfiable(Exception):
    """No value was found that the schema accepts."""


def instance(schema: JSON, *, salt: int = 0, words: str = "") -> Any:
    """A JSON value that the schema accepts; another `salt` gives another one where it can.

    Knows types, enum, const, references, anyOf/oneOf/allOf, objects, arrays, bounds, formats and
    plain patterns. `words` fill strings whose name asks for them. Raises Unsatisfiable.
    """
    return _Builder(schema, words).build(schema, "value", salt, 0)


@dataclass(slots=True)
class _Builder:
    """Builds one instance. `work` bounds what a hostile schema can cost."""

    root: JSON
    words: str
    work: int = 0

    def build(self, schema: Any, name: str, salt: int, depth: int) -> Any:
        """A value for a schema. Down to GENEROUS_DEPTH it is complete, below it the smallest."""
        self.spend(1)
        if depth > MAX_DEPTH:
            raise Unsatisfiable("it nests without end.")
        if schema is False:
            raise Unsatisfiable("nothing matches the schema `false`.")
        node = self.flatten(schema) if isinstance(schema, dict) else {}
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return self.pick(node, salt)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(node.get(keyword), list):
                return self.branch(node, keyword, name, salt, depth)
        return self.typed(node, name, salt, depth)

    def spend(self, amount: int) -> None:
        self.work += amount
        if self.work > MAX_WORK:
            raise Unsatisfiable("it is too large or too deeply nested.")

    def flatten(self, schema: JSON) -> JSON:
        """The schema with `$ref` and `allOf` laid into it."""
        node = schema
        for _ in range(MAX_DEPTH):
            if isinstance(node.get("$ref"), str):
                rest = {key: value for key, value in node.items() if key != "$ref"}
                node = _merged(self.resolve(node["$ref"]), rest)
            elif isinstance(node.get("allOf"), list):
                rest = {key: value for key, value in node.items() if key != "allOf"}
                for part in node["allOf"]:
                    self.spend(1)
                    rest = _merged(rest, self.flatten_part(part))
                node = rest
            else:
                return node
        raise Unsatisfiable("its references lead in a circle.")

    def flatten_part(self, part: Any) -> JSON:
        """One branch of an `allOf`. References are followed once, the outer loop does the rest."""
        if not isinstance(part, dict):
            return {}
        if isinstance(part.get("$ref"), str):
            rest = {key: value for key, value in part.items() if key != "$ref"}
            return _merged(self.resolve(part["$ref"]), rest)
        return part

    def resolve(self, reference: str) -> JSON:
        """The schema that a pointer into this document names; anything, if it points elsewhere."""
        self.spend(1)
        if not reference.startswith("#"):
            return {}
        node: Any = self.root
        for step in reference[1:].split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                raise Unsatisfiable(f"`{reference}` points to nothing.")
        return node if isinstance(node, dict) else {}

    def pick(self, node: JSON, salt: int) -> Any:
        types = _types(node)
        values = [v for v in node["enum"] if not types or any(_has_type(v, t) for t in types)]
        if not values:
            raise Unsatisfiable("an `enum` has no value of the right type.")
        return values[salt % len(values)]

    def branch(self, node: JSON, keyword: str, name: str, salt: int, depth: int) -> Any:
        """The first branch that works: real content near the top, the simplest further down."""
        rest = {key: value for key, value in node.items() if key != keyword}
        branches = [b for b in node[keyword] if b is not False]
        branches.sort(key=lambda b: _rank(b, is_generous=depth < GENEROUS_DEPTH))
        problem = Unsatisfiable(f"its `{keyword}` is empty.")
        for branch in branches:
            try:
                inner = self.flatten(branch) if isinstance(branch, dict) else {}
                return self.build(_merged(rest, inner), name, salt, depth + 1)
            except Unsatisfiable as error:
                problem = error
        raise problem

    def typed(self, node: JSON, name: str, salt: int, depth: int) -> Any:
        types = _types(node) or _implied(node)
        types.sort(key=lambda t: _rank({"type": t}, is_generous=depth < GENEROUS_DEPTH))
        match types[0]:
            case "object":
                return self.object(node, salt, depth)
            case "array":
                return self.array(node, name, salt, depth)
            case "string":
                return self.string(node, name, salt)
            case "integer" | "number" as kind:
                return _number(node, kind == "integer", salt)
            case "boolean":
                return salt % 2 == 0
            case "null":
                return None
            case other:
                raise Unsatisfiable(f"`{other}` is not a type.")

    def object(self, node: JSON, salt: int, depth: int) -> JSON:
        """Required properties always, the others while there is room for them."""
        properties = node.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = [key for key in node.get("required") or () if isinstance(key, str)]
        found: JSON = {}
        for key, schema in properties.items():
            if key in required:
                found[key] = self.build(schema, key, salt, depth + 1)
            elif depth < GENEROUS_DEPTH:
                self.add_optional(found, key, schema, salt, depth)
        others = node.get("additionalProperties", {})
        for key in required:
            if key not in found:
                found[key] = self.build(others, key, salt, depth + 1)
        wanted = _whole(node.get("minProperties"), 0)
        if not properties and isinstance(others, dict) and others and depth < GENEROUS_DEPTH:
            wanted = max(wanted, 1)
        wanted = min(wanted, _whole(node.get("maxProperties"), wanted))
        for extra in range(1, wanted - len(found) + 1):
            found[f"key{extra}"] = self.build(others, f"key{extra}", salt + extra, depth + 1)
        return found

    def add_optional(self, found: JSON, key: str, schema: Any, salt: int, depth: int) -> None:
        try:
            found[key] = self.build(schema, key, salt, depth + 1)
        except Unsatisfiable:
            self.spend(1)

    def array(self, node: JSON, name: str, salt: int, depth: int) -> list[Any]:
        """The smallest length allowed, but one item where there is room; distinct if they must."""
        first = node.get("prefixItems")
        first = first if isinstance(first, list) else []
        rest = node.get("items", {})
        least = _whole(node.get("minItems"), 0)
        wanted = max(least, len(first), 1) if depth < GENEROUS_DEPTH else least
        wanted = min(wanted, _whole(node.get("maxItems"), wanted))
        self.spend(wanted)
        items: list[Any] = []
        seen: set[str] = set()
        for index in range(wanted):
            schema = first[index] if index < len(first) else rest
            try:
                item = self.item(schema, name, salt + index, depth, seen)
            except Unsatisfiable:
                if index < least:
                    raise
                break
            if node.get("uniqueItems") is True:
                seen.add(_identity(item))
            items.append(item)
        return items

    def item(self, schema: Any, name: str, salt: int, depth: int, seen: set[str]) -> Any:
        """An item that is none of those seen."""
        for attempt in range(len(seen) + 2):
            item = self.build(schema, name, salt + attempt, depth + 1)
            if _identity(item) not in seen:
                return item
        raise Unsatisfiable("there are not enough different items.")

    def string(self, node: JSON, name: str, salt: int) -> str:
        least = _whole(node.get("minLength"), 0)
        most = _whole(node.get("maxLength"), MAX_TEXT)
        if least > min(most, MAX_TEXT):
            raise Unsatisfiable("a string cannot have that length.")
        self.spend(least // 64)
        if isinstance(node.get("pattern"), str):
            text = self.pattern(node["pattern"], least, most, salt)
            if text is not None:
                return text
        template = FORMATS.get(str(node.get("format", "")))
        if template:
            return template.format(day=salt % 28 + 1)
        text = _wording(name, self.words, salt)[:most]
        return text + "x" * (least - len(text))

    def pattern(self, pattern: str, least: int, most: int, salt: int) -> str | None:
        """A string that a plain pattern matches, None where the pattern is not plain.

        The pattern is read, never run: a hostile one could keep the process busy for ever.
        """
        for extra in range(min(least, 256) + 1):
            self.spend(1 + len(pattern) // 64)
            try:
                text = _Pattern(pattern, extra, salt).sample()
            except _NotPlain:
                return None
            if least <= len(text) <= most:
                return text
        raise Unsatisfiable("no string has both that pattern and that length.")


def _merged(below: JSON, above: JSON) -> JSON:
    """Both schemas at once: properties and requirements add up, other keywords replace."""
    merged = {**below, **above}
    for key in ("properties", "$defs"):
        if isinstance(below.get(key), dict) and isinstance(above.get(key), dict):
            merged[key] = {**below[key], **above[key]}
    if isinstance(below.get("required"), list) and isinstance(above.get("required"), list):
        merged["required"] = [*below["required"], *above["required"]]
    if isinstance(below.get("allOf"), list) and isinstance(above.get("allOf"), list):
        merged["allOf"] = [*below["allOf"], *above["allOf"]]
    return merged


def _types(node: JSON) -> list[str]:
    value = node.get("type")
    values = value if isinstance(value, list) else [value] if value else []
    return [str(v).lower() for v in values]


IMPLIED_BY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "uniqueItems")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def _implied(node: JSON) -> list[str]:
    """The type that a schema without one is about."""
    for kind, keywords in IMPLIED_BY:
        if any(keyword in node for keyword in keywords):
            return [kind]
    return ["string"]


def _rank(schema: Any, *, is_generous: bool) -> int:
    """The order to try branches in: null last near the top, simple ones first further down."""
    types = _types(schema) if isinstance(schema, dict) else []
    if is_generous:
        return 1 if types == ["null"] else 0
    if types and types[0] in SIMPLE_TYPES:
        return SIMPLE_TYPES.index(types[0])
    return len(SIMPLE_TYPES) + (isinstance(schema, dict) and "$ref" in schema)


def _has_type(value: Any, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return (
                not isinstance(value, bool)
                and isinstance(value, int | float)
                and (value == int(value))
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _identity(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _whole(value: Any, default: int) -> int:
    """A keyword's whole number; bounded, because it says how much to build."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return max(0, min(int(value), MAX_WORK + 1))


def _wording(name: str, words: str, salt: int) -> str:
    """What a string of this name could say."""
    key = name.lower()
    if key in ECHOES and words.strip():
        return _excerpt(words)
    if key in HINTS:
        return HINTS[key][salt % len(HINTS[key])]
    return f"{name} {salt + 1}"


def _number(node: JSON, is_integer: bool, salt: int) -> int | float:
    """A number between the bounds and on the step, near 1."""
    low, low_open = _bound(node, "minimum", "exclusiveMinimum", max)
    high, high_open = _bound(node, "maximum", "exclusiveMaximum", min)
    step = _step(node.get("multipleOf"), is_integer)
    value = Fraction(1 + salt)
    if high is not None and value > high:
        value = high
    if low is not None and value < low:
        value = low
    value = _on_step(value, step, low, high, low_open, high_open)
    below = low is not None and (value < low or (low_open and value == low))
    above = high is not None and (value > high or (high_open and value == high))
    if below or above:
        raise Unsatisfiable("no number lies between its bounds.")
    return int(value) if value.denominator == 1 else float(value)


def _on_step(
    value: Fraction,
    step: Fraction | None,
    low: Fraction | None,
    high: Fraction | None,
    low_open: bool,
    high_open: bool,
) -> Fraction:
    """The value moved onto a multiple of the step, or off an open bound."""
    if step is not None:
        up = -(-value // step) * step
        if low_open and up == low:
            up += step
        fits = high is None or up < high or (up == high and not high_open)
        if fits:
            return up
        down = value // step * step
        return down - step if high_open and down == high else down
    if low_open and value == low:
        return (low + high) / 2 if high is not None else value + 1
    if high_open and value == high:
        return (low + high) / 2 if low is not None else value - 1
    return value


def _bound(
    node: JSON, closed: str, opened: str, tighter: Callable[[Fraction, Fraction], Fraction]
) -> tuple[Fraction | None, bool]:
    """A bound, and whether it is open. Draft 4 says `exclusiveMinimum: true` beside `minimum`."""
    inner = _fraction(node.get(closed))
    outer = _fraction(node.get(opened))
    if outer is None:
        return inner, node.get(opened) is True
    if inner is None:
        return outer, True
    bound = tighter(inner, outer)
    return bound, bound == outer


def _step(value: Any, is_integer: bool) -> Fraction | None:
    """The distance between the numbers allowed; for integers a whole one."""
    step = _fraction(value)
    if step is None or step <= 0:
        return Fraction(1) if is_integer else None
    return Fraction(step.numerator) if is_integer else step


def _fraction(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Fraction(str(value))


# ------------------------------------------------------------------------------ patterns

CLASSES: Mapping[str, str] = {
    "d": "1234567890",
    "w": "abcxyz019_",
    "s": " ",
    "D": "abcxyz",
    "W": "-",
    "S": "abcxyz019",
}
CONTROLS: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
PRINTABLE = "".join(map(chr, range(ord("a"), ord("z") + 1))) + "".join(map(chr, range(32, 97)))


class _NotPlain(Exception):
    """The pattern uses what this reader does not know: look-around, back references, properties."""


@dataclass(slots=True)
class _Pattern:
    """Reads a regular expression and writes the shortest text it matches.

    Repeats come `extra` times more often than they must, so that a length can be reached.
    """

    pattern: str
    extra: int
    salt: int
    at: int = 0

    def sample(self) -> str:
        text = self.alternatives()
        if self.at < len(self.pattern):
            raise _NotPlain
        return text

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def next(self) -> str:
        char = self.peek()
        if not char:
            raise _NotPlain
        self.at += 1
        return char

    def alternatives(self) -> str:
        """One of `a|b|c`, by the salt."""
        options = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence())
        return options[self.salt % len(options)]

    def sequence(self) -> str:
        text = ""
        while self.peek() not in ("", "|", ")"):
            atom = self.atom()
            text += atom * self.repeats(len(atom))
            if len(text) > MAX_TEXT:
                raise _NotPlain
        return text

    def atom(self) -> str:
        match char := self.next():
            case "^" | "$":
                return ""
            case "(":
                return self.group()
            case "[":
                return self.one_of()
            case "\\":
                return self.escape()[0:1]
            case ".":
                return "x"
            case "*" | "+" | "?" | "{":
                raise _NotPlain
            case _:
                return char

    def group(self) -> str:
        if self.peek() == "?":
            head = re.compile(r"\?:|\?P?<\w+>").match(self.pattern, self.at)
            if head is None:
                raise _NotPlain
            self.at = head.end()
        text = self.alternatives()
        if self.next() != ")":
            raise _NotPlain
        return text

    def escape(self) -> str:
        """The characters an escape stands for."""
        char = self.next()
        if char in CLASSES:
            return CLASSES[char]
        if char in CONTROLS:
            return CONTROLS[char]
        if char in "xu":
            size = 2 if char == "x" else 4
            digits = self.pattern[self.at : self.at + size]
            if not re.fullmatch(rf"[0-9a-fA-F]{{{size}}}", digits):
                raise _NotPlain
            self.at += size
            return chr(int(digits, 16))
        if char.isalnum():
            raise _NotPlain
        return char

    def one_of(self) -> str:
        """A character of a class like `[a-z_]`, or one outside `[^a-z]`."""
        is_negated = self.peek() == "^"
        self.at += is_negated
        members: list[str] = []
        ranges: list[tuple[str, str]] = []
        while (char := self.next()) != "]" or not (members or ranges):
            found = self.escape() if char == "\\" else char
            if len(found) == 1 and re.compile(r"-[^\]]").match(self.pattern, self.at):
                self.at += 1
                last = self.next()
                last = self.escape() if last == "\\" else last
                ranges.append((found, last[:1]))
            else:
                members.extend(found)
        if not is_negated:
            options = [first for first, _ in ranges] + members
            return options[self.salt % len(options)]
        for option in PRINTABLE:
            if option not in members and not any(a <= option <= b for a, b in ranges):
                return option
        raise _NotPlain

    def repeats(self, size: int) -> int:
        """How often the atom before comes, given the quantifier after it."""
        found = re.compile(r"(?:([*+?])|\{(\d{1,6})(,(\d{1,6})?)?\})[?+]?").match(
            self.pattern, self.at
        )
        if found is None:
            return 1
        self.at = found.end()
        sign, least, comma, most = found[1], found[2], found[3], found[4]
        low = int(least) if least else int(sign == "+")
        high = 1 if sign == "?" else int(most) if most else MAX_TEXT if sign or comma else low
        count = min(low + self.extra, high)
        if count * size > MAX_TEXT:
            raise _NotPlain
        return count


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


# ------------------------------------------------------------------------------ pictures

MAX_SIDE = 4096
DEFAULT_SIZE = 1024
ACCENTS = (0.0, 0.06, 0.12, 0.18, 0.24, 0.5)
"""How far round the colour wheel each disc lies from the sky; the last one is its sun."""
BLEND = 0.55

RGB = tuple[int, int, int]


def draw(prompt: str, size: str, index: int = 0) -> bytes:
    """A PNG of the size asked for ("1024x1024", "auto"): discs on a gradient, by the prompt.

    Raises InvalidRequest for a size that is none, or beyond 4096 a side.
    """
    width, height = _sides(size)
    dice = _Dice(hashlib.shake_256(f"{prompt}\0{index}".encode("utf-8", "replace")).digest(64))
    hue = dice.roll()
    sky = _ramp([_colour(hue + turn, 0.6, dice) for turn in (0.0, 0.08, 0.18)], width + height)
    accents = [_colour(hue + turn, 0.78, dice) for turn in ACCENTS]
    discs = [_disc(dice, width, height, sky, accent) for accent in accents]
    compressor = zlib.compressobj(1)
    body = (
        b"".join(compressor.compress(_row(y, width, sky, discs)) for y in range(height))
        + compressor.flush()
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _png_chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"tEXt", b"Comment\0Made in test mode: no image model was called."),
            (b"IDAT", body),
            (b"IEND", b""),
        )
    )


def _sides(size: str) -> tuple[int, int]:
    if size == "auto":
        return DEFAULT_SIZE, DEFAULT_SIZE
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if found is None or max(int(found[1]), int(found[2])) > MAX_SIDE:
        raise InvalidRequest(
            f"Invalid value: '{size}'. A size is WIDTHxHEIGHT, up to {MAX_SIDE}x{MAX_SIDE}.",
            param="size",
        )
    return int(found[1]), int(found[2])


@dataclass(slots=True)
class _Dice:
    """Numbers from 0 to 1 out of a digest, one after the other."""

    digest: bytes
    at: int = 0

    def roll(self, low: float = 0.0, high: float = 1.0) -> float:
        byte = self.digest[self.at % len(self.digest)]
        self.at += 1
        return low + (high - low) * byte / 255


def _colour(hue: float, light: float, dice: _Dice) -> RGB:
    light += dice.roll(-0.08, 0.08)
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, light, dice.roll(0.55, 0.8))
    return round(red * 255), round(green * 255), round(blue * 255)


def _ramp(stops: Sequence[RGB], length: int) -> bytes:
    """RGB bytes of `length` pixels from the first of three colours past the second to the third."""
    pixels = bytearray()
    for step in range(length):
        t = step / length
        near, middle, far = (1 - t) ** 2, 2 * t * (1 - t), t * t
        pixels += bytes(
            int(near * a + middle * b + far * c) for a, b, c in zip(*stops, strict=True)
        )
    return bytes(pixels)


@dataclass(slots=True)
class _Disc:
    """A disc with its own ramp, which shines through what lies below it."""

    x: float
    y: float
    radius: float
    ramp: bytes


def _disc(dice: _Dice, width: int, height: int, sky: bytes, accent: RGB) -> _Disc:
    tables = [
        bytes(int(below * (1 - BLEND) + level * BLEND) for below in range(256)) for level in accent
    ]
    ramp = bytearray(sky)
    for channel, table in enumerate(tables):
        ramp[channel::3] = sky[channel::3].translate(table)
    radius = dice.roll(0.08, 0.28) * min(width, height)
    return _Disc(dice.roll() * width, dice.roll() * height, radius, bytes(ramp))


def _row(y: int, width: int, sky: bytes, discs: Sequence[_Disc]) -> bytes:
    """One line of the picture, its filter byte first. Each line is the ramp, one pixel further."""
    line = bytearray(sky[3 * y : 3 * (y + width)])
    for disc in discs:
        square = disc.radius**2 - (y + 0.5 - disc.y) ** 2
        if square <= 0:
            continue
        half = math.sqrt(square)
        left, right = max(0.0, disc.x - half), min(float(width), disc.x + half)
        first, last = math.ceil(left), math.floor(right)
        if first < last:
            line[3 * first : 3 * last] = disc.ramp[3 * (y + first) : 3 * (y + last)]
            _soften(line, disc.ramp, y, first - 1, first - left)
            _soften(line, disc.ramp, y, last, right - last)
    return b"\0" + bytes(line)


def _soften(line: bytearray, ramp: bytes, y: int, x: int, cover: float) -> None:
    """Mix the one pixel at the edge of a disc by how much of it the disc covers."""
    if cover > 0 and 0 <= 3 * x < len(line):
        for channel in range(3):
            below, above = line[3 * x + channel], ramp[3 * (y + x) + channel]
            line[3 * x + channel] = int(below + (above - below) * cover)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
