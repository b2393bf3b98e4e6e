"""Anthropic Messages as upstream: `ChatRequest` to its body, its answers to events.

Facts: reference/anthropic-wire.md; rules: reference/translation.md 2, 3 and 9. Written for
`anthropic-version: 2023-06-01`.
"""

from gateway.formats.anthropic.mending import mended
from gateway.formats.anthropic.reading import read_response, read_stream
from gateway.formats.anthropic.requests import NAME, call_path, write_request
from gateway.formats.anthropic.wire import read_error, read_usage

NEEDS_MEDIA_DATA = False
"""It fetches https URLs by itself."""

__all__ = [
    "NAME",
    "NEEDS_MEDIA_DATA",
    "call_path",
    "mended",
    "read_error",
    "read_response",
    "read_stream",
    "read_usage",
    "write_request",
]
