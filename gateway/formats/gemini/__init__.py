"""Gemini generateContent <-> gateway types, as client surface and as upstream.

Facts: reference/gemini-wire.md. Requests are read in camelCase or snake_case. Streams carry whole
function calls, usage on every chunk, and never a comment.
"""

from gateway.formats.gemini.checks import check_request, unknown_fields
from gateway.formats.gemini.outgoing import call_path, write_request
from gateway.formats.gemini.passing import Tap, can_pass, meter_response, patch_request
from gateway.formats.gemini.reading import read_response, read_stream
from gateway.formats.gemini.requests import (
    NAME,
    WIRE_NAMES,
    account_for_extra,
    read_request,
)
from gateway.formats.gemini.spelling import camel, normalise, standard_base64
from gateway.formats.gemini.wire import (
    ascii_json,
    error_event,
    model_not_found,
    read_error,
    read_usage,
    write_error,
    write_usage,
)
from gateway.formats.gemini.writing import StreamWriter, write_response

NEEDS_MEDIA_DATA = True
"""Must pictures be sent along? Gemini reads only what is in the request or in Google's stores."""
SEALS_REASONING = True
"""Does reasoning state travel in signatures? Google's SDKs echo them untouched."""

__all__ = [
    "NAME",
    "NEEDS_MEDIA_DATA",
    "SEALS_REASONING",
    "WIRE_NAMES",
    "StreamWriter",
    "Tap",
    "account_for_extra",
    "ascii_json",
    "call_path",
    "camel",
    "can_pass",
    "check_request",
    "error_event",
    "meter_response",
    "model_not_found",
    "normalise",
    "patch_request",
    "read_error",
    "read_request",
    "read_response",
    "read_stream",
    "read_usage",
    "standard_base64",
    "unknown_fields",
    "write_error",
    "write_request",
    "write_response",
    "write_usage",
]
