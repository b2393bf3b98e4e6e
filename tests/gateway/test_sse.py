"""Server-sent events: however the bytes are cut, the same events come out."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import sse
from gateway.sse import FrameSplitter, FrameTooLarge, data_of, event, frames, read_data

TEXT = st.text(
    alphabet=st.one_of(st.sampled_from("aé漢😀\u2028\u2029\x85\x0b\x0c: {}\"'"), st.characters()),
    max_size=12,
).map(lambda text: text.replace("\r", "").replace("\n", "").replace("\x00", ""))
PAYLOAD = st.lists(TEXT, min_size=1, max_size=3).map("\n".join).filter(lambda text: text != "")
END = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def streams(draw):
    """(wire bytes, the data of their events): any line end on any line, comments in between."""
    wire, expected = [], []
    for payload in draw(st.lists(PAYLOAD, max_size=5)):
        if draw(st.booleans()):
            wire.append(": comment 漢" + draw(END) + draw(END))
        if draw(st.booleans()):
            wire.append("event: message" + draw(END))
        space = draw(st.sampled_from(["", " "]))
        for line in payload.split("\n"):
            pad = " " if space == "" and line.startswith(" ") else space
            wire.append("data:" + pad + line + draw(END))
        wire.append(draw(END))
        expected.append(payload.encode("utf-8", "surrogatepass"))
    return "".join(_apart(wire)).encode("utf-8", "surrogatepass"), expected


def _apart(lines):
    """Keep a lone CR and an LF that follows it from reading as one CRLF."""
    fixed: list[str] = []
    for line in lines:
        if fixed and fixed[-1].endswith("\r") and line.startswith("\n"):
            line = "\r\n" + line[1:] if line == "\n" else "\r\n"
        fixed.append(line)
    return fixed


def cut(data, at):
    """`data` in pieces, cut at these positions."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in zip(places, places[1:], strict=False)]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=8))
@example((b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]), [9, 10, 11])
@example((b"data: a\r\rdata: b\r\r", [b"a", b"b"]), [8, 9])
def test_any_cut_gives_the_same_events(stream, at):
    wire, expected = stream
    assert list(read_data(cut(wire, at))) == expected


@given(streams())
def test_byte_by_byte_gives_the_same_events(stream):
    wire, expected = stream
    assert list(read_data(wire[i : i + 1] for i in range(len(wire)))) == expected


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_raises_nothing_and_loses_no_bytes_but_line_ends(chunks):
    splitter = FrameSplitter()
    out = b"".join(splitter.feed(chunk) for chunk in chunks if chunk) + splitter.tail
    unified = b"".join(chunks).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert out == unified
    list(read_data(chunks))


def test_feed_returns_whole_events_and_keeps_the_rest():
    splitter = FrameSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n\ndata: 3") == b"data: 1\n\ndata: 2\n\n"
    assert splitter.tail == b"data: 3"
    assert splitter.feed(b"\n") == b""
    assert splitter.feed(b"\n") == b"data: 3\n\n"
    assert splitter.tail == b""


def test_bytes_that_need_no_change_are_passed_on_as_they_are():
    wire = b"data: {}\n\n: ping\n\nid: 3\ndata: x\n\n"
    assert FrameSplitter().feed(wire) is wire


def test_an_event_ends_as_soon_as_its_last_cr_is_there():
    """Waiting for the LF that may follow would hold back a token."""
    splitter = FrameSplitter()
    assert splitter.feed(b"data: a\r\n\r") == b"data: a\n\n"
    assert splitter.feed(b"\ndata: b\r\n\r\n") == b"data: b\n\n"


def test_a_moment_of_silence_between_cr_and_lf_ends_no_event():
    wire = [b"data: a\r", b"", b"\ndata: b\r\n\r\n"]
    assert [data for data in read_data(wire) if data] == [b"a\nb"]


def test_silence_is_passed_on_as_empty_data():
    assert list(read_data([b"data: a\n\n", b"", b"data: b\n\n"])) == [b"a", b"", b"b"]


def test_an_unterminated_last_event_counts():
    assert list(read_data([b"data: a\n\ndata: [DONE]"])) == [b"a", b"[DONE]"]


def test_characters_that_only_look_like_line_ends_cut_nothing():
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    assert list(read_data([event(text.encode())])) == [text.encode()]


def test_comments_and_other_fields_carry_no_data():
    assert data_of(b": ping\n\n") is None
    assert data_of(b"event: ping\nid: 1\nretry: 3\n\n") is None
    assert data_of(b"data:\n\n") is None
    assert data_of(b"database: x\n\n") is None


def test_several_data_lines_are_one_payload():
    assert data_of(b"data: a\nevent: x\ndata:b\ndata:  c\n\n") == b"a\nb\n c"


def test_frames_keep_their_bytes_and_drop_blank_ones():
    assert frames(b"\n\ndata: a\n\n\n\n: c\n\n") == [b"data: a\n\n", b": c\n\n"]
    assert frames(b"") == []


def test_an_endless_event_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_FRAME", 1000)
    splitter = FrameSplitter()
    assert splitter.feed(b"data: x\n\n" + b"y" * 1000) == b"data: x\n\n"
    with pytest.raises(FrameTooLarge):
        splitter.feed(b"y")


def test_many_large_whole_events_are_no_endless_one(monkeypatch):
    monkeypatch.setattr(sse, "MAX_FRAME", 1000)
    splitter = FrameSplitter()
    for _ in range(5):
        assert splitter.feed(event(b"y" * 900)) == event(b"y" * 900)


def test_a_leading_byte_order_mark_is_no_part_of_the_first_event():
    assert list(read_data([b"\xef\xbb\xbfdata: a\n\n"])) == [b"a"]
