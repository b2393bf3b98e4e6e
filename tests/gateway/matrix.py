"""The matrix: every feature, from either surface, to models of every provider.

A `Case` is one feature as a body for each surface, with what a client has to get for it. A cell is
a case at a model from a surface. What a model cannot take is in `NO`: those cells are answered with
a 400 that names the field. `tests.gateway.test_matrix` runs it, `tests.compatibility` reads it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai import png
from tests.fakes.play import JSON, UNICODE, WORDS
from tests.gateway.gateway_in_process import CATALOG, Gateway, Outcome, Said, by_bytes
from tests.gateway.upstream_views import View, shown

MODELS = (
    "gpt-4o",
    "gpt-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-opus-5-5",
    "claude-haiku-4-5",
    "gemini-2.5-flash",
    "gemini-3.5-flash",
    "gemini-3.8-flash",
    "deepseek-v4-flash",
    "deepseek-chat",
    "local-small",
)
SURFACES = ("openai", "gemini")
PROVIDER = {
    name: model.provider_name for name in MODELS if (model := CATALOG.find(name)) is not None
}
PROVIDER["deepseek-chat"] = "deepseek"

TEXT = "".join(WORDS)
PNG = png(2, 2)
PNG64 = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\n%%EOF\n"
PDF64 = base64.b64encode(PDF).decode()
WAV = b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"
WAV64 = base64.b64encode(WAV).decode()
CITY: JSON = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


# ----------------------------------------------------------------------------- bodies


def ask(scenario: str = "normal", text: str = "What is the capital of France?") -> str:
    return f"{text} scenario:{scenario}"


def o_user(content: Any) -> JSON:
    return {"role": "user", "content": content}


def openai_body(scenario: str = "normal", /, **more: Any) -> JSON:
    return {"messages": [o_user(ask(scenario))], **more}


def openai_parts(*parts: JSON) -> JSON:
    return {"messages": [o_user([{"type": "text", "text": ask()}, *parts])]}


def gemini_body(scenario: str = "normal", /, **more: Any) -> JSON:
    config = {name: more.pop(name) for name in list(more) if name not in GEMINI_TOP}
    body: JSON = {"contents": [{"role": "user", "parts": [{"text": ask(scenario)}]}], **more}
    return body | ({"generationConfig": config} if config else {})


GEMINI_TOP = frozenset({"tools", "toolConfig", "systemInstruction", "contents", "safetySettings"})


def gemini_parts(*parts: JSON) -> JSON:
    return {"contents": [{"role": "user", "parts": [{"text": ask()}, *parts]}]}


def o_tool(name: str, parameters: JSON | None = CITY, **more: Any) -> JSON:
    function: JSON = {"name": name, "description": "Looks it up.", **more}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


def g_tools(*declared: tuple[str, JSON | None]) -> list[JSON]:
    declarations = []
    for name, schema in declared:
        declaration: JSON = {"name": name, "description": "Looks it up."}
        if schema is not None:
            declaration["parametersJsonSchema"] = schema
        declarations.append(declaration)
    return [{"functionDeclarations": declarations}]


LOOKUP = [o_tool("lookup")]
BOTH = [o_tool("lookup"), o_tool("weather")]
G_LOOKUP = g_tools(("lookup", CITY))
G_BOTH = g_tools(("lookup", CITY), ("weather", CITY))


def g_mode(mode: str, *names: str) -> JSON:
    config: JSON = {"mode": mode}
    if names:
        config["allowedFunctionNames"] = list(names)
    return {"functionCallingConfig": config}


def o_history(*results: Any, text: str = "Weather in Paris? scenario:normal") -> JSON:
    """A turn with as many calls as results, answered in reverse order."""
    calls = [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": "lookup", "arguments": json.dumps({"city": f"C{place}"})},
        }
        for place in range(len(results))
    ]
    answers = [
        {"role": "tool", "tool_call_id": f"call_{place}", "content": result}
        for place, result in enumerate(results)
    ]
    asked = [o_user(text), {"role": "assistant", "content": None, "tool_calls": calls}]
    return {"messages": [*asked, *reversed(answers)], "tools": LOOKUP}


def g_history(*results: JSON, parts: tuple[JSON, ...] = ()) -> JSON:
    calls = [
        {"functionCall": {"name": "lookup", "args": {"city": f"C{place}"}}}
        for place in range(len(results))
    ]
    answers: list[JSON] = [
        {"functionResponse": {"name": "lookup", "response": result}} for result in results
    ]
    if parts:
        answers[0]["functionResponse"]["parts"] = list(parts)
    asked = {"role": "user", "parts": [{"text": "Weather in Paris? scenario:normal"}]}
    return {
        "contents": [
            asked,
            {"role": "model", "parts": signed(calls)},
            {"role": "user", "parts": answers},
        ],
        "tools": G_LOOKUP,
    }


def signed(calls: list[JSON]) -> list[JSON]:
    """The first with the stand-in that Google documents: Gemini 3 demands a signature there."""
    stand_in = {"thoughtSignature": "skip_thought_signature_validator"}
    return [call | (stand_in if place == 0 else {}) for place, call in enumerate(calls)]


def o_schema(schema: JSON, strict: bool = True) -> JSON:
    spec = {"name": "answer", "schema": schema, "strict": strict}
    return openai_body(response_format={"type": "json_schema", "json_schema": spec})


def g_schema(schema: JSON) -> JSON:
    return gemini_body(responseMimeType="application/json", responseJsonSchema=schema)


def obj(properties: JSON, **more: Any) -> JSON:
    found = {"type": "object", "properties": properties, "required": list(properties)}
    return found | {"additionalProperties": False} | more


SIMPLE = obj({"city": {"type": "string"}, "people": {"type": "integer"}})
NULLABLE = obj({"city": {"type": ["string", "null"]}})
WITH_REF = obj({"home": {"$ref": "#/$defs/place"}}, **{"$defs": {"place": SIMPLE}})
OPTIONAL = obj({"city": {"type": "string"}, "note": {"type": "string"}}, required=["city"])


# ----------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Case:
    """One feature. `says` checks a good answer, `tells` what the provider was told of it."""

    name: str
    feature: str
    openai: JSON | None
    gemini: JSON | None
    says: Callable[[Said, Cell], None]
    tells: Callable[[View, Cell], None] | None = None
    group: str = ""

    def body(self, surface: str) -> JSON | None:
        return self.openai if surface == "openai" else self.gemini


@dataclass(frozen=True)
class Cell:
    case: Case
    surface: str
    model: str

    @property
    def provider(self) -> str:
        return PROVIDER[self.model]

    @property
    def passes(self) -> bool:
        """Does the body stay in its own format?"""
        own = "gemini" if self.provider == "gemini" else "openai"
        return self.surface == own and self.provider not in ("anthropic",)

    @property
    def refusal(self) -> str | None:
        """The pattern of the field that a 400 names, where the model cannot take this."""
        for where, what in NO.get(self.case.name, ()):
            if re.fullmatch(where, f"{self.surface}>{self.model}"):
                return what
        return None

    def run(self, *, stream: bool, gateway: Gateway | None = None) -> Outcome:
        body = self.case.body(self.surface)
        assert body is not None
        if stream and self.surface == "openai":
            body = body | {"stream_options": {"include_usage": True}}
        is_long = self.case.name == "long"
        cut = by_bytes(65536 if is_long else 13) if stream else None
        return (gateway or Gateway()).call(self.surface, self.model, body, stream=stream, cut=cut)

    def __str__(self) -> str:
        return f"{self.case.name}-{self.surface}>{self.model}"


FINISHES = {
    "stop": {"openai": "stop", "gemini": "STOP"},
    "tool_calls": {"openai": "tool_calls", "gemini": "STOP"},
    "length": {"openai": "length", "gemini": "MAX_TOKENS"},
    "content_filter": {"openai": "content_filter", "gemini": "SAFETY"},
}


def finished(said: Said, cell: Cell, reason: str) -> None:
    assert said.finish == FINISHES[reason][cell.surface], said


def says(text: str = TEXT, finish: str = "stop") -> Callable[[Said, Cell], None]:
    def check(said: Said, cell: Cell) -> None:
        assert said.text == text
        assert not said.calls
        finished(said, cell, finish)
        assert said.usage is not None and said.usage[0] > 0

    return check


def calls(*wanted: tuple[str, JSON], text: str = "") -> Callable[[Said, Cell], None]:
    def check(said: Said, cell: Cell) -> None:
        assert said.calls == list(wanted)
        assert said.text == text
        # On their own format Gemini's ids are what they are: 2.5 has none.
        assert len(set(said.ids)) == len(wanted) or cell.passes
        finished(said, cell, "tool_calls")

    return check


def says_json(schema: JSON | None = None) -> Callable[[Said, Cell], None]:
    """JSON of the schema where the provider knows schemas; the fakes can't read orders in words."""

    def check(said: Said, cell: Cell) -> None:
        finished(said, cell, "stop")
        if said.text == TEXT or cell.provider == "deepseek":
            return  # asked for in words, which the fakes don't follow
        value = json.loads(said.text)
        assert schema is None or set(schema["required"]) <= set(value)

    return check


def answers(said: Said, cell: Cell) -> None:
    """Whatever it says, it is an answer."""
    assert said.text or said.calls
    assert said.usage is not None


def quotes(*wanted: str) -> Callable[[Said, Cell], None]:
    def check(said: Said, cell: Cell) -> None:
        for one in wanted:
            assert one in said.text.replace('\\"', '"'), said.text
        finished(said, cell, "stop")

    return check


def refuses(said: Said, cell: Cell) -> None:
    """No text that looks like an answer; the filter is named, or the refusal is told."""
    assert TEXT not in said.text
    if cell.provider in ("deepseek", "local"):
        assert said.text == "I can't help with that."  # they have no other word for it
    elif cell.surface == "openai":
        assert said.refusal or said.finish == "content_filter", said
    else:
        own = ("SAFETY", "PROHIBITED_CONTENT") if cell.provider == "gemini" else ("SAFETY",)
        assert said.finish in own, said


def is_blocked(said: Said, cell: Cell) -> None:
    finished(said, cell, "content_filter")
    assert said.refusal or said.text
    assert TEXT not in said.text


def thinks(said: Said, cell: Cell) -> None:
    assert said.text == TEXT
    finished(said, cell, "stop")
    is_told = cell.provider != "openai" and cell.model != "deepseek-chat"
    assert bool(said.reasoning) == is_told, said.reasoning
    if is_told:  # the tokens of thoughts are counted where the provider counts them
        assert said.reasoning == "The user asks about France. Its capital is Paris."
        assert said.usage is not None and said.usage[4] == 20
        assert said.usage[1] > said.usage[4]


def counts_cached(said: Said, cell: Cell) -> None:
    """Golden case G7: the same tokens, whoever counts them, in the caller's words."""
    assert said.usage == (1110, 50, 1160, 1000, 20)


def tells(*pieces: tuple[Any, ...]) -> Callable[[View, Cell], None]:
    def check(found: View, cell: Cell) -> None:
        assert [piece for piece in found.pieces if piece[1] != "result"] == list(pieces)

    return check


def tells_all(*kinds: tuple[str, Any]) -> Callable[[View, Cell], None]:
    """These pieces are among what the provider is told."""

    def check(found: View, cell: Cell) -> None:
        told = [piece[1:3] for piece in found.pieces]
        for kind in kinds:
            assert kind in told, told

    return check


def tells_results(*texts: str) -> Callable[[View, Cell], None]:
    """Results in the order of their calls, each for its own call."""

    def check(found: View, cell: Cell) -> None:
        told = [shown(piece[2]) for piece in found.of("result")]
        as_json = [_parsed(text) for text in told]
        wanted = [_parsed(text) for text in texts]
        if found.ids:
            order = {id_: place for place, id_ in enumerate(found.ids)}
            as_json = [
                text
                for _, text in sorted(
                    zip(found.answered, as_json, strict=True), key=lambda pair: order[pair[0]]
                )
            ]
            assert sorted(found.answered) == sorted(found.ids)
        assert as_json == wanted

    return check


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def tells_system(*texts: str) -> Callable[[View, Cell], None]:
    def check(found: View, cell: Cell) -> None:
        assert "\n\n".join(found.system) == "\n\n".join(texts)
        assert len(found.pieces) == 1

    return check


TURNS = ["Hello. My name is Ada.", "Hello Ada!", "What is my name? scenario:normal"]
MULTI = tells(("user", "text", TURNS[0]), ("model", "text", TURNS[1]), ("user", "text", TURNS[2]))
IMAGE_URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}"}}
FILE = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF64}"}
AUDIO = {"type": "input_audio", "input_audio": {"data": WAV64, "format": "wav"}}
PARIS = {"city": "Paris"}
LODZ = {"city": "Łódź"}

TEXTS = (
    Case("text", "Text", openai_body(), gemini_body(), says()),
    Case(
        "unicode",
        "Text in any script",
        openai_body("unicode"),
        gemini_body("unicode"),
        says("".join(UNICODE)),
    ),
    Case("long", "Long answers", openai_body("big"), gemini_body("big"), says("ü" * 524_288)),
    Case(
        "system-only",
        "System message alone",
        {"messages": [{"role": "system", "content": ask()}]},
        None,
        says(),
    ),
    Case(
        "system",
        "System and developer messages",
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "Be kind."},
                o_user(ask()),
            ]
        },
        gemini_body(systemInstruction={"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}),
        says(),
        lambda found, cell: tells_system("Be brief.", "Be kind.")(found, cell),
    ),
    Case(
        "turns",
        "Conversations",
        {
            "messages": [
                o_user(TURNS[0]),
                {"role": "assistant", "content": TURNS[1]},
                o_user(TURNS[2]),
            ]
        },
        {
            "contents": [
                {"role": "user", "parts": [{"text": TURNS[0]}]},
                {"role": "model", "parts": [{"text": TURNS[1]}]},
                {"role": "user", "parts": [{"text": TURNS[2]}]},
            ]
        },
        says(),
        MULTI,
    ),
    Case(
        "stop-reason-length",
        "Answers cut by a limit",
        openai_body("length", max_completion_tokens=7),
        gemini_body("length", maxOutputTokens=7),
        says(finish="length"),
    ),
    Case("refusal", "Refusals", openai_body("refusal"), gemini_body("refusal"), refuses),
    Case(
        "filtered",
        "Filtered answers",
        openai_body("content_filter"),
        gemini_body("content_filter"),
        lambda said, cell: finished(said, cell, "content_filter"),
    ),
    Case(
        "cached",
        "Usage with cached tokens",
        openai_body("cached"),
        gemini_body("cached"),
        counts_cached,
    ),
)

MEDIA = (
    Case(
        "image",
        "Images",
        openai_parts(IMAGE_URL),
        gemini_parts({"inlineData": {"mimeType": "image/png", "data": PNG64}}),
        says(),
        tells_all(("image", PNG)),
    ),
    Case(
        "pdf",
        "PDF documents",
        openai_parts({"type": "file", "file": FILE}),
        gemini_parts({"inlineData": {"mimeType": "application/pdf", "data": PDF64}}),
        says(),
        tells_all(("file", PDF)),
    ),
    Case(
        "audio",
        "Sound",
        openai_parts(AUDIO),
        gemini_parts({"inlineData": {"mimeType": "audio/wav", "data": WAV64}}),
        says(),
        tells_all(("audio", WAV)),
    ),
)

TOOLS = (
    Case(
        "call",
        "Tool calls",
        openai_body("tools", tools=LOOKUP),
        gemini_body("tools", tools=G_LOOKUP),
        calls(("lookup", PARIS)),
    ),
    Case(
        "calls",
        "Parallel tool calls",
        openai_body("tools_parallel", tools=BOTH),
        gemini_body("tools_parallel", tools=G_BOTH),
        calls(("lookup", PARIS), ("weather", LODZ)),
    ),
    Case(
        "call-after-text",
        "Tool calls after text",
        openai_body("tools_text", tools=LOOKUP),
        gemini_body("tools_text", tools=G_LOOKUP),
        calls(("lookup", PARIS), text="Let me look."),
    ),
    Case(
        "call-empty",
        "Tools without arguments",
        openai_body("zeroarg", tools=[o_tool("now", None)]),
        gemini_body("zeroarg", tools=g_tools(("now", None))),
        calls(("now", {})),
    ),
    Case(
        "result-json",
        "Tool results as JSON",
        o_history('{"degrees": 5}', '{"degrees": 20}'),
        g_history({"degrees": 5}, {"degrees": 20}),
        quotes("5", "20"),
        tells_results('{"degrees": 5}', '{"degrees": 20}'),
    ),
    Case(
        "result-text",
        "Tool results as text",
        o_history("It is 5", "It is 20"),
        g_history({"result": "It is 5"}, {"result": "It is 20"}),
        quotes("It is 5", "It is 20"),
        tells_results("It is 5", "It is 20"),
    ),
    Case(
        "result-error",
        "Failed tools",
        o_history("No such city"),
        g_history({"error": "No such city"}),
        quotes("No such city"),
    ),
    Case(
        "result-image",
        "Tool results with images",
        o_history([{"type": "text", "text": "See"}, IMAGE_URL]),
        g_history(
            {"result": "See"}, parts=({"inlineData": {"mimeType": "image/png", "data": PNG64}},)
        ),
        answers,
        tells_all(("image", PNG)),
    ),
    Case(
        "forced",
        "A named tool forced",
        openai_body(
            "normal", tools=BOTH, tool_choice={"type": "function", "function": {"name": "weather"}}
        ),
        gemini_body("normal", tools=G_BOTH, toolConfig=g_mode("ANY", "weather")),
        lambda said, cell: forced(said, cell, "weather"),
    ),
    Case(
        "required",
        "Any tool forced",
        openai_body("normal", tools=LOOKUP, tool_choice="required"),
        gemini_body("normal", tools=G_LOOKUP, toolConfig=g_mode("ANY")),
        lambda said, cell: forced(said, cell, "lookup"),
    ),
    Case(
        "none",
        "Tools forbidden",
        openai_body("tools", tools=LOOKUP, tool_choice="none"),
        gemini_body("tools", tools=G_LOOKUP, toolConfig=g_mode("NONE")),
        lambda said, cell: says()(said, cell),
    ),
    Case(
        "allowed",
        "A choice of tools",
        openai_body(
            "normal",
            tools=BOTH,
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
        ),
        None,
        lambda said, cell: forced(said, cell, "weather"),
    ),
    Case(
        "one-call",
        "One tool call at a time",
        openai_body("tools_parallel", tools=BOTH, parallel_tool_calls=False),
        None,
        lambda said, cell: one_call(said, cell),
    ),
)


def forced(said: Said, cell: Cell, name: str) -> None:
    """Where a model can't be forced it is asked to, and the fakes are deaf to that."""
    if cell.model == "claude-opus-5-5":
        return
    assert said.calls == [(name, PARIS)]
    finished(said, cell, "tool_calls")


def one_call(said: Said, cell: Cell) -> None:
    assert said.calls[0] == ("lookup", PARIS)
    assert len(said.calls) == (2 if cell.provider == "gemini" else 1)


FORMATS = (
    Case(
        "json",
        "Any JSON object",
        openai_body(response_format={"type": "json_object"}),
        gemini_body(responseMimeType="application/json"),
        says_json(),
    ),
    Case("schema", "JSON Schema", o_schema(SIMPLE), g_schema(SIMPLE), says_json(SIMPLE)),
    Case(
        "schema-null",
        "JSON Schema with null",
        o_schema(NULLABLE),
        g_schema(NULLABLE),
        says_json(NULLABLE),
    ),
    Case(
        "schema-ref",
        "JSON Schema with $ref",
        o_schema(WITH_REF),
        g_schema(WITH_REF),
        says_json(WITH_REF),
    ),
    Case(
        "schema-optional",
        "JSON Schema with optional properties",
        o_schema(OPTIONAL, strict=False),
        g_schema(OPTIONAL),
        says_json(OPTIONAL),
    ),
    Case(
        "schema-tools",
        "JSON Schema beside tools",
        o_schema(SIMPLE) | {"tools": LOOKUP},
        g_schema(SIMPLE) | {"tools": G_LOOKUP},
        says_json(SIMPLE),
    ),
)

KNOBS = (
    Case(
        "stop",
        "Stop strings",
        openai_body(stop=["END", "FIN"]),
        gemini_body(stopSequences=["END", "FIN"]),
        says(),
    ),
    Case(
        "stop-blank",
        "Stop at a line break",
        openai_body(stop="\n"),
        gemini_body(stopSequences=["\n"]),
        says(),
    ),
    Case(
        "max-tokens",
        "A limit of tokens",
        openai_body(max_tokens=100),
        gemini_body(maxOutputTokens=100),
        says(),
    ),
    Case(
        "temperature",
        "temperature",
        openai_body(temperature=0.2),
        gemini_body(temperature=0.2),
        says(),
    ),
    Case("top-p", "top_p", openai_body(top_p=0.5), gemini_body(topP=0.5), says()),
    Case("top-k", "top_k", None, gemini_body(topK=40), says()),
    Case("seed", "seed", openai_body(seed=7), gemini_body(seed=7), says()),
    Case(
        "penalties",
        "Penalties",
        openai_body(presence_penalty=0.5, frequency_penalty=0.5),
        gemini_body(presencePenalty=0.5, frequencyPenalty=0.5),
        says(),
    ),
    Case(
        "choices",
        "Several answers at once",
        openai_body(n=2),
        gemini_body(candidateCount=2),
        lambda said, cell: two(said, cell),
    ),
    Case(
        "logprobs",
        "Probabilities of tokens",
        openai_body(logprobs=True, top_logprobs=2),
        gemini_body(responseLogprobs=True, logprobs=2),
        says(),
    ),
    Case("user", "user", openai_body(user="ada"), None, says()),
    Case("logit-bias", "logit_bias", openai_body(logit_bias={"50256": -100}), None, says()),
)


def two(said: Said, cell: Cell) -> None:
    says()(said, cell)
    assert said.choices == 2


def g_thinking(**config: Any) -> JSON:
    return gemini_body("thinking", thinkingConfig=config)


REASONING = (
    Case(
        "reasoning",
        "Reasoning effort",
        openai_body("thinking", reasoning_effort="high"),
        g_thinking(thinkingLevel="high", includeThoughts=True),
        thinks,
    ),
    Case(
        "no-reasoning",
        "Reasoning off",
        openai_body("thinking", reasoning_effort="none"),
        g_thinking(thinkingBudget=0),
        lambda said, cell: says()(said, cell),
    ),
    Case(
        "budget",
        "A budget of reasoning",
        None,
        g_thinking(thinkingBudget=4096, includeThoughts=True),
        lambda said, cell: says()(said, cell),
    ),
)

GROUPS: Mapping[str, tuple[Case, ...]] = {
    "Messages": TEXTS,
    "Images and files": MEDIA,
    "Tools": TOOLS,
    "Structured output": FORMATS,
    "Parameters": KNOBS,
    "Reasoning": REASONING,
}
CASES = tuple(case for cases in GROUPS.values() for case in cases)

NO: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pdf": (
        ("openai>deepseek.*", r"messages\[0\]\.content\[1\]"),
        ("gemini>deepseek.*", r"contents\[0\]\.parts\[1\]"),
    ),
    "audio": (
        ("openai>(claude|deepseek).*", r"messages\[0\]\.content\[1\]"),
        ("gemini>(claude|deepseek).*", r"contents\[0\]\.parts\[1\]"),
    ),
    "choices": (
        ("openai>(claude|deepseek|gemini-3).*", "n"),
        ("gemini>(claude|deepseek).*", r"generationConfig\.candidateCount"),
        ("gemini>gemini-3.*", "Multiple candidates is not enabled for this model"),
    ),
    "logprobs": (
        ("openai>(claude.*|gpt-5)", "logprobs"),
        ("gemini>claude.*", r"generationConfig\.responseLogprobs"),
        ("gemini>gpt-5", "Unsupported parameter: 'logprobs'.*"),
    ),
    "result-image": (
        ("gemini>gemini-2.5.*", "Multimodal function responses are not supported for this model."),
    ),
    "schema-tools": (("gemini>gemini-2.5.*", "Function calling with a response mime type.*"),),
}
"""By case: where it is refused (a pattern of `surface>model`), and the field that is named; where
a body stays in its own format and the provider names none, its own words."""


def cells() -> Iterator[Cell]:
    for case in CASES:
        for surface in SURFACES:
            if case.body(surface) is not None:
                for model in MODELS:
                    yield Cell(case, surface, model)
