"""Servers that break the rules of the OpenAI format, and what our callers get of them.

`corpus/` holds a short answer for each fault that reference/openai-wire.md 6.2 and translation.md
11 and 14 tell of: `.sse` for streams, `.json` for whole answers. What we make of each, on both
surfaces, keeps every rule that clients depend on, however the reads fell.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import tool_names
from gateway.errors import UpstreamFailed
from gateway.formats import gemini, openai
from gateway.metering import Meter
from gateway.types import ChatRequest, StreamFailed, ToolCallStart

CORPUS = Path(__file__).parent / "corpus"
STREAMS = sorted(path.name for path in CORPUS.glob("*.sse"))
WHOLES = sorted(path.name for path in CORPUS.glob("*.json"))
REASONS = ("stop", "length", "tool_calls", "content_filter")
GEMINI_REASONS = ("STOP", "MAX_TOKENS", "SAFETY", "OTHER", "MALFORMED_FUNCTION_CALL")


# ----------------------------------------------------------------------------- what is expected


@dataclass
class Said:
    """One choice, as a client puts it together."""

    text: str = ""
    calls: list = field(default_factory=list)
    finish: str | None = "stop"
    reasoning: str = ""


@dataclass
class Answer:
    choices: list[Said]
    usage: tuple[int, int] | None = None


FAILED = "failed"
HELLO = Answer([Said("Hello")])
COUNTED = Answer([Said("Hello")], (8, 5))
TWO = Answer([Said("", [("f", {"x": 1}), ("g", {})], "tool_calls")])
THOUGHT = Answer([Said("Hello", reasoning="hmm")])
EXPECTED = {
    **dict.fromkeys(
        (
            "by_the_book", "byte_order_mark", "comments", "cr", "crlf", "done_missing",
            "done_with_a_blank", "empty_data", "finish_on_every_chunk", "id_and_event_lines",
            "no_space_after_data", "usage_as_floats", "usage_before_the_end", "usage_in_the_choice",
            "usage_in_the_finish_chunk", "usage_of_groq", "usage_on_every_chunk",
            "usage_with_nulls",
        ), COUNTED),
    **dict.fromkeys(
        (
            "choice_from_1", "choice_without_index", "choices_no_list", "choices_null",
            "content_as_list", "created_odd", "data_over_two_lines", "delta_null", "error_null",
            "extras", "finish_empty", "finish_in_vendors_words", "finish_missing",
            "finish_no_text", "finish_unknown", "last_event_unterminated", "logprobs_odd",
            "message_for_delta", "no_head", "role_empty", "role_everywhere", "usage_missing",
        ), HELLO),
    **dict.fromkeys(
        (
            "another_id_each_time", "arguments_as_objects", "arguments_null", "calls_in_one_chunk",
            "finish_stop_after_calls", "function_null", "head_0_tail_1", "head_1_tail_0",
            "id_and_name_repeated", "index_0_for_all", "index_as_text", "index_from_1",
            "index_missing", "interleaved", "name_repeated_without_id",
            "name_repeated_without_id_and_index", "one_id_for_two_calls", "tool_calls_no_list",
            "two_fragments_in_a_chunk",
        ), TWO),
    "tools_by_the_book": Answer(TWO.choices, (8, 5)),
    "index_0_for_all_without_ids": Answer(
        [Said("", [("f", {"x": 1}), ("f", {"x": 2}), ("g", {})], "tool_calls")]),
    "legacy_function_call": Answer([Said("", [("f", {"x": 1})], "tool_calls")]),
    "call_cut_by_length": Answer([Said("", [("f", None)], "length")]),
    "finish_max_tokens": Answer([Said("Hello", finish="length")]),
    "reasoning": THOUGHT,
    "reasoning_content": THOUGHT,
    "reasoning_under_both_names": THOUGHT,
    "difficult_text": Answer(
        [Said('a\0b\u2028c\u2029d\x85e\r\nf"\\ data: [DONE]\n\né漢😀')]),
    "choices_out_of_order": Answer([Said("b"), Said("a", finish="length")]),
    **dict.fromkeys(
        (
            "call_without_a_name", "cut", "cut_in_a_character", "cut_in_an_event", "error_as_body",
            "error_first", "error_in_the_middle", "finish_out_of_resources", "not_utf8", "nothing",
            "only_done", "page", "whole_answer_instead",
        ), FAILED),
}  # fmt: skip
EXPECTED_WHOLE = {
    **dict.fromkeys(
        (
            "by_the_book", "choice_from_1", "content_as_list", "finish_in_vendors_words",
            "finish_null", "role_empty", "usage_as_floats", "usage_details_odd",
        ), COUNTED),
    "usage_missing": HELLO,
    "tools": Answer(TWO.choices, (8, 5)),
    "arguments_as_objects": Answer(TWO.choices, (8, 5)),
    "two_calls_alike": Answer(
        [Said("", [("f", {"x": 1}), ("f", {"x": 2})], "tool_calls")], (8, 5)),
    "legacy_function_call": Answer([Said("", [("f", {"x": 1})], "tool_calls")], (8, 5)),
    "reasoning": Answer(THOUGHT.choices, (8, 5)),
    "content_null": Answer([Said(finish="length")], (8, 5)),
    "message_null": Answer([Said()], (8, 5)),
    **dict.fromkeys(
        ("choices_empty", "choices_null", "cut", "error_as_answer", "error_beside_choices",
         "wrapped"), FAILED),
}  # fmt: skip


def test_every_fault_has_its_expectation():
    assert {name.removesuffix(".sse") for name in STREAMS} == set(EXPECTED)
    assert {name.removesuffix(".json") for name in WHOLES} == set(EXPECTED_WHOLE)


# ----------------------------------------------------------------------------- the rules of OpenAI


def check_chunks(data: bytes, *, wants_usage: bool = False) -> list[Said]:
    """Assert the rules of openai-wire.md section 0 on a stream; returns what a client makes of it.

    A stream that ends in an error event keeps them as far as it goes; its choices are then not
    returned, but [].
    """
    payloads = _payloads(data)
    if "error" in payloads[-1]:
        _check_error(payloads.pop())
        assert b"[DONE]" not in data.splitlines()[-2:], "nothing follows an error"
        _check_order(payloads, wants_usage=wants_usage, is_broken=True)
        return []
    assert data.endswith(b"data: [DONE]\n\n")  # 3
    return _check_order(payloads, wants_usage=wants_usage)


def _payloads(data: bytes) -> list[dict]:
    """The JSON of all events. Rules 2, 3 and 4: lines of data or comments, one line an event."""
    assert not data or data.endswith(b"\n\n")
    found = []
    for event in data.split(b"\n\n")[:-1]:
        if event.startswith(b":"):
            assert b"\n" not in event
            continue
        assert event.startswith(b"data: ") and event.count(b"\n") == 0, event
        assert b"\r" not in event
        text = event[6:].decode()
        assert not set(text) & {"\u2028", "\u2029", "\x85"}, "line readers cut here"
        if text == "[DONE]":
            assert data.endswith(b"data: [DONE]\n\n") and data.count(b"data: [DONE]\n\n") == 1
        else:
            found.append(json.loads(text))
    return found


def _check_error(payload):
    assert set(payload) == {"error"}
    assert {"message", "type", "param", "code"} <= payload["error"].keys()  # 1


def _check_order(payloads, *, wants_usage, is_broken=False) -> list[Said]:
    assert all(p["object"] == "chat.completion.chunk" for p in payloads)  # 5
    assert len({(p["id"], p["created"], p["model"]) for p in payloads}) <= 1
    assert all(type(p["created"]) is int and type(p["choices"]) is list for p in payloads)
    _check_usage(payloads, wants_usage)
    choices: list[_Client] = []
    for payload in payloads:
        for choice in payload["choices"]:
            index = choice["index"]
            assert type(index) is int and 0 <= index <= len(choices)  # 7
            if index == len(choices):
                choices.append(_Client())
            choices[index].take(choice)
    if not is_broken:
        assert choices, "an answer without choices"
        for client in choices:
            client.check_end()
    return [client.said for client in choices]


def _check_usage(payloads, wants_usage):
    """Rule 8: in one last chunk without choices, and only where it was asked for."""
    for place, payload in enumerate(payloads):
        if payload["choices"]:
            assert payload.get("usage") is None
            assert ("usage" in payload) == wants_usage
        else:
            assert wants_usage and place == len(payloads) - 1
            assert type(payload["usage"]["prompt_tokens"]) is int
            assert type(payload["usage"]["completion_tokens"]) is int


class _Client:
    """Puts one choice together by the rules of the SDKs."""

    def __init__(self):
        self.said = Said(finish=None)
        self.calls: list[list[str]] = []
        self.is_begun = False

    def take(self, choice):
        delta = choice["delta"]
        assert ("role" in delta) == (not self.is_begun)  # 6
        assert delta.get("role", "assistant") == "assistant"
        self.is_begun = True
        assert self.said.finish is None, "nothing follows the end of a choice"
        assert type(delta.get("content") or "") is str
        self.said.text += delta.get("content") or ""
        self.said.reasoning += delta.get("reasoning_content") or ""
        assert len(delta.get("tool_calls", ())) <= 1, "some clients read one a chunk"
        for fragment in delta.get("tool_calls", ()):
            self._take_call(fragment)
        finish = choice["finish_reason"]
        assert finish is None or finish in REASONS  # 9
        self.said.finish = finish

    def _take_call(self, fragment):
        index = fragment["index"]
        assert type(index) is int and 0 <= index <= len(self.calls)  # 7
        function = fragment["function"]
        if index == len(self.calls):
            assert fragment["type"] == "function" and function["name"]
            assert tool_names.GOOD_ID.fullmatch(fragment["id"])
            self.calls.append([function["name"], ""])
        else:
            assert not fragment.keys() & {"id", "type"} and "name" not in function  # 6
        self.calls[index][1] += function["arguments"]

    def check_end(self):
        assert self.said.finish, "every choice ends once"
        if self.calls and self.said.finish != "content_filter":
            assert self.said.finish in ("tool_calls", "length")  # 9
        self.said.calls = [(name, parsed(text)) for name, text in self.calls]
        if self.said.finish == "tool_calls":
            assert all(args is not None for _, args in self.said.calls)


def parsed(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


# ----------------------------------------------------------------------------- the rules of Gemini


def check_events(data: bytes) -> list[Said]:
    """Assert the rules of gemini-wire.md section 8 on a stream; [] for one that ends in an error."""
    assert data.isascii() and data.endswith(b"\n\n")
    events = data.split(b"\n\n")[:-1]
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events)
    chunks = [json.loads(event[6:]) for event in events]
    if "error" in chunks[-1]:
        assert (
            events[-1].startswith(b'data: {"error":') and type(chunks[-1]["error"]["code"]) is int
        )
        chunks.pop()
        _check_candidates(chunks)
        return []
    said = _check_candidates(chunks)
    assert said and all(one.finish for one in said.values())
    return [said[index] for index in sorted(said)]


def _check_candidates(chunks) -> dict[int, Said]:
    said: dict[int, Said] = {}
    assert len({(c["responseId"], c["modelVersion"]) for c in chunks}) <= 1
    for chunk in chunks:
        (candidate,) = chunk["candidates"]
        one = said.setdefault(candidate["index"], Said(finish=None))
        assert one.finish is None, "nothing follows the end of a candidate"
        content = candidate["content"]
        assert content["role"] == "model"
        assert sum("functionCall" in part for part in content["parts"]) <= 1
        for part in content["parts"]:
            _check_part(part, one)
        if "finishReason" in candidate:
            assert candidate["finishReason"] in GEMINI_REASONS
            one.finish = candidate["finishReason"]
        for count in chunk.get("usageMetadata", {}).values():
            assert type(count) is int
    return said


def _check_part(part, one):
    if call := part.get("functionCall"):
        assert call["name"] and type(call["args"]) is dict
        one.calls.append((call["name"], call["args"]))
        return
    assert part["text"], "an empty text makes an old SDK forget the turn"
    if part.get("thought"):
        one.reasoning += part["text"]
    else:
        one.text += part["text"]


IN_GEMINI = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}


def in_gemini(said: Said) -> Said:
    """The same answer as the other surface tells it: calls without whole arguments are not."""
    whole = [call for call in said.calls if call[1] is not None]
    return Said(said.text, whole, IN_GEMINI[said.finish], said.reasoning)


# ----------------------------------------------------------------------------- streams


def corpus(name) -> bytes:
    return (CORPUS / name).read_bytes()


def request(**more):
    return ChatRequest("ours", [], stream=True, shows_reasoning=True, **more)


def written(writer, data: bytes | list[bytes], meter=None, **more) -> bytes:
    reads = data if isinstance(data, list) else [data]
    events = openai.read_stream(iter(reads))
    return b"".join(writer(request(**more), meter or Meter()).write(events))


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_an_openai_client_gets_a_stream_by_the_rules(name, wants_usage):
    expected = EXPECTED[name.removesuffix(".sse")]
    meter = Meter()
    data = written(openai.StreamWriter, corpus(name), meter, include_usage=wants_usage)
    said = check_chunks(data, wants_usage=wants_usage)
    if expected is FAILED:
        assert said == [] and meter.failed
        return
    assert said == expected.choices
    usage = meter.usage
    assert (usage and (usage.input_tokens, usage.output_tokens)) == expected.usage
    assert (b'"completion_tokens":' in data) == bool(wants_usage and expected.usage)


@pytest.mark.parametrize("name", STREAMS)
def test_a_gemini_client_gets_a_stream_by_the_rules(name):
    expected = EXPECTED[name.removesuffix(".sse")]
    data = written(gemini.StreamWriter, corpus(name))
    said = check_events(data)
    wanted = [] if expected is FAILED else [in_gemini(one) for one in expected.choices]
    assert sorted(said, key=repr) == sorted(wanted, key=repr)  # candidates may come in any order


@pytest.mark.parametrize("name", [n for n in STREAMS if EXPECTED[n[:-4]] is FAILED])
def test_what_failed_says_nothing_of_the_server(name):
    for writer in (openai.StreamWriter, gemini.StreamWriter):
        data = written(writer, corpus(name))
        assert b"overloaded" not in data and b"html" not in data
        assert data.count(b'"error":') == 1


# ----------------------------------------------------------------------------- reads

EVERY_PLACE = 420
"""Bytes up to which a stream is cut at every place; longer ones at some."""
PLACES = 60


def places_in(name, data):
    if len(data) <= EVERY_PLACE:
        return range(len(data) + 1)
    return sorted(random.Random(name).sample(range(len(data) + 1), PLACES))


def events_of(reads):
    """The events of a stream that say something; ids that we make up are all the same."""
    events = list(openai.read_stream(iter(reads)))
    said = [event for event in events if type(event).__name__ not in ("Pause", "Silence")]
    for event in said:
        if isinstance(event, ToolCallStart) and event.id.startswith("call_"):
            event.id = "call_"
    return said


@pytest.mark.parametrize("name", STREAMS)
def test_however_reads_fall_the_answer_is_the_same(name):
    data = corpus(name)
    whole = events_of([data])
    assert events_of([data[i : i + 1] for i in range(len(data))]) == whole, "byte by byte"
    for place in places_in(name, data):
        assert events_of([data[:place], data[place:]]) == whole, place


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STREAMS), st.data())
def test_silence_between_reads_changes_nothing(name, draw):
    data = corpus(name)
    places = sorted(draw.draw(st.sets(st.integers(0, len(data)), max_size=5)))
    ends = [*places, len(data)]
    reads = [data[a:b] for a, b in zip([0, *places], ends, strict=True)]
    paused = [read for one in reads for read in (one, b"")]
    assert events_of(paused) == events_of([data])


WORDS = (
    "index", "delta", "message", "finish_reason", "content", "tool_calls", "function", "name",
    "arguments", "id", "usage", "prompt_tokens", "logprobs", "token", "logprob", "role",
    "reasoning", "choices", "refusal",
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "x", "stop", 0.5]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(JUNK, max_size=3), st.booleans())
def test_no_json_makes_a_stream_raise(choices, is_done):
    """Whatever is in a chunk, what comes out keeps the rules, or ends in an error."""
    body = b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n"
    body += b"data: [DONE]\n\n" if is_done else b""
    check_chunks(written(openai.StreamWriter, body))
    check_events(written(gemini.StreamWriter, body))


@settings(max_examples=200, deadline=None)
@given(JUNK)
def test_no_json_makes_a_chunk_raise(chunk):
    body = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    assert events_of([body])


# ----------------------------------------------------------------------------- whole answers


def answered(name) -> Answer | str:
    """A whole answer as an OpenAI client sees it."""
    try:
        events = list(openai.read_response(corpus(name)))
        wire = openai.write_response(iter(events), ChatRequest("ours", []), Meter())
    except (ValueError, UpstreamFailed):
        return FAILED
    choices = []
    for place, choice in enumerate(wire["choices"]):
        message = choice["message"]
        assert choice["index"] == place and message["role"] == "assistant"
        assert choice["finish_reason"] in REASONS
        assert message.get("tool_calls") != []
        calls = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", ())
        ]
        text, thoughts = message["content"] or "", message.get("reasoning_content", "")
        choices.append(Said(text, calls, choice["finish_reason"], thoughts))
    counted = (wire["usage"]["prompt_tokens"], wire["usage"]["completion_tokens"])
    assert all(type(count) is int for count in counted)
    return Answer(choices, counted if any(counted) else None)


@pytest.mark.parametrize("name", WHOLES)
def test_a_whole_answer_by_the_rules(name):
    assert answered(name) == EXPECTED_WHOLE[name.removesuffix(".json")]


@pytest.mark.parametrize("name", [n for n in WHOLES if EXPECTED_WHOLE[n[:-5]] is not FAILED])
def test_a_whole_answer_for_a_gemini_client(name):
    events = openai.read_response(corpus(name))
    shown = ChatRequest("ours", [], shows_reasoning=True)
    wire = gemini.write_response(events, shown, Meter())
    said = []
    for place, candidate in enumerate(wire["candidates"]):
        one = Said(finish=candidate["finishReason"])
        assert candidate["content"]["role"] == "model" and candidate["index"] in (place, 1)
        for part in candidate["content"]["parts"]:
            _check_part(part, one)
        said.append(one)
    assert said == [in_gemini(one) for one in EXPECTED_WHOLE[name.removesuffix(".json")].choices]


def test_a_failure_in_a_stream_is_told_once_and_last():
    for name in STREAMS:
        events = events_of([corpus(name)])
        failures = [event for event in events if isinstance(event, StreamFailed)]
        assert len(failures) == (EXPECTED[name[:-4]] is FAILED), name
        assert not failures or events[-1] is failures[0]
