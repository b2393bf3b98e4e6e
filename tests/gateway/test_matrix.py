"""The golden matrix: each feature from each surface at each provider, whole and streamed.

The cases are in `tests.gateway.matrix`. Here they are run, and with them every way a provider can
fail, the second turn of a conversation with reasoning and tools, and the golden cases G1 to G7
(reference/translation.md 15).
"""

from __future__ import annotations

import base64
import json
import re
from itertools import product

import pytest

from gateway.formats.gemini.outgoing import SENTINEL
from tests.fakes import anthropic
from tests.fakes.play import CITIES, THOUGHTS
from tests.gateway.gateway_in_process import (
    CREDENTIALS,
    ID,
    SAYINGS,
    Gateway,
    Wire,
    by_bytes,
    events_of,
)
from tests.gateway.matrix import (
    BOTH,
    G_BOTH,
    MODELS,
    PROVIDER,
    SURFACES,
    ask,
    cells,
    gemini_body,
    o_tool,
    openai_body,
    openai_parts,
)
from tests.gateway.upstream_views import view


@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_every_feature_everywhere(cell):
    """A good answer, whole and streamed alike, that the provider did not refuse; or a 400."""
    gateway = Gateway()
    whole, streamed = (cell.run(stream=stream, gateway=gateway) for stream in (False, True))
    if cell.refusal is not None:
        for outcome in (whole, streamed):
            assert outcome.status == 400
            named = outcome.error.param or outcome.error.message
            assert re.fullmatch(cell.refusal, named), named
        return
    for outcome in (whole, streamed):
        assert outcome.error is None, getattr(outcome.error, "reason", outcome.error)
        cell.case.says(outcome.said, cell)
        if cell.case.tells is not None:
            cell.case.tells(view(cell.provider, outcome.upstream), cell)
        used, said = outcome.meter.usage, outcome.said.usage
        assert used is not None
        assert (used.input_tokens, used.output_tokens) == said[:2]
        assert (used.cached_tokens, used.reasoning_tokens) == said[3:]
        assert outcome.meter.is_done or not outcome.chunks
    assert whole.said.meaning() == streamed.said.meaning()
    assert whole.warnings == streamed.warnings


def test_a_prompt_that_gemini_blocked_is_a_refusal_and_no_empty_success():
    for stream in (False, True):
        outcome = Gateway().call(
            "openai", "gemini-3.5-flash", openai_body("blocked:SAFETY"), stream=stream
        )
        assert outcome.said.finish == "content_filter"
        assert "SAFETY" in outcome.said.refusal and not outcome.said.text
        passed = Gateway().call(
            "gemini", "gemini-3.5-flash", gemini_body("blocked:SAFETY"), stream=stream
        )
        assert passed.said.refusal == "SAFETY"


@pytest.mark.parametrize("model", [m for m in MODELS if PROVIDER[m] != "gemini"])
@pytest.mark.parametrize("surface", SURFACES)
def test_an_empty_answer_is_empty_and_no_error(surface, model):
    body = openai_body("empty") if surface == "openai" else gemini_body("empty")
    for stream in (False, True):
        outcome = Gateway().call(surface, model, body, stream=stream)
        assert outcome.status == 200
        assert (outcome.said.text, outcome.said.calls) == ("", [])
        assert outcome.said.finish in ("stop", "STOP")


# ----------------------------------------------------------------------------- failures

UNAVAILABLE = (503, "provider_unavailable")
SENT_BACK = (400, "")
FAULTS = {
    "status:400": SENT_BACK,
    "status:401": UNAVAILABLE,
    "status:402": UNAVAILABLE,
    "status:403": UNAVAILABLE,
    "status:404": UNAVAILABLE,
    "status:413": (413, "request_too_large"),
    "status:429": UNAVAILABLE,
    "status:500": UNAVAILABLE,
    "status:502": UNAVAILABLE,
    "status:503": UNAVAILABLE,
    "status:529": UNAVAILABLE,
    "says:credit": UNAVAILABLE,
    "error_echo:400": SENT_BACK,
    "html_200": UNAVAILABLE,
    "empty_200": UNAVAILABLE,
    "garbage": UNAVAILABLE,
    "error_event:529": UNAVAILABLE,
}
"""What a caller is told: status and code (reference/translation.md 9.9 with our own codes)."""
BREAKS = ("error_mid:6", "cut_mid:6", "cut_clean:6", "garbage_mid:6")
GOOGLES = {400: "INVALID_ARGUMENT", 413: "INVALID_ARGUMENT", 503: "UNAVAILABLE"}
UNREAD = {("openai", "openai"), ("openai", "deepseek")}
"""Whose bytes go to that surface unread: exact providers, on streams that nothing is kept of."""
ONE_EACH = ("gpt-4o", "claude-sonnet-5", "gemini-3.5-flash", "deepseek-v4-flash", "local-small")


def fail(surface, model, scenario, stream):
    body = openai_body(scenario) if surface == "openai" else gemini_body(scenario)
    return Gateway().call(surface, model, body, stream=stream)


def assert_error(error, surface, status, code):
    """The error object of a surface, complete, and with nothing of the provider's secrets."""
    text = json.dumps(error)
    assert not any(credential in text for credential in CREDENTIALS.values())
    if surface == "openai":
        assert set(error) >= {"message", "type", "param", "code"}
        kinds = {400: "invalid_request_error", 413: "invalid_request_error"}
        assert error["type"] == kinds.get(status, "service_unavailable_error")
        assert code in ("", error["code"])
    else:
        assert (error["code"], error["status"]) == (status, GOOGLES[status])
        infos = [d for d in error["details"] if d["@type"].endswith("ErrorInfo")]
        assert code in ("", infos[0]["metadata"]["code"])
    if status == 503:
        assert "canary" not in text and "retry" in error["message"].lower()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ONE_EACH)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("scenario", FAULTS)
def test_a_failure_before_the_answer_is_a_status_of_ours(scenario, surface, model, stream):
    outcome = fail(surface, model, scenario, stream)
    status, code = FAULTS[scenario]
    assert outcome.status == status
    assert not outcome.chunks
    assert_error(outcome.body["error"], surface, status, code)
    if scenario == "status:429":
        assert outcome.error.retry_after == 7
    if scenario == "status:400":
        assert "fake upstream refuses it" in outcome.error.message
    if scenario == "error_echo:400":
        assert outcome.error.message == "Not with this: ***" or "Bearer" in outcome.error.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ONE_EACH)
@pytest.mark.parametrize("surface", SURFACES)
def test_a_prompt_that_is_too_long_is_the_callers_in_any_words(surface, model, stream):
    words = {"anthropic": "anthropic", "gemini": "gemini"}.get(PROVIDER[model], "openai")
    outcome = fail(surface, model, f"says:too_long.{words}", stream)
    assert outcome.status == 400
    assert outcome.error.code == "context_length_exceeded"
    assert outcome.error.message == SAYINGS[f"too_long.{words}"]


@pytest.mark.parametrize(("scenario", "surface", "model"), [
    (scenario, surface, model)
    for scenario, surface, model in product(BREAKS, SURFACES, ONE_EACH)
    if not (scenario.startswith("garbage") and (surface, PROVIDER[model]) in UNREAD)
])  # fmt: skip
def test_a_stream_that_breaks_ends_in_one_error_and_never_well(scenario, surface, model):
    outcome = fail(surface, model, scenario, stream=True)
    assert outcome.status == 200
    events = events_of(outcome.chunks)
    assert any("Th" in event for event in events[:-1]), "what came before goes out"
    assert "[DONE]" not in events
    assert not any('"error"' in event for event in events[:-1])
    assert not any(re.search(r'"(finish_reason|finishReason)":\s?"', event) for event in events)
    assert_error(outcome.said.broke, surface, 503, "provider_unavailable")
    assert outcome.meter.failed and not outcome.meter.is_done


@pytest.mark.parametrize("model", ONE_EACH)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("scenario", BREAKS)
def test_a_whole_answer_that_breaks_is_no_answer(scenario, surface, model):
    outcome = fail(surface, model, scenario, stream=False)
    assert outcome.status == 503
    assert_error(outcome.body["error"], surface, 503, "provider_unavailable")


@pytest.mark.parametrize("model", [m for m in MODELS if PROVIDER[m] == "gemini"])
@pytest.mark.parametrize("scenario", ["malformed", "finish:OTHER", "finish:NO_IMAGE"])
def test_a_model_that_failed_is_no_empty_success(scenario, model):
    for stream in (False, True):
        outcome = fail("openai", model, scenario, stream)
        assert outcome.status == 503


# ----------------------------------------------------------------------------- second turns


def as_openai_client(said, *, keeps):
    """What a client sends back: what its SDK has a field for, or all that it was given."""
    message = {**said.message, "role": "assistant"}
    if keeps:
        return message
    calls = [{k: c[k] for k in ("id", "type", "function")} for c in message["tool_calls"]]
    return {"role": "assistant", "content": message["content"], "tool_calls": calls}


def second_openai_body(first, said, *, keeps):
    results = [
        {"role": "tool", "tool_call_id": id_, "content": f"{place} degrees"}
        for place, id_ in enumerate(said.ids)
    ]
    history = [*first["messages"], as_openai_client(said, keeps=keeps), *results]
    return {**first, "messages": history}


def second_gemini_body(first, said, *, keeps):
    parts = said.message["parts"]
    if not keeps:
        parts = [{k: v for k, v in part.items() if k != "thoughtSignature"} for part in parts]
    results = [
        {
            "functionResponse": {
                "name": part["functionCall"]["name"],
                "response": {"result": f"{place} degrees"},
            }
            | ({"id": part["functionCall"]["id"]} if "id" in part["functionCall"] else {})
        }
        for place, part in enumerate(p for p in parts if "functionCall" in p)
    ]
    turns = [{"role": "model", "parts": parts}, {"role": "user", "parts": results}]
    return {**first, "contents": [*first["contents"], *turns]}


def first_body(surface, model):
    if surface == "openai":
        effort = {} if PROVIDER[model] == "local" else {"reasoning_effort": "high"}
        return openai_body("thinking_tools", tools=BOTH, **effort)
    thinking = {"thinkingLevel": "high", "includeThoughts": True}
    return gemini_body("thinking_tools", tools=G_BOTH, thinkingConfig=thinking)


def state_of(provider, body):
    """The reasoning state that a second turn brings to the provider."""
    if provider == "anthropic":
        blocks = [b for m in body["messages"] for b in m["content"] if isinstance(b, dict)]
        return [b.get("signature") for b in blocks if b["type"] == "thinking"]
    if provider == "gemini":
        parts = [part for content in body["contents"] for part in content["parts"]]
        return [s for part in parts if (s := part.get("thoughtSignature")) and s != SENTINEL]
    thoughts = [m.get("reasoning_content") for m in body["messages"]]
    return [text for text in thoughts if text]


THINKERS = [m for m in MODELS if m not in ("gpt-4o", "gpt-5", "deepseek-chat", "local-small")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("keeps", "model", "surface"), [
    (keeps, model, surface)
    for keeps, model, surface in product([True, False], THINKERS, SURFACES)
    if keeps or (surface, PROVIDER[model]) != ("gemini", "gemini")  # which passes, its loss too
])  # fmt: skip
def test_what_a_model_thought_before_its_calls_comes_back_to_it(surface, model, keeps, stream):
    gateway = Gateway()
    first = first_body(surface, model)
    one = gateway.call(surface, model, first, stream=stream).said
    assert one.calls == [("lookup", {"city": CITIES[0]}), ("weather", {"city": CITIES[1]})]
    second = second_openai_body if surface == "openai" else second_gemini_body
    two = gateway.call(surface, model, second(first, one, keeps=keeps), stream=stream)
    assert two.status == 200, two.error
    assert "0 degrees" in two.said.text and "1 degrees" in two.said.text
    state = state_of(PROVIDER[model], two.upstream)
    assert len(state) == 1, "the reasoning has to come back"
    if PROVIDER[model] == "deepseek":
        assert state == ["".join(THOUGHTS)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("surface", SURFACES)
def test_a_conversation_whose_state_is_lost_goes_on_all_the_same(surface, model):
    """Another user's, or a day later, or another model's: never a refusal."""
    for begun_with in ("claude-sonnet-5", "deepseek-v4-flash", "gemini-3.5-flash"):
        gateway = Gateway()
        first = first_body(surface, model)
        one = gateway.call(surface, begun_with, first).said
        second = second_openai_body if surface == "openai" else second_gemini_body
        body = second(first, one, keeps=True)
        if surface == "gemini" and begun_with == "gemini-3.5-flash":
            continue  # its thoughts are text there, and its ids its own
        for user in ("ada", "bob"):
            two = gateway.call(surface, model, body, user=user)
            assert two.status == 200, (begun_with, two.error)
            assert "0 degrees" in two.said.text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("surface", SURFACES)
def test_thoughts_that_are_bound_to_another_beginning_are_left_out_in_a_second_try(surface, stream):
    """Claude's newest refuse their own thoughts once anything before them was changed."""
    gateway = Gateway()
    first = first_body(surface, "claude-opus-5-5")
    one = gateway.call(surface, "claude-opus-5-5", first).said
    if surface == "openai":
        body = second_openai_body(first, one, keeps=True)
        body["messages"].insert(0, {"role": "system", "content": "Be brief."})
    else:
        body = second_gemini_body(first, one, keeps=True)
        body["systemInstruction"] = {"parts": [{"text": "Be brief."}]}
    two = gateway.call(surface, "claude-opus-5-5", body, stream=stream)
    assert "0 degrees" in two.said.text
    assert [bool(sent.refused) for sent in two.sent] == [True, False]
    assert state_of("anthropic", two.upstream) == []


FIVE = ["A1", "B1", "C1", "D1", "France"]
"""One more than OpenAI's format takes: the last is looked for by the gateway."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["gpt-4o", "deepseek-chat", "local-small"])
def test_an_answer_that_the_gateway_cut_is_paid_for_all_the_same(model, stream):
    body = gemini_body(stopSequences=FIVE)
    outcome = Gateway().call("gemini", model, body, stream=stream)
    assert outcome.said.text == "The capital of " and outcome.said.finish == "STOP"
    usage, is_estimate = outcome.meter.final_usage(0)
    assert usage.input_tokens >= 10 and usage.output_tokens >= 4
    assert is_estimate == stream  # a whole answer says what it used


# ----------------------------------------------------------------- what only one provider has

DATA = base64.b64encode(b"\0\0\0\x18ftypmp42").decode()
ONLY_GOOGLE = {
    "contents[0].parts[1]": (
        {"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}},
        {
            "fileData": {
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a",
                "mimeType": "application/pdf",
            }
        },
        {"fileData": {"fileUri": "https://youtu.be/a"}},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"inlineData": {"mimeType": "video/mp4", "data": DATA}},
    ),
    "tools[0].googleSearch": {"tools": [{"googleSearch": {}}]},
    "cachedContent": {"cachedContent": "cachedContents/a"},
    "generationConfig.responseMimeType": {
        "generationConfig": {
            "responseMimeType": "text/x.enum",
            "responseSchema": {"type": "STRING", "enum": ["a"]},
        }
    },
    "generationConfig.responseModalities": {"generationConfig": {"responseModalities": ["IMAGE"]}},
}
ONLY_OPENAI = {
    "messages[0].content[1]": openai_parts({"type": "file", "file": {"file_id": "file-1"}}),
    "web_search_options": openai_body(web_search_options={}),
    "modalities": openai_body(modalities=["text", "audio"], audio={"voice": "a", "format": "wav"}),
    "tools": openai_body(tools=[{"type": "custom", "custom": {"name": "x"}}]),
}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-5", "deepseek-v4-flash", "local-small"])
@pytest.mark.parametrize("param", ONLY_GOOGLE)
def test_what_only_google_has_is_refused_elsewhere_by_its_name(param, model):
    asked = ONLY_GOOGLE[param]
    bodies = [gemini_body() | asked] if isinstance(asked, dict) else []
    for part in asked if isinstance(asked, tuple) else ():
        bodies.append({"contents": [{"role": "user", "parts": [{"text": ask()}, part]}]})
    for body in bodies:
        outcome = Gateway().call("gemini", model, body)
        assert (outcome.status, outcome.sent) == (400, []), body
        assert outcome.error.param == param


@pytest.mark.parametrize("model", ["claude-sonnet-5", "gemini-3.5-flash"])
@pytest.mark.parametrize("param", ONLY_OPENAI)
def test_what_only_openai_has_is_refused_elsewhere_by_its_name(param, model):
    outcome = Gateway().call("openai", model, ONLY_OPENAI[param])
    assert (outcome.status, outcome.sent) == (400, [])
    assert outcome.error.param.startswith(param)


# ----------------------------------------------------------------------------- golden cases

WEATHER = {
    "type": "object",
    "properties": {"c": {"type": "string"}},
    "required": ["c"],
}
ROUND_TRIP = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": f"call_{name}",
                    "type": "function",
                    "function": {"name": "w", "arguments": json.dumps({"c": city})},
                }
                for name, city in (("a", "Oslo"), ("b", "Rome"))
            ],
        },
        {"role": "tool", "tool_call_id": "call_b", "content": "20"},
        {"role": "tool", "tool_call_id": "call_a", "content": "5"},
        {"role": "user", "content": "And tomorrow?"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "parameters": WEATHER}}],
    "temperature": 0.2,
    "seed": 7,
}


def test_g1_a_tool_round_trip_at_anthropic():
    outcome = Gateway().call("openai", "claude-sonnet-5-5", ROUND_TRIP)
    # Longer than a whole answer may take: it is asked for as a stream.
    assert outcome.upstream == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 128000,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather in Oslo and Rome?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_a", "name": "w", "input": {"c": "Oslo"}},
                    {"type": "tool_use", "id": "call_b", "name": "w", "input": {"c": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_a", "content": "5"},
                    {"type": "tool_result", "tool_use_id": "call_b", "content": "20"},
                    {"type": "text", "text": "And tomorrow?"},
                ],
            },
        ],
        "tools": [{"name": "w", "input_schema": WEATHER}],
    }
    assert outcome.warnings == ["dropped=temperature,seed"]
    assert outcome.status == 200


def test_g2_the_same_history_at_gemini():
    outcome = Gateway().call("openai", "gemini-3.5-flash", ROUND_TRIP)
    assert outcome.upstream["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert outcome.upstream["contents"] == [
        {"role": "user", "parts": [{"text": "Weather in Oslo and Rome?"}]},
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "w", "args": {"c": "Oslo"}},
                    "thoughtSignature": SENTINEL,
                },
                {"functionCall": {"name": "w", "args": {"c": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "w", "response": {"result": text}}}
                for text in ("5", "20")
            ],
        },
        {"role": "user", "parts": [{"text": "And tomorrow?"}]},
    ]
    assert outcome.status == 200 and outcome.warnings == []


def test_g3_calls_of_one_name_without_ids_at_openai():
    calls = [{"functionCall": {"name": "w", "args": {"c": c}}} for c in ("Oslo", "Rome")]
    results = [
        {"functionResponse": {"name": "w", "response": {"result": text}}} for text in ("5", "20")
    ]
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": calls},
            {"role": "user", "parts": results},
        ],
        "tools": [{"functionDeclarations": [{"name": "w", "parametersJsonSchema": WEATHER}]}],
    }
    outcome = Gateway().call("gemini", "gpt-4o", body)
    messages = outcome.upstream["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[2:]] == ids
    assert [message["content"] for message in messages[2:]] == ["5", "20"]
    assert len(set(ids)) == 2 and all(ID.fullmatch(id_) for id_ in ids)
    assert outcome.status == 200


def test_g3_calls_without_ids_are_answered_by_name_in_any_order():
    names = ("lookup", "weather")
    calls = [{"functionCall": {"name": name, "args": {"city": "Oslo"}}} for name in names]
    results = [
        {"functionResponse": {"name": name, "response": {"result": f"of {name}"}}}
        for name in reversed(names)
    ]
    contents = [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": calls},
        {"role": "user", "parts": results},
    ]
    outcome = Gateway().call("gemini", "gpt-4o", {"contents": contents, "tools": G_BOTH})
    _, asked, *answers = outcome.upstream["messages"]
    name_of = {call["id"]: call["function"]["name"] for call in asked["tool_calls"]}
    found = {name_of[message["tool_call_id"]]: message["content"] for message in answers}
    assert found == {"lookup": "of lookup", "weather": "of weather"}


def sse(*events):
    return b"".join(anthropic.sse(name, data) for name, data in events)


def test_g4_a_claude_stream_as_openai_chunks():
    usage = {"input_tokens": 9, "output_tokens": 1}
    stream = sse(
        ("message_start", {"message": {"id": "msg_1", "model": "claude-sonnet-5", "usage": usage}}),
        (
            "content_block_start",
            {"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        ),
        (
            "content_block_delta",
            {"index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        ),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "I "}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "look."}}),
        ("content_block_stop", {"index": 1}),
        (
            "content_block_start",
            {
                "index": 2,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}},
            },
        ),
        ("content_block_stop", {"index": 2}),
        ("message_delta", {"delta": {"stop_reason": None}, "usage": {"output_tokens": 3}}),
        ("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
        ("message_stop", {}),
    )
    outcome = Gateway().call(
        "openai",
        "claude-sonnet-5",
        openai_body(tools=[o_tool("now", None)], stream_options={"include_usage": True}),
        stream=True,
        cut=by_bytes(5),
        answers=lambda sent: Wire(200, "text/event-stream", [stream]),
    )
    *events, done = events_of(outcome.chunks)
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    steps = [choice for chunk in chunks for choice in chunk["choices"]]
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    deltas = [step["delta"] for step in steps if step["delta"]]
    # An omitted thought has no text to show: an empty delta for it at most.
    deltas = [delta for delta in deltas if delta != {"reasoning_content": ""}]
    assert deltas[0]["role"] == "assistant"
    call = {"id": "toolu_1", "type": "function", "function": {"name": "now", "arguments": ""}}
    assert deltas[1:] == [
        {"content": "I "},
        {"content": "look."},
        {"tool_calls": [{"index": 0, **call}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    assert [step["finish_reason"] for step in steps if step["finish_reason"]] == ["tool_calls"]
    assert steps[-1]["finish_reason"] == "tool_calls"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 7
    assert chunks[-1]["usage"]["total_tokens"] == 16


def test_g5_an_openai_stream_with_interleaved_calls_as_gemini_events():
    def chunk(delta=None, finish=None, **more):
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        wire = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + json.dumps({"model": "gpt-4o", **wire}).encode() + b"\n\n"

    def call(index, arguments, **head):
        function = {"arguments": arguments, **({"name": head["name"]} if head else {})}
        more = {"id": f"call_{index}", "type": "function"} if head else {}
        return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    stream = b"".join(
        [
            chunk({"role": "assistant", "content": None}),
            call(0, "", name="lookup"),
            call(1, "", name="weather"),
            call(0, '{"city":'),
            call(1, '{"city":"Rome"'),
            call(0, '"Oslo"}'),
            call(1, "}"),
            chunk({}, "tool_calls"),
            chunk(usage=usage),
            b"data: [DONE]\n\n",
        ]
    )
    outcome = Gateway().call(
        "gemini",
        "gpt-4o",
        gemini_body(tools=G_BOTH),
        stream=True,
        cut=by_bytes(7),
        answers=lambda sent: Wire(200, "text/event-stream", [stream]),
    )
    events = [json.loads(event) for event in events_of(outcome.chunks)]
    parts = [event["candidates"][0]["content"]["parts"] for event in events]
    assert parts == [
        [{"functionCall": {"id": "call_0", "name": "lookup", "args": {"city": "Oslo"}}}],
        [{"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Rome"}}}],
    ]
    assert [event["candidates"][0].get("finishReason") for event in events] == [None, "STOP"]
    assert [("usageMetadata" in event) for event in events] == [False, True]
    assert events[-1]["usageMetadata"]["totalTokenCount"] == 14
    assert all(event["modelVersion"] and event["responseId"] for event in events)


def test_g6_a_block_in_either_direction():
    blocked = Gateway().call("openai", "gemini-2.5-flash", openai_body("blocked:BLOCKLIST"))
    [choice] = blocked.body["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] is None
    assert "BLOCKLIST" in choice["message"]["refusal"]
    assert blocked.body["usage"]["completion_tokens"] == 0 < blocked.body["usage"]["prompt_tokens"]
    filtered = Gateway().call("gemini", "gpt-4o", gemini_body("content_filter"))
    assert filtered.body["candidates"][0]["finishReason"] == "SAFETY"


def test_g7_one_usage_in_three_vocabularies():
    """Anthropic's 10 fresh, 100 written, 1000 read and 50 out, 20 of them thought."""
    as_openai = Gateway().call("openai", "claude-sonnet-5", openai_body("cached")).body["usage"]
    assert (as_openai["prompt_tokens"], as_openai["completion_tokens"]) == (1110, 50)
    assert as_openai["total_tokens"] == 1160
    assert as_openai["prompt_tokens_details"]["cached_tokens"] == 1000
    assert as_openai["completion_tokens_details"]["reasoning_tokens"] == 20
    outcome = Gateway().call("gemini", "claude-sonnet-5", gemini_body("cached"))
    assert outcome.body["usageMetadata"] == {
        "promptTokenCount": 1110,
        "cachedContentTokenCount": 1000,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 1160,
    }
    assert outcome.meter.usage.cache_write_tokens == 100
    assert as_openai["prompt_tokens_details"].get("cache_write_tokens") == 100
