"""GET /models and /models/ID: what the caller's key can use."""

from __future__ import annotations

from typing import Any

from flask import current_app, g

from blueprints.api import json_response
from blueprints.v1 import bp
from gateway.catalog import Model
from gateway.dispatch import is_callable
from gateway.errors import model_not_found
from models.keys import KeySnapshot


@bp.get("/models")
def list_models():
    models = current_app.extensions["platform"].catalog.models.values()
    data = [write_model(model) for model in models if is_listed(model, g.key)]
    return json_response({"object": "list", "data": data})


@bp.get("/models/<path:model_id>")
def retrieve_model(model_id: str):
    model = current_app.extensions["platform"].catalog.find(model_id)
    if model is None or not is_listed(model, g.key):
        raise model_not_found(model_id[:200])
    return json_response(write_model(model))


def is_listed(model: Model, key: KeySnapshot) -> bool:
    """Test keys see everything; live keys what they may call and what a provider serves."""
    if key.mode == "test":
        return True
    return is_callable(model) and (key.models is None or model.id in key.models)


def write_model(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "shutdown_date": model.retires.isoformat() if model.retires else None,
    }
