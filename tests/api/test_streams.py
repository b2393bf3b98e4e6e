"""Many streams at once through one worker: none loses a byte."""

from __future__ import annotations

import asyncio
import json

from tests.api.wire import check_stream, content
from tests.conftest import Server, poll

STREAMS = 500
CHUNKS = 60
EXPECTED = "".join(f"w{i} " for i in range(CHUNKS))


async def one_stream(server: Server, key: str, number: int, gate: asyncio.Event) -> bytes:
    """One chat stream over a connection of its own; returns the body without its framing."""
    body = json.dumps(
        {
            "model": "gpt-4o",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": f"scenario:chunks:{CHUNKS} tag:many{number}"}],
        }
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)
    await gate.wait()
    try:
        writer.write(
            f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {key}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(500)
        return await read_chunked(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while size := int(await reader.readline(), 16):
        data += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    return bytes(data)


async def all_streams(server: Server, key: str) -> list[bytes]:
    gate = asyncio.Event()
    tasks = [asyncio.create_task(one_stream(server, key, i, gate)) for i in range(STREAMS)]
    await asyncio.sleep(0)
    gate.set()
    return await asyncio.wait_for(asyncio.gather(*tasks), 100)


def test_concurrent_streams_lose_no_byte(server, fake_upstream):
    key = server.new_key("live", "enterprise")
    bodies = asyncio.run(all_streams(server, key))
    sent = {
        row["tag"]: row["sent"] for row in fake_upstream.requests() if row["tag"].startswith("many")
    }
    assert len(bodies) == len(sent) == STREAMS
    for number, data in enumerate(bodies):
        assert data == sent[f"many{number}"], number
    assert content(bodies[0]) == EXPECTED
    check_stream(bodies[-1], asked_usage=True)

    def records() -> list[dict]:
        return server.query(
            "SELECT outcome, input_tokens, output_tokens FROM usage_records WHERE key_id = "
            "(SELECT id FROM api_keys ORDER BY created_at DESC, rowid DESC LIMIT 1)"
        )

    poll(lambda: len(records()) == STREAMS, 20, "one record per stream")
    assert {tuple(row.values()) for row in records()} == {("completed", 11, CHUNKS)}
