"""What an upstream's error is to our caller: 400 if the caller can mend it, else our 503."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidRequest, RequestTooLarge, UpstreamFailed
from gateway.upstream_errors import DOCUMENTED_CODES, MAX_MESSAGE, UNAVAILABLE, upstream_error


def error_of(status, message="", **more):
    return upstream_error("acme", status, message, **more)


@pytest.mark.parametrize(
    "status", [401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529, 301]
)
def test_what_the_caller_can_not_mend_is_our_503(status):
    error = error_of(status, "key sk-123 of org-7 is out of credit")
    assert isinstance(error, UpstreamFailed)
    assert (error.status, error.code) == (503, "provider_unavailable")
    assert error.message == UNAVAILABLE, "nothing of the operator's account"
    assert (error.upstream_status, error.retry_after) == (status, 1)
    assert error.reason == f"acme answered {status}: key sk-123 of org-7 is out of credit"


def test_the_delay_of_the_upstream_is_kept():
    assert error_of(429, retry_after=34).retry_after == 34


@pytest.mark.parametrize("status", [400, 422])
def test_the_callers_mistake_stays_one(status):
    error = error_of(status, "Bad temperature.", code="invalid_value", param="temperature")
    assert isinstance(error, InvalidRequest)
    assert (error.status, error.code, error.param) == (400, "invalid_value", "temperature")
    assert error.message == "Bad temperature."


def test_a_mistake_without_words_has_some():
    assert error_of(400).message


@pytest.mark.parametrize("code", sorted(DOCUMENTED_CODES))
def test_documented_codes_are_kept(code):
    assert error_of(400, "x", code=code).code == code


@pytest.mark.parametrize("code", [None, "something_else", 400, ["x"], "invalid_api_key"])
def test_any_other_code_is_none_of_ours(code):
    assert error_of(400, "x", code=code).code == "invalid_request"


@pytest.mark.parametrize("param", [None, 5, ["x"], {}])
def test_a_param_that_is_no_path_is_none(param):
    assert error_of(400, "x", param=param).param is None


@pytest.mark.parametrize("message", [
    "This model's maximum context length is 8192 tokens.",
    "prompt is too long: 250000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "the request exceeds the available context size. try increasing the context size",
    "exceed_context_size_error",
])  # fmt: skip
def test_too_long_a_context_is_known_by_its_words(message):
    assert error_of(400, message).code == "context_length_exceeded"
    assert error_of(400, message).message == message


@pytest.mark.parametrize("message", [
    "Your request was rejected by our content policy.", "moderation_blocked",
    "triggered Azure's content management policy"])  # fmt: skip
def test_refused_content_is_known_by_its_words(message):
    assert error_of(400, message).code == "content_policy_violation"


@pytest.mark.parametrize("message", [
    "Your credit balance is too low to access the API.",
    "API key not valid. Please pass a valid API key.",
    "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    "User location is not supported for the API use.",
    "Please go to Plans & Billing.",
])  # fmt: skip
def test_a_400_about_the_operators_account_is_our_503(message):
    error = error_of(400, message)
    assert isinstance(error, UpstreamFailed)
    assert message not in error.message and message in error.reason


def test_too_large_is_too_large():
    error = error_of(413, "<html>413</html>")
    assert isinstance(error, RequestTooLarge) and error.status == 413
    assert error_of(413).message


def test_endless_messages_are_cut():
    assert len(error_of(400, "x" * 9_999).message) == MAX_MESSAGE
    assert len(error_of(500, "x" * 9_999).reason) < 400
