"""Pictures drawn from a prompt: valid PNG of the size asked for, the same every time, quick."""

from __future__ import annotations

import time

import pytest

from gateway.errors import InvalidRequest
from gateway.pictures import draw
from tests.png import read_png


@pytest.mark.parametrize("size", [
    "1x1", "1x64", "64x1", "7x5", "256x256", "512x512", "1024x1024", "1792x1024", "1024x1792",
    "4096x16"])  # fmt: skip
def test_a_picture_is_a_valid_png_of_its_size(size):
    width, height, _ = read_png(draw("a cat", size, 0))
    assert f"{width}x{height}" == size


def test_pictures_follow_from_prompt_and_index():
    assert draw("a cat", "64x64", 0) == draw("a cat", "64x64", 0)
    pictures = {draw("a cat", "64x64", 0), draw("a cat", "64x64", 1), draw("a dog", "64x64", 0)}
    assert len(pictures) == 3


def test_a_picture_has_many_colours():
    _, _, rows = read_png(draw("a cat", "128x128", 0))
    assert len({row[i : i + 3] for row in rows for i in range(1, len(row), 3)}) > 100


def test_auto_is_a_square():
    assert read_png(draw("a cat", "auto", 0))[:2] == (1024, 1024)


def test_a_picture_is_quick():
    draw("warm up", "64x64", 0)
    started = time.perf_counter()
    draw("a cat", "1024x1024", 0)
    assert time.perf_counter() - started < 1  # some 30 ms alone on a machine


@pytest.mark.parametrize("size", ["", "big", "0x10", "10x0", "4097x1", "-1x5", "10x10x10", "1e3x9"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(InvalidRequest) as caught:
        draw("a cat", size, 0)
    assert caught.value.param == "size"
