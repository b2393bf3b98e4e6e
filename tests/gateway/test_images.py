"""Image requests: what is refused and how, what goes to a provider, and what comes back."""

from __future__ import annotations

import base64

import orjson
import pytest

from gateway import images
from gateway.errors import InvalidRequest, LimitExceeded, UpstreamFailed
from gateway.images import Picture
from gateway.metering import Meter
from gateway.pictures import draw
from tests.png import read_png

PNG = draw("a cat", "16x16", 0)


def body(**fields):
    return {"model": "dall-e-3", "prompt": "A cat", **fields}


@pytest.mark.parametrize("fields", [
    {}, {"prompt": "x" * 4000}, {"n": 1}, {"n": 4}, {"n": None}, {"quality": "hd"},
    *({"size": size} for size in images.DALL_E_SIZES),
    {"model": "gpt-image-2", "prompt": "x" * 32000, "size": "1536x1024", "quality": "low"},
    {"model": "gpt-image-2", "size": "auto"}, {"response_format": "b64_json"},
    {"model": "stable-diffusion", "size": "640x1536"}, {"unheard_of": 1},
])  # fmt: skip
def test_good_requests_pass(fields):
    images.check_request(body(**fields))


@pytest.mark.parametrize(("fields", "param", "code"), [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": 5}, "model", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"prompt": None}, "prompt", "invalid_type"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"prompt": ["a"]}, "prompt", "invalid_type"),
    ({"prompt": "x" * 4001}, "prompt", "string_above_max_length"),
    ({"prompt": "x" * 32001, "model": "gpt-image-2"}, "prompt", "string_above_max_length"),
    ({"n": 0}, "n", "integer_below_min_value"),
    ({"n": 5}, "n", "integer_above_max_value"),
    ({"n": "2"}, "n", "invalid_type"),
    ({"n": 1.0}, "n", "invalid_type"),
    ({"n": True}, "n", "invalid_type"),
    ({"size": "640x640"}, "size", "invalid_value"),
    ({"size": "auto"}, "size", "invalid_value"),
    ({"size": 1024}, "size", "invalid_type"),
    ({"size": "1024x" + "9" * 5000, "model": "gpt-image-2"}, "size", "invalid_value"),
    ({"size": "8x8", "model": "gpt-image-2"}, "size", "invalid_value"),
    ({"quality": "ultra"}, "quality", "invalid_value"),
    ({"quality": 1}, "quality", "invalid_type"),
    ({"response_format": "jpeg"}, "response_format", "invalid_value"),
    ({"stream": True}, "stream", "unsupported_parameter"),
    ({"stream": "yes"}, "stream", "invalid_type"),
])  # fmt: skip
def test_what_is_wrong_is_named(fields, param, code):
    with pytest.raises(InvalidRequest) as caught:
        images.check_request(body(**fields))
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_prompt_must_be_there():
    with pytest.raises(InvalidRequest) as caught:
        images.check_request({"model": "dall-e-3"})
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_required_parameter")


# ----------------------------------------------------------------------------- simulated


def test_simulated_pictures_have_the_number_and_size_asked_for():
    pauses = []
    made = images.simulate(body(n=3, size="256x256"), lambda: pauses.append(1))
    assert [read_png(picture.data)[:2] for picture in made] == [(256, 256)] * 3
    assert len({picture.data for picture in made}) == 3
    assert len(pauses) == 3


def test_failures_can_be_rehearsed():
    with pytest.raises(LimitExceeded):
        images.simulate(body(prompt="a cat test:429"), lambda: None)


# ----------------------------------------------------------------------------- the provider


def test_dall_e_is_asked_for_in_the_words_of_its_successor():
    wire = images.write_request(
        body(quality="hd", style="vivid", response_format="url", size="512x512", n=2), "gpt-image-2"
    )
    assert wire == {
        "model": "gpt-image-2",
        "prompt": "A cat",
        "n": 2,
        "size": "1024x1024",
        "quality": "high",
    }


def test_other_models_are_asked_for_base64():
    wire = images.write_request(body(quality="hd"), "some-model")
    assert (wire["response_format"], wire["quality"]) == ("b64_json", "hd")


def answer(**fields):
    data = [{"b64_json": base64.b64encode(PNG).decode(), "revised_prompt": "A fine cat"}]
    return orjson.dumps({"data": data, **fields})


def test_an_answer_is_read_with_its_usage():
    meter = Meter()
    made = images.read_response(answer(usage={"input_tokens": 9, "output_tokens": 7}), meter)
    assert made == [Picture(PNG, "image/png", "A fine cat")]
    assert (meter.usage.input_tokens, meter.usage.output_tokens) == (9, 7)


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"{}", b'{"data": []}', b'{"data": [{}]}', b'{"data": [{"b64_json": null}]}',
    b'{"data": [{"b64_json": "!"}]}', b'{"data": [{"b64_json": "AAAA"}]}', b'{"data": 5}',
    answer(usage="plenty"), answer(usage={"input_tokens": "many"}), answer(usage=[1]),
])  # fmt: skip
def test_an_answer_without_pictures_is_a_failure(raw):
    with pytest.raises(UpstreamFailed):
        images.read_response(raw, Meter())


@pytest.mark.parametrize(("model", "wanted", "keys"), [
    ("dall-e-3", None, {"url"}), ("dall-e-3", "url", {"url"}), ("dall-e-3", "b64_json",
    {"b64_json"}), ("gpt-image-2", None, {"url", "b64_json"}), ("gpt-image-2", "url", {"url"}),
    ("gpt-image-2", "b64_json", {"b64_json"})])  # fmt: skip
def test_pictures_come_as_they_were_asked_for(model, wanted, keys):
    asked = body(model=model, response_format=wanted)
    wire = images.write_response(asked, [Picture(PNG, "image/png")], lambda _: "https://x/y")
    assert set(wire["data"][0]) == keys
    if "b64_json" in keys:
        assert base64.b64decode(wire["data"][0]["b64_json"]) == PNG


@pytest.mark.parametrize("data", [b"", b"<svg>", b"not an image", b"%PDF-1.7"])
def test_what_is_no_image_is_none(data):
    with pytest.raises(ValueError, match="not an image"):
        images.mime_type_of(data)
