"""Embeddings without a server: what a body may be, both wires, and the simulator's vectors."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest

from gateway import embeddings as core
from gateway.embeddings import EmbeddingRequest, Embeddings
from gateway.errors import GatewayError, InvalidRequest, LimitExceeded
from gateway.formats.gemini import embeddings as gemini
from gateway.formats.openai import embeddings as openai
from gateway.losses import Losses
from gateway.metering import Meter
from gateway.types import Usage

SMALL = "text-embedding-3-small"
ONE_BATCH = {"requests": [{"content": {"parts": [{"text": "a"}]}}]}


def body(**fields):
    return {"model": SMALL, "input": "hello"} | fields


def refused(check, *arguments):
    with pytest.raises(InvalidRequest) as caught:
        check(*arguments)
    return caught.value


# ----------------------------------------------------------------------------- OpenAI's bodies


@pytest.mark.parametrize(("given", "inputs"), [
    ("a", ["a"]),
    (["a", "b"], ["a", "b"]),
    ([1, 2, 0], [[1, 2, 0]]),
    ([[1], [2, 3]], [[1], [2, 3]]),
    (["x"] * 2048, ["x"] * 2048),
    (list(range(8191)), [list(range(8191))]),
])  # fmt: skip
def test_inputs_of_every_kind_are_read(given, inputs):
    openai.check_request(body(input=given))
    assert openai.read_request(body(input=given)).inputs == inputs


@pytest.mark.parametrize(("fields", "code", "param"), [
    ({"input": ""}, "invalid_value", "input"),
    ({"input": []}, "empty_array", "input"),
    ({"input": None}, "invalid_type", "input"),
    ({"input": 5}, "invalid_type", "input"),
    ({"input": {"text": "a"}}, "invalid_type", "input"),
    ({"input": ["a", ""]}, "invalid_value", "input[1]"),
    ({"input": ["a", 5]}, "invalid_type", "input[1]"),
    ({"input": [5, "a"]}, "invalid_type", "input[1]"),
    ({"input": [True]}, "invalid_type", "input[0]"),
    ({"input": [5, True]}, "invalid_type", "input[1]"),
    ({"input": [-1]}, "integer_below_min_value", "input[0]"),
    ({"input": [[1], []]}, "empty_array", "input[1]"),
    ({"input": [[1], [2.5]]}, "invalid_type", "input[1][0]"),
    ({"input": [[1], "a"]}, "invalid_type", "input[1]"),
    ({"input": ["x"] * 2049}, "array_above_max_length", "input"),
    ({"input": [[1]] * 2049}, "array_above_max_length", "input"),
    ({"encoding_format": "int8"}, "invalid_value", "encoding_format"),
    ({"dimensions": 0}, "integer_below_min_value", "dimensions"),
    ({"dimensions": 2.5}, "invalid_type", "dimensions"),
    ({"user": 5}, "invalid_type", "user"),
    ({"model": None}, "missing_required_parameter", "model"),
])  # fmt: skip
def test_bad_bodies_are_refused_where_they_are_bad(fields, code, param):
    error = refused(openai.check_request, body(**fields))
    assert (error.code, error.param) == (code, param)


def test_a_missing_input_is_said_in_openais_words():
    error = refused(openai.check_request, {"model": SMALL})
    assert error.message == "Missing required parameter: 'input'."


# ----------------------------------------------------------------------------- OpenAI's answers

VECTORS = Embeddings([[0.5, -0.25], [1.0, 0.0]], Usage(input_tokens=3), "upstream-name")


def test_an_answer_has_the_encoding_that_was_asked_for():
    floats = openai.write_response(VECTORS, body(), Usage(input_tokens=3))
    assert [item["embedding"] for item in floats["data"]] == VECTORS.vectors
    packed = openai.write_response(VECTORS, body(encoding_format="base64"), Usage(input_tokens=3))
    for item, vector in zip(packed["data"], VECTORS.vectors, strict=True):
        assert base64.b64decode(item["embedding"]) == struct.pack("<2f", *vector)
    assert [item["index"] for item in packed["data"]] == [0, 1]
    assert packed["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert packed["model"] == "upstream-name"


@pytest.mark.parametrize(
    "encode", [list, lambda v: base64.b64encode(struct.pack("<2f", *v)).decode()]
)
def test_an_upstreams_answer_is_read_in_either_encoding_and_in_order(encode):
    items = [{"index": i, "embedding": encode(v)} for i, v in enumerate(VECTORS.vectors)]
    answer = {"data": items[::-1], "model": "m", "usage": {"prompt_tokens": 7}}
    got = openai.read_response(json.dumps(answer).encode())
    assert [list(vector) for vector in got.vectors] == VECTORS.vectors
    assert (got.usage, got.model) == (Usage(input_tokens=7), "m")


@pytest.mark.parametrize(
    "value", [[], ["1"], [None], [True], None, "", "AAA=", "%%%%", "AAAAAAA=", {}]
)
def test_what_is_no_vector_is_refused(value):
    with pytest.raises(ValueError):
        openai.read_response(json.dumps({"data": [{"embedding": value}]}).encode())


# ----------------------------------------------------------------------------- Google's wire


def embed_body(method="embedContent", **fields):
    read = gemini.normalise(fields, method) | {"model": "m"}
    gemini.check_request(read)
    return read


def test_both_spellings_of_a_request_mean_the_same():
    camel = embed_body(
        content={"parts": [{"text": "a"}]}, taskType="CLUSTERING", outputDimensionality=5
    )
    snake = embed_body(
        content={"parts": {"text": "a"}}, task_type="CLUSTERING", output_dimensionality=5
    )
    assert gemini.read_request(camel) == gemini.read_request(snake)
    request = gemini.read_request(snake)
    assert (list(request.inputs), request.dimensions) == (["a"], 5)
    assert request.extra == {"gemini": {"taskType": "CLUSTERING"}}


def test_options_may_stand_in_a_config_of_their_own():
    request = gemini.read_request(
        embed_body(content="a", embed_content_config={"output_dimensionality": 5, "title": "t"})
    )
    assert (request.dimensions, request.extra) == (5, {"gemini": {"title": "t"}})


@pytest.mark.parametrize(("method", "fields", "param"), [
    ("embedContent", {}, "content"),
    ("embedContent", {"content": {}}, "content.parts"),
    ("embedContent", {"content": {"parts": []}}, "content.parts"),
    ("embedContent", {"content": {"parts": [{}]}}, "content.parts[0]"),
    ("embedContent", {"content": "a", "outputDimensionality": 0}, "outputDimensionality"),
    ("batchEmbedContents", {}, "requests"),
    ("batchEmbedContents", {"requests": []}, "requests"),
    ("batchEmbedContents", {"requests": "a"}, "requests"),
    ("batchEmbedContents", {"requests": [{}]}, "requests[0].content"),
    ("batchEmbedContents", {"requests": [5]}, "requests[0]"),
])  # fmt: skip
def test_bad_bodies_of_google_calls_are_refused(method, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        embed_body(method, **fields)
    assert caught.value.param == param


def test_only_text_can_be_translated():
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    error = refused(gemini.read_request, embed_body(content={"parts": [picture]}))
    assert (error.code, error.param) == ("unsupported_value", "content.parts")


def test_a_batch_has_one_length_for_all_when_translated():
    requests = [{"content": "a", "outputDimensionality": n} for n in (2, 3)]
    error = refused(gemini.read_request, embed_body("batchEmbedContents", requests=requests))
    assert error.param == "outputDimensionality"


def test_each_method_has_its_own_answer():
    one = gemini.write_response(VECTORS, {}, Usage(input_tokens=3))
    assert one == {"embedding": {"values": [0.5, -0.25]}}
    many = gemini.write_response(VECTORS, ONE_BATCH, Usage(input_tokens=3))
    assert many["embeddings"][1] == {"values": [1.0, 0.0]}
    assert many["usageMetadata"] == {"promptTokenCount": 3}


def test_a_call_that_passes_names_the_upstreams_model_everywhere():
    batch = embed_body("batchEmbedContents", requests=[{"model": "models/x", "content": "a"}])
    sent = json.loads(gemini.patch_request(b"", batch, "up", {}))
    assert sent == {"requests": [{"model": "models/up", "content": {"parts": [{"text": "a"}]}}]}
    one = json.loads(gemini.patch_request(b"", embed_body(content="a"), "up", {}))
    assert one["model"] == "models/up"
    path = "/v1beta/models/{model}:{method}"
    assert gemini.path_of(path, "a/b", batch) == "/v1beta/models/a%2Fb:batchEmbedContents"
    assert gemini.path_of(path, "up", {"content": {}}).endswith(":embedContent")


# ----------------------------------------------------------------------------- translation


def test_tokens_mean_nothing_to_another_provider():
    request = openai.read_request(body(input=[[1, 2]]))
    error = refused(gemini.write_request, request, "m", Losses({}), {})
    assert (error.code, error.param) == ("unsupported_value", "input")


def test_what_google_cannot_say_is_dropped_and_named():
    losses = Losses({})
    request = openai.read_request(body(user="u", truncate=True, dimensions=7))
    wire = gemini.write_request(request, "m", losses, {"autoTruncate": False})
    assert wire["requests"][0]["outputDimensionality"] == 7
    assert wire["requests"][0]["autoTruncate"] is False
    assert losses.warnings() == ["dropped=truncate,user"]


def test_what_openai_cannot_say_is_dropped_and_named_or_refused():
    request = gemini.read_request(embed_body(content="a", taskType="CLUSTERING", title="t"))
    losses = Losses({})
    wire = openai.write_request(request, "m", losses, {})
    assert wire == {"model": "m", "input": ["a"]}
    assert losses.warnings() == ["dropped=taskType,title"]
    error = refused(openai.write_request, request, "m", Losses({}, is_strict=True), {})
    assert (error.code, error.param) == ("unsupported_parameter", "taskType")


def test_parts_of_an_answer_are_joined_in_order():
    parts = [Embeddings([[1.0]], Usage(input_tokens=2)), Embeddings([[2.0]], Usage(input_tokens=3))]
    whole = core.joined(parts)
    assert (whole.vectors, whole.usage) == ([[1.0], [2.0]], Usage(input_tokens=5))
    assert core.joined([*parts, Embeddings([[3.0]])]).usage is None


@pytest.mark.parametrize(("format_", "answer"), [
    (openai, b"{}"), (openai, b"[]"), (openai, b"nonsense"), (gemini, b"{}"), (gemini, b"[]"),
])  # fmt: skip
def test_an_answer_that_is_none_does_not_pass(format_, answer):
    with pytest.raises(ValueError):
        format_.meter_response(answer, {}, Meter())


# ----------------------------------------------------------------------------- the simulator


def simulate(text="hello there", model=SMALL, context=8191, **fields):
    inputs = [text] if isinstance(text, str) else text
    names = {"inputs": "input"}
    return core.simulate(
        EmbeddingRequest(model, inputs, names=names, **fields), context, lambda: None
    )


@pytest.mark.parametrize(("model", "size"), [
    (SMALL, 1536), ("text-embedding-3-large", 3072), ("gemini-embedding-001", 3072), ("other", 768),
])  # fmt: skip
def test_vectors_have_their_models_length(model, size):
    (vector,) = simulate(model=model).vectors
    assert len(vector) == size
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-4)


def test_the_same_text_has_the_same_vector_and_another_has_another():
    first, again, other = simulate(["a b", "a b", "c"], dimensions=64).vectors
    assert first == again != other
    assert len(first) == 64


def test_input_tokens_are_counted():
    assert simulate(["one two", "three"]).usage == Usage(input_tokens=4)
    assert simulate([[1, 2, 3]]).usage == Usage(input_tokens=3)


@pytest.mark.parametrize(("fields", "code"), [
    ({"dimensions": 1537}, "integer_above_max_value"),
    ({"model": "text-embedding-ada-002", "dimensions": 5}, "unsupported_parameter"),
    ({"model": "other", "dimensions": 10**9}, "integer_above_max_value"),
])  # fmt: skip
def test_lengths_that_a_model_lacks_are_refused(fields, code):
    error = refused(lambda: simulate(**fields))
    assert (error.code, error.param) == (code, "dimensions")


def test_texts_can_be_too_long():
    error = refused(lambda: simulate(["short", "word " * 5], context=4))
    assert (error.code, error.param) == ("context_length_exceeded", "input")
    assert "maximum context length is 4 tokens" in error.message


@pytest.mark.parametrize(
    ("word", "kind"), [("test:429", LimitExceeded), ("test:400", InvalidRequest)]
)
def test_magic_words_rehearse_errors(word, kind):
    with pytest.raises(GatewayError) as caught:
        simulate(["fine", f"please {word}"])
    assert type(caught.value) is kind
    assert caught.value.param in (None, "input")
