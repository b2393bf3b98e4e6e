"""What a call used and what it costs: exact, never negative, growing with use."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import Price
from gateway.metering import Meter, cost_nano_usd, divide_half_even, estimate_tokens, format_usd
from gateway.types import Started, Usage

COUNTS = st.integers(0, 2**31)
NANO = st.integers(0, 10**15)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
TOKEN_PRICES = st.builds(Price, NANO, NANO, NANO, NANO)


@given(st.integers(0, 10**30), st.integers(1, 10**9))
def test_division_rounds_half_to_even(number, divisor):
    assert divide_half_even(number, divisor) == round(Fraction(number, divisor))


@pytest.mark.parametrize(
    ("number", "result"), [(5, 0), (15, 2), (25, 2), (35, 4), (4, 0), (6, 1), (0, 0)]
)
def test_ties_go_to_the_even_neighbour(number, result):
    assert divide_half_even(number, 10) == result


@given(USAGES, TOKEN_PRICES)
def test_a_cost_is_a_whole_number_and_never_negative(usage, price):
    cost = cost_nano_usd(usage, price)
    assert type(cost) is int
    assert cost >= 0


@given(USAGES, TOKEN_PRICES, st.integers(0, 10**6))
def test_more_tokens_never_cost_less(usage, price, more):
    """More output, or more fresh input; all else as it was."""
    usage.cached_tokens = usage.cache_write_tokens = 0
    before = cost_nano_usd(usage, price)
    usage.output_tokens += more
    with_output = cost_nano_usd(usage, price)
    usage.input_tokens += more
    assert before <= with_output <= cost_nano_usd(usage, price)


def test_each_kind_of_token_has_its_price():
    price = Price(input=2_000_000, output=8_000_000, cached_input=500_000, cache_write=2_500_000)
    usage = Usage(
        input_tokens=1000,
        output_tokens=10,
        cached_tokens=600,
        cache_write_tokens=100,
        reasoning_tokens=7,
    )
    assert cost_nano_usd(usage, price) == 300 * 2 + 600 // 2 + 250 + 10 * 8


def test_an_upstream_that_counts_more_cached_than_input_costs_nobody_a_negative_sum():
    assert cost_nano_usd(Usage(input_tokens=1, cached_tokens=10), Price(input=10**6)) == 0


def test_the_promised_models_price_is_exact():
    """gpt-4o at 2.50 and 10 dollars a million: 24 in, 10 out is 0.00016 dollars."""
    price = Price(input=2_500_000_000, output=10_000_000_000)
    cost = cost_nano_usd(Usage(input_tokens=24, output_tokens=10), price)
    assert format_usd(cost) == "0.00016"


def test_no_price_no_cost():
    assert cost_nano_usd(Usage(10**9, 10**9), None) == 0


def test_pictures_are_billed_by_the_piece_where_they_have_a_price():
    price = Price(output=30_000_000_000, image=40_000_000)
    assert cost_nano_usd(Usage(100, 5000), price, images=3) == 120_000_000
    assert cost_nano_usd(Usage(100, 5000), Price(output=10**6), images=3) == 5000


@given(st.integers(0, 10**24))
def test_dollars_are_written_exactly_and_without_exponent(nano):
    text = format_usd(nano)
    assert Decimal(text) * 10**9 == nano
    assert set(text) <= set("0123456789.")


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.0"), (1, "0.000000001"), (42_000, "0.000042"), (10**9, "1.0"), (1_500_000_000, "1.5")],
)
def test_dollars(nano, text):
    assert format_usd(nano) == text


# ----------------------------------------------------------------------------- the meter


def test_what_the_upstream_said_is_no_estimate():
    meter = Meter(usage=Usage(3, 4), frames=100)
    assert meter.final_usage(10_000) == (Usage(3, 4), False)


def test_without_a_word_from_the_upstream_the_usage_is_estimated_and_says_so():
    usage, is_estimate = Meter(frames=7).final_usage(request_bytes=400)
    assert is_estimate
    assert (usage.input_tokens, usage.output_tokens) == (100, 7)


def test_an_estimate_keeps_what_the_upstream_told_at_the_start():
    meter = Meter(frames=7)
    meter.start(Started("id", "m", input_tokens=1110))
    usage, is_estimate = meter.final_usage(request_bytes=400)
    assert is_estimate
    assert (usage.input_tokens, usage.output_tokens) == (1110, 7)


def test_an_estimate_of_a_whole_answer_comes_from_its_bytes():
    usage, _ = Meter(output_bytes=401).final_usage(request_bytes=1)
    assert (usage.input_tokens, usage.output_tokens) == (1, 101)


def test_pictures_need_no_estimate():
    assert Meter(images=2).final_usage(400) == (Usage(), False)


@given(st.integers(0, 10**9))
def test_an_estimate_is_never_nothing(size):
    assert estimate_tokens(size) >= 1


def test_the_first_mark_stays():
    meter = Meter()
    meter.mark_first()
    first = meter.first_at
    meter.mark_first()
    assert meter.first_at == first
