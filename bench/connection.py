"""What both ends of the benchmark share: a connection that reads without allocating."""

import asyncio

RECEIVED = memoryview(bytearray(1 << 16))


class Connection(asyncio.BufferedProtocol):
    """Reads into one buffer for the whole process and hands on what came as bytes.

    asyncio's plain `Protocol` asks for 256 KiB at every read, which costs an mmap and a munmap each
    time: three times the read itself.
    """

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return RECEIVED

    def buffer_updated(self, size: int) -> None:
        self.data_received(bytes(RECEIVED[:size]))

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError
