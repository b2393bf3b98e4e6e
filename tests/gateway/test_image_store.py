"""Stored images: a link opens one file, for one user, for a day, and nothing else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.image_store import KEPT_FOR, ImageStore

USER = "0199aaaa"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return ImageStore(tmp_path / "images", b"k" * 32, clock)


def parts(link):
    """(name, user, expires, signature) of a link."""
    url = urlsplit(link)
    query = parse_qs(url.query)
    return [url.path.removeprefix("/images/"), query["u"][0], query["e"][0], query["s"][0]]


@pytest.fixture
def link(store):
    return parts(store.link(store.put(b"bytes", "image/png"), USER))


def test_a_link_opens_its_file(store, link):
    assert store.open(*link).read_bytes() == b"bytes"


def test_the_same_bytes_are_kept_once(store, tmp_path):
    assert store.put(b"a", "image/png") == store.put(b"a", "image/png")
    assert store.put(b"a", "image/png") != store.put(b"b", "image/png")
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 2


@pytest.mark.parametrize(("mime_type", "ending"), [
    ("image/png", "png"), ("image/jpeg", "jpg"), ("image/webp", "webp"), ("image/gif", "gif")])  # fmt: skip
def test_a_name_ends_by_its_type(store, mime_type, ending):
    assert store.put(b"x", mime_type).endswith(f".{ending}")


def test_a_link_ends_after_a_day(store, link, clock):
    clock.now += KEPT_FOR
    assert store.open(*link)
    clock.now += 1
    assert store.open(*link) is None


def test_a_tampered_link_opens_nothing(store, link):
    other = store.put(b"other", "image/png")
    for place, value in ((0, other), (1, "0199bbbb"), (1, ""), (2, str(int(link[2]) + 1)),
                         (2, ""), (2, "-1"), (2, "9" * 5000), (2, "²"), (3, ""), (3, "ü"),
                         (3, link[3][:-1]), (3, "0" * 40), (3, link[3].upper() + "x")):  # fmt: skip
        tampered = list(link)
        tampered[place] = value
        assert store.open(*tampered) is None, (place, value)


def test_another_house_signs_otherwise(tmp_path, clock, store, link):
    assert ImageStore(tmp_path / "images", b"x" * 32, clock).open(*link) is None


@pytest.mark.parametrize("name", [
    "../secret", "..", "", "/etc/passwd", "a" * 64, "a" * 64 + ".svg", "A" * 64 + ".png",
    "a" * 64 + ".png\n", "../" + "a" * 64 + ".png", "a" * 63 + "/.png", "%2e%2e%2fsecret"])  # fmt: skip
def test_names_that_are_not_ours_open_nothing(store, name):
    assert store.open(*parts(store.link(name, USER).replace("\n", "%0A"))) is None
    expires = int(store._clock()) + 100
    assert store.open(name, USER, str(expires), store._sign(name, USER, expires)) is None


def test_a_file_that_is_gone_opens_nothing(store, link):
    store.open(*link).unlink()
    assert store.open(*link) is None


def test_no_draft_is_left_behind(store, tmp_path):
    store.put(b"x", "image/png")
    assert not list(tmp_path.rglob("*.part"))
