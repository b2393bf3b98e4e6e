"""Images over the wire: as URL and base64, with test keys and with live ones, and their links."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.api.wire import TYPES
from tests.png import read_png

PATH = "/api/v1/images/generations"


def make(server, key=None, **fields):
    body = {"model": "dall-e-3", "prompt": "A cat", **fields}
    return server.call("POST", PATH, key=key or server.test_key(), json=body)


def fetch(server, url):
    assert url.startswith(server.root_url + "/images/"), url
    return server.call("GET", url.removeprefix(server.root_url))


def size_of(data):
    width, height, _ = read_png(data)
    return f"{width}x{height}"


def check_error(answer, status, code, param=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (TYPES[status], code, param)


# ----------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"])
def test_a_url_is_a_png_of_its_size(server, size):
    answer = make(server, size=size)
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["data"]
    assert set(item) == {"url"}
    picture = fetch(server, item["url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert size_of(picture.content) == size


def test_base64_is_the_same_picture_as_the_url(server):
    (item,) = make(server, response_format="b64_json", size="256x256").json()["data"]
    assert set(item) == {"b64_json"}
    (other,) = make(server, size="256x256").json()["data"]
    assert fetch(server, other["url"]).content == base64.b64decode(item["b64_json"])


def test_gpt_image_ids_carry_both(server):
    (item,) = make(server, model="gpt-image-2", size="1024x1536").json()["data"]
    data = base64.b64decode(item["b64_json"])
    assert fetch(server, item["url"]).content == data
    assert size_of(data) == "1024x1536"


def test_as_many_come_as_were_asked_for(server):
    data = make(server, n=4, size="256x256").json()["data"]
    assert len({item["url"] for item in data}) == 4


@pytest.mark.parametrize(("fields", "code", "param"), [
    ({"prompt": "x" * 4001}, "string_above_max_length", "prompt"),
    ({"prompt": 5}, "invalid_type", "prompt"),
    ({"n": 0}, "integer_below_min_value", "n"),
    ({"n": 5}, "integer_above_max_value", "n"),
    ({"size": "300x300"}, "invalid_value", "size"),
    ({"quality": "best"}, "invalid_value", "quality"),
    ({"response_format": "png"}, "invalid_value", "response_format"),
    ({"model": "gpt-image-2", "size": "1024x" + "9" * 5000}, "invalid_value", "size"),
])  # fmt: skip
def test_bad_fields_are_named(server, fields, code, param):
    check_error(make(server, **fields), 400, code, param)


def test_a_chat_model_makes_no_pictures(server):
    answer = make(server, model="gpt-4o")
    check_error(answer, 404, "model_not_found", "model")
    assert "/api/v1/chat/completions" in answer.json()["error"]["message"]


# ----------------------------------------------------------------------------- links


def with_query(url, **changes):
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    return parts._replace(query=urlencode(query)).geturl()


@pytest.fixture(scope="module")
def urls(server):
    return [item["url"] for item in make(server, n=2, size="256x256").json()["data"]]


def test_a_link_opens_nothing_else(server, urls):
    url, other = urls
    name, others = (urlsplit(u).path.rpartition("/")[2] for u in urls)
    signature = parse_qs(urlsplit(url).query)["s"][0]
    for tampered in (
        url.replace(name, others),
        url.partition("?")[0],
        with_query(url, s=signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        with_query(url, s="ü"),
        with_query(url, u="somebody"),
        with_query(url, e="1"),
        with_query(url, e="99999999999"),
        with_query(url, e="9" * 5000),
        url.replace(name, "0" * 64 + ".png"),
        url.replace(name, "..%2f..%2fswitchyard.db"),
        url.replace(name, "..%2f" + name),
        url.replace(name, "%2e%2e"),
        url.replace(name, name + "%00"),
    ):
        answer = fetch(server, tampered)
        assert answer.status_code == 404, (tampered[:300], answer.status_code)
    assert fetch(server, other).status_code == 200


def test_bytes_are_in_the_image_directory_and_nowhere_else(server):
    answer = make(server, model="gpt-image-2", size="512x512", prompt="Only once")
    data = base64.b64decode(answer.json()["data"][0]["b64_json"])
    server.record(answer.headers["x-request-id"])
    samples = (data[2000:2040], base64.b64encode(data[1500:1560]), b"Only once")
    found = set()
    for path in Path(server.data_dir).rglob("*"):
        if path.is_file() and any(sample in path.read_bytes() for sample in samples):
            found.add(path.relative_to(server.data_dir).parts[0])
    assert found == {"images"}


# ----------------------------------------------------------------------------- limits, records


def test_images_count_apart_from_chat(server):
    key = server.new_key("test", "free")
    answers = [make(server, key, size="256x256") for _ in range(11)]
    assert answers[0].headers["X-RateLimit-Limit-Requests"] == "5"
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited  # of 11 in at most two windows of 5
    check_error(limited[0], 429, "rate_limit_exceeded")
    assert int(limited[0].headers["Retry-After"]) > 0
    chat = server.chat(key)
    assert chat.status_code == 200
    assert chat.headers["X-RateLimit-Limit-Requests"] == "10"


def test_a_test_image_is_recorded_and_free(server):
    answer = make(server, n=2, size="256x256")
    record = server.record(answer.headers["x-request-id"])
    assert (record["kind"], record["images"], record["mode"]) == ("image", 2, "test")
    assert record["cost_nano"] == 0


# ----------------------------------------------------------------------------- the provider


@pytest.mark.parametrize(("fields", "quality", "size"), [
    ({}, None, "1024x1024"),
    ({"quality": "standard", "size": "1792x1024", "style": "vivid"}, "medium", "1792x1024"),
    ({"quality": "hd", "response_format": "url", "user": "u1"}, "high", "1024x1024"),
    ({"model": "dall-e-2", "size": "256x256", "n": 2}, None, "1024x1024"),
])  # fmt: skip
def test_dall_e_is_served_by_its_successor(server, fake_upstream, tag, fields, quality, size):
    answer = make(server, server.live_key(), prompt=f"A cat tag:{tag}", **fields)
    assert answer.status_code == 200, answer.text
    assert "served_by=gpt-image-2" in answer.headers["x-gateway-warnings"]
    assert answer.headers["x-gateway-provider"] == "openai"
    sent = json.loads(fake_upstream.requests(tag)[0]["body"])
    assert (sent["model"], sent.get("quality")) == ("gpt-image-2", quality)
    data = answer.json()["data"]
    assert len(data) == fields.get("n", 1)
    assert size_of(fetch(server, data[0]["url"]).content) == size
    record = server.record(answer.headers["x-request-id"])
    assert (record["images"], record["input_tokens"]) == (len(data), 9)


def test_gpt_image_goes_out_without_what_it_refuses(server, tag, fake_upstream):
    answer = make(server, server.live_key(), model="gpt-image-2", response_format="b64_json",
                  quality="low", style="natural", prompt=f"A cat tag:{tag}")  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["data"][0]) == {"b64_json"}
    sent = json.loads(fake_upstream.requests(tag)[0]["body"])
    assert sent.keys() == {"model", "prompt", "quality"}


@pytest.mark.parametrize("scenario", [
    "error_first:401", "error_first:429", "error_first:500", "error_first:502", "html_200",
    "empty_200", "no_image", "odd_usage", "reset_fresh"])  # fmt: skip
def test_a_failing_provider_is_503(server, scenario):
    answer = make(server, server.live_key(), prompt=f"scenario:{scenario}")
    check_error(answer, 503, "provider_unavailable")
    assert "canary" not in answer.text
    record = server.record(answer.headers["x-request-id"])
    assert (record["status"], record["images"], record["cost_nano"]) == (503, 0, 0)


def test_a_refused_prompt_stays_400(server):
    answer = make(server, server.live_key(), prompt="scenario:error_first:400")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
