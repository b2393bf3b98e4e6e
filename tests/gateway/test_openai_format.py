"""The OpenAI format: what is mended, what is kept, what the tap sees and what it leaves alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import dispatch, simulator, sse
from gateway.errors import InvalidRequest, RequestTooLarge, UpstreamFailed
from gateway.formats import openai
from gateway.metering import Meter
from gateway.types import (
    PAUSE,
    ChatRequest,
    Finish,
    Message,
    ReasoningDelta,
    RefusalDelta,
    Silence,
    Started,
    StreamFailed,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageReport,
)
from tests.gateway.targets import local_target

DONE = b"data: [DONE]\n\n"


def chunk(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "created": 7, "model": "m-1", "choices": [choice], **more}


def wire(*chunks, done=True):
    events = b"".join(sse.event(json.dumps(c).encode()) for c in chunks)
    return events + DONE if done else events


def read(*chunks, done=True):
    """The events of a stream of chunks, its `Started` left out."""
    events = list(openai.read_stream([wire(*chunks, done=done)]))
    assert isinstance(events[0], Started)
    return events[1:]


def calls_of(events):
    """The tool calls of choice 0 as (id, name, arguments)."""
    found = {}
    for event in events:
        if isinstance(event, ToolCallStart):
            assert event.index == len(found)
            found[event.index] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta):
            found[event.index][2] += event.arguments
    return [tuple(call) for call in found.values()]


def call(name=None, arguments=None, **more):
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return chunk({"tool_calls": [{"function": function, **more}]})


# ----------------------------------------------------------------------------- reading streams


def test_a_stream_by_the_book():
    events = list(
        openai.read_stream(
            [
                wire(
                    chunk({"role": "assistant", "content": ""}, system_fingerprint="fp"),
                    chunk({"content": "Hel"}),
                    chunk({"content": "lo"}),
                    chunk({}, "stop"),
                    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
                )
            ]
        )
    )
    assert events == [
        Started("chatcmpl-1", "m-1", 7, "fp"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Finish("stop", 0, "stop"),
        UsageReport(Usage(3, 2)),
    ]


CALL_STREAMS = {
    "by the book": [
        call("f", "", index=0, id="a", type="function"),
        call(None, '{"x"', index=0),
        call(None, ":1}", index=0),
        call("g", "{}", index=1, id="b"),
    ],
    "without index": [
        call("f", "", id="a"),
        call(None, '{"x"'),
        call(None, ":1}"),
        call("g", "{}", id="b"),
    ],
    "id and name repeated": [
        call("f", '{"x"', index=0, id="a"),
        call("f", ":1}", index=0, id="a"),
        call("g", "{}", index=1, id="b"),
    ],
    "id and name repeated without index": [
        call("f", '{"x"', id="a"),
        call("f", ":1}", id="a"),
        call("g", "{}", id="b"),
    ],
    "index from 1": [
        call("f", '{"x":1}', index=1, id="a"),
        call("g", "{}", index=2, id="b"),
    ],
    "empty id in later fragments": [
        call("f", '{"x"', index=0, id="a"),
        call("", ":1}", index=0, id=""),
        call("g", "{}", index=1, id="b"),
    ],
    "all in one chunk": [
        chunk(
            {
                "tool_calls": [
                    {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"id": "b", "function": {"name": "g", "arguments": "{}"}},
                ]
            }
        )
    ],
    "arguments as an object": [
        call("f", index=0, id="a"),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": {"x": 1}}}]}),
        call("g", "{}", index=1, id="b"),
    ],
    "one index for all": [
        call("f", '{"x":1}', index=0, id="a"),
        call("g", "{}", index=0, id="b"),
    ],
}


@pytest.mark.parametrize("name", CALL_STREAMS)
@pytest.mark.parametrize("finish", ["tool_calls", "stop", "function_call", "", None])
def test_tool_calls_are_mended(name, finish):
    events = read(*CALL_STREAMS[name], chunk({}, finish))
    assert calls_of(events) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert [e.reason for e in events if isinstance(e, Finish)] == ["tool_calls"]


def test_calls_without_id_get_one_of_their_own():
    events = read(call("f", "{}"), call("g", "{}"), chunk({}, "stop"))
    calls = calls_of(events)
    assert [c[1:] for c in calls] == [("f", "{}"), ("g", "{}")]
    assert all(c[0].startswith("call_") for c in calls)
    assert calls[0][0] != calls[1][0]


def test_a_call_cut_off_by_length_stays_length():
    events = read(call("f", '{"x"', index=0, id="a"), chunk({}, "length"))
    assert events[-1] == Finish("length", 0, "length")


@pytest.mark.parametrize(("raw", "reason"), [
    ("stop", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("max_tokens", "length"),
    ("content_filter", "content_filter"), ("something new", "other"),
])  # fmt: skip
def test_finish_reasons(raw, reason):
    assert read(chunk({"content": "x"}, raw))[-1] == Finish(reason, 0, raw)


def test_an_empty_finish_reason_is_none():
    events = read(chunk({"content": "x"}, ""), chunk({"content": "y"}, ""), chunk({}, "stop"))
    assert events == [TextDelta("x"), TextDelta("y"), Finish("stop", 0, "stop")]


@pytest.mark.parametrize("role", ["", None, "assistant"])
def test_a_role_on_every_chunk_says_nothing(role):
    events = read(chunk({"role": role, "content": "x"}), chunk({"role": role}, "stop"))
    assert events == [TextDelta("x"), Finish("stop", 0, "stop")]


def test_chunks_without_choices_are_passed_over():
    strange = [{"choices": None}, {"choices": []}, {"object": "ping"}, {"choices": [None]}]
    events = read({"id": "x", "choices": None}, *strange, chunk({"content": "x"}, "stop"))
    assert events == [TextDelta("x"), Finish("stop", 0, "stop")]


def test_content_as_a_list_of_parts_is_joined():
    content = [{"type": "text", "text": "a"}, {"type": "other"}, {"type": "text", "text": "b"}]
    assert read(chunk({"content": content}, "stop"))[0] == TextDelta("ab")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_under_either_name(name):
    assert read(chunk({name: "hm"}, "stop"))[0] == ReasoningDelta("hm")


def test_a_refusal_is_one():
    assert read(chunk({"refusal": "no"}, "stop"))[0] == RefusalDelta("no")


def test_choices_are_told_apart_and_end_in_order():
    def of(index, **more):
        return {"choices": [{"index": index, **more}]}

    events = read(
        of(1, delta={"content": "b"}),
        of(0, delta={"content": "a"}),
        of(1, delta={}, finish_reason="stop"),
        of(0, delta={}, finish_reason="length"),
    )
    assert events == [TextDelta("b", 1), TextDelta("a", 0), Finish("length", 0, "length"),
                      Finish("stop", 1, "stop")]  # fmt: skip


USAGES = {
    "plain": ({"prompt_tokens": 5, "completion_tokens": 3}, Usage(5, 3)),
    "with details": (
        {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        Usage(5, 3, 4, 1, 2),
    ),
    "details null": (
        {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        Usage(5, 3),
    ),
    "DeepSeek's": (
        {"prompt_tokens": 5, "completion_tokens": 3, "prompt_cache_hit_tokens": 2},
        Usage(5, 3, 2),
    ),
    "without completion": ({"prompt_tokens": 5}, Usage(5, 0)),
    "null completion": ({"prompt_tokens": 5, "completion_tokens": None}, Usage(5, 0)),
    "negative": ({"prompt_tokens": -5, "completion_tokens": 3}, Usage(0, 3)),
    "as floats": ({"prompt_tokens": 5.0, "completion_tokens": 3.0}, Usage(5, 3)),
}


@pytest.mark.parametrize("name", USAGES)
@pytest.mark.parametrize("place", ["own chunk", "finish chunk", "every chunk"])
def test_usage_wherever_it_comes(name, place):
    sent, expected = USAGES[name]
    early = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    streams = {
        "own chunk": [chunk({"content": "x"}, "stop"), {"choices": [], "usage": sent}],
        "finish chunk": [chunk({"content": "x"}), chunk({}, "stop", usage=sent)],
        "every chunk": [chunk({"content": "x"}, **early), chunk({}, "stop", usage=sent)],
    }
    assert read(*streams[place])[-1] == UsageReport(expected)


@pytest.mark.parametrize("usage", [None, {}, [], "x", {"prompt_tokens": None}, {"total_tokens": 3}])
def test_a_usage_not_worth_the_name_is_none(usage):
    assert openai.read_usage(usage) is None


@pytest.mark.parametrize("chunks", [
    [wire(chunk({"content": "x"}), done=False)],
    [wire(chunk({"content": "x"}), done=False) + b"data: {broken\n\n"],
    [wire(chunk({"content": "x"}), {"error": {"message": "overloaded"}}, done=False)],
    [wire(chunk({"content": "x"}), done=False) + b'data: "x"\n\n'],
    [b""],
    [DONE],
    [b"<html>"],
])  # fmt: skip
def test_a_stream_that_breaks_off_ends_in_failure_once(chunks):
    events = list(openai.read_stream(chunks))
    assert isinstance(events[-1], StreamFailed)
    assert sum(isinstance(event, StreamFailed | Finish) for event in events) == 1
    assert "overloaded" not in events[-1].message, "what the upstream said is for the log"


def test_a_finished_answer_needs_no_done():
    assert read(chunk({"content": "x"}, "stop"), done=False)[-1] == Finish("stop", 0, "stop")


def test_silence_is_passed_on():
    half = wire(chunk({"content": "x"}), done=False)
    events = list(openai.read_stream([half, b"", wire(chunk({}, "stop"))]))
    told = [type(event) for event in events if event != PAUSE]
    assert told == [Started, TextDelta, Silence, Finish]


def test_what_arrives_together_is_written_together():
    together = [wire(chunk({"content": "a"}), chunk({"content": "b"}), done=False)]
    events = openai.read_stream([*together, wire(chunk({}, "stop"))])
    parts = list(openai.StreamWriter(ChatRequest("m", []), Meter()).write(events))
    assert [part.count(b'"content":"') for part in parts[:1]] == [3]  # the role's chunk, a and b


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices":null}', b"null", b"<html>", b""])
def test_a_whole_answer_that_is_none_is_refused(body):
    with pytest.raises(ValueError):
        list(openai.read_response(body))


# ----------------------------------------------------------------------------- requests

WORD = st.text(min_size=1, max_size=8)
TEXT_PART = st.builds(lambda text: {"type": "text", "text": text}, WORD)
IMAGE_PART = st.builds(
    lambda url, detail: {
        "type": "image_url",
        "image_url": {"url": url} | ({"detail": detail} if detail else {}),
    },
    st.sampled_from(["https://example.com/a.png", "data:image/png;base64,AAAA"]),
    st.sampled_from([None, "low", "high"]),
)
AUDIO_PART = st.builds(
    lambda sound: {"type": "input_audio", "input_audio": {"data": "AAAA", "format": sound}},
    st.sampled_from(["wav", "mp3"]),
)
FILE_PART = st.just({"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}})
USER_CONTENT = st.one_of(
    WORD, st.lists(st.one_of(TEXT_PART, IMAGE_PART, AUDIO_PART, FILE_PART), min_size=1, max_size=4)
)
NAME = st.sampled_from([None, "ada"])


def _named(role):
    def build(content, name):
        return [{"role": role, "content": content} | ({"name": name} if name else {})]

    return build


@st.composite
def tool_turns(draw):
    """An assistant that calls tools, and the answer to each call."""
    ids = [f"call_{i}" for i in range(draw(st.integers(1, 3)))]
    calls = [
        {
            "id": id_,
            "type": "function",
            "function": {"name": draw(st.sampled_from("fg")), "arguments": draw(WORD)},
        }
        for id_ in ids
    ]
    content = draw(st.none() | WORD)
    results = [
        {"role": "tool", "tool_call_id": id_, "content": draw(WORD | st.lists(TEXT_PART, min_size=1))}
        for id_ in draw(st.permutations(ids))
    ]  # fmt: skip
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *results]


TURNS = st.one_of(
    st.builds(_named("system"), WORD, NAME),
    st.builds(_named("user"), USER_CONTENT, NAME),
    st.builds(_named("assistant"), WORD, NAME),
    tool_turns(),
)
TOOLS = [{"type": "function", "function": {"name": name, **more}} for name, more in (
    ("f", {"description": "d", "parameters": {"type": "object"}, "strict": True}), ("g", {}),
)]  # fmt: skip
OPTIONS = st.fixed_dictionaries({}, optional={
    "temperature": st.sampled_from([0, 0.7, 2]),
    "top_p": st.just(0.5),
    "seed": st.integers(0, 9),
    "presence_penalty": st.just(-1),
    "frequency_penalty": st.just(0.5),
    "max_tokens": st.integers(1, 99),
    "stop": st.lists(WORD, min_size=1, max_size=4),
    "n": st.integers(2, 4),
    "tools": st.just(TOOLS),
    "parallel_tool_calls": st.booleans(),
    "user": WORD,
    "reasoning_effort": st.just("low"),
    "logprobs": st.just(True),
    "logit_bias": st.just({"50": -100}),
    "metadata": st.just({"a": "b"}),
    "store": st.booleans(),
    "verbosity": st.just("low"),
    "something_new": st.just({"x": [1]}),
    "response_format": st.sampled_from([
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}},
    ]),
})  # fmt: skip


def joined(content):
    """Content with neighbouring texts joined: plain text where there is nothing else."""
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return content


@settings(deadline=None)
@given(st.lists(TURNS, min_size=1, max_size=4), OPTIONS)
def test_a_request_read_and_written_keeps_everything(turns, options):
    messages = [message for turn in turns for message in turn]
    body = {"model": "m", "messages": messages, **options}
    openai.check_request(body)
    written = openai.write_request(openai.read_request(body), local_target(quirks=frozenset()))
    assert [{**m, "content": joined(m["content"])} for m in written["messages"]] == [
        {**m, "content": joined(m["content"])} for m in messages
    ]
    assert {name: written[name] for name in written if name != "messages"} == {
        name: body[name] for name in body if name != "messages"
    }


@pytest.mark.parametrize("choice", [
    "auto", "none", "required", {"type": "function", "function": {"name": "f"}},
    {"type": "allowed_tools", "allowed_tools": {
        "mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}},
])  # fmt: skip
def test_a_tool_choice_is_kept(choice):
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": TOOLS}
    written = openai.write_request(
        openai.read_request({**body, "tool_choice": choice}), local_target()
    )
    assert written["tool_choice"] == choice


def test_legacy_functions_become_tools():
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "name": "f", "content": "42"},
        ],
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
    }
    written = openai.write_request(openai.read_request(body), local_target(quirks=frozenset()))
    assert written["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert written["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    called, answer = written["messages"][1:]
    assert called["tool_calls"][0]["id"] == answer["tool_call_id"]
    assert answer == {"role": "tool", "tool_call_id": "f", "content": "42"}


def test_developer_messages_become_system_ones_unless_understood():
    request = ChatRequest("m", [Message("developer", [Text("x")])])
    roles = [
        openai.write_request(request, local_target(quirks=quirks))["messages"][0]["role"]
        for quirks in (frozenset({"developer_as_system"}), frozenset())
    ]
    assert roles == ["system", "developer"]


def test_streams_always_ask_for_usage():
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    request = openai.read_request(body)
    assert not request.include_usage
    written = openai.write_request(request, local_target(quirks=frozenset()))
    assert written["stream_options"] == {"include_usage": True}


def patch(body, upstream_model="m", defaults=None, quirks=()):
    raw = json.dumps(body).encode()
    target = local_target(upstream_model=upstream_model, quirks=frozenset(quirks))
    return raw, openai.patch_request(raw, body, target, defaults or {})


BODY = {"model": "m", "messages": [{"role": "developer", "content": "x"}], "odd": {"a": 1}}


def test_a_body_that_needs_no_change_is_passed_on_as_its_bytes():
    raw, patched = patch(BODY)
    assert patched is raw


@pytest.mark.parametrize(("more", "options", "changes"), [
    ({}, {"upstream_model": "m-2"}, {"model": "m-2"}),
    ({"stream": True}, {}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"stream": True, "stream_options": {"include_usage": False, "x": 1}}, {},
     {"stream": True, "stream_options": {"include_usage": True, "x": 1}}),
    ({}, {"defaults": {"thinking": "off"}}, {"thinking": "off"}),
    ({"thinking": "on"}, {"defaults": {"thinking": "off"}}, {"thinking": "on"}),
    ({"seed": None, "temperature": None}, {}, {}),
    ({"max_completion_tokens": 5}, {"quirks": ["max_tokens"]}, {"max_tokens": 5}),
    ({}, {"quirks": ["developer_as_system"]}, {"messages": [{"role": "system", "content": "x"}]}),
])  # fmt: skip
def test_what_is_patched_and_nothing_else(more, options, changes):
    assert json.loads(patch({**BODY, **more}, **options)[1]) == {**BODY, **changes}


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 502, 529])
def test_what_fails_upstream_is_our_503_and_says_nothing_of_it(status):
    body = b'{"error": {"message": "key sk-secret is bad", "code": "x"}}'
    error = openai.read_error(status, body, provider="openai", retry_after=7)
    assert isinstance(error, UpstreamFailed)
    assert (error.status, error.code, error.retry_after) == (503, "provider_unavailable", 7)
    assert "secret" not in error.message
    assert "secret" in error.reason


@pytest.mark.parametrize(("body", "code", "param"), [
    (b'{"error": {"message": "m", "code": "invalid_value", "param": "seed"}}', "invalid_value", "seed"),
    (b'{"error": {"message": "m", "code": "new_code"}}', "invalid_request", None),
    (b'{"error": {"message": "m", "code": 42, "param": 3}}', "invalid_request", None),
    (b'{"error": "just text"}', "invalid_request", None),
    (b'{"message": "flat"}', "invalid_request", None),
    (b"<html>", "invalid_request", None), (b"[]", "invalid_request", None),
    (b'{"error": null}', "invalid_request", None),
])  # fmt: skip
@pytest.mark.parametrize("status", [400, 422])
def test_an_upstreams_400_stays_one(status, body, code, param):
    error = openai.read_error(status, body, provider="p", retry_after=None)
    assert isinstance(error, InvalidRequest)
    assert (error.code, error.param) == (code, param)
    assert error.message


def test_a_code_that_is_no_text_breaks_nothing():
    body = b'{"error": {"message": {"a": 1}, "code": ["x"], "param": []}}'
    error = openai.read_error(400, body, provider="p", retry_after=None)
    assert (error.status, error.code) == (400, "invalid_request")


def test_413_is_the_callers():
    assert isinstance(openai.read_error(413, b"", provider="p", retry_after=None), RequestTooLarge)


# ----------------------------------------------------------------------------- writing

PROMPTS = ["Hello!", "test:unicode", "test:tool", "test:refusal", "test:filter", "test:long"]
WHOLE_BODY = {"model": "gpt-4o", "tools": TOOLS, "n": 2, "max_tokens": 60}


def simulated(prompt, **more):
    body = {**WHOLE_BODY, "messages": [{"role": "user", "content": prompt}], **more}
    return openai.read_request(body)


def fold(data):
    """The choices that a client makes of a stream, as a whole answer has them."""
    choices = {}
    for payload in sse.read_data([data]):
        if payload == b"[DONE]":
            continue
        for part in json.loads(payload)["choices"]:
            choice = choices.setdefault(
                part["index"],
                {"content": "", "refusal": "", "calls": [], "logprobs": [], "finish": None},
            )
            delta = part["delta"]
            choice["content"] += delta.get("content") or ""
            choice["refusal"] += delta.get("refusal") or ""
            for fragment in delta.get("tool_calls") or ():
                if "id" in fragment:
                    choice["calls"].append([fragment["id"], fragment["function"]["name"], ""])
                choice["calls"][fragment["index"]][2] += fragment["function"]["arguments"]
            choice["logprobs"] += (part.get("logprobs") or {}).get("content") or []
            choice["finish"] = part["finish_reason"] or choice["finish"]
    return choices


def as_folded(answer):
    return {
        choice["index"]: {
            "content": choice["message"]["content"] or "",
            "refusal": choice["message"]["refusal"] or "",
            "calls": [
                [c["id"], c["function"]["name"], c["function"]["arguments"]]
                for c in choice["message"].get("tool_calls", ())
            ],
            "logprobs": (choice["logprobs"] or {}).get("content") or [],
            "finish": choice["finish_reason"],
        }
        for choice in answer["choices"]
    }


@pytest.mark.parametrize("prompt", PROMPTS)
def test_streamed_equals_whole(prompt):
    events = list(simulator.answer(simulated(prompt)))
    whole_meter, stream_meter = Meter(), Meter()
    request = simulated(prompt, stream=True, stream_options={"include_usage": True})
    whole = openai.write_response(iter(events), request, whole_meter)
    streamed = b"".join(openai.StreamWriter(request, stream_meter).write(iter(events)))
    assert fold(streamed) == as_folded(whole)
    assert stream_meter.usage == whole_meter.usage
    assert stream_meter.finish_reason == whole_meter.finish_reason
    assert stream_meter.is_done
    assert streamed.endswith(DONE)
    assert json.loads(streamed.split(b"\n\n")[-3][6:])["usage"] == whole["usage"]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_what_is_written_is_read_back_as_the_same_events(prompt):
    request = simulated(prompt, stream=True, stream_options={"include_usage": True})
    events = [e for e in simulator.answer(request) if not isinstance(e, Silence)]
    written = b"".join(openai.StreamWriter(request, Meter()).write(iter(events)))
    back = list(openai.read_stream([written]))
    assert fold(b"".join(openai.StreamWriter(request, Meter()).write(iter(back)))) == fold(written)
    assert [e for e in back if isinstance(e, UsageReport)] == [
        e for e in events if isinstance(e, UsageReport)
    ]


def test_what_is_written_has_no_character_that_line_readers_cut_at():
    events = [Started("x", "m"), TextDelta("a\u2028b\u2029c\x85d"), Finish("stop")]
    written = b"".join(openai.StreamWriter(simulated("x"), Meter()).write(iter(events)))
    assert not set(written.decode()) & {"\u2028", "\u2029", "\x85"}
    assert fold(written)[0]["content"] == "a\u2028b\u2029c\x85d"


def test_a_failure_in_mid_stream_is_one_error_event_and_the_end():
    events = [Started("x", "m"), TextDelta("a"), StreamFailed("Sorry.", reason="secret detail")]
    meter = Meter()
    written = b"".join(openai.StreamWriter(simulated("x"), meter).write(iter(events)))
    last = json.loads(written.split(b"\n\n")[-2][6:])
    assert last["error"]["code"] == "provider_unavailable"
    assert b"[DONE]" not in written and b"secret detail" not in written
    assert (meter.failed, meter.is_done) == ("secret detail", False)


def test_a_failure_of_a_whole_answer_is_an_error():
    events = [Started("x", "m"), TextDelta("a"), StreamFailed("Sorry.", reason="r")]
    with pytest.raises(UpstreamFailed):
        openai.write_response(iter(events), simulated("x"), Meter())


# ----------------------------------------------------------------------------- the tap

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def upstream(text="Hi", last=None, usage_in_finish=False):
    """The events of an exact upstream's stream, one bytes object each."""
    chunks = [
        chunk({"role": "assistant", "content": ""}, usage=None),
        *(chunk({"content": piece}, usage=None) for piece in text),
        chunk({}, "length", usage=USAGE if usage_in_finish else None),
    ]
    if not usage_in_finish:
        chunks.append({"id": "chatcmpl-1", "model": "m-1", "choices": [], "usage": USAGE})
    return [sse.event(json.dumps(c, separators=(",", ":")).encode()) for c in chunks] + [DONE]


def tapped(events, *, wants_usage, reads="together"):
    """(bytes for the client, meter, tap) after the tap saw the stream in reads of one size."""
    meter = Meter()
    tap = openai.Tap(meter, wants_usage)
    batches = {"together": [b"".join(events)], "one by one": events}[reads]
    passed = b"".join(tap.pass_on(batch) for batch in batches)
    tap.finish()
    return passed, meter, tap


@pytest.mark.parametrize("reads", ["together", "one by one"])
@pytest.mark.parametrize("wants_usage", [False, True])
def test_usage_is_metered_and_kept_only_if_asked_for(reads, wants_usage):
    events = upstream()
    passed, meter, tap = tapped(events, wants_usage=wants_usage, reads=reads)
    kept = events if wants_usage else events[:-2] + [DONE]
    assert passed == b"".join(kept), "byte for byte"
    assert meter.usage == Usage(9, 4)
    assert (meter.upstream_model, meter.finish_reason) == ("m-1", "length")
    assert meter.is_done
    assert tap.error is None
    assert meter.frames == len(events) - 1


@pytest.mark.parametrize("reads", ["together", "one by one"])
def test_usage_in_the_finish_chunk_stays_with_it(reads):
    events = upstream(usage_in_finish=True)
    passed, meter, _ = tapped(events, wants_usage=False, reads=reads)
    assert passed == b"".join(events)
    assert (meter.usage, meter.finish_reason) == (Usage(9, 4), "length")


def test_a_stream_without_usage_is_passed_on_untouched_and_its_end_known():
    events = [e for e in upstream() if b'"choices":[]' not in e]
    passed, meter, _ = tapped(events, wants_usage=True, reads="one by one")
    assert passed == b"".join(events)
    assert (meter.usage, meter.finish_reason, meter.is_done) == (None, "length", True)


TRAPS = [
    '"usage":{"prompt_tokens":999,"completion_tokens":999}',
    '{"usage": {"prompt_tokens": 999}}',
    'data: {"usage":{"prompt_tokens":999}}\n\n',
    '"error": {"message": "not really"}',
    "data: [DONE]\n\n",
    '"finish_reason":"stop"',
    "\\",
    '\\"usage\\":{',
]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("reads", ["together", "one by one"])
def test_text_that_looks_like_something_else_is_only_text(trap, reads):
    events = upstream(text=[trap, " and ", trap])
    passed, meter, tap = tapped(events, wants_usage=False, reads=reads)
    assert fold(passed)[0]["content"] == f"{trap} and {trap}"
    assert (meter.usage, meter.finish_reason) == (Usage(9, 4), "length")
    assert tap.error is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*TRAPS, "é漢😀", "x" * 50]), max_size=4), st.data())
def test_however_reads_fall_the_client_gets_the_same(text, data):
    events = upstream(text=text)
    whole = b"".join(events)
    places = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)) | {0, len(whole)})
    reads = [whole[a:b] for a, b in zip(places, places[1:], strict=False)]
    meter = Meter()
    call = SimpleNamespace(format=openai, wants_usage=False)
    passed = b"".join(dispatch.pass_through(_generator(reads), call, meter))
    assert passed == b"".join(events[:-2] + [DONE])
    assert (meter.usage, meter.finish_reason) == (Usage(9, 4), "length")


def _generator(reads):
    yield from (read for read in reads if read)


ERROR_EVENT = sse.event(b'{"error": {"message": "overloaded: secret detail"}}')


@pytest.mark.parametrize("after", [[], [DONE], upstream()[1:3], [*upstream()[1:], DONE]])
@pytest.mark.parametrize("reads", ["together", "one by one"])
@pytest.mark.parametrize("bad", [ERROR_EVENT, b'data: {"error": "x", "usage":{}}\n\n'])
def test_an_error_event_ends_the_stream_as_ours(after, reads, bad):
    """Never [DONE] after it, whatever the upstream sends on, and nothing of its words."""
    events = [*upstream()[:2], bad, *after]
    meter = Meter()
    call = SimpleNamespace(format=openai, wants_usage=False)
    batches = events if reads == "one by one" else [b"".join(events)]
    passed = b"".join(dispatch.pass_through(_generator(batches), call, meter))
    assert passed.startswith(b"".join(upstream()[:2]))
    last = json.loads(passed.split(b"\n\n")[-2][6:])
    assert last["error"]["code"] == "provider_unavailable"
    assert passed.count(b'"error"') == 1
    assert b"[DONE]" not in passed and b"secret" not in passed
    assert meter.failed and not meter.is_done


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_stream_that_ends_without_done_is_told_so(keep):
    meter = Meter()
    call = SimpleNamespace(format=openai, wants_usage=False)
    passed = b"".join(dispatch.pass_through(_generator(upstream()[:keep]), call, meter))
    assert passed.startswith(b"".join(upstream()[:keep]))
    assert b'"provider_unavailable"' in passed and b"[DONE]" not in passed
    assert meter.failed


def test_an_event_that_is_not_json_is_an_error_where_one_looks():
    tap = openai.Tap(Meter(), False)
    assert tap.pass_on(b'data: {"error": {bad\n\n') == b""
    assert tap.error


# ----------------------------------------------------------------------------- whole answers


def test_a_whole_answer_is_metered_without_being_changed():
    answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": USAGE}
    meter = Meter()
    openai.meter_response(json.dumps(answer).encode(), meter)
    assert (meter.usage, meter.upstream_model, meter.finish_reason) == (Usage(9, 4), "m-1", "stop")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"choices": {}}'])
def test_garbage_is_no_answer(body):
    with pytest.raises(ValueError):
        openai.meter_response(body, Meter())


@pytest.mark.parametrize(("value", "neutral", "kept"), [(40, 40, None), ("40", None, "40")])
def test_top_k_is_what_every_format_but_this_one_has(value, neutral, kept):
    request = openai.read_request({"model": "m", "messages": [], "top_k": value})
    assert request.top_k == neutral
    assert request.extra["openai"].get("top_k") == kept
    assert openai.write_request(request, local_target())["top_k"] == value
