"""The simulator: limits, tools, shapes, rehearsed failures; all of it deterministic."""

from __future__ import annotations

import itertools
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InternalError, InvalidRequest, LimitExceeded, Unavailable
from gateway.simulator import (
    ERRORS,
    MAGIC,
    UNICODE,
    answer,
    count_input,
    count_tokens,
    embed,
    magic_word,
    rehearse,
)
from gateway.types import (
    ChatRequest,
    Finish,
    Media,
    Message,
    ReasoningDelta,
    RefusalDelta,
    ResponseFormat,
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
    UsageReport,
)
from tests.gateway.schema_check import fits

WEATHER = Tool(
    "get_weather",
    "Weather of a city",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
)
TIME = Tool("get_time", None, None)


def user(text):
    return Message("user", [Text(text)])


def ask(text="Hello, please tell me about ships.", **fields):
    return ChatRequest("gpt-4o", fields.pop("messages", [user(text)]), **fields)


def play(request):
    return list(answer(request, clock=lambda: 1_700_000_000.9))


def text_of(events, choice=0):
    return "".join(e.text for e in events if isinstance(e, TextDelta) and e.choice == choice)


def of_type(events, kind):
    return [event for event in events if isinstance(event, kind)]


def usage_of(events):
    return events[-1].usage


def calls_of(events, choice=0):
    """(name, arguments) of each call of a choice."""
    starts = [e for e in of_type(events, ToolCallStart) if e.choice == choice]
    deltas = [e for e in of_type(events, ToolCallDelta) if e.choice == choice]
    return [
        (s.name, json.loads("".join(d.arguments for d in deltas if d.index == s.index)))
        for s in starts
    ]


# ---------------------------------------------------------------------------------- text


def test_the_promised_example_comes_out_as_promised():
    request = ask(
        messages=[
            Message("system", [Text("You are a helpful assistant.")]),
            user("What is the capital of France?"),
        ],
        max_tokens=512,
    )
    events = play(request)
    assert text_of(events) == "The capital of France is Paris."
    assert (usage_of(events).input_tokens, usage_of(events).output_tokens) == (24, 10)


def test_an_answer_has_its_events_in_order():
    events = play(ask())
    assert isinstance(events[0], Started)
    assert (events[0].model, events[0].created) == ("gpt-4o", 1_700_000_000)
    assert events[-2:] == [Finish("stop"), UsageReport(usage_of(events))]
    assert all(isinstance(event, TextDelta) for event in events[1:-2])


def test_an_answer_refers_to_the_last_user_message():
    messages = [user("first"), Message("assistant", [Text("ok")]), user("the purple whale")]
    assert "the purple whale" in text_of(play(ask(messages=messages)))


def test_an_answer_is_the_same_every_time():
    assert play(ask(n=3)) == play(ask(n=3))
    assert play(ask())[0].id != play(ask("Something else"))[0].id


def test_words_come_one_by_one_with_their_spaces():
    words = [event.text for event in of_type(play(ask()), TextDelta)]
    assert len(words) > 10
    assert all(re.fullmatch(r"\s*\S+", word) for word in words)


@pytest.mark.parametrize("messages", [[], [Message("system", [Text("Be kind.")])],
                                      [Message("user", [Media("image", url="x")])]])  # fmt: skip
def test_a_request_without_words_is_answered(messages):
    assert text_of(play(ask(messages=messages)))


@pytest.mark.parametrize("limit", range(1, 45))
def test_max_tokens_is_never_exceeded(limit):
    whole = play(ask())
    events = play(ask(max_tokens=limit))
    used = usage_of(events).output_tokens
    assert used <= limit
    assert text_of(whole).startswith(text_of(events))
    is_cut = limit < usage_of(whole).output_tokens
    assert events[-2].reason == ("length" if is_cut else "stop")
    assert used == (limit if is_cut else usage_of(whole).output_tokens)


def test_a_stop_sequence_cuts_and_is_not_said():
    text = text_of(play(ask("Count: one two three four", stop=["three", "four"])))
    assert text.endswith("one two ")
    assert play(ask("one two", stop=["two"]))[-2].reason == "stop"


def test_choices_differ_and_come_in_order():
    events = play(ask(n=4, max_tokens=50))
    assert [e.choice for e in of_type(events, Finish)] == [0, 1, 2, 3]
    assert len({text_of(events, choice) for choice in range(4)}) == 4
    assert len(of_type(events, UsageReport)) == 1
    order = [choice for choice, _ in itertools.groupby(events[1:-1], lambda e: e.choice)]
    assert order == [0, 1, 2, 3]


@pytest.mark.parametrize(("effort", "reasons"), [
    (None, False), ("none", False), ("minimal", True), ("high", True), ("odd", True)])  # fmt: skip
def test_reasoning_comes_when_it_is_asked_for(effort, reasons):
    events = play(ask(reasoning_effort=effort))
    assert bool(of_type(events, ReasoningDelta)) is reasons
    assert (usage_of(events).reasoning_tokens > 0) is reasons
    assert usage_of(events).reasoning_tokens < usage_of(events).output_tokens


def test_more_effort_is_more_reasoning():
    tokens = [usage_of(play(ask(reasoning_effort=e))).reasoning_tokens
              for e in ("low", "medium", "high")]  # fmt: skip
    assert tokens == sorted(set(tokens))


def test_a_budget_asks_for_reasoning_too():
    assert of_type(play(ask(reasoning_budget=1024)), ReasoningDelta)
    assert not of_type(play(ask(reasoning_budget=0)), ReasoningDelta)


def test_reasoning_counts_against_max_tokens():
    events = play(ask(reasoning_effort="high", max_tokens=5))
    assert text_of(events) == ""
    assert events[-2].reason == "length"
    assert usage_of(events).reasoning_tokens == usage_of(events).output_tokens == 5


def test_input_tokens_grow_with_what_is_sent():
    small = count_input(ask())
    assert count_input(ask(tools=[WEATHER])) > small
    shape = ResponseFormat("json_schema", "x", {"type": "object", "properties": {}})
    assert count_input(ask(response_format=shape)) > small
    assert count_input(ask(messages=[user("a"), Message("user", [Media("image", url="u")])])) > 80
    call = Message("assistant", [ToolCall("c", "f", '{"a": 1}')])
    result = Message("tool", [ToolResult("c", [Text("one two three")])])
    assert count_input(ask(messages=[call, result])) == 4 + 1 + 2 + 1 + 4 + 1 + 1 + 2


@given(st.lists(st.text(max_size=20), max_size=8))
def test_tokens_add_up_over_words(words):
    assert count_tokens(" ".join(words)) == sum(map(count_tokens, words))


# --------------------------------------------------------------------------------- tools


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("required"),
                                    ToolChoice("required", ["get_weather"])])  # fmt: skip
def test_a_tool_is_called_with_valid_arguments(choice):
    events = play(ask("Weather?", tools=[WEATHER, TIME], tool_choice=choice))
    assert calls_of(events) == [("get_weather", {"city": "Paris", "unit": "celsius"})]
    assert text_of(events) == ""
    assert events[-2].reason == "tool_calls"
    assert of_type(events, ToolCallStart)[0].id.startswith("call_")


def test_a_named_tool_is_the_one_called():
    events = play(ask(tools=[WEATHER, TIME], tool_choice=ToolChoice("required", ["get_time"])))
    assert calls_of(events) == [("get_time", {})]


def test_no_tool_is_called_when_none_may_be():
    events = play(ask(tools=[WEATHER], tool_choice=ToolChoice("none")))
    assert not calls_of(events)
    assert text_of(events)


def test_calls_in_parallel_when_asked():
    events = play(ask(tools=[WEATHER, TIME], parallel_tool_calls=True))
    assert [name for name, _ in calls_of(events)] == ["get_weather", "get_time"]
    starts = of_type(events, ToolCallStart)
    assert [start.index for start in starts] == [0, 1]
    assert starts[0].id != starts[1].id
    twice = calls_of(play(ask(tools=[WEATHER], parallel_tool_calls=True)))
    assert len(twice) == 2
    assert twice[0] != twice[1]
    assert len(calls_of(play(ask(tools=[WEATHER, TIME], parallel_tool_calls=False)))) == 1


def result_turn(*more):
    return [
        user("Weather?"),
        Message("assistant", [ToolCall("call_1", "get_weather", "{}")]),
        Message("tool", [ToolResult("call_1", [Text("sunny, 21 degrees")])]),
        *more,
    ]


def test_after_the_results_comes_text_about_them():
    events = play(ask(messages=result_turn(), tools=[WEATHER]))
    assert not calls_of(events)
    assert "sunny, 21 degrees" in text_of(events)
    assert events[-2].reason == "stop"


def test_results_in_a_user_message_count_too():
    messages = result_turn()[:2] + [Message("user", [ToolResult("call_1", [Text("rainy")])])]
    assert "rainy" in text_of(play(ask(messages=messages, tools=[WEATHER])))


def test_a_new_question_calls_again_and_so_does_a_forced_choice():
    messages = result_turn(Message("assistant", [Text("It is sunny.")]), user("And Berlin?"))
    assert calls_of(play(ask(messages=messages, tools=[WEATHER])))
    forced = ask(messages=result_turn(), tools=[WEATHER], tool_choice=ToolChoice("required"))
    assert calls_of(play(forced))


def test_a_limit_cuts_arguments():
    events = play(ask(tools=[WEATHER], max_tokens=6))
    assert events[-2].reason == "length"
    assert usage_of(events).output_tokens == 6
    assert of_type(events, ToolCallStart)


def test_a_tool_schema_nothing_satisfies_is_refused():
    tool = Tool("f", None, {"properties": {"a": False}, "required": ["a"]})
    with pytest.raises(InvalidRequest, match="'f'") as caught:
        play(ask(tools=[tool]))
    assert caught.value.param == "tools"


# -------------------------------------------------------------------------------- shapes


def test_a_json_object_is_one():
    events = play(ask(response_format=ResponseFormat("json_object")))
    assert isinstance(json.loads(text_of(events)), dict)


def test_a_json_schema_is_kept_by_every_choice():
    shape = ResponseFormat("json_schema", "weather", WEATHER.parameters)
    events = play(ask(response_format=shape, n=2))
    values = [json.loads(text_of(events, choice)) for choice in (0, 1)]
    assert all(fits(WEATHER.parameters, value) for value in values)
    assert values[0] != values[1]


def test_a_schema_nothing_satisfies_is_refused_before_the_first_event():
    shape = ResponseFormat("json_schema", "odd", {"type": "string", "enum": []})
    with pytest.raises(InvalidRequest, match="response_format 'odd'"):
        next(answer(ask(response_format=shape)))


# ---------------------------------------------------------------------------- magic words


@pytest.mark.parametrize(("word", "error", "code", "wait"), [
    ("test:429", LimitExceeded, "rate_limit_exceeded", 1),
    ("test:500", InternalError, "internal_error", None),
    ("test:503", Unavailable, "provider_unavailable", 1),
    ("test:400", InvalidRequest, "invalid_value", None),
    ("test:context", InvalidRequest, "context_length_exceeded", None),
])  # fmt: skip
def test_errors_come_before_the_first_event(word, error, code, wait):
    events = answer(ask(f"please {word}."))
    with pytest.raises(error) as caught:
        next(events)
    assert (caught.value.code, caught.value.retry_after) == (code, wait)


def test_a_context_that_is_too_long_is_told_in_openai_words():
    with pytest.raises(InvalidRequest, match=r"^This model's maximum context length is \d+ tokens"):
        play(ask("test:context"))


def test_only_the_last_user_message_counts():
    messages = [user("test:500"), Message("assistant", [Text("test:429")]), user("fine")]
    assert text_of(play(ask(messages=messages)))


@pytest.mark.parametrize(("prompt", "word"), [
    ("test:429", "test:429"), ("a (test:slow) b", "test:slow"), ("latest:429", None),
    ("test:4290", None), ("test:nothing test:cut", "test:cut"), ("test 429", None)])  # fmt: skip
def test_magic_words_are_whole_words(prompt, word):
    assert magic_word(prompt) == word


def test_every_error_is_documented_and_can_be_rehearsed_elsewhere():
    assert ERRORS.keys() <= MAGIC.keys()
    rehearse("a cat", "dall-e-3")
    with pytest.raises(LimitExceeded):
        rehearse("a cat test:429", "dall-e-3")


def test_filter_finishes_with_content_filter():
    events = play(ask("test:filter"))
    assert text_of(events)
    assert events[-2].reason == "content_filter"


def test_refusal_refuses():
    events = play(ask("test:refusal"))
    assert of_type(events, RefusalDelta)
    assert not text_of(events)
    assert events[-2].reason == "stop"


def test_cut_breaks_off():
    events = play(ask("test:cut"))
    assert len(of_type(events, TextDelta)) == 5
    assert isinstance(events[-1], StreamFailed)
    assert not of_type(events, Finish | UsageReport)


def test_cut_never_finishes_however_short_the_answer():
    events = play(ask("test:cut", max_tokens=2))
    assert isinstance(events[-1], StreamFailed)
    assert not of_type(events, Finish | UsageReport)


@pytest.mark.parametrize("word", ["test:refusal", "test:filter", "test:long", "test:unicode"])
def test_words_about_text_are_heard_beside_tools(word):
    assert not calls_of(play(ask(word, tools=[WEATHER])))


def test_slow_waits_before_and_between(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    events = answer(ask("test:slow"))
    assert isinstance(next(events), Started)
    assert waits == [2.0]
    next(events)
    assert waits == [2.0]
    rest = list(events)
    assert waits == [2.0] + [0.1] * len(rest)


def test_tool_calls_the_first_tool_or_answers_plainly():
    assert calls_of(play(ask("test:tool", tools=[TIME, WEATHER]))) == [("get_time", {})]
    assert text_of(play(ask("test:tool")))


def test_long_is_2000_words():
    assert len(text_of(play(ask("test:long"))).split()) == 2000


def test_unicode_comes_through():
    text = text_of(play(ask("test:unicode")))
    assert text == UNICODE
    assert {"\u2028", "\u0301", "你", "\U0001f44b"} <= set(text)


# ---------------------------------------------------------------------------- embeddings


def closeness(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("dimensions", [1, 8, 256, 1536, 3072])
def test_an_embedding_is_a_unit_vector(dimensions):
    vector = embed("The quick brown fox", dimensions)
    assert len(vector) == dimensions
    assert closeness(vector, vector) == pytest.approx(1)


def test_an_empty_text_has_an_embedding():
    assert closeness(embed("", 64), embed("", 64)) == pytest.approx(1)


def test_texts_that_share_words_are_closer():
    cat, kitten, tax = (embed(t, 1536) for t in ("a cat sat", "a cat slept", "income tax law"))
    assert closeness(cat, kitten) > 0.5 > closeness(cat, tax)
