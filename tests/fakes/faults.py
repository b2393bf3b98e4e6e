"""Every way to fail, for every dialect: before the answer, in a stream, in a whole answer.

A fault sees a connection and a `Play`, never a dialect.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from tests.fakes.play import Play, page

if TYPE_CHECKING:
    from tests.fakes.server import Connection

# ----------------------------------------------------------------------------- before the answer


async def send_error(connection: Connection, play: Play, status: int) -> None:
    if status in play.html:
        await connection.send(status, "text/html", page(status))
        return
    await connection.send_json(status, play.error(status), play.error_headers(status))


async def error_first(connection: Connection, play: Play) -> bool:
    """The HTTP error STATUS before the first byte."""
    await send_error(connection, play, play.number)
    return True


async def no_retry_after(connection: Connection, play: Play) -> bool:
    """A 429 that no waiting will end: the spend cap of an account."""
    await connection.send_json(429, play.error(429))
    return True


async def error_echo(connection: Connection, play: Play) -> bool:
    """The HTTP error STATUS with the credential in its text, as careless servers send it."""
    body = play.error(play.number, f"Not with this: {play.credential}")
    await connection.send_json(play.number, body)
    return True


async def flaky(connection: Connection, play: Play) -> bool:
    """`flaky:K:STATUS`: the first K requests of this tag fail."""
    if connection.ledger.tries[play.tag] > play.number:
        return False
    await send_error(connection, play, play.second_number or 500)
    return True


async def slow_first(connection: Connection, play: Play) -> bool:
    """Nothing at all for SECONDS, then a normal answer."""
    await connection.wait(play.seconds)
    return False


async def reset_reused(connection: Connection, play: Play) -> bool:
    """A kept-alive connection dies (`rst` or `fin`) under the next request, before any answer."""
    if not connection.served:
        return False
    return await reset_fresh(connection, play)


async def reset_fresh(connection: Connection, play: Play) -> bool:
    """Every connection dies before any answer byte."""
    if play.argument == "fin":
        await connection.cut()
    else:
        connection.reset()
    return True


async def html_200(connection: Connection, play: Play) -> bool:
    await connection.send(200, "text/html", page(200))
    return True


async def empty_200(connection: Connection, play: Play) -> bool:
    await connection.send(200, "application/json", b"")
    return True


async def redirect(connection: Connection, play: Play) -> bool:
    """A redirect must not be followed: it would carry the credential elsewhere."""
    await connection.send(307, "text/plain", b"", ["location: /v1/models"])
    return True


BEFORE_ANSWER: dict[str, Callable[[Connection, Play], Awaitable[bool]]] = {
    "error_first": error_first,
    "status": error_first,
    "no_retry_after": no_retry_after,
    "error_echo": error_echo,
    "flaky": flaky,
    "slow_first": slow_first,
    "reset_reused": reset_reused,
    "reset_fresh": reset_fresh,
    "html_200": html_200,
    "empty_200": empty_200,
    "redirect": redirect,
}
"""Each returns whether it has answered; if not, the normal answer follows."""


# ----------------------------------------------------------------------------- streams


async def stream_whole(connection: Connection, play: Play) -> None:
    await connection.start_stream(play)
    for item in play.frames():
        await connection.write(item)
    await connection.end_stream()


async def stream_onewrite(connection: Connection, play: Play) -> None:
    await connection.start_stream(play)
    await connection.write(b"".join(play.frames()))
    await connection.end_stream()


async def stream_pieces(
    connection: Connection, play: Play, pieces: Iterable[bytes], pause: float = 0.002
) -> None:
    await connection.start_stream(play)
    for piece in pieces:
        if piece:
            await connection.write(piece)
            await asyncio.sleep(pause)
    await connection.end_stream()


async def stream_split(connection: Connection, play: Play) -> None:
    data, step = b"".join(play.frames()), play.number
    pause = 0.002 if step > 20 else 0.0002
    pieces = (data[i : i + step] for i in range(0, len(data), step))
    await stream_pieces(connection, play, pieces, pause)


async def stream_split_at(connection: Connection, play: Play) -> None:
    data, at = b"".join(play.frames()), play.number
    await stream_pieces(connection, play, (data[:at], data[at:]))


async def stream_crlf(connection: Connection, play: Play) -> None:
    """CRLF line ends and comments between the events, cut every 7 bytes."""
    events = b"".join(play.frames()).replace(b"\r\n", b"\n")
    data = b": hello\r\n\r\n" + events.replace(b"\n", b"\r\n")
    await stream_pieces(connection, play, (data[i : i + 7] for i in range(0, len(data), 7)))


async def stream_paced(connection: Connection, play: Play) -> None:
    """MILLISECONDS between events."""
    await connection.start_stream(play)
    for item in play.frames():
        await connection.write(item)
        await connection.wait(play.number / 1000)
    await connection.end_stream()


async def first_frames(connection: Connection, play: Play, count: int = 3) -> None:
    await connection.start_stream(play)
    for item in play.frames()[:count]:
        await connection.write(item)


async def stream_error_mid(connection: Connection, play: Play) -> None:
    """`error_mid:K[:STATUS]`: an error event after K chunks."""
    await first_frames(connection, play, play.number)
    status = play.second_number or play.midway
    await connection.write(play.error_event(status, f"boom at {play.credential}"))
    await connection.end_stream()


async def stream_error_event(connection: Connection, play: Play) -> None:
    """`error_event:STATUS`: an error as the first and only event of a stream."""
    await connection.start_stream(play)
    status = play.number if play.argument else play.midway
    await connection.write(play.error_event(status, first=True))
    await connection.end_stream()


async def stream_cut_mid(connection: Connection, play: Play) -> None:
    await first_frames(connection, play, play.number)
    await connection.cut()


async def stream_cut_half(connection: Connection, play: Play) -> None:
    """Cut in the middle of an event."""
    await first_frames(connection, play, 2)
    await connection.write(play.frames()[2][:40])
    await connection.cut()


async def stream_reset_mid(connection: Connection, play: Play) -> None:
    await first_frames(connection, play, play.number)
    await connection.wait(0.2)
    connection.reset()


async def stream_cut_clean(connection: Connection, play: Play) -> None:
    """Properly framed to its end, but without finish and end mark."""
    await first_frames(connection, play, play.number)
    await connection.end_stream()


async def stream_no_done(connection: Connection, play: Play) -> None:
    """Complete but for its end mark, as several servers do."""
    frames = play.frames()
    await first_frames(connection, play, len(frames) - play.closing)
    await connection.end_stream()


async def stream_silent(connection: Connection, play: Play) -> None:
    """SECONDS of silence after three chunks, then the rest."""
    await first_frames(connection, play, 3)
    await connection.wait(play.seconds)
    for item in play.frames()[3:]:
        await connection.write(item)
    await connection.end_stream()


async def stream_endless(connection: Connection, play: Play) -> None:
    first, again, *_ = play.frames()
    await connection.start_stream(play)
    await connection.write(first)
    while True:
        await connection.write(again)
        await asyncio.sleep(connection.poll)


async def stream_garbage(connection: Connection, play: Play) -> None:
    """Not SSE, not UTF-8, but labelled as a stream."""
    await connection.start_stream(play)
    await connection.write(bytes(range(256)) * 8)
    await connection.end_stream()


async def stream_garbage_mid(connection: Connection, play: Play) -> None:
    await first_frames(connection, play, 3)
    await connection.write(play.garbage)
    await connection.end_stream()


async def stream_json_trunc(connection: Connection, play: Play) -> None:
    """The third event's JSON stops in the middle, properly framed."""
    await first_frames(connection, play, 2)
    frame = play.frames()[2]
    await connection.write(frame[: frame.index(b"{") + 24] + b"\n\n")
    await connection.end_stream()


async def stream_close_delimited(connection: Connection, play: Play) -> None:
    """Neither length nor chunks: the end of the connection ends the body."""
    await connection.start_stream(play, chunked=False)
    for item in play.frames():
        await connection.write(item)
    await connection.end_stream()


STREAMS = {
    "onewrite": stream_onewrite,
    "split": stream_split,
    "split_at": stream_split_at,
    "crlf": stream_crlf,
    "paced": stream_paced,
    "error_mid": stream_error_mid,
    "error_event": stream_error_event,
    "cut_mid": stream_cut_mid,
    "cut_half": stream_cut_half,
    "reset_mid": stream_reset_mid,
    "cut_clean": stream_cut_clean,
    "no_done": stream_no_done,
    "silent": stream_silent,
    "endless": stream_endless,
    "garbage": stream_garbage,
    "garbage_mid": stream_garbage_mid,
    "json_trunc": stream_json_trunc,
    "close_delimited": stream_close_delimited,
}


# ----------------------------------------------------------------------------- whole answers


async def whole(connection: Connection, play: Play) -> None:
    await connection.send_json(200, play.whole())


async def whole_cut(connection: Connection, play: Play) -> None:
    """The connection ends before the announced length."""
    body = json.dumps(play.whole()).encode()
    connection.head(200, "application/json", [f"content-length: {len(body)}"])
    connection.writer.write(body[: len(body) // 2])
    await connection.cut()


async def whole_trunc(connection: Connection, play: Play) -> None:
    """Complete by its length, but half a JSON document."""
    body = json.dumps(play.whole()).encode()
    await connection.send(200, "application/json", body[: len(body) // 2])


async def whole_garbage(connection: Connection, play: Play) -> None:
    await connection.send(200, "application/json", bytes(range(256)))


async def whole_error_200(connection: Connection, play: Play) -> None:
    """An error under status 200, which is never valid."""
    await connection.send_json(200, play.error(play.midway))


async def whole_silent(connection: Connection, play: Play) -> None:
    await connection.wait(play.seconds)
    await whole(connection, play)


async def whole_endless(connection: Connection, play: Play) -> None:
    """Never answers; waits for the peer to leave."""
    await connection.wait(3600)


async def whole_close_delimited(connection: Connection, play: Play) -> None:
    connection.head(200, "application/json", ["connection: close"])
    connection.writer.write(json.dumps(play.whole()).encode())
    await connection.cut()


WHOLE = {
    "cut_mid": whole_cut,
    "json_trunc": whole_trunc,
    "garbage": whole_garbage,
    "error_mid": whole_error_200,
    "error_event": whole_error_200,
    "silent": whole_silent,
    "endless": whole_endless,
    "close_delimited": whole_close_delimited,
}
