"""OpenAI Chat Completions <-> gateway types. Facts: reference/openai-wire.md.

`read_` is from the wire, `write_` is to the wire. Where both sides speak this format and the
upstream keeps its rules, neither is used: `patch_request` edits the body once and `Tap` looks for
usage in the bytes that go by.
"""

from gateway.formats.openai.outgoing import call_path, write_request
from gateway.formats.openai.passing import Tap, meter_response
from gateway.formats.openai.patching import can_pass, patch_request
from gateway.formats.openai.reading import read_response, read_stream
from gateway.formats.openai.requests import (
    NAME,
    account_for_extra,
    check_request,
    read_request,
    unknown_fields,
)
from gateway.formats.openai.wire import (
    error_event,
    read_error,
    read_usage,
    write_error,
    write_usage,
)
from gateway.formats.openai.writing import StreamWriter, write_response

WIRE_NAMES: dict[str, str] = {}
"""Fields of `ChatRequest` that callers know by another name: none, they are this format's."""
NEEDS_MEDIA_DATA = False
"""Must pictures be sent along? Upstreams of this format fetch https URLs themselves."""
SEALS_REASONING = False
"""Does reasoning state travel in signatures? Not here: only what Google's own layer carries."""

__all__ = [
    "NAME",
    "NEEDS_MEDIA_DATA",
    "SEALS_REASONING",
    "WIRE_NAMES",
    "StreamWriter",
    "Tap",
    "account_for_extra",
    "call_path",
    "can_pass",
    "check_request",
    "error_event",
    "meter_response",
    "patch_request",
    "read_error",
    "read_request",
    "read_response",
    "read_stream",
    "read_usage",
    "unknown_fields",
    "write_error",
    "write_request",
    "write_response",
    "write_usage",
]
