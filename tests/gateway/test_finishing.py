"""What answers undergo on their way: cut at stop strings, unfenced, renamed, remembered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.finishing import cut, finished, remembered, renamed, unfenced
from gateway.reasoning import State
from gateway.tool_names import ToolNames
from gateway.types import (
    PAUSE,
    Finish,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Silence,
    Started,
    StreamFailed,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageReport,
)
from tests.gateway.targets import local_target, new_memory


class Upstream:
    """Events that know whether anybody still wants them."""

    def __init__(self, events):
        self.is_closed = False
        self.given = 0
        self._events = events

    def __iter__(self):
        try:
            for event in self._events:
                self.given += 1
                yield event
        finally:
            self.is_closed = True


def split_at(text, places):
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in zip(ends, ends[1:], strict=False)] or [text]


def text_of(events, choice=0):
    return "".join(e.text for e in events if isinstance(e, TextDelta) and e.choice == choice)


def finishes(events):
    return [(e.reason, e.choice) for e in events if isinstance(e, Finish)]


def answer(*texts, reason="stop", choice=0):
    return [*(TextDelta(text, choice) for text in texts), Finish(reason, choice)]


# ----------------------------------------------------------------------------- stop strings


def cut_of(events, stops, choices=1):
    """What comes out, and the upstream that it came from."""
    upstream = Upstream(events)
    return list(cut(iter(upstream), stops, choices)), upstream


def expected_cut(text, stops):
    """Up to the first stop string that is complete, by its end, and there the earliest to begin."""
    for end in range(1, len(text) + 1):
        found = [text.find(stop) for stop in stops if stop in text[:end]]
        if found:
            return text[: min(found)]
    return None


LETTERS = st.text(alphabet="ab\n", max_size=14)
STOPS = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(LETTERS, STOPS, st.lists(st.integers(0, 99), max_size=6))
def test_letter_by_letter_or_however_nothing_of_a_stop_string_is_said(text, stops, places):
    pieces = split_at(text, places)
    events, upstream = cut_of([Started(), *answer(*pieces)], stops)
    said = text_of(events)
    assert finishes(events) == [("stop", 0)]
    assert not any(stop in said for stop in stops)
    assert text.startswith(said)
    if expected_cut(text, stops) is None:
        assert said == text
        assert not [e for e in events if isinstance(e, UsageReport)]
    else:
        assert upstream.is_closed


def test_overlapping_stop_strings_cut_at_the_same_place_however_reads_fall():
    stops = ["a", "\naa"]
    whole, _ = cut_of(answer("\naa"), stops)
    split, _ = cut_of(answer("\na", "a"), stops)
    assert text_of(whole) == text_of(split)


@settings(max_examples=200, deadline=None)
@given(LETTERS, STOPS)
def test_letter_by_letter_the_first_complete_stop_string_counts(text, stops):
    events, _ = cut_of(answer(*text), stops)
    wanted = expected_cut(text, stops)
    assert text_of(events) == (text if wanted is None else wanted)


@pytest.mark.parametrize(("pieces", "stops", "said"), [
    (["hello END more"], ["END"], "hello "),
    (["hello E", "ND more"], ["END"], "hello "),
    (["hello E", "N", "OUGH"], ["END"], "hello ENOUGH"),
    (["aab"], ["ab"], "a"),
    (["a", "a", "b"], ["ab"], "a"),
    (["x\n", "\ny"], ["\n\n"], "x"),
    (["abc"], ["c", "b"], "a"),
    (["ab", "ab", "c"], ["ababc"], ""),
    (["END"], ["END"], ""),
    (["ab"], ["abc"], "ab"),
])  # fmt: skip
def test_stop_strings(pieces, stops, said):
    assert text_of(cut_of(answer(*pieces), stops)[0]) == said


def test_what_was_held_back_goes_out_at_the_end_with_the_reason_of_the_model():
    events, upstream = cut_of(answer("hello E", reason="length"), ["END"])
    assert events == [TextDelta("hello "), TextDelta("E"), Finish("length")]


def test_after_a_cut_the_upstream_is_let_go_and_its_use_estimated():
    many = [Started(input_tokens=7), TextDelta("x" * 40), TextDelta("END"), *answer(*"more" * 9)]
    events, upstream = cut_of(many, ["END"])
    assert upstream.is_closed and upstream.given == 3
    report = events[-1]
    assert report.is_estimate
    assert (report.usage.input_tokens, report.usage.output_tokens) == (7, 10)


def test_each_choice_is_cut_for_itself():
    events, upstream = cut_of(
        [TextDelta("aEND", 0), TextDelta("b", 1), TextDelta("x", 0), Finish("stop", 0),
         TextDelta("cEND", 1), Finish("length", 1)],
        ["END"], choices=2)  # fmt: skip
    assert (text_of(events, 0), text_of(events, 1)) == ("a", "bc")
    assert finishes(events) == [("stop", 0), ("stop", 1)]
    assert upstream.is_closed and upstream.given == 5


def test_one_choice_may_end_by_itself():
    report = UsageReport(Usage(5, 5))
    events, upstream = cut_of(
        [TextDelta("aEND", 0), TextDelta("b", 1), Finish("length", 1), Finish("stop", 0), report],
        ["END"], choices=2)  # fmt: skip
    assert finishes(events) == [("stop", 0), ("length", 1)]
    assert events[-1] == report and upstream.given == 5


def test_calls_thoughts_and_refusals_are_never_searched():
    events = [
        ReasoningDelta("END"),
        TextDelta("E"),
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '"END"'),
        RefusalDelta("END"),
        Finish("tool_calls"),
    ]
    assert cut_of(events, ["END"])[0] == events, "and what is held goes out before a call"


def test_signs_of_life_and_failures_pass():
    events = [Started(), Silence(), TextDelta("a"), PAUSE, StreamFailed("Sorry.")]
    assert cut_of(events, ["END"])[0] == events


def test_who_leaves_early_lets_the_upstream_go():
    upstream = Upstream(answer("a", "b"))
    stream = cut(iter(upstream), ["END"])
    next(stream)
    stream.close()
    assert upstream.is_closed


# ----------------------------------------------------------------------------- code fences

BODIES = st.sampled_from(
    ['{"a": 1}', "{}", "[1,\n 2]", '{"a": "```"}', "", '{"a": "x y"}\n', '{"a": "long enough"}']
)
OPENINGS = st.sampled_from(["```json\n", "```\n", "\n```JSON \n", "  ```\n"])
BLANKS = " " * 20
CLOSINGS = st.sampled_from(["\n```", "\n```\n", "```", "\n``` \n "])


def unfence(*pieces, reason="stop"):
    return list(unfenced([Started(), *answer(*pieces, reason=reason)]))


def test_a_fence_with_other_line_ends_is_taken_off():
    text = '```json\r\n{"a": "long enough for the tail"}\r\n```'
    assert text_of(unfence(*text)) == '{"a": "long enough for the tail"}'


@settings(max_examples=300, deadline=None)
@given(OPENINGS, BODIES, CLOSINGS, st.lists(st.integers(0, 99), max_size=8))
def test_a_fence_is_taken_off_wherever_it_is_split(opening, body, closing, places):
    pieces = split_at(opening + body + closing, places)
    events = unfence(*pieces)
    assert text_of(events).strip() == body.strip()
    assert finishes(events) == [("stop", 0)]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='`{}"a \n', max_size=20), st.lists(st.integers(0, 99), max_size=6))
def test_what_does_not_begin_with_a_fence_stays_as_it_is(text, places):
    if re.match(r"\s*```[a-zA-Z]*[ \t]*\n", text):
        text = "x" + text
    assert text_of(unfence(*split_at(text, places))) == text


def test_an_unfenced_text_is_not_held_back():
    events = unfence('{"a"', ": 1}")
    assert events[1:] == [TextDelta('{"a"'), TextDelta(": 1}"), Finish("stop")]


def test_a_fence_that_was_cut_off_is_still_taken_off():
    assert text_of(unfence('```json\n{"a": 1', reason="length")) == '{"a": 1'


def test_text_before_a_call_goes_out_before_it():
    call = ToolCallStart(0, "a", "f")
    text = '{"a": 1, "b": "long enough"}'
    events = list(unfenced([TextDelta(f"```\n{text}\n```"), call, Finish("tool_calls")]))
    assert text_of(events[:-2]) == text
    assert events[-2:] == [call, Finish("tool_calls")]


def test_choices_have_fences_of_their_own():
    events = list(unfenced([
        TextDelta("```\n{" + BLANKS, 0), TextDelta("{", 1), TextDelta("}\n```", 0),
        TextDelta("}", 1), Finish("stop", 0), Finish("stop", 1),
    ]))  # fmt: skip
    assert (text_of(events, 0), text_of(events, 1)) == ("{" + BLANKS + "}", "{}")


# ----------------------------------------------------------------------------- names


def test_callers_get_their_own_names_back():
    names = ToolNames()
    sent = names.sent("näme with blanks")
    events = list(renamed([ToolCallStart(0, "a", sent), ToolCallStart(1, "b", "other")], names))
    assert [event.name for event in events] == ["näme with blanks", "other"]


# ----------------------------------------------------------------------------- reasoning state


def remember(events, *, vendor="anthropic", seals=False, memory=None):
    """What a caller gets, and the memory after it."""
    target = local_target(memory=memory or new_memory())
    return list(remembered(events, vendor, target, seals=seals)), target.memory


def recalled(memory, id_="call_1", signature=None):
    return memory.recall(ToolCall(id_, "f", "{}", signature))


THOUGHTS = [
    ReasoningDelta("because "),
    ReasoningDelta("it is"),
    ReasoningDelta("", signature="s1"),
    ReasoningDelta("", redacted="secret"),
    ReasoningDelta("and so"),
    ReasoningDelta("", signature="s2"),
]
BLOCKS = (
    Reasoning("because it is", "s1"),
    Reasoning("", redacted="secret"),
    Reasoning("and so", "s2"),
)
CALLS = [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, "{}"), ToolCallStart(1, "call_2", "g")]
END = [Finish("tool_calls")]


def test_all_blocks_are_kept_with_the_first_call():
    events, memory = remember([*THOUGHTS, TextDelta("Let me see."), *CALLS, *END])
    assert recalled(memory) == State("anthropic", "m", BLOCKS)
    assert recalled(memory, "call_2") is None
    assert events == [*THOUGHTS, TextDelta("Let me see."), *CALLS, *END], "nothing is changed"


def test_thoughts_between_calls_are_kept_too():
    _, memory = remember([THOUGHTS[0], THOUGHTS[2], *CALLS, *THOUGHTS[4:], *END])
    assert recalled(memory).blocks == (Reasoning("because ", "s1"), Reasoning("and so", "s2"))


@pytest.mark.parametrize("events", [
    [*THOUGHTS, TextDelta("Four."), Finish("stop")],
    [*CALLS, *END],
    [*THOUGHTS, *CALLS, StreamFailed("gone")],
])  # fmt: skip
def test_nothing_is_kept_where_nothing_comes_back(events):
    _, memory = remember(events)
    assert recalled(memory) is None


def test_other_choices_are_not_mixed_in():
    other = [
        ReasoningDelta("other", 1),
        ToolCallStart(0, "call_9", "f", 1),
        Finish("tool_calls", 1),
    ]
    _, memory = remember([*other, *THOUGHTS[:3], *CALLS, *END])
    assert recalled(memory).blocks == (Reasoning("because it is", "s1"),)
    assert recalled(memory, "call_9") is None


def test_the_end_of_another_choice_is_not_the_end():
    events = [
        *THOUGHTS[:3],
        ToolCallStart(0, "call_1", "f"),
        Finish("stop", 1),
        *THOUGHTS[3:],
        *END,
    ]
    said, _ = remember(events, seals=True)
    call = next(event for event in said if isinstance(event, ToolCallStart))
    assert recalled(new_memory(), "lost", call.signature).blocks == BLOCKS


def test_signatures_are_kept_with_their_calls():
    calls = [ToolCallStart(0, "call_1", "f", signature="one"), ToolCallStart(1, "call_2", "g"),
             ToolCallStart(2, "call_3", "f", signature="three")]  # fmt: skip
    events, memory = remember([ReasoningDelta("hm"), *calls, *END], vendor="gemini")
    assert recalled(memory) == State("gemini", "m", signature="one")
    assert recalled(memory, "call_2") is None
    assert recalled(memory, "call_3") == State("gemini", "m", signature="three")
    assert [e.signature for e in events if isinstance(e, ToolCallStart)] == ["one", None, "three"]


def test_a_seal_carries_the_state_where_no_store_is():
    events, _ = remember([*THOUGHTS, ToolCallStart(0, "call_1", "f"), *END], seals=True)
    call = next(event for event in events if isinstance(event, ToolCallStart))
    assert recalled(new_memory(), "lost", call.signature) == State("anthropic", "m", BLOCKS)
    assert recalled(new_memory("eve"), "lost", call.signature) is None


def test_too_long_a_state_has_no_seal_but_is_kept():
    long = ReasoningDelta("x" * 70_000, signature="s")
    events, memory = remember([long, ToolCallStart(0, "call_1", "f"), *END], seals=True)
    assert next(e for e in events if isinstance(e, ToolCallStart)).signature is None
    assert len(recalled(memory).blocks[0].text) == 70_000


# ----------------------------------------------------------------------------- all together


def test_only_what_is_asked_for_is_done():
    events = answer("```\nEND\n```")
    target = local_target()
    plain = finished(iter(Upstream(events)), target, choices=1, vendor=None, seals=False)
    assert list(plain) == events


def test_fences_go_before_stop_strings_are_looked_for():
    target = local_target(unfences=True, cut_at=["```"])
    text = '{"a": 1, "b": "long enough"}'
    events = answer(f"```json\n{text}\n```")
    done = finished(iter(Upstream(events)), target, choices=1, vendor=None, seals=False)
    assert text_of(list(done)) == text
