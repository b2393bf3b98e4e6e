"""Pictures without an image model: discs on a gradient, drawn from a prompt as a PNG."""

from __future__ import annotations

import colorsys
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import InvalidRequest

MAX_SIDE = 4096
DEFAULT_SIZE = 1024
ACCENTS = (0.0, 0.06, 0.12, 0.18, 0.24, 0.5)
"""How far round the colour wheel each disc lies from the sky; the last one is its sun."""
BLEND = 0.55

RGB = tuple[int, int, int]


def draw(prompt: str, size: str, index: int = 0) -> bytes:
    """A PNG of the size asked for ("1024x1024", "auto"): discs on a gradient, by the prompt.

    Raises InvalidRequest for a size that is none, or beyond 4096 a side.
    """
    width, height = _sides(size)
    dice = _Dice(hashlib.shake_256(f"{prompt}\0{index}".encode("utf-8", "replace")).digest(64))
    hue = dice.roll()
    sky = _ramp([_colour(hue + turn, 0.6, dice) for turn in (0.0, 0.08, 0.18)], width + height)
    accents = [_colour(hue + turn, 0.78, dice) for turn in ACCENTS]
    discs = [_disc(dice, width, height, sky, accent) for accent in accents]
    compressor = zlib.compressobj(1)
    body = (
        b"".join(compressor.compress(_row(y, width, sky, discs)) for y in range(height))
        + compressor.flush()
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _png_chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"tEXt", b"Comment\0Made in test mode: no image model was called."),
            (b"IDAT", body),
            (b"IEND", b""),
        )
    )


def _sides(size: str) -> tuple[int, int]:
    if size == "auto":
        return DEFAULT_SIZE, DEFAULT_SIZE
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if found is None or max(int(found[1]), int(found[2])) > MAX_SIDE:
        raise InvalidRequest(
            f"Invalid value: '{size}'. A size is WIDTHxHEIGHT, up to {MAX_SIDE}x{MAX_SIDE}.",
            param="size",
        )
    return int(found[1]), int(found[2])


@dataclass(slots=True)
class _Dice:
    """Numbers from 0 to 1 out of a digest, one after the other."""

    digest: bytes
    at: int = 0

    def roll(self, low: float = 0.0, high: float = 1.0) -> float:
        byte = self.digest[self.at % len(self.digest)]
        self.at += 1
        return low + (high - low) * byte / 255


def _colour(hue: float, light: float, dice: _Dice) -> RGB:
    light += dice.roll(-0.08, 0.08)
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, light, dice.roll(0.55, 0.8))
    return round(red * 255), round(green * 255), round(blue * 255)


def _ramp(stops: Sequence[RGB], length: int) -> bytes:
    """RGB bytes of `length` pixels from the first of three colours past the second to the third."""
    pixels = bytearray()
    for step in range(length):
        t = step / length
        near, middle, far = (1 - t) ** 2, 2 * t * (1 - t), t * t
        pixels += bytes(
            int(near * a + middle * b + far * c) for a, b, c in zip(*stops, strict=True)
        )
    return bytes(pixels)


@dataclass(slots=True)
class _Disc:
    """A disc with its own ramp, which shines through what lies below it."""

    x: float
    y: float
    radius: float
    ramp: bytes


def _disc(dice: _Dice, width: int, height: int, sky: bytes, accent: RGB) -> _Disc:
    tables = [
        bytes(int(below * (1 - BLEND) + level * BLEND) for below in range(256)) for level in accent
    ]
    ramp = bytearray(sky)
    for channel, table in enumerate(tables):
        ramp[channel::3] = sky[channel::3].translate(table)
    radius = dice.roll(0.08, 0.28) * min(width, height)
    return _Disc(dice.roll() * width, dice.roll() * height, radius, bytes(ramp))


def _row(y: int, width: int, sky: bytes, discs: Sequence[_Disc]) -> bytes:
    """One line of the picture, its filter byte first. Each line is the ramp, one pixel further."""
    line = bytearray(sky[3 * y : 3 * (y + width)])
    for disc in discs:
        square = disc.radius**2 - (y + 0.5 - disc.y) ** 2
        if square <= 0:
            continue
        half = math.sqrt(square)
        left, right = max(0.0, disc.x - half), min(float(width), disc.x + half)
        first, last = math.ceil(left), math.floor(right)
        if first < last:
            line[3 * first : 3 * last] = disc.ramp[3 * (y + first) : 3 * (y + last)]
            _soften(line, disc.ramp, y, first - 1, first - left)
            _soften(line, disc.ramp, y, last, right - last)
    return b"\0" + bytes(line)


def _soften(line: bytearray, ramp: bytes, y: int, x: int, cover: float) -> None:
    """Mix the one pixel at the edge of a disc by how much of it the disc covers."""
    if cover > 0 and 0 <= 3 * x < len(line):
        for channel in range(3):
            below, above = line[3 * x + channel], ramp[3 * (y + x) + channel]
            line[3 * x + channel] = int(below + (above - below) * cover)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
