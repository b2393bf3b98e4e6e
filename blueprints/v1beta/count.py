"""MODEL:countTokens. Counts against no limit and leaves no usage record."""

from __future__ import annotations

from blueprints.api import ApiResponse, parse_object, read_body
from blueprints.relay import relay_count
from gateway.formats.gemini import counting


def count_tokens(model: str, method: str) -> ApiResponse:
    raw = read_body()
    body = counting.read_body(parse_object(raw)) | {"model": model, "stream": False}
    return relay_count(raw, body)
