"""A stream that breaks its frame ends as any broken stream does."""

import pytest

from gateway import sse
from gateway.dispatch import Call, pass_through, primed
from gateway.errors import UpstreamFailed
from gateway.formats import openai
from gateway.metering import Meter
from tests.gateway.targets import new_memory

CHUNK = b'data: {"object":"chat.completion.chunk","choices":[]}\n\n'


def stream(chunks, meter):
    call = Call(
        openai,
        None,
        b"",
        {},
        is_stream=True,
        wants_usage=False,
        is_test=False,
        is_strict=False,
        memory=new_memory(),
    )
    return pass_through((chunk for chunk in chunks), call, meter)


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    monkeypatch.setattr(sse, "MAX_FRAME", 100)


def test_an_event_without_end_becomes_an_error_event():
    meter = Meter()
    *whole, last = stream([CHUNK, b"data: " + b"x" * 101], meter)
    assert whole == [CHUNK]
    assert b'"code":"provider_unavailable"' in last and b"[DONE]" not in last
    assert meter.failed and not meter.is_done


def test_an_event_without_end_before_the_first_byte_is_an_ordinary_error():
    meter = Meter()
    with pytest.raises(UpstreamFailed):
        primed(stream([b"data: " + b"x" * 101], meter), meter)
