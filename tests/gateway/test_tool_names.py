"""Names and ids of tools: whatever a caller uses, the provider takes it, and nothing is mixed up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tool_names import (
    GOOD_ID,
    PLAIN_NAME,
    ToolNames,
    call_id,
    new_call_id,
    plain_id,
)

GEMINIS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
NAMES = st.text(alphabet="abC1_-.: ä/", min_size=1, max_size=90)
FITTING = pytest.mark.parametrize("fitting", [PLAIN_NAME, GEMINIS])


@FITTING
@settings(max_examples=200, deadline=None)
@given(names=st.lists(NAMES, max_size=8, unique=True))
def test_every_name_is_taken_and_comes_back(fitting, names):
    known = ToolNames(fitting)
    sent = [known.sent(name) for name in names]
    assert all(fitting.fullmatch(name) for name in sent)
    assert len(set(sent)) == len(names), "no two are one"
    assert [known.own(name) for name in sent] == names
    assert known.is_plain == all(fitting.fullmatch(name) for name in names)


@pytest.mark.parametrize("name", ["f", "get-weather_2", "a" * 64])
def test_a_name_that_fits_is_sent_as_it_is(name):
    names = ToolNames()
    assert names.sent(name) == name
    assert names.is_plain


@pytest.mark.parametrize("name", ["a.b", "a b", "a" * 65, "ä", "", "1.2"])
def test_a_stand_in_is_always_the_same(name):
    names = ToolNames()
    sent = names.sent(name)
    assert sent != name and not names.is_plain
    assert names.sent(name) == ToolNames().sent(name) == sent, "prompt caches live on it"


def test_names_that_differ_in_what_is_replaced_stay_apart():
    names = ToolNames()
    assert len({names.sent(name) for name in ("a.b", "a:b", "a b", "a_b")}) == 4


def test_the_name_of_a_tool_that_looks_like_a_stand_in_is_no_other_tool():
    names = ToolNames()
    stand_in = names.sent("a.b")
    assert names.sent(stand_in) != stand_in
    assert names.own(names.sent(stand_in)) == stand_in
    assert names.own(stand_in) == "a.b"


def test_what_the_model_made_up_stays_as_it_is():
    assert ToolNames().own("invented") == "invented"


@pytest.mark.parametrize("id_", ["call_1", "toolu_01A", "a" * 40, "chatcmpl-tool-1"])
def test_good_ids_stay(id_):
    assert call_id(id_) == plain_id(id_) == id_


@pytest.mark.parametrize("id_", ["", "a" * 41, "functions.f:0", "call 1", "ä", "a\n"])
def test_other_ids_are_replaced(id_):
    assert GOOD_ID.fullmatch(plain_id(id_))
    assert plain_id(id_) == plain_id(id_), "call and result have to meet"
    assert GOOD_ID.fullmatch(call_id(id_))
    assert call_id(id_) != call_id(id_), "two calls of one answer are never one"


def test_ids_that_are_missing_are_made_up():
    assert GOOD_ID.fullmatch(call_id(None))
    assert len({new_call_id() for _ in range(100)}) == 100


@given(st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=10))
def test_different_ids_stay_different(ids):
    assert len({plain_id(id_) for id_ in ids}) == len(ids)
