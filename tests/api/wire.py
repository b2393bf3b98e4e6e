"""Reading what comes over the wire: event streams, error bodies, and the rules they must keep.

The rules are sections 0 and 2 of the OpenAI wire reference.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import requests

JSON = dict[str, Any]
DONE = b"data: [DONE]\n\n"
LINE = re.compile(rb"(data: .*|:.*|)\Z", re.DOTALL)
TYPES = {  # status -> type, from the design's table of errors
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    500: "internal_server_error",
    503: "service_unavailable_error",
}
CODES = {
    400: {
        "invalid_json",
        "missing_required_parameter",
        "invalid_type",
        "invalid_value",
        "empty_array",
        "array_above_max_length",
        "string_above_max_length",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "integer_above_max_value",
        "integer_below_min_value",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "unsupported_encoding",
        "conflicting_credentials",
        "context_length_exceeded",
        "content_policy_violation",
        "invalid_request",
    },
    401: {"missing_api_key", "invalid_api_key", "expired_api_key", "revoked_api_key"},
    403: {"api_access_disabled", "model_not_allowed", "ip_not_allowed"},
    404: {"model_not_found", "unknown_url"},
    405: {"method_not_allowed"},
    409: {"idempotency_conflict"},
    413: {"request_too_large"},
    429: {"rate_limit_exceeded", "tokens_exceeded", "concurrency_exceeded", "insufficient_quota"},
    500: {"internal_error"},
    503: {"provider_unavailable", "provider_not_configured", "overloaded"},
}


def read_to_end(response: requests.Response) -> tuple[bytes, bool]:
    """The body of a streamed answer, and whether it was properly ended."""
    data = bytearray()
    try:
        for piece in response.iter_content(None):
            data += piece
    except requests.exceptions.ChunkedEncodingError:
        return bytes(data), False
    return bytes(data), True


def payloads(data: bytes) -> list[str]:
    """The text after `data: ` of every event, in order."""
    return [line[6:].decode() for line in data.split(b"\n") if line.startswith(b"data: ")]


def chunks(data: bytes) -> list[JSON]:
    """The JSON of every event but [DONE]."""
    return [json.loads(text) for text in payloads(data) if text != "[DONE]"]


def content(data: bytes, index: int = 0) -> str:
    """The joined text of one choice."""
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks(data)
        for choice in chunk.get("choices", [])
        if choice["index"] == index
    )


def finish_reasons(data: bytes) -> list[str]:
    return [
        choice["finish_reason"]
        for chunk in chunks(data)
        for choice in chunk.get("choices", [])
        if choice.get("finish_reason")
    ]


def without_usage(sent: bytes) -> bytes:
    """A stream as one must see it who did not ask for usage: less the chunk without choices."""
    events = sent.split(b"\n\n")
    kept = [event for event in events if b'"choices":[]' not in event]
    return b"\n\n".join(kept)


# ----------------------------------------------------------------------------- rules


def check_framing(data: bytes) -> None:
    """Nothing but data lines, comments and blank lines; ends in [DONE] and its blank line."""
    strange = [line for line in data.split(b"\n") if not LINE.fullmatch(line)]
    assert not strange, strange[:3]
    assert data.endswith(DONE), data[-200:]
    assert data.count(DONE) == 1
    assert b"data: \n" not in data


def check_stream(data: bytes, *, asked_usage: bool) -> list[JSON]:
    """A whole stream keeps every rule; returns its chunks."""
    check_framing(data)
    found = chunks(data)
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    for name in ("id", "created", "model"):
        assert len({chunk[name] for chunk in found}) == 1, f"{name} changes"
    check_usage(found, asked_usage)
    choices = [choice for chunk in found for choice in chunk["choices"]]
    check_roles(choices)
    check_tool_deltas(choices)
    finishes = Counter(c["index"] for c in choices if c["finish_reason"] is not None)
    assert finishes == Counter({c["index"] for c in choices}), "one finish_reason per choice"
    assert all(c["finish_reason"] != "" for c in choices)
    return found


def check_usage(found: list[JSON], asked: bool) -> None:
    with_usage = [chunk for chunk in found if chunk.get("usage")]
    without_choices = [chunk for chunk in found if chunk["choices"] == []]
    if asked:
        assert with_usage == without_choices == found[-1:], "one usage chunk, the last"
        assert all(
            isinstance(with_usage[0]["usage"][name], int)
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
    else:
        assert with_usage == without_choices == [], "usage only if asked"


def check_roles(choices: list[JSON]) -> None:
    """The first delta of a choice has the role, no later one has the key; indices ascend."""
    seen: list[int] = []
    for choice in choices:
        if choice["index"] not in seen:
            assert choice["index"] == len(seen), "choices appear in index order"
            assert choice["delta"]["role"] == "assistant"
            seen.append(choice["index"])
        else:
            assert "role" not in choice["delta"]


def check_tool_deltas(choices: list[JSON]) -> None:
    """id, type and name in the first fragment of a call and absent later; indices 0,1,2…"""
    seen: dict[int, list[int]] = {}
    for choice in choices:
        fragments = choice["delta"].get("tool_calls") or []
        assert len(fragments) <= 1, "one tool delta per chunk"
        for fragment in fragments:
            calls = seen.setdefault(choice["index"], [])
            if fragment["index"] not in calls:
                assert fragment["index"] == len(calls)
                assert fragment["id"] and fragment["type"] == "function"
                assert fragment["function"]["name"]
                calls.append(fragment["index"])
            else:
                assert "id" not in fragment and "type" not in fragment
                assert "name" not in fragment["function"]


def check_error(
    response: requests.Response, status: int, code: str | None = None, param: str | None = None
) -> JSON:
    """An answer is our error: status, type, one of the table's codes, four keys, request id."""
    assert response.status_code == status, (response.status_code, response.text[:500])
    assert response.headers["content-type"].startswith("application/json")
    assert re.fullmatch(r"req_\w+", response.headers["x-request-id"])
    body = response.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert set(error) <= {"message", "type", "param", "code", "doc_url", "request_id"}
    assert isinstance(error["message"], str) and error["message"]
    assert error["type"] == TYPES[status]
    assert error["code"] in CODES[status]
    if code:
        assert error["code"] == code, error
    if param:
        assert error["param"] == param, error
    return error


def check_limit_headers(response: requests.Response) -> None:
    """The three promised headers."""
    for name in ("Limit", "Remaining", "Reset"):
        assert response.headers[f"X-RateLimit-{name}-Requests"].isdigit()
