"""What callers hear of what was lost: the warnings, and the refusals of who asked for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.losses import DEFAULTS, MAX_HEADER, Losses, header_safe, unsupported

NAMES = {"top_k": "generationConfig.topK"}


def refusal_of(act):
    with pytest.raises(InvalidRequest) as caught:
        act()
    return caught.value


def test_each_kind_is_one_warning():
    losses = Losses({})
    losses.drop("seed")
    losses.emulate("stop")
    losses.clamp("temperature", 1)
    losses.drop("top_k")
    assert losses.warnings() == ["dropped=seed,top_k", "clamped=temperature:1", "emulated=stop"]


def test_without_losses_there_are_no_warnings():
    assert Losses({}).warnings() == []


def test_a_loss_is_told_once():
    losses = Losses({})
    for _ in range(3):
        losses.drop("strict")
    assert losses.warnings() == ["dropped=strict"]


def test_callers_hear_their_own_names():
    losses = Losses(NAMES)
    losses.drop("top_k")
    losses.drop("messages[0].name")
    assert losses.warnings() == ["dropped=topK,name"]
    assert losses.name("top_k") == "generationConfig.topK"
    assert losses.name("seed") == "seed"


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_is_no_loss(name):
    losses = Losses({}, is_strict=True)
    losses.leave_out(name, DEFAULTS[name])
    assert refusal_of(lambda: losses.leave_out(name, "another")).param == name


@pytest.mark.parametrize(("act", "code"), [
    (lambda losses: losses.drop("top_k"), "unsupported_parameter"),
    (lambda losses: losses.emulate("top_k"), "unsupported_parameter"),
    (lambda losses: losses.leave_out("top_k", 7), "unsupported_parameter"),
    (lambda losses: losses.clamp("top_k", 64), "unsupported_value"),
])  # fmt: skip
def test_strict_callers_are_refused(act, code):
    losses = Losses(NAMES, is_strict=True)
    error = refusal_of(lambda: act(losses))
    assert (error.code, error.param) == (code, "generationConfig.topK")
    assert "generationConfig.topK" in error.message
    assert losses.warnings() == []


def test_a_clamp_names_the_nearest_value():
    error = refusal_of(lambda: Losses({}, is_strict=True).clamp("temperature", 1))
    assert "1" in error.message.rpartition("nearest")[2]


def test_what_means_something_is_always_refused_and_may_say_why():
    error = refusal_of(lambda: Losses(NAMES).refuse("n", "It makes one answer at a time."))
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", "n")
    assert error.message.endswith("model. It makes one answer at a time.")
    assert refusal_of(lambda: Losses({}).refuse("n")).message.endswith("model.")


@given(st.lists(st.text(max_size=40), max_size=80))
def test_any_words_make_a_header(words):
    """Callers choose the names of unknown fields; nobody may write headers with them."""
    losses = Losses({})
    for word in words:
        losses.drop(word)
        losses.clamp(word, word)
        losses.emulate(word)
    header = "; ".join(losses.warnings())
    assert len(header) < MAX_HEADER + 400
    assert header.isascii() and header.isprintable()
    assert header.count(";") <= 2 and header.count("=") <= 3


@pytest.mark.parametrize(("word", "safe"), [
    ("top_k", "top_k"), ("a\r\nx: y", "a__x:_y"), ("a,b;c=d", "a_b_c_d"), ("ä", "_"),
    ("response_format.$ref", "response_format.$ref")])  # fmt: skip
def test_words_that_are_safe_in_a_header(word, safe):
    assert header_safe(word) == safe


def test_content_that_can_not_be_taken_names_its_place():
    error = unsupported("No.", "messages[0].content[1]")
    assert (error.code, error.param) == ("unsupported_value", "messages[0].content[1]")
    assert unsupported("No.", "").param is None
