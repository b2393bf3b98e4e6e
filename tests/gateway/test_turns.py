"""Turns: any conversation of OpenAI's as Anthropic and Gemini demand it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.turns import CONTINUE, Turn, split
from gateway.types import ChatRequest, Media, Message, Reasoning, Text, ToolCall, ToolResult


def says(role, *texts):
    return Message(role, [Text(text) for text in texts])


def calls(*ids):
    return Message("assistant", [ToolCall(id_, "f", "{}") for id_ in ids])


def result(id_, text="x"):
    return Message("tool", [ToolResult(id_, [Text(text)])])


def turns_of(*messages):
    system, turns = split(ChatRequest("m", list(messages)))
    return system, [(turn.role, turn.parts) for turn in turns]


GO_ON = ("user", [Text(CONTINUE)])


def test_instructions_stand_apart_wherever_they_were():
    system, turns = turns_of(
        says("system", "a"), says("user", "Hi"), says("developer", "b", "c"), says("user", "Go")
    )
    assert system == ["a", "b\nc"]
    assert turns == [("user", [Text("Hi"), Text("Go")])]


def test_instructions_alone_are_the_users_turn():
    assert turns_of(says("system", "a"), says("developer", "b")) == (
        [],
        [("user", [Text("a"), Text("b")])],
    )


@pytest.mark.parametrize("messages", [
    [says("user", "")], [says("user", " \n")], [says("user")], [says("system", " ")],
    [says("assistant", "")]])  # fmt: skip
def test_where_nothing_is_said_the_model_may_go_on(messages):
    assert turns_of(*messages) == ([], [GO_ON])


def test_neighbours_of_one_side_are_one_turn():
    _, turns = turns_of(
        says("user", "a"), says("user", "b"), says("assistant", "c"), says("assistant", "d"),
        says("user", "e"),
    )  # fmt: skip
    assert turns == [
        ("user", [Text("a"), Text("b")]), ("assistant", [Text("c"), Text("d")]),
        ("user", [Text("e")]),
    ]  # fmt: skip


def test_an_empty_turn_in_between_parts_nothing():
    _, turns = turns_of(says("user", "a"), says("assistant", ""), says("user", "b"))
    assert turns == [("user", [Text("a"), Text("b")])]


def test_the_model_is_asked_to_go_on_where_it_spoke_last():
    assert turns_of(says("user", "a"), says("assistant", "b"))[1][-1] == GO_ON


def test_the_user_is_taken_to_begin():
    assert turns_of(says("assistant", "b"), says("user", "a"))[1][0] == GO_ON


def test_results_come_first_in_the_order_of_their_calls():
    picture = Media("image", data="AAAA")
    _, turns = turns_of(
        says("user", "?"), calls("a", "b", "c"), result("c"), result("a"),
        Message("user", [Text("and"), picture]), result("b"),
    )  # fmt: skip
    parts = turns[2][1]
    assert [part.call_id for part in parts[:3]] == ["a", "b", "c"]
    assert parts[3:] == [Text("and"), picture]


def test_results_of_other_calls_stay_behind_in_their_order():
    _, turns = turns_of(says("user", "?"), calls("a"), result("z"), result("y"), result("a"))
    assert [part.call_id for part in turns[2][1]] == ["a", "z", "y"]


def test_a_turn_knows_its_calls_and_results():
    turn = Turn("assistant", [Text("x"), ToolCall("a", "f", "{}"), ToolResult("b", [])])
    assert turn.calls() == [turn.parts[1]]
    assert turn.results() == [turn.parts[2]]


TEXTS = st.sampled_from(["", " ", "a", "b\n"])
MESSAGES = st.lists(
    st.builds(says, st.sampled_from(["system", "developer", "user", "assistant"]), TEXTS)
    | st.builds(calls, st.sampled_from("abc"))
    | st.builds(result, st.sampled_from("abc"))
    | st.just(Message("assistant", [Reasoning("hm")])),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(MESSAGES)
def test_turns_alternate_begin_and_end_with_the_user_and_lose_nothing(messages):
    system, turns = split(ChatRequest("m", messages))
    roles = [turn.role for turn in turns]
    assert roles[0] == roles[-1] == "user"
    assert all(a != b for a, b in zip(roles, roles[1:], strict=False))
    assert all(turn.parts for turn in turns)
    kept = [part for turn in turns for part in turn.parts]
    for part in (part for message in messages for part in message.parts):
        said = not isinstance(part, Text) or part.text.strip()
        assert not said or part in kept or part.text in system
    for turn in turns[1:]:  # nothing was called before the first
        kinds = [isinstance(part, ToolResult) for part in turn.parts]
        assert kinds == sorted(kinds, reverse=True), "results first"


def test_the_request_stays_as_it_was():
    messages = [says("user", "a"), says("user", "b"), calls("x"), result("x")]
    request = ChatRequest("m", messages)
    first = split(request)
    assert [len(message.parts) for message in request.messages] == [1, 1, 1, 1]
    assert split(request) == first
