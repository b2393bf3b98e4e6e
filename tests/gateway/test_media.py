"""Media types come from the bytes themselves, whatever a header or a name says."""

from __future__ import annotations

import base64

import pytest

from gateway import media

FILES = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "image/gif": b"GIF89a\1\0\1\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0",
    "image/heif": b"\0\0\0\x18ftypmif1\0\0\0\0",
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3",
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "audio/mpeg": b"ID3\4\0\0\0\0\0\0",
    "audio/ogg": b"OggS\0\2\0\0",
    "video/mp4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "audio/mp4": b"\0\0\0\x20ftypM4A \0\0\2\0",
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm",
}


@pytest.mark.parametrize("mime", FILES)
def test_a_type_is_known_by_its_first_bytes(mime):
    assert media.mime_of(FILES[mime]) == mime
    assert media.mime_of(FILES[mime] + bytes(5000)) == mime
    assert media.mime_of_base64(base64.b64encode(FILES[mime] + bytes(5000)).decode()) == mime


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BM\x36\0",
        b"RIFF\x24\0\0\0AVI LIST",
        b"xxxx\x24\0\0\0WEBPVP8 ",
        b"\0\0\0\x20ftypqt  \0\0\2\0",
        b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
        b"I said %PDF- once",
    ],
)
def test_what_is_unknown_or_only_looks_alike_has_no_type(data):
    assert media.mime_of(data) is None


def test_the_bare_frames_of_an_mp3_are_known_too():
    assert media.mime_of(b"\xff\xfb\x90\x64\0") == "audio/mpeg"


@pytest.mark.parametrize("length", range(80))
def test_any_beginning_of_a_file_is_safe_to_look_at(length):
    for data in FILES.values():
        media.mime_of(data[:length])
        media.mime_of_base64(base64.b64encode(data).decode()[:length])


@pytest.mark.parametrize("text", ["", " \n", "a", "a===", "héllo", "ab$d", "=abc", "ab=c"])
def test_what_is_no_base64_is_none(text):
    assert media.standard_base64(text) is None


@pytest.mark.parametrize("size", range(1, 9))
def test_base64_comes_out_standard_whatever_its_alphabet_padding_and_lines(size):
    data = bytes(range(250, 250 - size, -1)) + b"\xfb\xff\xfe"
    standard = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    for text in (standard, url_safe, url_safe.rstrip("="), f"{standard[:5]}\r\n {standard[5:]}"):
        assert media.standard_base64(text) == standard
