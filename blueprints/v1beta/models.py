"""GET /models and /models/ID in Google's shape."""

from __future__ import annotations

from typing import Any

from flask import current_app, g

from blueprints.api import json_response
from blueprints.listing import listed_model, listed_models
from blueprints.v1beta import bp
from blueprints.v1beta.generate import api_version
from gateway.catalog import Model
from gateway.errors import NotFound
from gateway.formats import gemini

METHODS = {
    "chat": ["generateContent", "streamGenerateContent"],
    "image": [],
    "embedding": [],
}


@bp.get("/models")
def list_models():
    return answer_list()


@bp.get("/models/<path:model_id>")
def get_model(model_id: str):
    return answer_one(model_id)


def answer_list():
    models = listed_models(current_app.extensions["platform"], g.key)
    return json_response({"models": [write_model(model) for model in models]})


def answer_one(model_id: str):
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
