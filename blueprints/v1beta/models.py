"""GET /models and /models/ID in Google's shape."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from flask import current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from blueprints.api import json_response
from blueprints.listing import listed_model, listed_models
from blueprints.v1beta import bp
from blueprints.v1beta.generate import METHODS as CALLS
from blueprints.v1beta.generate import api_version
from gateway.catalog import Model
from gateway.errors import InvalidRequest, NotFound
from gateway.formats import gemini

METHODS = {
    "chat": ["generateContent", "streamGenerateContent", "countTokens"],
    "image": [],
    "embedding": ["embedContent", "batchEmbedContents"],
}
DEFAULT_PAGE = 50
MAX_PAGE = 1000


@bp.get("/models")
def list_models():
    return answer_list()


@bp.get("/models/<path:model_id>")
def get_model(model_id: str):
    return answer_one(model_id)


def answer_list():
    start, size = page_start(), page_size()
    models = listed_models(current_app.extensions["platform"], g.key)
    page = {"models": [write_model(model) for model in models[start : start + size]]}
    if start + size < len(models):
        page["nextPageToken"] = write_token(start + size)
    return json_response(page)


def answer_one(model_id: str):
    if model_id.rpartition(":")[2] in CALLS:
        raise MethodNotAllowed(valid_methods=["POST"])
    platform = current_app.extensions["platform"]
    try:
        model = listed_model(platform, g.key, model_id)
    except NotFound as error:
        version = api_version()
        raise gemini.model_not_found(error, model_id, version, "generateContent") from None
    return json_response(write_model(model))


def write_model(model: Model) -> dict[str, Any]:
    wire = {
        "name": f"models/{model.id}",
        "baseModelId": model.id,
        "version": "001",
        "displayName": model.id,
        "description": f"{model.id}, by {model.owned_by}",
        "supportedGenerationMethods": METHODS[model.kind],
    }
    if model.context:
        wire["inputTokenLimit"] = model.context
    if model.max_output:
        wire["outputTokenLimit"] = model.max_output
    return wire


# ----------------------------------------------------------------------------- pages


def page_size() -> int:
    """How many models the caller wants at once; 0 and nothing mean the default."""
    given = request.args.get("pageSize", "")
    size = int(given) if is_number(given) else 0
    if given and not is_number(given):
        raise InvalidRequest("pageSize must be a whole number, 0 or more.", param="pageSize")
    return min(size, MAX_PAGE) or DEFAULT_PAGE


def page_start() -> int:
    """The place in the list where the wanted page begins."""
    token = request.args.get("pageToken", "")
    return read_token(token) if token else 0


def write_token(start: int) -> str:
    return base64.urlsafe_b64encode(f"models:{start}".encode()).decode().rstrip("=")


def read_token(token: str) -> int:
    """Raises `InvalidRequest` for what `write_token` can't have written."""
    try:
        padded = token + "=" * (-len(token) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    name, _, start = text.partition(":")
    if name != "models" or not is_number(start):
        raise InvalidRequest("The pageToken is not valid.", param="pageToken")
    return int(start)


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
