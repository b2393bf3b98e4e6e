"""What media are, by their own first bytes: names, headers and callers' words are often wrong.

Providers refuse data whose type is not what they were told (reference/translation.md 9.8).
"""

from __future__ import annotations

import base64
import binascii

HEAD = 64
"""Bytes that are enough to know every type here."""
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xfa", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
)
"""Where in a file its mark stands, and what it says."""
CONTAINERS = {"image/webp": b"RIFF", "audio/wav": b"RIFF"}
"""Marks that count only in a file that begins so."""
BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"mp41": "video/mp4",
    b"mp42": "video/mp4",
    b"isom": "video/mp4",
    b"iso2": "video/mp4",
    b"iso4": "video/mp4",
    b"iso5": "video/mp4",
    b"iso6": "video/mp4",
    b"avc1": "video/mp4",
    b"M4V ": "video/mp4",
    b"dash": "video/mp4",
    b"MSNV": "video/mp4",
}
"""Brands of files in ISO's box format."""
EBML = b"\x1a\x45\xdf\xa3"


def mime_of(head: bytes) -> str | None:
    """The media type of a file that begins with `head` (`HEAD` bytes do), None if it is unknown.

    Knows png, jpeg, gif, webp, heic, heif, pdf, wav, mp3, ogg, mp4 and webm.
    """
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12])
    if head.startswith(EBML):
        return "video/webm" if b"webm" in head[:HEAD] else None
    for place, mark, mime in MAGIC:
        if head.startswith(mark, place) and head.startswith(CONTAINERS.get(mime, b"")):
            return mime
    return None


def mime_of_base64(data: str) -> str | None:
    """The media type of base64 data, of which only the beginning is decoded."""
    try:
        return mime_of(base64.b64decode(data[: HEAD * 2]))
    except (binascii.Error, ValueError):
        return None


def standard_base64(text: str) -> str | None:
    """Standard base64 without line breaks, of what may be URL-safe, unpadded or broken into lines.

    None if it is no base64 at all, or empty.
    """
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        binascii.a2b_base64(padded, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    return padded or None
