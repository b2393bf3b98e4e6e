"""Whatever a conversation is, each provider is told all of it, and its answer comes back whole.

Conversations are generated as neutral turns, written down as a client of each surface would, sent
through the gateway to a strict fake of each provider, and read back off what that was sent.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.conftest import FULL_SIZE
from tests.fakes import anthropic
from tests.gateway.gateway_in_process import ID, Gateway, Wire, at
from tests.gateway.matrix import CITY, PNG, PROVIDER, SIMPLE, o_tool
from tests.gateway.upstream_views import shown, view

SOME = settings(
    max_examples=200 if FULL_SIZE else 15,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
UPSTREAMS = (
    "gpt-4o",
    "claude-sonnet-4-6",
    "claude-opus-5-5",
    "gemini-2.5-flash",
    "gemini-3.5-flash",
    "deepseek-v4-flash",
    "local-small",
)

# ----------------------------------------------------------------------------- conversations

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: text == text.strip() and "scenario:" not in text
)
NAMES = st.sampled_from(["lookup", "get-weather", "a", "x" * 64])
ODD_NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.:-]{0,80}\Z")
ARGUMENTS = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | st.lists(TEXTS, max_size=2),
    max_size=3,
)
ODD_IDS = st.sampled_from(
    ["functions.Bash:0", "y" * 64, "id with space", "ü", "call_1", "toolu_01"]
)
IMAGES = st.binary(max_size=6).map(lambda tail: PNG + tail)


@dataclass
class Called:
    name: str
    arguments: dict
    id: str
    result: str


CALLS = st.builds(
    Called,
    NAMES,
    ARGUMENTS,
    ODD_IDS,
    TEXTS | ARGUMENTS.map(lambda value: json.dumps(value, ensure_ascii=False)),
)


@st.composite
def turns(draw):
    """(side, pieces) with the user first and last; calls have all their results in the next."""
    found = [("user", draw(user_pieces()))]
    for _ in range(draw(st.integers(0, 3))):
        calls = draw(st.lists(CALLS, max_size=3, unique_by=lambda call: call.id))
        texts = draw(st.lists(TEXTS, min_size=0 if calls else 1, max_size=1))
        found.append(("model", [*texts, *calls]))
        order = draw(st.permutations(calls))
        found.append(("user", [*order, *draw(user_pieces(0 if calls else 1))]))
    return found


def user_pieces(least=1):
    return st.lists(TEXTS | IMAGES, min_size=least, max_size=2)


def expected(conversation):
    """The pieces that a provider has to be told; results in the order of their calls."""
    pieces, calls = [], []
    for side, said in conversation:
        if side == "user":
            pieces += [("user", "result", parsed(call.result)) for call in calls]
        calls = [one for one in said if isinstance(one, Called)] if side == "model" else []
        for one in said:
            if isinstance(one, bytes):
                pieces.append((side, "image", one))
            elif isinstance(one, str):
                pieces.append((side, "text", one))
            elif side == "model":
                pieces.append((side, "call", one.name, one.arguments))
    return pieces


def parsed(text):
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def told(provider, body):
    """What a body tells, with runs of results in the order of their calls."""
    found = view(provider, body)
    ids, answered = iter(found.ids), iter(found.answered)
    pieces, run, called = [], [], []
    for piece in [*found.pieces, ("end", "")]:
        if piece[1] == "result":
            place = called.index(next(answered)) if found.ids else len(run)
            run.append((place, (*piece[:2], parsed(shown(piece[2])))))
            continue
        pieces += [one for _, one in sorted(run, key=lambda pair: pair[0])]
        run = []
        if piece[1] == "call":
            called = [*called, next(ids, "")] if pieces[-1][1] == "call" else [next(ids, "")]
        pieces.append(piece)
    return found, pieces[:-1]


def as_openai(conversation, systems=()):
    messages = [{"role": "system", "content": text} for text in systems]
    for side, said in conversation:
        calls = [one for one in said if isinstance(one, Called)]
        rest = [one for one in said if not isinstance(one, Called)]
        if side == "model":
            message = {"role": "assistant", "content": "".join(rest) or None}
            if calls:
                message["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {
                            "name": call.name,
                            "arguments": json.dumps(call.arguments, ensure_ascii=False),
                        },
                    }
                    for call in calls
                ]
            messages.append(message)
            continue
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": call.result} for call in calls
        ]
        if rest:
            messages.append({"role": "user", "content": [openai_part(one) for one in rest]})
    names = {one.name for _, said in conversation for one in said if isinstance(one, Called)}
    tools = {"tools": [o_tool(name) for name in sorted(names)]} if names else {}
    return {"messages": messages, **tools}


def openai_part(one):
    if isinstance(one, str):
        return {"type": "text", "text": one}
    data = base64.b64encode(one).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def as_gemini(conversation, systems=(), *, with_ids=True):
    contents = []
    for side, said in conversation:
        parts = [gemini_part(side, one, with_ids) for one in said]
        contents.append({"role": side, "parts": parts})
    names = {one.name for _, said in conversation for one in said if isinstance(one, Called)}
    declared = [{"name": name, "parametersJsonSchema": CITY} for name in sorted(names)]
    body = {"contents": contents}
    if names:
        body["tools"] = [{"functionDeclarations": declared}]
    if systems:
        body["systemInstruction"] = {"parts": [{"text": text} for text in systems]}
    return body


def gemini_part(side, one, with_ids):
    if isinstance(one, str):
        return {"text": one}
    if isinstance(one, bytes):
        data = base64.b64encode(one).decode()
        return {"inlineData": {"mimeType": "image/png", "data": data}}
    id_ = {"id": one.id} if with_ids else {}
    if side == "model":
        return {"functionCall": {"name": one.name, "args": one.arguments, **id_}}
    value = parsed(one.result)
    response = value if isinstance(value, dict) else {"result": value}
    return {"functionResponse": {"name": one.name, "response": response, **id_}}


def assert_told(outcome, conversation, systems, model):
    assert outcome.status == 200, outcome.error
    found, pieces = told(PROVIDER[model], outcome.upstream)
    assert pieces == expected(conversation)
    assert "\n\n".join(found.system) == "\n\n".join(systems)
    assert all(ID.fullmatch(id_) for id_ in found.ids)
    assert sorted(found.ids) == sorted(found.answered)
    if PROVIDER[model] == "anthropic":
        assert len(set(found.ids)) == len(found.ids)
    elif PROVIDER[model] == "gemini":
        assert_alternates(outcome.upstream["contents"])


def assert_alternates(contents):
    """A content of results may be followed by another of the user, nothing else by its like."""
    for before, after in zip(contents, contents[1:], strict=False):
        is_result = any("functionResponse" in part for part in before["parts"])
        assert before["role"] != after["role"] or is_result


@pytest.mark.parametrize("model", UPSTREAMS)
@SOME
@given(turns(), st.lists(TEXTS, max_size=2))
def test_every_provider_is_told_what_an_openai_client_said(model, conversation, systems):
    body = as_openai(conversation, systems)
    outcome = Gateway().call("openai", model, body)
    if model == "gpt-4o":  # its own format: a body passes as it is, good or bad
        assume(outcome.status == 200)
    assert_told_by_openai(outcome, conversation, systems, model)


def assert_told_by_openai(outcome, conversation, systems, model):
    assert outcome.status == 200, outcome.error
    found, pieces = told(PROVIDER[model], outcome.upstream)
    assert pieces == expected(conversation)
    assert found.system == systems
    if PROVIDER[model] not in ("openai",):
        assert all(ID.fullmatch(id_) for id_ in found.ids)


@pytest.mark.parametrize("with_ids", [True, False], ids=["ids", "no-ids"])
@pytest.mark.parametrize("model", [m for m in UPSTREAMS if m != "gemini-3.5-flash"])
@SOME
@given(turns(), st.lists(TEXTS, max_size=2))
def test_every_provider_is_told_what_a_google_client_said(with_ids, model, conversation, systems):
    if not with_ids or PROVIDER[model] == "gemini":  # else ids tell the results apart
        conversation = [
            (side, in_order(conversation, place)) for place, (side, _) in enumerate(conversation)
        ]
    alone = any(
        any(isinstance(one, Called) for one in said)
        and not all(isinstance(o, Called) for o in said)
        for side, said in conversation
        if side == "user"
    )
    if PROVIDER[model] == "gemini":
        assume(not alone)  # Google refuses it, and its own format passes as it is
    outcome = Gateway().call("gemini", model, as_gemini(conversation, systems, with_ids=with_ids))
    assert_told(outcome, conversation, systems, model)


def in_order(conversation, place):
    """Results as Google's clients send them: without ids only their order tells them apart."""
    said = conversation[place][1]
    if place == 0 or conversation[place][0] == "model":
        return said
    order = [one for one in conversation[place - 1][1] if isinstance(one, Called)]
    return [*order, *(one for one in said if not isinstance(one, Called))]


@SOME
@given(turns())
def test_ids_that_are_good_stay_and_the_same_history_has_the_same_ids(conversation):
    body = as_gemini(conversation, with_ids=False)
    for model in ("gpt-4o", "claude-sonnet-4-6"):
        first, second = (view(PROVIDER[model], Gateway().call("gemini", model, body).upstream)
                         for _ in range(2))  # fmt: skip
        assert first.ids == second.ids
    sent = [
        one.id
        for side, said in conversation
        for one in said
        if side == "model" and isinstance(one, Called)
    ]
    outcome = Gateway().call("openai", "local-small", as_openai(conversation))
    for own, id_ in zip(sent, view("local", outcome.upstream).ids, strict=True):
        assert id_ == own or not ID.fullmatch(own)


# ----------------------------------------------------------------------------- names


@pytest.mark.parametrize("model", UPSTREAMS)
@SOME
@given(st.lists(ODD_NAMES, min_size=1, max_size=3, unique=True))
def test_a_caller_gets_its_own_tool_names_back(model, names):
    declared = [{"name": name, "parametersJsonSchema": CITY} for name in names]
    body = {
        "contents": [{"role": "user", "parts": [{"text": "scenario:tools_parallel"}]}],
        "tools": [{"functionDeclarations": declared}],
    }
    wanted = [names[place % len(names)] for place in range(2)]
    for stream in (False, True):
        outcome = Gateway().call("gemini", model, body, stream=stream)
        assert outcome.status == 200, outcome.error
        assert [name for name, _ in outcome.said.calls] == wanted


@SOME
@given(st.lists(st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), min_size=1, max_size=3, unique=True))
def test_names_that_google_refuses_have_stand_ins(names):
    body = {
        "messages": [{"role": "user", "content": "scenario:tools_parallel"}],
        "tools": [o_tool(name) for name in names],
    }
    for stream in (False, True):
        outcome = Gateway().call("openai", "gemini-3.5-flash", body, stream=stream)
        assert outcome.status == 200, outcome.error
        wanted = [names[place % len(names)] for place in range(2)]
        assert [name for name, _ in outcome.said.calls] == wanted


# ----------------------------------------------------------------------------- options

STOPS = st.lists(st.sampled_from(["END", "\n", " ", "FIN", "."]), min_size=1, max_size=4)
FORMATS = st.sampled_from(
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": SIMPLE, "strict": True}},
    ]
)
CHOICES = st.sampled_from(
    ["auto", "none", "required", {"type": "function", "function": {"name": "lookup"}}]
)
EFFORTS = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"])
OPENAI_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1, 1.7]),
        "top_p": st.sampled_from([0.1, 0.97, 1]),
        "max_completion_tokens": st.sampled_from([1, 500, 1025, 5000, 10**6]),
        "stop": STOPS,
        "seed": st.just(7),
        "presence_penalty": st.just(0.5),
        "reasoning_effort": EFFORTS,
        "response_format": FORMATS,
        "tools": st.just([o_tool("lookup"), o_tool("now", None, strict=True)]),
        "tool_choice": CHOICES,
        "parallel_tool_calls": st.booleans(),
        "user": st.just("ada"),
        "service_tier": st.sampled_from(["auto", "default"]),
        "store": st.booleans(),
        "verbosity": st.sampled_from(["low", "medium"]),
    },
)
GEMINI_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1, 2]),
        "topP": st.sampled_from([0.1, 0.97, 1]),
        "topK": st.just(40),
        "maxOutputTokens": st.sampled_from([1, 500, 1025, 5000, 10**6]),
        "stopSequences": STOPS,
        "seed": st.just(7),
        "frequencyPenalty": st.just(0.5),
        "thinkingConfig": st.sampled_from(
            [
                {"includeThoughts": True},
                {"thinkingLevel": "LOW"},
                {"thinkingLevel": "high", "includeThoughts": True},
                {"thinkingBudget": 0},
                {"thinkingBudget": -1},
                {"thinkingBudget": 3000, "includeThoughts": True},
                {"thinkingBudget": 100000},
            ]
        ),
        "responseMimeType": st.just("application/json"),
    },
)
TRANSLATED = ("gpt-4o", "gpt-5", *UPSTREAMS[1:], "claude-sonnet-5", "claude-haiku-4-5",
              "gemini-3.8-flash", "deepseek-chat")  # fmt: skip


@pytest.mark.parametrize("model", TRANSLATED)
@SOME
@given(OPENAI_OPTIONS)
def test_no_options_of_an_openai_client_are_refused_by_a_provider(model, options):
    """What a model can't take is dropped, bent, done by us, or refused by us before it is asked."""
    if "tools" not in options:
        options = {
            k: v for k, v in options.items() if k not in ("tool_choice", "parallel_tool_calls")
        }
    body = {"messages": [{"role": "user", "content": "Hello"}], **options}
    outcome = Gateway().call("openai", model, body)
    assert outcome.status == 200 or not outcome.sent, outcome.error
    refused = outcome.sent and outcome.sent[-1].refused
    assert not refused, refused


@pytest.mark.parametrize("model", [m for m in TRANSLATED if PROVIDER[m] != "gemini"])
@SOME
@given(GEMINI_OPTIONS)
def test_no_options_of_a_google_client_are_refused_by_a_provider(model, options):
    body = {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": options}
    outcome = Gateway().call("gemini", model, body)
    assert outcome.status == 200 or not outcome.sent, outcome.error


FOREIGN = [m for m in TRANSLATED if m not in ("gpt-4o", "gpt-5")]


@pytest.mark.parametrize("model", FOREIGN)
@SOME
@given(turns(), OPENAI_OPTIONS)
def test_no_conversation_with_options_is_refused_by_a_provider(model, conversation, options):
    body = {**options, **as_openai(conversation)}
    if "tools" not in body:
        body = {k: v for k, v in body.items() if k not in ("tool_choice", "parallel_tool_calls")}
    if isinstance(body.get("tool_choice"), dict):
        body["tool_choice"] = "required"
    outcome = Gateway().call("openai", model, body)
    assert outcome.status == 200 or not outcome.sent, outcome.error


@pytest.mark.parametrize("model", [m for m in TRANSLATED if PROVIDER[m] != "gemini"])
@SOME
@given(turns(), GEMINI_OPTIONS)
def test_no_google_conversation_with_options_is_refused(model, conversation, options):
    body = as_gemini(conversation) | {"generationConfig": options}
    outcome = Gateway().call("gemini", model, body)
    assert outcome.status == 200 or not outcome.sent, outcome.error


@pytest.mark.parametrize("model", TRANSLATED)
@SOME
@given(OPENAI_OPTIONS, GEMINI_OPTIONS)
def test_a_strict_caller_gets_all_or_a_400(model, options, config):
    """Nothing is lost, bent or done in another way for who forbids it."""
    if "tools" not in options:
        options = {
            k: v for k, v in options.items() if k not in ("tool_choice", "parallel_tool_calls")
        }
    for surface, body in (
        ("openai", {"messages": [{"role": "user", "content": "Hello"}], **options}),
        ("gemini", {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": config}),
    ):
        if surface == PROVIDER[model] == "gemini":
            continue
        outcome = Gateway().call(surface, model, body, strict=True)
        if outcome.status == 200:
            assert all(warning.startswith("served_by") for warning in outcome.warnings)
        else:
            assert (outcome.status, outcome.sent) == (400, [])
            assert outcome.error.param, outcome.error


# ----------------------------------------------------------------------------- interleaved calls

PLACES = st.lists(st.integers(0, 10_000), max_size=12)
SEVERAL = st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=4)


@st.composite
def fragments(draw):
    """Calls, and their arguments as fragments that come in any order between the calls."""
    calls = draw(SEVERAL)
    pieces = []
    for place, (_, arguments) in enumerate(calls):
        text = json.dumps(arguments, ensure_ascii=draw(st.booleans()))
        middle = draw(st.integers(0, len(text)))
        pieces.append([(place, piece) for piece in (text[:middle], text[middle:])])
    schedule = draw(st.permutations([place for place, own in enumerate(pieces) for _ in own]))
    return calls, [pieces[place].pop(0) for place in schedule]


def openai_stream(calls, pieces):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        wire = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
        return b"data: " + json.dumps({**wire, "choices": [choice]}).encode() + b"\n\n"

    events = [chunk({"role": "assistant", "content": None})]
    for place, (name, _) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        head = {"index": place, "id": f"call_{place}", "type": "function", "function": function}
        events.append(chunk({"tool_calls": [head]}))
    for place, text in pieces:
        piece = {"index": place, "function": {"arguments": text}}
        events.append(chunk({"tool_calls": [piece]}))
    return b"".join([*events, chunk({}, "tool_calls"), b"data: [DONE]\n\n"])


def anthropic_stream(calls, pieces):
    usage = {"input_tokens": 3, "output_tokens": 1}
    events = [("message_start", {"message": {"id": "m", "model": "m", "usage": usage}})]
    for place, (name, _) in enumerate(calls):
        block = {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": {}}
        events.append(("content_block_start", {"index": place, "content_block": block}))
    for place, text in pieces:
        delta = {"type": "input_json_delta", "partial_json": text}
        events.append(("content_block_delta", {"index": place, "delta": delta}))
    events += [("content_block_stop", {"index": place}) for place in range(len(calls))]
    events.append(("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": usage}))
    return b"".join(anthropic.sse(*event) for event in [*events, ("message_stop", {})])


def gemini_stream(calls, pieces):
    """One call a chunk or several: there a call is never cut."""
    parts = [{"functionCall": {"name": name, "args": args}} for name, args in calls]
    middle = len(pieces) % (len(parts) + 1)
    steps = [step for step in (parts[:middle], parts[middle:]) if step]
    responses = []
    for place, step in enumerate(steps):
        candidate = {"content": {"role": "model", "parts": step}, "index": 0}
        if place == len(steps) - 1:
            candidate["finishReason"] = "STOP"
        responses.append({"candidates": [candidate], "modelVersion": "m", "responseId": "r"})
    return b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in responses)


READERS = {
    "gpt-4o": openai_stream,
    "local-small": openai_stream,
    "deepseek-v4-flash": openai_stream,
    "claude-sonnet-5": anthropic_stream,
    "gemini-3.5-flash": gemini_stream,
}


@pytest.mark.parametrize("model", READERS)
@pytest.mark.parametrize("surface", ["openai", "gemini"])
@SOME
@given(fragments(), PLACES)
def test_parallel_calls_come_out_as_they_are_however_bytes_fall(surface, model, given_, places):
    calls, pieces = given_
    stream = READERS[model](calls, pieces)
    if surface == "openai":
        tools = [o_tool(name) for name in sorted({name for name, _ in calls})]
        body = {"messages": [{"role": "user", "content": "x"}], "tools": tools}
    else:
        body = {"contents": [{"parts": [{"text": "x"}]}]}
    outcome = Gateway().call(
        surface,
        model,
        body,
        stream=True,
        cut=at(*places),
        answers=lambda sent: Wire(200, "text/event-stream", [stream]),
    )
    said = outcome.said
    assert said.broke is None, outcome.meter.failed
    assert said.calls == calls
    assert said.finish in ("tool_calls", "STOP")
    assert len(set(said.ids)) == len(said.ids)


# ----------------------------------------------------------------------------- usage

COUNTS = st.integers(0, 10**6)


@SOME
@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 1000), st.booleans())
def test_usage_adds_up_in_both_vocabularies(fresh, cached, written, text, thoughts, stream):
    usage = anthropic.usage_of(fresh, written, cached, text + thoughts, thoughts)
    message = {"id": "m", "model": "m", "type": "message", "role": "assistant", "usage": usage}
    events = [
        ("message_start", {"message": {**message, "content": []}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": "a"}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": usage}),
        ("message_stop", {}),
    ]
    wire = Wire(200, "text/event-stream", [b"".join(anthropic.sse(*event) for event in events)])
    prompt, output = fresh + cached + written, text + thoughts
    for surface, body in (
        ("openai", {"messages": [{"role": "user", "content": "x"}],
                    **({"stream_options": {"include_usage": True}} if stream else {})}),
        ("gemini", {"contents": [{"parts": [{"text": "x"}]}]}),
    ):  # fmt: skip
        outcome = Gateway().call(
            surface, "claude-sonnet-5", body, stream=stream, answers=lambda sent: wire
        )
        assert outcome.said.usage == (prompt, output, prompt + output, cached, thoughts)
