"""OpenAI image generation: the request's rules, and pictures from a provider or the simulator.

Facts: reference/openai-wire.md section 3. Whatever a provider answers with, the caller gets what it
asked for: a URL of ours or base64. Bytes live in `Picture` only, never in a log or a record.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway import simulator
from gateway.errors import InvalidRequest
from gateway.formats import openai
from gateway.metering import Meter
from gateway.pictures import draw
from gateway.transport import failed
from gateway.types import JSON, Usage
from gateway.validation import (
    Problem,
    Rule,
    boolean,
    check_fields,
    integer,
    one_of,
    string,
    wrong_type,
)

MAX_IMAGES = 4
MAX_PROMPT = 4000
MAX_PROMPT_GPT = 32000
DALL_E_SIZES = ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792")
DEFAULT_SIZE = "1024x1024"
MAX_SIDE = 4096
QUALITIES = ("standard", "hd", "low", "medium", "high", "xhigh", "max", "auto")
GPT_QUALITY = {"standard": "medium", "hd": "high"}
"""The words of DALL-E in those of its successors."""


def _size(value: Any) -> None:
    if type(value) is not str:
        raise wrong_type("a string", value)
    width, _, height = value.partition("x")
    if value != "auto" and not (_is_side(width) and _is_side(height)):
        shown = ", ".join(f"'{size}'" for size in DALL_E_SIZES)
        raise Problem(
            "invalid_value",
            f"Invalid value: {value[:40]!r}. Supported values are: "
            f"{shown}, and other sizes that the model makes.",
        )


def _is_side(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 5 and 16 <= int(text) <= MAX_SIDE


FIELDS: dict[str, Rule] = {
    "model": string(allow_empty=False, max_length=256),
    "prompt": string(allow_empty=False, max_length=MAX_PROMPT_GPT),
    "n": integer(1, MAX_IMAGES),
    "size": _size,
    "quality": one_of(*QUALITIES),
    "response_format": one_of("url", "b64_json"),
    "style": one_of("vivid", "natural"),
    "background": one_of("transparent", "opaque", "auto"),
    "moderation": one_of("low", "auto"),
    "output_format": one_of("png", "jpeg", "webp"),
    "output_compression": integer(0, 100),
    "stream": boolean,
    "user": string(),
    "safety_identifier": string(max_length=128),
}


def check_request(body: JSON) -> None:
    """Raise the `InvalidRequest` that OpenAI would answer this body with."""
    try:
        if body.get("model") is None:
            raise Problem(
                "missing_required_parameter", "you must provide a model parameter", "model"
            )
        check_fields(body, FIELDS, ("prompt",))
        if not _is_gpt(body["model"]):
            string(max_length=MAX_PROMPT)(body["prompt"])
            if body.get("size") is not None and body["model"].startswith("dall-e"):
                one_of(*DALL_E_SIZES)(body["size"])
    except Problem as problem:
        if not problem.path:
            problem.within("prompt" if "length" in problem.code else "size")
        raise problem.error() from None
    if body.get("stream"):
        raise InvalidRequest(
            "Streaming of images is not supported.", code="unsupported_parameter", param="stream"
        )


def unknown_fields(body: JSON) -> list[str]:
    return [name for name in body if name not in FIELDS]


def _is_gpt(model: str) -> bool:
    return model.startswith(("gpt-image", "chatgpt-image"))


# ----------------------------------------------------------------------------- pictures


@dataclass(slots=True)
class Picture:
    """One generated image."""

    data: bytes
    mime_type: str
    revised_prompt: str | None = None


SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
)


def mime_type_of(data: bytes) -> str:
    """The type that the bytes themselves show. Raises `ValueError` for anything but an image."""
    for signature, mime_type in SIGNATURES:
        if data.startswith(signature):
            return mime_type
    raise ValueError("not an image")


def simulate(body: JSON, pause: Callable[[], None]) -> list[Picture]:
    """Pictures drawn from the prompt. `pause` lets others work between two of them."""
    simulator.rehearse(body["prompt"], body["model"])
    size = body.get("size") or DEFAULT_SIZE
    pictures = []
    for index in range(body.get("n") or 1):
        pictures.append(Picture(draw(body["prompt"], size, index), "image/png"))
        pause()
    return pictures


def write_request(body: JSON, upstream_model: str) -> JSON:
    """The body for OpenAI's endpoint, in the words of the model that will make the pictures."""
    kept = (
        "prompt",
        "n",
        "size",
        "background",
        "moderation",
        "output_format",
        "output_compression",
        "user",
        "safety_identifier",
    )
    wire = {name: body[name] for name in kept if body.get(name) is not None}
    wire["model"] = upstream_model
    quality = body.get("quality")
    if quality is not None:
        wire["quality"] = GPT_QUALITY.get(quality, quality) if _is_gpt(upstream_model) else quality
    if not _is_gpt(upstream_model):
        wire["response_format"] = "b64_json"
    elif body["model"].startswith("dall-e") and body.get("size") in ("256x256", "512x512"):
        wire["size"] = DEFAULT_SIZE  # the successor makes nothing smaller
    return wire


def read_response(body: bytes, meter: Meter) -> list[Picture]:
    """The pictures of an OpenAI answer. Raises `UpstreamFailed` when it holds none."""
    try:
        answer = orjson.loads(body)
        pictures = [_read_picture(item) for item in answer["data"]]
        if not pictures:
            raise ValueError("no pictures")
        meter.usage = _read_usage(answer.get("usage") or {})
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise failed(f"no valid image answer: {type(error).__name__}: {error}"[:300]) from None
    return pictures


def _read_usage(usage: JSON) -> Usage:
    return Usage(
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
    )


def _read_picture(item: JSON) -> Picture:
    data = base64.b64decode(item["b64_json"], validate=True)
    return Picture(data, mime_type_of(data), item.get("revised_prompt"))


def write_response(body: JSON, pictures: list[Picture], url_of: Callable[[Picture], str]) -> JSON:
    """The answer: a URL unless base64 was asked for; gpt-image ids carry both by default."""
    wanted = body.get("response_format")
    data = []
    for picture in pictures:
        item: JSON = {}
        if wanted != "b64_json":
            item["url"] = url_of(picture)
        if wanted == "b64_json" or (wanted is None and _is_gpt(body["model"])):
            item["b64_json"] = base64.b64encode(picture.data).decode()
        if picture.revised_prompt:
            item["revised_prompt"] = picture.revised_prompt
        data.append(item)
    return {"created": int(time.time()), "data": data}


write_error = openai.write_error
